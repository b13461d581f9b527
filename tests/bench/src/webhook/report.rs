//! What comes out of `bench webhook`.

use serde_json::{Value, json};

use super::{
    Latencies, Results, Row,
    bodies::{Kind, ratio},
};
use crate::{
    figures::{median, millis, percentile_ms, rounded},
    rounds::Measured,
    settings::WebhookSettings,
};

pub fn document(settings: &WebhookSettings, results: &Results, load: &str) -> Value {
    let (large, beside) = (&results.large, &results.beside);
    let requests = ratio(settings.requests as u64, 1);
    let mut document = json!({
        "requests": settings.requests, "rounds": settings.rounds,
        "large_body": {
            "updates": super::LARGE,
            "one_ms": millis(large.one), "thousand_ms": millis(large.thousand),
            "thousand_to_one": rounded(large.thousand.as_secs_f64() / large.one.as_secs_f64()),
        },
        "beside": {
            "bare_req_per_s": rounded(requests / beside.bare.took.as_secs_f64()),
            "bare_function_cpu_s_per_1000": rounded(beside.bare.worker_cpu / requests * 1000.0),
            "refused_req_per_s": rounded(requests / beside.refused.took.as_secs_f64()),
            "refused_function_cpu_s_per_1000": rounded(beside.refused.worker_cpu / requests * 1000.0),
            "updates_per_s": rounded(beside.update.per_second),
            "update_postgres_cpu_s_per_1000": rounded(beside.update.postgres_cpu_per_1000),
        },
        "load_at_start": load, "commit": settings.commit,
    });
    for [together, alone] in &results.rows {
        let mut figures = of(together, settings.requests);
        figures["one_at_a_time"] = of(alone, settings.requests);
        document[name(together.kind)] = figures;
    }
    document
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Status => "status",
        Kind::Inbound => "inbound",
    }
}

fn of(row: &Row, requests: usize) -> Value {
    let requests = ratio(requests as u64, 1);
    let measured = |value: &dyn Fn(&Measured) -> f64| {
        median(&row.measured.iter().map(value).collect::<Vec<_>>())
    };
    let rate = measured(&|one| requests / one.took.as_secs_f64());
    let per_1000 = |seconds: f64| rounded(seconds / requests * 1000.0);
    let Latencies { all, settled } = &row.at_half_the_rate;
    let floor = &row.floor;
    let rates = floor.took.iter().map(|took| requests / took.as_secs_f64());
    let floor_rate = median(&rates.collect::<Vec<_>>());
    json!({
        "sandboxes": row.sandboxes,
        "at_once": row.at_once,
        "req_per_s": rounded(rate),
        "req_per_s_of_each_round": row.measured.iter().map(|one| rounded(requests / one.took.as_secs_f64())).collect::<Vec<_>>(),
        "function_cpu_s_per_1000": per_1000(measured(&|one| one.worker_cpu)),
        "postgres_cpu_s_per_1000": per_1000(measured(&|one| one.postgres_cpu)),
        "bench_cpu_s_per_1000": per_1000(measured(&|one| one.bench_cpu)),
        "p50_ms": percentile_ms(all, 50),
        "p99_ms": percentile_ms(all, 99),
        "p99_settled_ms": (!settled.is_empty()).then(|| percentile_ms(settled, 99)),
        "peak_rss_mb": rounded(measured(&|one| one.peak_mb)),
        "floor_connections": floor.connections,
        "floor_req_per_s": rounded(floor_rate),
        "ratio_to_floor": rounded(rate / floor_rate),
        "floor_postgres_cpu_s_per_1000": per_1000(median(&floor.postgres_cpu)),
        "network_round_trips": rounded(floor.network_round_trips),
    })
}

/// A line for each figure: the kinds side by side, with many at once and a request at a time.
pub fn print(document: &Value) {
    let columns = [
        &document["status"],
        &document["inbound"],
        &document["status"]["one_at_a_time"],
        &document["inbound"]["one_at_a_time"],
    ];
    println!(
        "{:<34}{:>12}{:>12}{:>12}{:>12}",
        "", "status", "inbound", "one by one", "one by one"
    );
    let Some(figures) = columns[0].as_object() else {
        return;
    };
    let is_one = |name: &&String| {
        columns
            .iter()
            .any(|column| column[name.as_str()].is_number())
    };
    for name in figures.keys().filter(is_one) {
        let values =
            columns.map(|column| column.get(name).map_or_else(String::new, Value::to_string));
        let [statuses, texts, one_status, one_text] = values;
        println!("{name:<34}{statuses:>12}{texts:>12}{one_status:>12}{one_text:>12}");
    }
    println!("large body: {}", document["large_body"]);
    println!("beside: {}", document["beside"]);
}
