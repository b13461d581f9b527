//! Logs as JSON lines and metrics as EMF (CloudWatch Embedded Metric Format) lines, both on standard output.
//!
//! Nothing personal or secret: ids, counts, codes and our own words only. Errors are logged once, where they are
//! handled, as a chain (`chain`).

use super::clock;
use serde_json::{Map, Value, json};
use std::error::Error;
use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

/// The CloudWatch namespace of every metric of the service.
pub const NAMESPACE: &str = "Communications";

/// Starts JSON logging at the given level (`AWS_LAMBDA_LOG_LEVEL`). A second call does nothing, so tests may call it too.
pub fn init(level: &str) {
    // Already set: a test binary has many callers.
    let _ = subscriber(level, std::io::stdout).try_init();
}

/// What [`init`] starts, with its lines somewhere else.
pub fn subscriber<W>(level: &str, writer: W) -> impl Subscriber + Send + Sync + 'static
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let level = level.to_ascii_lowercase();
    let filter = EnvFilter::try_new(format!(
        "{level},aws=warn,hyper=warn,sqlx=warn,lambda_runtime=warn"
    ))
    .unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_writer(writer);
    tracing_subscriber::registry().with(filter).with(lines)
}

/// [`init`] at the level that Lambda's logging configuration asks for.
pub fn init_from_env() {
    #[expect(
        clippy::disallowed_methods,
        reason = "set by the platform, not a setting of ours"
    )]
    let level = std::env::var("AWS_LAMBDA_LOG_LEVEL");
    init(level.as_deref().unwrap_or("info"));
}

/// One metric of a line.
#[derive(Debug, Clone)]
pub struct Metric {
    name: &'static str,
    unit: &'static str,
    value: Value,
}

impl Metric {
    #[must_use]
    pub fn count(name: &'static str, value: f64) -> Self {
        Self {
            name,
            unit: "Count",
            value: json!(value),
        }
    }

    #[must_use]
    pub fn seconds(name: &'static str, value: f64) -> Self {
        Self {
            name,
            unit: "Seconds",
            value: json!(value),
        }
    }

    /// Every value by itself, so that percentiles are true.
    #[must_use]
    pub fn milliseconds(name: &'static str, values: &[f64]) -> Self {
        Self {
            name,
            unit: "Milliseconds",
            value: json!(values),
        }
    }
}

/// A counter or gauge of one moment, once with its dimensions and once over all of them, which is what alarms watch.
/// `dimensions` must be few and never personal.
pub fn metric(name: &'static str, value: f64, dimensions: &[(&str, &str)]) {
    metrics(&[Metric::count(name, value)], dimensions);
}

/// [`metric`] for several of the same moment and dimensions.
pub fn metrics(metrics: &[Metric], dimensions: &[(&str, &str)]) {
    println!("{}", emf(metrics, dimensions, clock_ms()));
}

fn emf(metrics: &[Metric], dimensions: &[(&str, &str)], timestamp_ms: i128) -> Value {
    let mut line = Map::new();
    let keys: Vec<&str> = dimensions.iter().map(|(key, _)| *key).collect();
    let sets = if keys.is_empty() {
        vec![keys]
    } else {
        vec![keys, Vec::new()]
    };
    let named: Vec<Value> = metrics
        .iter()
        .map(|metric| json!({"Name": metric.name, "Unit": metric.unit}))
        .collect();
    line.insert(
        "_aws".to_owned(),
        json!({
            "Timestamp": timestamp_ms,
            "CloudWatchMetrics": [{"Namespace": NAMESPACE, "Dimensions": sets, "Metrics": named}],
        }),
    );
    for (key, text) in dimensions {
        line.insert((*key).to_owned(), json!(text));
    }
    for metric in metrics {
        line.insert(metric.name.to_owned(), metric.value.clone());
    }
    Value::Object(line)
}

fn clock_ms() -> i128 {
    clock::now().unix_timestamp_nanos() / 1_000_000
}

/// An error and all its causes in one line: `claim: database: connection refused`.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_line_is_what_cloudwatch_reads() {
        let metrics = [
            Metric::count("QueuedOverdue", 3.0),
            Metric::milliseconds("Dwell", &[1.0, 2.0]),
        ];
        let line = emf(&metrics, &[("Lane", "BULK")], 1_763_900_000_000);
        assert_eq!(line["QueuedOverdue"], 3.0);
        assert_eq!(line["Dwell"], json!([1.0, 2.0]));
        assert_eq!(
            line["_aws"]["CloudWatchMetrics"][0]["Metrics"][1],
            json!({"Name": "Dwell", "Unit": "Milliseconds"})
        );
        assert_eq!(line["Lane"], "BULK");
        assert_eq!(
            line["_aws"]["CloudWatchMetrics"][0]["Dimensions"],
            json!([["Lane"], []])
        );
        assert_eq!(line["_aws"]["Timestamp"], json!(1_763_900_000_000_i64));
    }
}
