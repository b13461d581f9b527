//! What comes out of `bench webhook`.

use serde_json::{Value, json};

use super::{
    Beside, Large, Row,
    bodies::{Kind, ratio},
};
use crate::{
    figures::{median, millis, percentile_ms, rounded},
    rounds::Measured,
    settings::WebhookSettings,
};

pub fn document(
    settings: &WebhookSettings,
    rows: &[Row],
    large: &Large,
    beside: &Beside,
    load: &str,
) -> Value {
    let requests = ratio(settings.requests as u64, 1);
    let mut document = json!({
        "requests": settings.requests, "sandboxes": settings.sandboxes, "rounds": settings.rounds,
        "large_body": {
            "updates": super::LARGE,
            "one_ms": millis(large.one), "thousand_ms": millis(large.thousand),
            "thousand_to_one": rounded(large.thousand.as_secs_f64() / large.one.as_secs_f64()),
        },
        "beside": {
            "refused_req_per_s": rounded(requests / beside.refused.took.as_secs_f64()),
            "refused_function_cpu_s_per_1000": rounded(beside.refused.worker_cpu / requests * 1000.0),
            "updates_per_s": rounded(beside.update.per_second),
            "update_postgres_cpu_s_per_1000": rounded(beside.update.postgres_cpu_per_1000),
        },
        "load_at_start": load, "commit": settings.commit,
    });
    for row in rows {
        let name = match row.kind {
            Kind::Status => "status",
            Kind::Inbound => "inbound",
        };
        document[name] = of(row, settings.requests);
    }
    document
}

fn of(row: &Row, requests: usize) -> Value {
    let requests = ratio(requests as u64, 1);
    let measured = |value: &dyn Fn(&Measured) -> f64| {
        median(&row.measured.iter().map(value).collect::<Vec<_>>())
    };
    let rate = measured(&|one| requests / one.took.as_secs_f64());
    let floors = row.floor.iter().map(|took| requests / took.as_secs_f64());
    let floor = median(&floors.collect::<Vec<_>>());
    let per_1000 = |seconds: f64| rounded(seconds / requests * 1000.0);
    json!({
        "req_per_s": rounded(rate),
        "req_per_s_of_each_round": row.measured.iter().map(|one| rounded(requests / one.took.as_secs_f64())).collect::<Vec<_>>(),
        "floor_req_per_s": rounded(floor),
        "ratio_to_floor": rounded(rate / floor),
        "function_cpu_s_per_1000": per_1000(measured(&|one| one.worker_cpu)),
        "postgres_cpu_s_per_1000": per_1000(measured(&|one| one.postgres_cpu)),
        "floor_postgres_cpu_s_per_1000": per_1000(median(&row.floor_postgres_cpu)),
        "bench_cpu_s_per_1000": per_1000(measured(&|one| one.bench_cpu)),
        "p50_ms": percentile_ms(&row.latencies, 50),
        "p99_ms": percentile_ms(&row.latencies, 99),
        "peak_rss_mb": rounded(measured(&|one| one.peak_mb)),
        "network_round_trips": rounded(row.network_round_trips),
    })
}

/// A line for each figure, the kinds side by side.
pub fn print(document: &Value) {
    println!("{:<34}{:>12}{:>12}", "", "status", "inbound");
    let Some(figures) = document["status"].as_object() else {
        return;
    };
    for name in figures.keys().filter(|name| !name.ends_with("each_round")) {
        println!(
            "{name:<34}{:>12}{:>12}",
            document["status"][name].to_string(),
            document["inbound"][name].to_string()
        );
    }
    println!("large body: {}", document["large_body"]);
    println!("beside: {}", document["beside"]);
}
