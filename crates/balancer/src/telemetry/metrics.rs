use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::cells::{Cell, MetLimit, Retried};
use super::{Cells, beliefs, queues};
use crate::buckets::LATENCY_BOUNDS_US;
use crate::upstreams::Published;

/// The metrics of the balancer: nothing is kept in it, every scrape reads the workers' cells.
pub(crate) fn registry(
    cells: Vec<Arc<Cells>>,
    published: Arc<Published>,
    log_dropped: Arc<AtomicU64>,
) -> Registry {
    let mut registry = Registry::with_prefix("balancer");
    registry.register_collector(Box::new(Workers { cells, published, log_dropped }));
    registry
}

#[derive(Debug)]
struct Workers {
    cells: Vec<Arc<Cells>>,
    published: Arc<Published>,
    log_dropped: Arc<AtomicU64>,
}

const CLASSES: [&str; 6] = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"];

impl Collector for Workers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let classes: Vec<_> = CLASSES
            .iter()
            .enumerate()
            .map(|(class, name)| ([("status", *name)], self.sum(|cells| &cells.answers[class])))
            .collect();
        counters(&mut encoder, "answers", "Answers to clients by class of status", &classes)?;
        let failures = [
            ([("side", "upstream")], self.sum(|cells| &cells.upstream_failed)),
            ([("side", "client")], self.sum(|cells| &cells.client_failed)),
            ([("side", "none")], self.sum(|cells| &cells.unserved)),
        ];
        counters(&mut encoder, "failures", "Exchanges that failed, by the side that failed", &failures)?;
        let accepted = self.sum(|cells| &cells.connections);
        self.plain(&mut encoder, "client_connections", "Client connections accepted", accepted)?;
        let limited = self.sum(|cells| &cells.connections_limited);
        let help = "Client connections that were one too many for their address";
        self.plain(&mut encoder, "client_connections_limited", help, limited)?;
        let refused = self.sum(|cells| &cells.connect_failed);
        self.plain(&mut encoder, "connects_failed", "Upstream connections that did not come about", refused)?;
        let resent = self.sum(|cells| &cells.resent);
        self.plain(&mut encoder, "requests_resent", "Requests sent again to another endpoint", resent)?;
        let retried = Retried::ALL.map(|why| ([("why", why.as_str())], self.sum(|cells| cells.retried(why))));
        let help = "Requests sent again that may have arrived, by why";
        counters(&mut encoder, "requests_retried", help, &retried)?;
        let refused = self.sum(|cells| &cells.retries_refused);
        let help = "Requests not sent again, as the budget for retries was spent";
        self.plain(&mut encoder, "retries_refused", help, refused)?;
        let limited =
            MetLimit::ALL.map(|limit| ([("limit", limit.as_str())], self.sum(|cells| cells.limited(limit))));
        counters(&mut encoder, "requests_limited", "Requests that were one too many for a limit", &limited)?;
        let stale = self.sum(|cells| &cells.stale);
        self.plain(
            &mut encoder,
            "stale_connections",
            "Idle upstream connections that turned out closed",
            stale,
        )?;
        let dropped = self.log_dropped.load(Ordering::Relaxed);
        self.plain(&mut encoder, "access_log_dropped", "Access log lines that were dropped", dropped)?;
        let open = accepted.saturating_sub(self.sum(|cells| &cells.connections_ended));
        gauge(&mut encoder, "client_connections_open", "Client connections open now", open)?;
        let tunnels = self.sum(|cells| &cells.tunnels);
        self.plain(&mut encoder, "tunnels", "Connections that switched to another protocol", tunnels)?;
        let open = tunnels.saturating_sub(self.sum(|cells| &cells.tunnels_ended));
        gauge(&mut encoder, "tunnels_open", "Tunnels open now", open)?;
        self.routes(&mut encoder)?;
        self.endpoints(&mut encoder)?;
        queues::encode(&mut encoder, &self.published.current())?;
        beliefs::encode(&mut encoder, &self.published.evidence)?;
        self.latency(&mut encoder)
    }
}

impl Workers {
    fn sum(&self, of: impl Fn(&Cells) -> &Cell) -> u64 {
        self.cells.iter().map(|cells| of(cells).value()).sum()
    }

    fn plain(&self, encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
        let counter = ConstCounter::new(value);
        counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)
    }

    fn routes(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let snapshot = self.published.current();
        let routes: Vec<_> =
            snapshot.requests_of_routes().map(|(name, requests)| ([("route", name)], requests)).collect();
        counters(encoder, "route_requests", "Requests that took a route", &routes)?;
        let backends: Vec<_> =
            snapshot.requests_of_backends().map(|(name, requests)| ([("backend", name)], requests)).collect();
        counters(encoder, "backend_requests", "Requests that went to a backend first", &backends)
    }

    fn endpoints(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let snapshot = self.published.current();
        gauge(encoder, "endpoints", "Endpoints that take requests", snapshot.serving().count() as u64)?;
        gauge(
            encoder,
            "routes",
            "Routes, those that services advertise among them",
            snapshot.routes.len() as u64,
        )?;
        gauge(
            encoder,
            "backends",
            "Backends, those of advertised routes among them",
            snapshot.backends.len() as u64,
        )?;
        gauge(encoder, "generation", "The newest list of endpoints", snapshot.generation)?;
        let oldest = self.cells.iter().map(|cells| cells.generation.value()).min().unwrap_or(0);
        gauge(encoder, "generation_oldest", "The oldest list that a worker last used", oldest)?;
        let labelled = |value: fn(&berth_pick::Endpoint) -> u64| -> Vec<_> {
            let endpoints = snapshot.endpoints();
            endpoints
                .map(|endpoint| {
                    // All that tells endpoints apart: a run and its successor may share an address for a while.
                    let identity = endpoint.identity();
                    let labels = [
                        ("service", identity.service.to_string()),
                        ("id", identity.id.to_string()),
                        ("run", identity.run.to_string()),
                        ("endpoint", endpoint.address().to_string()),
                    ];
                    (labels, value(endpoint))
                })
                .collect()
        };
        let requests = labelled(berth_pick::Endpoint::requests);
        counters(encoder, "endpoint_requests", "Requests given to an endpoint", &requests)?;
        let mut family = encoder.encode_descriptor(
            "endpoint_in_flight",
            "Requests that are with an endpoint now",
            None,
            MetricType::Gauge,
        )?;
        for (labels, value) in labelled(berth_pick::Endpoint::in_flight) {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn latency(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let metric = encoder.encode_descriptor(
            "request_seconds",
            "From a request's head to the end of its answer",
            None,
            MetricType::Histogram,
        )?;
        let sum_us = self.sum(|cells| &cells.latency_sum_us);
        histogram(metric, sum_us, |bucket| self.sum(|cells| &cells.latency[bucket]))
    }
}

/// Times in seconds, from their sum in microseconds and from how many are in each bucket.
pub(super) fn histogram(
    mut metric: MetricEncoder<'_>,
    sum_us: u64,
    count_in: impl Fn(usize) -> u64,
) -> fmt::Result {
    let bounds = LATENCY_BOUNDS_US.iter().map(|us| *us as f64 / 1e6).chain([f64::MAX]);
    let buckets: Vec<(f64, u64)> =
        bounds.enumerate().map(|(bucket, bound)| (bound, count_in(bucket))).collect();
    let count = buckets.iter().map(|(_, count)| count).sum();
    metric.encode_histogram::<[(&str, &str); 0]>(sum_us as f64 / 1e6, count, &buckets, None)
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
}

pub(super) fn counters<L: prometheus_client::encoding::EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: &[(L, u64)],
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in values {
        family.encode_family(labels)?.encode_counter::<[(&str, &str); 0], _, u64>(value, None)?;
    }
    Ok(())
}
