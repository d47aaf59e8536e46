//! Metrics of what is believed of endpoints, and what their probes brought.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::EncodeMetric;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use super::metrics::counters;
use crate::upstreams::Evidence;

pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, evidence: &Evidence) -> fmt::Result {
    let states = "Instances by what is believed of them, whether or not a backend wants them";
    let mut family = encoder.encode_descriptor("endpoint_states", states, None, MetricType::Gauge)?;
    for (state, count) in evidence.states() {
        ConstGauge::new(count).encode(family.encode_family(&[("state", state.as_str())])?)?;
    }
    let turns: Vec<_> = evidence
        .turns()
        .into_iter()
        .map(|((state, reason), count)| ([("state", state), ("reason", reason)], count))
        .collect();
    let help = "Changes of what is believed of endpoints, by what it became and why";
    counters(encoder, "endpoint_turns", help, &turns)?;
    let probes: Vec<_> =
        evidence.probes().into_iter().map(|(outcome, count)| ([("outcome", outcome)], count)).collect();
    counters(encoder, "probes", "Probes that have ended, by what came of them", &probes)
}
