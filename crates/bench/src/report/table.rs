//! A report as text: one line for each row, and the comparison with an earlier report.
use super::{Costs, Report, RowResult, Spread};
use crate::sides::Side;
use std::fmt::Write;

/// What the columns mean, above them.
pub fn header() -> String {
    format!(
        "{:44}{:>19}{:>8}{:>15}{:>7}{:>16}{:>14}{:>14}{:>14}  {}\n{:44}{:>19}{:>8}{:>15}{:>7}{:>16}{:>14}{:>14}{:>14}\n",
        "",
        "stock / lsd",
        "ratio",
        "(min..max)",
        "wanted",
        "p99 ms",
        "OSD CPU",
        "client CPU",
        "OSD ops",
        "misses",
        "",
        "",
        "",
        "",
        "",
        "stock / lsd",
        "s/GiB",
        "s/GiB",
        "per op",
    )
}

/// One row.
pub fn line(row: &RowResult) -> String {
    let (stock, lsd) = (row.costs(Side::Stock), row.costs(Side::Lsd));
    let pair = |of: &dyn Fn(&Costs) -> Option<f64>| match (of(&stock), of(&lsd)) {
        (None, None) => "-".to_owned(),
        (stock, lsd) => format!("{} / {}", short(stock), short(lsd)),
    };
    format!(
        "{:44}{:>14} {:4}{:>7.2}x{:>15}{:>6}x{:>16}{:>14}{:>14}{:>14}  {}\n",
        row.name,
        format!("{} / {}", short(Some(stock.value.median)), short(Some(lsd.value.median))),
        row.unit,
        row.ratio.median,
        range(row.ratio),
        row.at_least,
        pair(&|c| c.p99_ms),
        pair(&|c| c.osd_cpu_per_gib),
        pair(&|c| c.client_cpu_per_gib),
        // Writes where the client writes; else reads.
        pair(&|c| c.osd_writes_per_write.or(c.osd_reads_per_read)),
        row.missed.join(", "),
    )
}

/// What the figures stand beside: the cluster's own bandwidth and the setup.
pub fn footer(report: &Report) -> String {
    let setup = &report.setup;
    let mut text = String::new();
    if !report.rados_bench.is_empty() {
        let bench = Spread::of(&report.rados_bench);
        let _ = write!(text, "rados bench, 4 MiB, QD16: {:.0} MB/s ({})", bench.median, range(bench));
        for id in ["rand4k", "seqwrite"] {
            let Some(row) = report.rows.iter().find(|row| row.id == id) else { continue };
            let _ = write!(text, "; lsd's {id} has {:.2} of it", bandwidth(row) / bench.median);
        }
        text.push('\n');
    }
    let cluster = setup.cluster();
    let _ = writeln!(
        text,
        "commit {}, {}: medians of {} on {cluster}, image {} MiB, {} cores, load {:.1}; {}; {}",
        report.commit, report.date, setup.rounds, setup.size_mib, setup.cores, setup.load, setup.fio, setup.ceph
    );
    for line in &setup.lsd_conf {
        let _ = writeln!(text, "lsd with {line}");
    }
    text
}

/// The rows that both reports have: ratios and lsd's own figures, before and now. Ratios carry over between machines and
/// days; figures do not.
pub fn comparison(old: &Report, new: &Report) -> String {
    let mut text = format!("\nagainst commit {} ({}):\n", old.commit, old.date);
    let _ = writeln!(
        text,
        "{:44}{:>18}{:>9}{:>22}{:>20}{:>20}",
        "", "ratio old -> new", "change", "lsd old -> new", "lsd p99 ms", "lsd OSD CPU s/GiB"
    );
    for row in &new.rows {
        let Some(before) = old.rows.iter().find(|old| old.id == row.id) else { continue };
        let (was, is) = (before.costs(Side::Lsd), row.costs(Side::Lsd));
        let arrow = |old: Option<f64>, new: Option<f64>| format!("{} -> {}", short(old), short(new));
        let _ = writeln!(
            text,
            "{:44}{:>18}{:>+8.1}%{:>17} {:4}{:>20}{:>20}",
            row.name,
            format!("{:.2} -> {:.2}", before.ratio.median, row.ratio.median),
            (row.ratio.median / before.ratio.median - 1.0) * 100.0,
            arrow(Some(was.value.median), Some(is.value.median)),
            row.unit,
            arrow(was.p99_ms, is.p99_ms),
            arrow(was.osd_cpu_per_gib, is.osd_cpu_per_gib),
        );
    }
    if (old.setup.size_mib, old.setup.osds, old.setup.ec) != (new.setup.size_mib, new.setup.osds, new.setup.ec) {
        text.push_str("the two were not taken with the same size and cluster\n");
    }
    text
}

/// MB/s that lsd moved in a row, whatever its unit is.
fn bandwidth(row: &RowResult) -> f64 {
    let rounds: Vec<f64> = row.lsd.iter().map(|sample| sample.bytes / sample.seconds / 1e6).collect();
    Spread::of(&rounds).median
}

fn range(spread: Spread) -> String {
    format!("{}..{}", short(Some(spread.min)), short(Some(spread.max)))
}

/// Three digits that matter.
fn short(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) if value.abs() >= 0.1 => format!("{value:.2}"),
        Some(value) => format!("{value:.4}"),
    }
}
