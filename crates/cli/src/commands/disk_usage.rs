//! `lsd du`: what images and their snapshots take.
//!
//! Owns: which rows there are, and their sums. Does not own: the figures of one image (`disk_usage/usage.rs`).
use crate::command::image_args::{Role, spec_of};
use crate::command::options::{FORMAT, IMAGE_OR_SNAP, IMAGE_OR_SNAP_SPEC};
use crate::command::{CommandSpec, OptionSpec, Parsed};
use crate::error::{Failure, Result, describe_errno};
use crate::output::format::{Format, Tree};
use crate::output::size;
use crate::output::table::{Align, Table};
use crate::output::{warn, warn_named};
use crate::session::Session;
use crate::spec::Strictness;
use lsd_engine::{Catalog, CatalogEntry, ErrorKind, OpenOptions, Space};
use lsd_store::ObjectStore;
use nix::libc;
use std::sync::Arc;
use usage::{Found, Span, Usage};

mod usage;

pub const SPEC: CommandSpec = CommandSpec {
    words: &["disk-usage"],
    alias: &["du"],
    summary: "Show disk usage stats for pool, image or snapshot.",
    epilogue: "",
    positionals: &[IMAGE_OR_SNAP_SPEC],
    options: &[
        IMAGE_OR_SNAP,
        FORMAT,
        &[
            OptionSpec::value("from-snap", "snapshot starting point"),
            OptionSpec::switch("exact", "compute exact disk usage (slow)"),
            OptionSpec::switch("merge-snapshots", "merge snapshot sizes with its image"),
            OptionSpec::switch("long", "show what the log holds: live, garbage, dead and stored bytes"),
        ],
    ],
    run: |session, parsed| Box::pin(execute(session, parsed)),
};

/// What the output has besides rbd's columns, and whether snapshots have rows of their own.
#[derive(Clone, Copy)]
struct Shown {
    totals: bool,
    long: bool,
    merged: bool,
}

/// The figures are always exact: the map knows every byte, so `--exact` changes nothing.
async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let spec = spec_of(parsed, Role::Only, Strictness::Lenient)?;
    let from = parsed.get("from-snap").filter(|name| !name.is_empty()).map(str::to_owned);
    if spec.image.is_none() && from.is_some() {
        return Err(Failure::invalid("image name was not specified"));
    }
    let format = Format::of(parsed)?;
    let store = session.store(&spec.place).await?;
    let entries = Catalog::new(store.clone()).list().await.map_err(|error| failed(&error))?;
    let is_empty = entries.is_empty();
    let wanted: Vec<CatalogEntry> = match &spec.image {
        Some(image) => entries.into_iter().filter(|entry| entry.name == *image).collect(),
        None => entries,
    };
    if let (Some(image), true) = (&spec.image, wanted.is_empty()) {
        warn(&format!("specified image {image} is not found."));
        return Err(Failure::errno("du failed", libc::ENOENT));
    }
    let options = session.open_options(&spec.place, true).await?;
    let span = Span { from, to: spec.snap };
    let Some((usages, failed)) = all_usages(&options, &store, wanted, &span).await? else { return Ok(()) };
    let shown = Shown { totals: spec.image.is_none(), long: parsed.has("long"), merged: parsed.has("merge-snapshots") };
    format.print("stats", &tree(&usages, &span, shown), || match is_empty {
        true => String::new(),
        false => plain(&usages, &span, shown),
    })?;
    failed.map_or(Ok(()), |errno| Err(Failure::errno("du failed", errno)))
}

fn failed(error: &lsd_engine::Error) -> Failure {
    Failure::engine("du failed", error)
}

/// What could be opened, and the errno of the first image that could not; `None`: there is nothing to show, not even in numbers.
async fn all_usages(
    options: &OpenOptions,
    store: &Arc<dyn ObjectStore>,
    wanted: Vec<CatalogEntry>,
    span: &Span,
) -> Result<Option<(Vec<Usage>, Option<i32>)>> {
    let mut usages = Vec::new();
    let mut first_failure = None;
    let mut not_found = !wanted.is_empty();
    for entry in wanted {
        match usage::of(options, store, &entry, span).await {
            Ok(Found::Rows(rows)) => {
                not_found = false;
                usages.extend(rows);
            }
            Ok(Found::NoSuchSnapshot) => {}
            Ok(Found::Nothing) => return Ok(None),
            Ok(Found::Backwards) => return Err(Failure::errno("du failed", libc::EINVAL)),
            // Removed since the directory was read.
            Err(error) if error.kind == ErrorKind::NotFound => not_found = false,
            Err(error) => {
                not_found = false;
                warn_named(&format!("error opening {}: {}: {error}", entry.name, describe_errno(error.errno())));
                first_failure.get_or_insert(error.errno());
            }
        }
    }
    if not_found {
        warn("specified snapshot is not found.");
        return Err(Failure::errno("du failed", libc::ENOENT));
    }
    Ok(Some((usages, first_failure)))
}

/// Bytes of segments that hold something live, without what lives in them: collection gives most of them back.
fn garbage(space: &Space) -> u64 {
    space.active() - space.live
}

/// What is provisioned counts once for an image, unless only its snapshots are looked at.
fn sums(usages: &[Usage], span: &Span) -> (u64, u64) {
    let provisioned = usages.iter().filter(|usage| usage.snapshot.is_none() || span.to.is_some());
    (provisioned.map(|usage| usage.provisioned).sum(), usages.iter().map(|usage| usage.used).sum())
}

/// The rows that are shown.
fn rows(usages: &[Usage], shown: Shown) -> Vec<Usage> {
    if !shown.merged {
        return usages.to_vec();
    }
    let mut rows = Vec::new();
    let mut used = 0;
    for usage in usages {
        used += usage.used;
        if usage.snapshot.is_none() {
            rows.push(Usage { used, ..usage.clone() });
            used = 0;
        }
    }
    rows
}

fn tree(usages: &[Usage], span: &Span, shown: Shown) -> Tree {
    let describe = |usage: &Usage| {
        let mut fields: Vec<(&'static str, Tree)> =
            vec![("name", usage.name.as_str().into()), ("id", usage.id.as_str().into())];
        if let Some((name, id)) = &usage.snapshot {
            fields.extend([("snapshot", name.as_str().into()), ("snapshot_id", (*id).into())]);
        }
        fields.extend([("provisioned_size", usage.provisioned.into()), ("used_size", usage.used.into())]);
        if let Some(space) = usage.space.as_ref().filter(|_| shown.long) {
            fields.extend([
                ("live_size", space.live.into()),
                ("garbage_size", garbage(space).into()),
                ("dead_size", space.dead.into()),
                ("stored_size", space.stored.into()),
            ]);
        }
        Tree::Object(fields)
    };
    let mut fields = vec![("images", Tree::List("image", rows(usages, shown).iter().map(describe).collect()))];
    if shown.totals {
        let (provisioned, used) = sums(usages, span);
        fields.extend([("total_provisioned_size", provisioned.into()), ("total_used_size", used.into())]);
    }
    Tree::Object(fields)
}

fn plain(usages: &[Usage], span: &Span, shown: Shown) -> String {
    let mut table = Table::default()
        .column("NAME", Align::Left, Align::Left)
        .column("PROVISIONED", Align::Right, Align::Right)
        .column("USED", Align::Left, Align::Right);
    if shown.long {
        for title in ["GARBAGE", "DEAD", "STORED"] {
            table = table.column(title, Align::Left, Align::Right);
        }
    }
    for usage in rows(usages, shown) {
        let mut row = vec![usage.full_name(), size::format(usage.provisioned), size::format(usage.used)];
        if shown.long {
            let figures = |space: Space| [garbage(&space), space.dead, space.stored].map(size::format);
            row.extend(usage.space.map(figures).unwrap_or_default());
        }
        table.row(row);
    }
    if usages.len() > 1 {
        let (provisioned, used) = sums(usages, span);
        let mut row = vec!["<TOTAL>".into(), size::format(provisioned), size::format(used)];
        if shown.long {
            let spaces = || usages.iter().filter_map(|usage| usage.space.as_ref());
            let total = |part: fn(&Space) -> u64| size::format(spaces().map(part).sum());
            row.extend([total(garbage), total(|space| space.dead), total(|space| space.stored)]);
        }
        table.row(row);
    }
    table.to_string()
}

#[cfg(test)]
mod tests;
