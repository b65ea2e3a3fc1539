//! A check's report in words and as a tree.
use crate::output::format::Tree;
use crate::output::size;
use lsd_engine::{CheckReport, Fault, Finding, RepairReport, Severity};
use std::fmt::Write;
use std::ops::Range;

/// Ranges of one finding that plain output shows.
const SHOWN_RANGES: usize = 8;

fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Leak => "leak",
        Severity::Corruption => "corruption",
    }
}

fn kind_name(fault: &Fault) -> &'static str {
    match fault {
        Fault::HeaderGone => "header_gone",
        Fault::BeingRemoved => "being_removed",
        Fault::HeaderValue { .. } => "header_value",
        Fault::HeaderContradicts { .. } => "header_contradicts",
        Fault::Unlisted { .. } => "unlisted",
        Fault::Root { .. } => "root",
        Fault::Page { .. } => "page",
        Fault::Leaf { .. } => "leaf",
        Fault::SegmentGone => "segment_gone",
        Fault::Tail { .. } => "tail",
        Fault::Summary { .. } => "summary",
        Fault::Batch { .. } => "batch",
        Fault::SummaryDiffers { .. } => "summary_differs",
        Fault::Data { .. } => "data",
        Fault::Block { .. } => "block",
        Fault::NotData => "not_data",
        Fault::Live { .. } => "live",
        Fault::Snapshot { .. } => "snapshot",
        Fault::Pins { .. } => "pins",
        Fault::LostClone { .. } => "lost_clone",
        Fault::Clones { .. } => "clones",
        Fault::ParentLost { .. } => "parent_lost",
        Fault::Untied { .. } => "untied",
        Fault::BaseLost { .. } => "base_lost",
        Fault::BaseUnkept { .. } => "base_unkept",
        Fault::Order { .. } => "order",
        Fault::LogLost { .. } => "log_lost",
        Fault::Gap { .. } => "gap",
        Fault::TornTail { .. } => "torn_tail",
        Fault::OrphanPage => "orphan_page",
        Fault::OrphanSegment => "orphan_segment",
    }
}

fn fault_words(fault: &Fault) -> String {
    let at = |range: &Range<u32>| format!("at {}~{}", range.start, range.end - range.start);
    match fault {
        Fault::HeaderGone => "the header is gone".to_owned(),
        Fault::BeingRemoved => {
            "the image is being removed, or its removal was broken off: 'lsd rm' completes it".to_owned()
        }
        Fault::HeaderValue { key, why } => format!("value '{key}': {why}"),
        Fault::HeaderContradicts { why } => format!("the header contradicts itself: {why}"),
        Fault::Unlisted { name } => format!("does not lead to the image '{name}' and back"),
        Fault::Root { why } => format!("the root of the checkpoint: {why}"),
        Fault::Page { why } => format!("a page of the map: {why}"),
        Fault::Leaf { why, .. } => why.clone(),
        Fault::SegmentGone => "the segment is gone".to_owned(),
        Fault::Tail { why } => format!("the tail of the segment: {why}"),
        Fault::Summary { why } => why.clone(),
        Fault::Batch { at: range, why } => format!("{}: {why}", at(range)),
        Fault::SummaryDiffers { offset } => format!("summary and batch at {offset} differ"),
        Fault::Data { at: range } => format!("the data {} does not match its checksum", at(range)),
        Fault::Block { at: range } => format!("the block {} does not match the table of checksums", at(range)),
        Fault::NotData => "the map points at bytes that are no data".to_owned(),
        Fault::Live { recorded, needed } => format!("{recorded} bytes are recorded as needed, {needed} are"),
        Fault::Snapshot { name, why } => format!("the snapshot '{name}' cannot be read as a whole: {why}"),
        Fault::Pins { recorded, needed } => {
            let verb = if *needed == 1 { "does" } else { "do" };
            format!("{} recorded as needing it, {needed} {verb}", were(*recorded as usize, "snapshot"))
        }
        Fault::LostClone { snapshot, child } => {
            format!("the snapshot with id {snapshot} is kept for the clone {child}, which is not there")
        }
        Fault::Clones { name, recorded, found } => {
            format!("the snapshot '{name}' counts {}, and has {found}", were(*recorded as usize, "clone"))
        }
        Fault::ParentLost { why } => format!("the parent is lost: {why}"),
        Fault::BaseLost { why } => format!("the base is lost: {why}"),
        Fault::BaseUnkept { base } => format!("the base {base} is not kept for it"),
        Fault::Untied { parent } => format!("the snapshot of '{parent}' that it is a clone of is not kept for it"),
        Fault::Order { why } => why.clone(),
        Fault::LogLost { after, durable } => {
            format!("missing or damaged: the log ends after write {after}, but write {durable} was durable")
        }
        Fault::Gap { after, batches } => {
            format!(
                "{batches} batches lie beyond a gap after write {after} and do not count; a crash leaves such batches"
            )
        }
        Fault::TornTail { at: range } => {
            format!("the last append, {}, is torn; a power cut leaves such an end", at(range))
        }
        Fault::OrphanPage => "a page that no checkpoint names".to_owned(),
        Fault::OrphanSegment => "a segment that nothing names".to_owned(),
    }
}

fn ranges_words(ranges: &[Range<u64>]) -> String {
    let bytes: u64 = ranges.iter().map(|range| range.end - range.start).sum();
    let shown: Vec<String> =
        ranges.iter().take(SHOWN_RANGES).map(|range| format!("{}~{}", range.start, range.end - range.start)).collect();
    let more = match ranges.len().saturating_sub(SHOWN_RANGES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{} of the image ({}{more})", size::format(bytes), shown.join(", "))
}

fn finding_line(finding: &Finding) -> String {
    let mut line =
        format!("{}: {}: {}", severity_name(finding.fault.severity()), finding.object, fault_words(&finding.fault));
    if !finding.ranges.is_empty() {
        let _ = write!(line, "; hits {}", ranges_words(&finding.ranges));
    }
    line + "\n"
}

fn plural(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn were(count: usize, what: &str) -> String {
    format!("{} {}", plural(count, what), if count == 1 { "was" } else { "were" })
}

fn summary(report: &CheckReport) -> String {
    let (corruptions, leaks) = (report.count(Severity::Corruption), report.count(Severity::Leak));
    let mut text = match (corruptions, leaks) {
        (0, 0) => "No errors were found on the image.\n".to_owned(),
        (0, leaks) => format!("Nothing is damaged, but space is lost: {} found.\n", were(leaks, "leak")),
        (corruptions, 0) => format!("The image is damaged: {} found.\n", were(corruptions, "corruption")),
        _ => {
            let corruptions = plural(corruptions, "corruption");
            format!("The image is damaged: {corruptions} and {} were found.\n", plural(leaks, "leak"))
        }
    };
    let checked = &report.checked;
    let _ = writeln!(
        text,
        "{} in {} segments, {} batches and {} records; {} leaves in {} pages.",
        size::format(checked.log_bytes),
        checked.segments,
        checked.batches,
        checked.records,
        checked.leaves,
        checked.pages,
    );
    if report.in_use {
        text.push_str("The image is in use: what was written last may not have been looked at.\n");
    }
    if report.moving {
        text.push_str(
            "The image changed during the check: what was found may have been put right meanwhile. Check again.\n",
        );
    }
    text
}

pub fn plain(report: &RepairReport, repaired: bool) -> String {
    let mut text: String = report.before.findings.iter().map(finding_line).collect();
    text += &summary(&report.before);
    if !repaired || report.before.worst().is_none_or(|worst| worst == Severity::Note) {
        return text;
    }
    if let Some(why) = &report.refused {
        let _ = writeln!(text, "Not repaired: {why}.");
    }
    let _ = writeln!(text, "{} deleted.", plural(report.deleted as usize, "object"));
    if !report.given_up.is_empty() {
        let _ = writeln!(text, "Given up: {}.", ranges_words(&report.given_up));
    }
    text.push_str("After the repair:\n");
    report.after.findings.iter().for_each(|finding| text += &finding_line(finding));
    text += &summary(&report.after);
    if report.discarding_helps {
        text.push_str(
            "What is left cannot be made again. 'lsd check --repair --discard-damaged' gives it up: that cannot be undone.\n",
        );
    }
    text
}

fn ranges_tree(ranges: &[Range<u64>]) -> Tree {
    let one = |range: &Range<u64>| {
        Tree::Object(vec![("offset", range.start.into()), ("length", (range.end - range.start).into())])
    };
    Tree::List("range", ranges.iter().map(one).collect())
}

fn finding_tree(finding: &Finding) -> Tree {
    Tree::Object(vec![
        ("severity", severity_name(finding.fault.severity()).into()),
        ("kind", kind_name(&finding.fault).into()),
        ("object", finding.object.as_str().into()),
        ("message", fault_words(&finding.fault).into()),
        ("ranges", ranges_tree(&finding.ranges)),
    ])
}

fn report_fields(report: &CheckReport) -> Vec<(&'static str, Tree)> {
    let checked = &report.checked;
    let counts = [
        ("segments", checked.segments),
        ("batches", checked.batches),
        ("records", checked.records),
        ("log_bytes", checked.log_bytes),
        ("pages", checked.pages),
        ("leaves", checked.leaves),
        ("mapped_bytes", checked.mapped_bytes),
    ];
    let count = |severity| Tree::from(report.count(severity) as u64);
    vec![
        ("corruptions", count(Severity::Corruption)),
        ("leaks", count(Severity::Leak)),
        ("notes", count(Severity::Note)),
        ("in_use", Tree::Bool(report.in_use)),
        ("moving", Tree::Bool(report.moving)),
        ("checked", Tree::Object(counts.into_iter().map(|(name, number)| (name, number.into())).collect())),
        ("findings", Tree::List("finding", report.findings.iter().map(finding_tree).collect())),
    ]
}

pub fn tree(name: &str, report: &RepairReport, repaired: bool) -> Tree {
    let mut fields = vec![("image", Tree::from(name))];
    fields.extend(report_fields(&report.before));
    if repaired {
        let mut repair = vec![("deleted", report.deleted.into()), ("given_up", ranges_tree(&report.given_up))];
        repair.extend(report.refused.as_deref().map(|why| ("refused", why.into())));
        repair.push(("after", Tree::Object(report_fields(&report.after))));
        fields.push(("repair", Tree::Object(repair)));
    }
    Tree::Object(fields)
}
