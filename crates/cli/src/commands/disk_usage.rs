//! `lsd du`.
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
use lsd_engine::{Catalog, CatalogEntry, ErrorKind, Image, ImageRef, OpenOptions, Space};
use lsd_store::ObjectStore;
use nix::libc;
use std::sync::Arc;

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

struct Usage {
    name: String,
    id: String,
    provisioned: u64,
    used: u64,
    space: Space,
}

/// What the output has besides rbd's columns.
#[derive(Clone, Copy)]
struct Shown {
    totals: bool,
    long: bool,
}

/// The figures are always exact: the map knows every byte, so `--exact` changes nothing.
async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let spec = spec_of(parsed, Role::Only, Strictness::Lenient)?;
    let format = Format::of(parsed)?;
    let snap = spec.snap.or_else(|| parsed.get("from-snap").map(str::to_owned));
    if spec.image.is_none() && snap.is_some() {
        return Err(Failure::invalid("image name was not specified"));
    }
    let store = session.store(&spec.place).await?;
    let entries = Catalog::new(store.clone()).list().await.map_err(|error| failed(&error))?;
    let wanted: Vec<CatalogEntry> = match &spec.image {
        Some(image) => entries.into_iter().filter(|entry| entry.name == *image).collect(),
        None => entries,
    };
    if let (Some(image), true) = (&spec.image, wanted.is_empty()) {
        warn(&format!("specified image {image} is not found."));
        return Err(Failure::errno("du failed", libc::ENOENT));
    }
    if let (Some(image), Some(snap)) = (&spec.image, &snap) {
        // No image of this format version has snapshots yet.
        warn(&format!("specified snapshot {image}@{snap} is not found."));
        return Err(Failure::errno("du failed", libc::ENOENT));
    }
    let options = session.open_options(&spec.place, true).await?;
    let (usages, failed) = all_usages(&options, &store, wanted).await;
    let shown = Shown { totals: spec.image.is_none(), long: parsed.has("long") };
    format.print("stats", &tree(&usages, shown), || plain(&usages, shown))?;
    failed.map_or(Ok(()), |errno| Err(Failure::errno("du failed", errno)))
}

fn failed(error: &lsd_engine::Error) -> Failure {
    Failure::engine("du failed", error)
}

/// What could be opened, and the errno of the first image that could not.
async fn all_usages(
    options: &OpenOptions,
    store: &Arc<dyn ObjectStore>,
    wanted: Vec<CatalogEntry>,
) -> (Vec<Usage>, Option<i32>) {
    let mut usages = Vec::new();
    let mut first_failure = None;
    for entry in wanted {
        match usage(options, store, &entry).await {
            Ok(usage) => usages.push(usage),
            // Removed since the directory was read.
            Err(error) if error.kind == ErrorKind::NotFound => {}
            Err(error) => {
                warn_named(&format!("error opening {}: {}: {error}", entry.name, describe_errno(error.errno())));
                first_failure.get_or_insert(error.errno());
            }
        }
    }
    (usages, first_failure)
}

async fn usage(options: &OpenOptions, store: &Arc<dyn ObjectStore>, entry: &CatalogEntry) -> lsd_engine::Result<Usage> {
    let image = Image::open(store, &ImageRef::Id(entry.id.clone()), options).await?;
    let (provisioned, used, space) = (image.size(), image.used_bytes(), image.space());
    image.close().await?;
    Ok(Usage { name: entry.name.clone(), id: entry.id.to_string(), provisioned, used, space })
}

/// Bytes of segments that hold something live, without what lives in them: collection gives most of them back.
fn garbage(space: &Space) -> u64 {
    space.active() - space.live
}

fn sums(usages: &[Usage]) -> (u64, u64) {
    let add = |(provisioned, used): (u64, u64), usage: &Usage| (provisioned + usage.provisioned, used + usage.used);
    usages.iter().fold((0, 0), add)
}

fn tree(usages: &[Usage], shown: Shown) -> Tree {
    let describe = |usage: &Usage| {
        let mut fields = vec![
            ("name", usage.name.as_str().into()),
            ("id", usage.id.as_str().into()),
            ("provisioned_size", usage.provisioned.into()),
            ("used_size", usage.used.into()),
        ];
        if shown.long {
            fields.extend([
                ("live_size", usage.space.live.into()),
                ("garbage_size", garbage(&usage.space).into()),
                ("dead_size", usage.space.dead.into()),
                ("stored_size", usage.space.stored.into()),
            ]);
        }
        Tree::Object(fields)
    };
    let mut fields = vec![("images", Tree::List("image", usages.iter().map(describe).collect()))];
    if shown.totals {
        let (provisioned, used) = sums(usages);
        fields.extend([("total_provisioned_size", provisioned.into()), ("total_used_size", used.into())]);
    }
    Tree::Object(fields)
}

fn plain(usages: &[Usage], shown: Shown) -> String {
    if usages.is_empty() {
        return String::new();
    }
    let mut table = Table::default()
        .column("NAME", Align::Left, Align::Left)
        .column("PROVISIONED", Align::Right, Align::Right)
        .column("USED", Align::Left, Align::Right);
    if shown.long {
        for title in ["GARBAGE", "DEAD", "STORED"] {
            table = table.column(title, Align::Left, Align::Right);
        }
    }
    for usage in usages {
        let mut row = vec![usage.name.clone(), size::format(usage.provisioned), size::format(usage.used)];
        if shown.long {
            let space = &usage.space;
            row.extend([garbage(space), space.dead, space.stored].map(size::format));
        }
        table.row(row);
    }
    if shown.totals && usages.len() > 1 {
        let (provisioned, used) = sums(usages);
        let mut row = vec!["<TOTAL>".into(), size::format(provisioned), size::format(used)];
        if shown.long {
            let total = |part: fn(&Space) -> u64| size::format(usages.iter().map(|usage| part(&usage.space)).sum());
            row.extend([total(garbage), total(|space| space.dead), total(|space| space.stored)]);
        }
        table.row(row);
    }
    table.to_string()
}
