//! The tables of a checkpoint that are not about leaves: segments, and pages that snapshots need (or, with no pins, that the
//! checkpoint lets go).
use super::{page_object, right_table};
use crate::commands::inspect::Subject;
use crate::output::format::Tree;
use crate::output::table::Align;
use crate::output::{size, time};
use lsd_core::format::header::LogRecord;
use lsd_core::format::root::{PinnedPage, Root, SegmentEntry};

fn epoch_of(log: &LogRecord, entry: &SegmentEntry) -> u64 {
    log.epoch_of(entry.segment).unwrap_or_default().0
}

pub fn segments_tree(log: &LogRecord, root: &Root) -> Tree {
    let segment = |entry: &SegmentEntry| {
        let mut fields: Vec<(&'static str, Tree)> = vec![
            ("segment", entry.segment.0.into()),
            ("epoch", epoch_of(log, entry).into()),
            ("length", u64::from(entry.len).into()),
            ("live", u64::from(entry.live).into()),
            ("kept", u64::from(entry.kept).into()),
            ("pins", u64::from(entry.pins).into()),
        ];
        fields.extend(entry.newest.map(|seq| ("newest_seq", seq.0.into())));
        fields.push(("timestamp", time::ctime(entry.timestamp_ns).into()));
        Tree::Object(fields)
    };
    Tree::List("segment", root.segments.iter().map(segment).collect())
}

pub fn plain_segments(log: &LogRecord, root: &Root) -> String {
    let headings = ["SEGMENT", "EPOCH", "LENGTH", "LIVE", "LIVE%", "KEPT", "PINS", "NEWEST", "WRITTEN"];
    let mut table = right_table(&headings);
    for entry in &root.segments {
        let percent = (u64::from(entry.live) * 100).checked_div(u64::from(entry.len)).unwrap_or(0);
        table.row(vec![
            entry.segment.to_string(),
            epoch_of(log, entry).to_string(),
            size::format(u64::from(entry.len)),
            size::format(u64::from(entry.live)),
            percent.to_string(),
            size::format(u64::from(entry.kept)),
            entry.pins.to_string(),
            entry.newest.map_or_else(|| "?".to_owned(), |seq| seq.to_string()),
            time::ctime(entry.timestamp_ns),
        ]);
    }
    table.to_string()
}

pub fn pages_tree(subject: &Subject, root: &Root) -> Tree {
    let page = |page: &PinnedPage| {
        Tree::Object(vec![
            ("checkpoint", page.checkpoint.to_string().into()),
            ("page", u64::from(page.page).into()),
            ("pins", u64::from(page.pins).into()),
            ("object", page_object(subject, page.checkpoint, page.page).0.into()),
        ])
    };
    Tree::List("page", root.pages.iter().map(page).collect())
}

pub fn plain_pages(subject: &Subject, root: &Root) -> String {
    if root.pages.is_empty() {
        return "No page is needed by a snapshot, and none is let go.\n".to_owned();
    }
    let mut table = right_table(&["CHECKPOINT", "PAGE", "PINS"]).column("OBJECT", Align::Left, Align::Left);
    for page in &root.pages {
        table.row(vec![
            page.checkpoint.to_string(),
            page.page.to_string(),
            page.pins.to_string(),
            page_object(subject, page.checkpoint, page.page).0,
        ]);
    }
    table.to_string()
}
