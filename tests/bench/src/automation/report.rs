//! What comes out of `bench automation`.

use std::time::Duration;

use serde_json::{Value, json};

use super::{FanOut, Watched, data};
use crate::{
    figures::{percentile_ms, rounded},
    report::count,
    settings::AutomationSettings,
};

pub fn document(
    settings: &AutomationSettings,
    latencies: &[Duration],
    fan_out: &FanOut,
    [alone, flooded]: [&Watched; 2],
    load: &str,
) -> Value {
    let took = fan_out.took.as_secs_f64();
    let per_1000 = |seconds: f64| rounded(seconds * 1000.0 / count(settings.recipients));
    let lane = |of: fn(&Watched) -> [f64; 3]| {
        let ([messages, p50, p95], [_, flooded_p50, flooded_p95]) = (of(alone), of(flooded));
        json!({
            "messages": messages,
            "alone_p50_ms": rounded(p50), "alone_p95_ms": rounded(p95),
            "beside_the_flood_p50_ms": rounded(flooded_p50), "beside_the_flood_p95_ms": rounded(flooded_p95),
            "p95_ratio": rounded(flooded_p95 / p95),
        })
    };
    json!({
        "event_to_rows": {
            "trips": settings.trips, "passengers": data::PASSENGERS,
            "p50_ms": percentile_ms(latencies, 50), "p99_ms": percentile_ms(latencies, 99),
        },
        "fan_out": {
            "recipients": settings.recipients, "seconds": rounded(took), "killed_at": fan_out.killed_at,
            "recipients_per_s": rounded(count(settings.recipients) / took),
            "worker_cpu_s_per_1000": per_1000(fan_out.worker_cpu),
            "postgres_cpu_s_per_1000": per_1000(fan_out.postgres_cpu),
            "peak_rss_mb": rounded(fan_out.peak_mb),
        },
        "release": {
            "seconds": settings.seconds, "pace_per_s": data::PACE, "share_per_s": rounded(flooded.share_per_second),
            "sent_per_s": rounded(flooded.sent_per_second),
            "busy": rounded(flooded.sent_per_second / flooded.share_per_second),
        },
        "quiet_operator": {
            "transactional": lane(|watched| watched.transactional),
            "bulk": lane(|watched| watched.bulk),
        },
        "load_at_start": load, "commit": settings.commit,
    })
}

/// A line for each figure.
pub fn print(document: &Value) {
    for (name, figures) in document.as_object().into_iter().flatten() {
        let Some(figures) = figures.as_object() else {
            println!("{name}: {figures}");
            continue;
        };
        println!("{name}");
        for (figure, value) in figures {
            println!("  {figure:<28}{value}");
        }
    }
}
