//! What comes out of `bench inbox`: a document, a table, a plot.

use std::fmt::Write;

use comms_live_queries::Question;
use serde_json::{Value, json};

use super::{
    actions::Acted,
    reads::{Asked, Side, count},
};
use crate::{
    figures::{median, percentile_ms, rounded},
    settings::InboxSettings,
};

/// The most that a hundredfold table may cost.
pub const GOAL_RATIO: f64 = 1.2;

/// Milliseconds for a subscriber.
pub fn goal_ms(question: Question) -> f64 {
    match question {
        Question::Thread | Question::Badge | Question::BadgeOfReader => 0.3,
        _ => 0.6,
    }
}

/// `inbox.json`.
pub fn document(
    settings: &InboxSettings,
    sizes: &[[u64; 3]; 2],
    asked: &[Asked],
    acted: &[Acted],
) -> Value {
    let size = |[conversations, messages, bytes]: [u64; 3]| json!({"conversations": conversations, "messages": messages, "megabytes": bytes / 1_000_000});
    json!({
        "large": size(sizes[0]), "small": size(sizes[1]),
        "rounds": settings.rounds, "commit": settings.commit,
        "reads": asked.iter().map(read).collect::<Vec<Value>>(),
        "actions": acted.iter().map(action).collect::<Vec<Value>>(),
    })
}

fn read(asked: &Asked) -> Value {
    let goal = goal_ms(asked.question);
    let (ms, ratio) = (median(&asked.large.ms), ratio(asked));
    json!({
        "question": asked.question.name(), "cohorts": asked.cohorts,
        "large": side(&asked.large), "small": side(&asked.small),
        "ratio": rounded(ratio), "goal_ms": goal,
        "within_goal": ms <= goal, "within_ratio": ratio <= GOAL_RATIO,
    })
}

/// The median of what each round's pair came to, by processor time: the two are measured one after the other.
fn ratio(asked: &Asked) -> f64 {
    let pairs = asked.large.cpu_ms.iter().zip(&asked.small.cpu_ms);
    median(
        &pairs
            .map(|(large, small)| large / small)
            .collect::<Vec<f64>>(),
    )
}

fn side(side: &Side) -> Value {
    json!({
        "ms": rounded(median(&side.ms)), "cpu_ms": rounded(median(&side.cpu_ms)),
        "ms_of_each_round": side.ms.iter().map(|ms| rounded(*ms)).collect::<Vec<f64>>(),
        "rows": rounded(side.rows), "bytes": side.bytes.round(),
    })
}

fn action(acted: &Acted) -> Value {
    let requests = count(acted.requests);
    let per_1000 = |seconds: f64| rounded(seconds / requests * 1000.0);
    json!({
        "action": acted.action.name(), "requests": acted.requests,
        "req_per_s": rounded(requests / acted.measured.took.as_secs_f64()),
        "p50_ms": percentile_ms(&acted.latencies, 50), "p99_ms": percentile_ms(&acted.latencies, 99),
        "function_cpu_s_per_1000": per_1000(acted.measured.worker_cpu),
        "postgres_cpu_s_per_1000": per_1000(acted.measured.postgres_cpu),
        "peak_rss_mb": rounded(acted.measured.peak_mb),
    })
}

/// A line for each question and number of subscribers, then one for each action.
pub fn print(document: &Value) {
    println!(
        "{:<18}{:>8}{:>10}{:>10}{:>10}{:>10}{:>8}{:>8}{:>8}",
        "question",
        "cohorts",
        "large ms",
        "small ms",
        "large cpu",
        "small cpu",
        "ratio",
        "goal",
        "rows"
    );
    for one in document["reads"].as_array().into_iter().flatten() {
        let cell = |value: &Value| {
            value
                .as_f64()
                .map_or_else(String::new, |ms| format!("{ms:.3}"))
        };
        println!(
            "{:<18}{:>8}{:>10}{:>10}{:>10}{:>10}{:>8}{:>8}{:>8}",
            one["question"].as_str().unwrap_or_default(),
            one["cohorts"].to_string(),
            cell(&one["large"]["ms"]),
            cell(&one["small"]["ms"]),
            cell(&one["large"]["cpu_ms"]),
            cell(&one["small"]["cpu_ms"]),
            cell(&one["ratio"]),
            one["goal_ms"].to_string(),
            one["large"]["rows"].to_string(),
        );
    }
    for one in document["actions"].as_array().into_iter().flatten() {
        println!(
            "{}: {} requests/s, p50 {} ms, p99 {} ms, CPU s per 1,000: function {}, Postgres {}",
            one["action"].as_str().unwrap_or_default(),
            one["req_per_s"],
            one["p50_ms"],
            one["p99_ms"],
            one["function_cpu_s_per_1000"],
            one["postgres_cpu_s_per_1000"]
        );
    }
}

const LEFT: f64 = 40.0;
const BASE: f64 = 300.0;
const BAR: f64 = 34.0;
const GROUP: f64 = 2.0 * BAR + 50.0;

/// For each question, a hundred subscribers at once: the large inbox beside the small one, and the goal as a line.
pub fn svg(document: &Value) -> String {
    let reads = document["reads"].as_array().map_or(&[][..], Vec::as_slice);
    let shown: Vec<&Value> = reads.iter().filter(|one| one["cohorts"] == 100).collect();
    let number = |value: &Value| value.as_f64().unwrap_or_default();
    let top = shown
        .iter()
        .flat_map(|one| {
            [
                number(&one["large"]["ms"]),
                number(&one["small"]["ms"]),
                number(&one["goal_ms"]),
            ]
        })
        .fold(0.1, f64::max);
    let height = |ms: f64| ms / top * 220.0;
    let width = LEFT * 2.0 + GROUP * count(shown.len());
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} 350\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"16\">Milliseconds for each of 100 subscribers</text>\n\
         <rect x=\"{LEFT}\" y=\"36\" width=\"12\" height=\"12\" fill=\"#1f6feb\"/><text x=\"58\" y=\"47\">{} conversations</text>\n\
         <rect x=\"240\" y=\"36\" width=\"12\" height=\"12\" fill=\"#c4c9d1\"/><text x=\"258\" y=\"47\">{} conversations</text>\n\
         <line x1=\"440\" y1=\"42\" x2=\"456\" y2=\"42\" stroke=\"#cf222e\"/><text x=\"462\" y=\"47\">goal</text>\n",
        document["large"]["conversations"], document["small"]["conversations"],
    );
    for (index, one) in shown.iter().enumerate() {
        let left = LEFT + GROUP * count(index) + 20.0;
        for (offset, key, colour) in [(0.0, "large", "#1f6feb"), (BAR, "small", "#c4c9d1")] {
            let ms = number(&one[key]["ms"]);
            // Writing to a String does not fail.
            let _infallible = writeln!(
                svg,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{ms:.2}</text>",
                left + offset,
                BASE - height(ms),
                BAR - 3.0,
                height(ms),
                left + offset + BAR / 2.0,
                BASE - height(ms) - 5.0,
            );
        }
        let goal = BASE - height(number(&one["goal_ms"]));
        let _infallible = writeln!(
            svg,
            "<line x1=\"{:.1}\" y1=\"{goal:.1}\" x2=\"{:.1}\" y2=\"{goal:.1}\" stroke=\"#cf222e\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            left - 6.0,
            left + 2.0 * BAR + 3.0,
            left + BAR,
            BASE + 20.0,
            one["question"].as_str().unwrap_or_default(),
        );
    }
    svg + "</svg>\n"
}
