//! Metrics of backends with limits: who waits, for how long, and who was turned away.

use std::fmt;
use std::sync::atomic::Ordering;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::metrics::{counters, histogram};
use crate::upstreams::{LiveBackend, Snapshot, TurnedAway};

pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    let own = || snapshot.named_backends().filter(|backend| !backend.lasting.is_shared);
    let limited: Vec<_> = own().filter(|backend| backend.is_limited).collect();
    let waiting = "Requests that wait for a place at an endpoint now";
    let mut family = encoder.encode_descriptor("queue_waiting", waiting, None, MetricType::Gauge)?;
    for backend in &limited {
        let waiting = backend.lasting.places.gate.waiting() as u64;
        family.encode_family(&label(backend))?.encode_gauge(&waiting)?;
    }
    let waits = "How long requests waited that got a place at an endpoint";
    let mut family = encoder.encode_descriptor("queue_seconds", waits, None, MetricType::Histogram)?;
    for backend in &limited {
        let waits = &backend.lasting.places.waits;
        let labels = label(backend);
        histogram(family.encode_family(&labels)?, waits.sum_us(), |bucket| waits.count(bucket))?;
    }
    let turned_away: Vec<_> = own()
        .flat_map(|backend| {
            TurnedAway::ALL.into_iter().map(move |why| {
                let count = backend.lasting.places.turned_away[why as usize].load(Ordering::Relaxed);
                let labels = [label(backend)[0].clone(), ("reason", why.as_str().to_owned())];
                // What nobody has limited need not be told for thousands of backends.
                (backend.is_limited || count > 0).then_some((labels, count))
            })
        })
        .flatten()
        .collect();
    counters(encoder, "turned_away", "Requests that met a limit, by which", &turned_away)
}

fn label(backend: &LiveBackend) -> [(&'static str, String); 1] {
    [("backend", backend.lasting.name.clone())]
}
