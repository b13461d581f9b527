//! What a batch is counted as: one metric line for each lane, one more for each class of refusal.
//!
//! Dimensions are lane and class alone: a tenant is never one.

use super::claim::Claim;
use super::settle::Settlement;
use crate::model::{Effect, Lane, MessageStatus};
use crate::platform::telemetry::{self, Metric};
use comms_providers::SendOutcome;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Counts {
    lanes: BTreeMap<Lane, OfLane>,
    refused: BTreeMap<(Lane, &'static str), f64>,
    deferred: usize,
    parked: f64,
}

#[derive(Debug, Default)]
struct OfLane {
    claimed: f64,
    sent: f64,
    retried: f64,
    deferred: f64,
    failed: f64,
    uncertain: f64,
    /// Milliseconds from due to claim, of each message.
    dwell: Vec<f64>,
}

impl Counts {
    pub(super) fn deferred(&self) -> usize {
        self.deferred
    }

    pub(super) fn claim(&mut self, claim: &Claim) {
        for message in &claim.messages {
            let lane = self.lanes.entry(message.lane).or_default();
            lane.claimed += 1.0;
            lane.dwell.push(message.dwell.as_secs_f64() * 1000.0);
        }
        self.deferred = claim.deferred.len();
        for lane in &claim.deferred {
            self.lanes.entry(*lane).or_default().deferred += 1.0;
        }
    }

    pub(super) fn settled(&mut self, settlement: &Settlement<'_>) {
        let lane = self.lanes.entry(settlement.claimed.lane).or_default();
        match settlement.decision.status {
            MessageStatus::Sent => lane.sent += 1.0,
            MessageStatus::Queued if settlement.decision.refund => lane.deferred += 1.0,
            MessageStatus::Queued => lane.retried += 1.0,
            MessageStatus::Uncertain => lane.uncertain += 1.0,
            _ => lane.failed += 1.0,
        }
        if matches!(
            settlement.decision.effect,
            Effect::ParkAuth | Effect::ParkHold
        ) {
            self.parked += 1.0;
        }
        if let SendOutcome::Refused(refusal) = settlement.outcome {
            let key = (settlement.claimed.lane, refusal.class.as_str());
            *self.refused.entry(key).or_default() += 1.0;
        }
    }

    pub(super) fn emit(&self) {
        for (lane, counts) in &self.lanes {
            let mut metrics = vec![
                Metric::count("Claimed", counts.claimed),
                Metric::count("Sent", counts.sent),
                Metric::count("Retried", counts.retried),
                Metric::count("Deferred", counts.deferred),
                Metric::count("Failed", counts.failed),
                Metric::count("Uncertain", counts.uncertain),
            ];
            if !counts.dwell.is_empty() {
                metrics.push(Metric::milliseconds("Dwell", &counts.dwell));
            }
            telemetry::metrics(&metrics, &[("Lane", lane.as_str())]);
        }
        for ((lane, class), count) in &self.refused {
            telemetry::metric(
                "Refused",
                *count,
                &[("Lane", lane.as_str()), ("Class", class)],
            );
            if *class == "UNKNOWN" {
                telemetry::metric("UnknownCode", *count, &[]);
            }
        }
        if self.parked > 0.0 {
            telemetry::metric("AccountParked", self.parked, &[]);
        }
    }
}
