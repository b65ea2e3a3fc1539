//! A report as an SVG picture: a bar for each row on a logarithmic scale, to the right of 1x where lsd is ahead, with the
//! spread of the rounds, the ratio that the row must show, and the one that is aimed at.
use super::{Report, RowResult};
use crate::sides::Side;
use std::fmt::Write;

const WIDTH: f64 = 1160.0;
const NAMES: f64 = 330.0;
const BARS: f64 = 560.0;
const ROW: f64 = 30.0;
const TOP: f64 = 86.0;
const BOTTOM: f64 = 54.0;
const BAR: f64 = 14.0;
/// The scale ends a little beyond the figures, and shows at least this much.
const LEAST_SCALE: (f64, f64) = (0.5, 2.0);

const GRID: [f64; 12] = [0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0];
const REACHED: &str = "#2a7f62";
const MISSED: &str = "#c8553d";

/// From ratios to places.
struct Scale {
    from: f64,
    to: f64,
}

impl Scale {
    fn of(rows: &[RowResult]) -> Self {
        let marks = rows.iter().flat_map(|row| {
            [Some(row.ratio.min), Some(row.ratio.max), Some(row.ratio.median), Some(row.at_least), row.aim]
        });
        let marks = marks.flatten().filter(|mark| mark.is_finite() && *mark > 0.0);
        let (from, to) = marks.fold(LEAST_SCALE, |(from, to), mark| (from.min(mark), to.max(mark)));
        Self { from: from / 1.15, to: to * 1.15 }
    }

    fn x(&self, ratio: f64) -> f64 {
        let ratio = ratio.clamp(self.from, self.to);
        NAMES + BARS * (ratio / self.from).ln() / (self.to / self.from).ln()
    }
}

pub fn svg(report: &Report) -> String {
    let height = TOP + ROW * report.rows.len() as f64 + BOTTOM;
    let scale = Scale::of(&report.rows);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"13\" fill=\"#222\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"16\" y=\"28\" font-size=\"18\">lsd against stock librbd, same fio, same cluster</text>\n"
    );
    let setup = &report.setup;
    let about = format!(
        "commit {}, {}, medians of {}, image {} MiB, {}, {} cores",
        report.commit,
        report.date,
        setup.rounds,
        setup.size_mib,
        setup.cluster(),
        setup.cores
    );
    text(&mut out, 16.0, 48.0, "start", &about);
    text(&mut out, NAMES + BARS + 20.0, TOP - 12.0, "start", "ratio (min..max)  p99 ms stock / lsd");
    grid(&mut out, &scale, height);
    for (number, row) in report.rows.iter().enumerate() {
        bar(&mut out, &scale, row, TOP + ROW * number as f64);
    }
    legend(&mut out, height - 18.0);
    out.push_str("</svg>\n");
    out
}

fn grid(out: &mut String, scale: &Scale, height: f64) {
    for mark in GRID.into_iter().filter(|mark| (scale.from..=scale.to).contains(mark)) {
        let (x, bottom) = (scale.x(mark), height - BOTTOM + 4.0);
        let stroke = if mark == 1.0 { "#444" } else { "#ddd" };
        let _ = writeln!(
            out,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{bottom:.1}\" stroke=\"{stroke}\"/>",
            TOP - 6.0
        );
        text(out, x, TOP - 12.0, "middle", &format!("{mark}x"));
    }
}

fn bar(out: &mut String, scale: &Scale, row: &RowResult, top: f64) {
    let middle = top + ROW / 2.0;
    let (one, end) = (scale.x(1.0), scale.x(row.ratio.median));
    let color = if row.ratio.median >= row.at_least { REACHED } else { MISSED };
    let _ = writeln!(
        out,
        "<rect class=\"row\" data-row=\"{}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{BAR}\" fill=\"{color}\"/>",
        escaped(&row.id),
        one.min(end),
        middle - BAR / 2.0,
        (one - end).abs().max(1.0)
    );
    let (low, high) = (scale.x(row.ratio.min), scale.x(row.ratio.max));
    let _ = writeln!(
        out,
        "<path d=\"M{low:.1} {middle:.1}H{high:.1}M{low:.1} {:.1}v6M{high:.1} {:.1}v6\" stroke=\"#222\" fill=\"none\"/>",
        middle - 3.0,
        middle - 3.0
    );
    mark(out, scale.x(row.at_least), middle, "#000", "");
    if let Some(aim) = row.aim {
        mark(out, scale.x(aim), middle, "#000", " stroke-dasharray=\"3 2\"");
    }
    text(out, NAMES - 12.0, middle + 4.0, "end", &row.name);
    let p99 = match (row.costs(Side::Stock).p99_ms, row.costs(Side::Lsd).p99_ms) {
        (Some(stock), Some(lsd)) => format!("  {stock:.1} / {lsd:.1}"),
        _ => String::new(),
    };
    let ratio = row.ratio;
    let figures = format!("{:.2}x ({:.2}..{:.2}){p99}", ratio.median, ratio.min, ratio.max);
    text(out, NAMES + BARS + 20.0, middle + 4.0, "start", &figures);
}

fn mark(out: &mut String, x: f64, middle: f64, color: &str, more: &str) {
    let (top, bottom) = (middle - 12.0, middle + 12.0);
    let _ = writeln!(
        out,
        "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\" stroke=\"{color}\" stroke-width=\"2\"{more}/>"
    );
}

fn legend(out: &mut String, y: f64) {
    let _ = writeln!(out, "<rect x=\"16\" y=\"{:.1}\" width=\"12\" height=\"12\" fill=\"{REACHED}\"/>", y - 10.0);
    text(out, 34.0, y, "start", "reaches its target");
    let _ = writeln!(out, "<rect x=\"170\" y=\"{:.1}\" width=\"12\" height=\"12\" fill=\"{MISSED}\"/>", y - 10.0);
    text(out, 188.0, y, "start", "does not");
    mark(out, 276.0, y - 4.0, "#000", "");
    text(out, 286.0, y, "start", "target");
    mark(out, 356.0, y - 4.0, "#000", " stroke-dasharray=\"3 2\"");
    text(out, 366.0, y, "start", "aim; the thin line is the spread of the rounds. To the right of 1x lsd is ahead.");
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, content: &str) {
    let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", escaped(content));
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
