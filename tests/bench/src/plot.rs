//! The plot: for each number of sandboxes the worker beside its floor, as an SVG drawn by hand.

use std::fmt::Write;

use serde_json::Value;

const HEIGHT: f64 = 240.0;
const BAR: f64 = 64.0;
const GROUP: f64 = 2.0 * BAR + 56.0;
const LEFT: f64 = 40.0;
const TOP: f64 = 64.0;

/// A standalone SVG document.
pub fn svg(document: &Value) -> String {
    let rows = document["rows"].as_array().map_or(&[][..], Vec::as_slice);
    let number = |row: &Value, key: &str| row[key].as_f64().unwrap_or_default();
    let top = rows
        .iter()
        .flat_map(|row| [number(row, "msg_per_s"), number(row, "floor_msg_per_s")])
        .fold(1.0, f64::max);
    let width = LEFT + GROUP * crate::report::count(rows.len()).max(2.0) + LEFT;
    let base = TOP + HEIGHT;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"16\">Messages dispatched per second</text>\n\
         <rect x=\"{LEFT}\" y=\"36\" width=\"12\" height=\"12\" fill=\"#1f6feb\"/><text x=\"58\" y=\"47\">worker</text>\n\
         <rect x=\"120\" y=\"36\" width=\"12\" height=\"12\" fill=\"#c4c9d1\"/>\
         <text x=\"138\" y=\"47\">floor: the same statements alone</text>\n",
        base + 48.0
    );
    for (index, row) in rows.iter().enumerate() {
        let left = LEFT + GROUP * crate::report::count(index) + 28.0;
        for (offset, key, colour) in [
            (0.0, "msg_per_s", "#1f6feb"),
            (BAR, "floor_msg_per_s", "#c4c9d1"),
        ] {
            let value = number(row, key);
            let height = value / top * (HEIGHT - 20.0);
            // Writing to a String does not fail.
            let _infallible = writeln!(
                svg,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{value:.0}</text>",
                left + offset,
                base - height,
                BAR - 4.0,
                left + offset + BAR / 2.0 - 2.0,
                base - height - 6.0,
            );
        }
        let sandboxes = row["sandboxes"].as_u64().unwrap_or_default();
        let _infallible = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{sandboxes} sandbox{}</text>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#57606a\">{:.0} % of the floor</text>",
            left + BAR,
            base + 20.0,
            if sandboxes == 1 { "" } else { "es" },
            left + BAR,
            base + 38.0,
            number(row, "ratio_to_floor") * 100.0,
        );
    }
    let _infallible = write!(
        svg,
        "<line x1=\"{LEFT}\" y1=\"{base}\" x2=\"{:.1}\" y2=\"{base}\" stroke=\"#57606a\"/>\n</svg>\n",
        width - LEFT
    );
    svg
}
