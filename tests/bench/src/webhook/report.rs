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
        "requests": settings.requests, "sandboxes": settings.sandboxes, "rounds": settings.rounds,
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
        "together": {"sandboxes": 1, "at_once": settings.at_once},
        "load_at_start": load, "commit": settings.commit,
    });
    for (alone, together) in &results.rows {
        document[name(alone.kind)] = of(alone, settings.requests);
        document["together"][name(together.kind)] = of(together, settings.requests);
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
    let mut figures = json!({
        "req_per_s": rounded(rate),
        "req_per_s_of_each_round": row.measured.iter().map(|one| rounded(requests / one.took.as_secs_f64())).collect::<Vec<_>>(),
        "function_cpu_s_per_1000": per_1000(measured(&|one| one.worker_cpu)),
        "postgres_cpu_s_per_1000": per_1000(measured(&|one| one.postgres_cpu)),
        "bench_cpu_s_per_1000": per_1000(measured(&|one| one.bench_cpu)),
        "p50_ms": percentile_ms(all, 50),
        "p99_ms": percentile_ms(all, 99),
        "p99_settled_ms": (!settled.is_empty()).then(|| percentile_ms(settled, 99)),
        "peak_rss_mb": rounded(measured(&|one| one.peak_mb)),
    });
    if let Some(floor) = &row.floor {
        let rates = floor.took.iter().map(|took| requests / took.as_secs_f64());
        let floor_rate = median(&rates.collect::<Vec<_>>());
        figures["floor_req_per_s"] = json!(rounded(floor_rate));
        figures["ratio_to_floor"] = json!(rounded(rate / floor_rate));
        figures["floor_postgres_cpu_s_per_1000"] = json!(per_1000(median(&floor.postgres_cpu)));
        figures["network_round_trips"] = json!(rounded(floor.network_round_trips));
    }
    figures
}

/// A line for each figure: the kinds side by side, a request at a time and many at once.
pub fn print(document: &Value) {
    let columns = [
        &document["status"],
        &document["inbound"],
        &document["together"]["status"],
        &document["together"]["inbound"],
    ];
    println!(
        "{:<34}{:>12}{:>12}{:>12}{:>12}",
        "", "status", "inbound", "at once", "at once"
    );
    let Some(figures) = columns[0].as_object() else {
        return;
    };
    for name in figures.keys().filter(|name| !name.ends_with("each_round")) {
        let values =
            columns.map(|column| column.get(name).map_or_else(String::new, Value::to_string));
        let [status, inbound, many_statuses, many_texts] = values;
        println!("{name:<34}{status:>12}{inbound:>12}{many_statuses:>12}{many_texts:>12}");
    }
    println!("large body: {}", document["large_body"]);
    println!("beside: {}", document["beside"]);
}
