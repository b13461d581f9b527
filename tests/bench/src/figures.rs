//! The numbers that reports are made of.

use std::time::Duration;

/// Of durations from the shortest to the longest, in milliseconds.
pub fn percentile_ms(sorted: &[Duration], of_100: usize) -> f64 {
    let place = (sorted.len() * of_100 / 100).min(sorted.len().saturating_sub(1));
    millis(sorted.get(place).copied().unwrap_or_default())
}

/// The upper one of the two in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

pub fn millis(duration: Duration) -> f64 {
    rounded(duration.as_secs_f64() * 1000.0)
}

/// To three decimals.
pub fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
