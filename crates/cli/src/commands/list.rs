//! `lsd ls`.
use super::kin::{Kin, overlapping_parent};
use super::snap::{flag, is_users};
use crate::command::image_args::pool_place;
use crate::command::options::{FORMAT, POOL_ONLY, POOL_SPEC};
use crate::command::{CommandSpec, OptionSpec, Parsed};
use crate::error::{Failure, Result, describe_errno};
use crate::output::format::{Format, Tree};
use crate::output::table::{Align, Table};
use crate::output::{size, warn_named};
use crate::session::Session;
use futures::StreamExt;
use lsd_engine::{Catalog, CatalogEntry, ErrorKind, Image, ImageRef, OpenOptions, SnapInfo, SnapRef};
use lsd_store::ObjectStore;
use std::sync::Arc;

/// Images opened at the same time for a long listing (`rbd_concurrent_management_ops`).
const OPEN_IMAGES_MAX: usize = 10;

pub const SPEC: CommandSpec = CommandSpec {
    words: &["list"],
    alias: &["ls"],
    summary: "List lsd images.",
    epilogue: "",
    positionals: &[POOL_SPEC],
    options: &[&[OptionSpec::switch("long", "long listing format").short('l')], POOL_ONLY, FORMAT],
    run: |session, parsed| Box::pin(execute(session, parsed)),
};

struct Listed {
    name: String,
    id: String,
    size: u64,
    locked: bool,
    parent: Option<ListedParent>,
    snapshots: Vec<(SnapInfo, Option<ListedParent>)>,
}

/// The image and the name of the snapshot.
type ListedParent = (Kin, String);

async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let place = pool_place(parsed)?;
    let format = Format::of(parsed)?;
    let store = session.store(&place).await.map_err(listing_failed)?;
    let failed = |error: lsd_engine::Error| Failure::engine("listing images failed", &error);
    let entries = Catalog::new(store.clone()).list().await.map_err(failed)?;
    if parsed.has("long") {
        let options = session.open_options(&place, true).await?;
        let (rows, failed) = open_all(&options, &store, entries).await;
        print_long(format, &rows)?;
        return failed.map_or(Ok(()), |errno| Err(Failure::errno("listing images failed", errno)));
    }
    let names: Vec<Tree> = entries.iter().map(|entry| Tree::from(entry.name.as_str())).collect();
    let plain = || entries.iter().map(|entry| format!("{}\n", entry.name)).collect();
    format.print("images", &Tree::List("name", names), plain)
}

/// rbd says both what it could not open and that the listing failed.
fn listing_failed(failure: Failure) -> Failure {
    if failure.prefixed && !failure.message.is_empty() {
        warn_named(&failure.to_string());
    }
    Failure::errno("listing images failed", failure.code)
}

/// What could be opened, and the errno of the first image that could not.
async fn open_all(
    options: &OpenOptions,
    store: &Arc<dyn ObjectStore>,
    entries: Vec<CatalogEntry>,
) -> (Vec<Listed>, Option<i32>) {
    let opening = entries.into_iter().map(|entry| async move { (describe(store, &entry, options).await, entry) });
    let mut listed = Vec::new();
    let mut first_failure = None;
    let mut results = futures::stream::iter(opening).buffered(OPEN_IMAGES_MAX);
    while let Some((result, entry)) = results.next().await {
        match result {
            Ok(row) => listed.push(row),
            // Removed since the directory was read.
            Err(error) if error.kind == ErrorKind::NotFound => {}
            Err(error) => {
                warn_named(&format!("error opening {}: {}: {error}", entry.name, describe_errno(error.errno())));
                first_failure.get_or_insert(error.errno());
            }
        }
    }
    (listed, first_failure)
}

async fn describe(
    store: &Arc<dyn ObjectStore>,
    entry: &CatalogEntry,
    options: &OpenOptions,
) -> lsd_engine::Result<Listed> {
    let image = Image::open(store, &ImageRef::Id(entry.id.clone()), options).await?;
    let locked = super::status::is_locked(store, &image).await;
    let kin = look_at_kin(store, &image, options).await;
    let (name, id, size) = (entry.name.clone(), entry.id.to_string(), image.size());
    image.close().await?;
    let (parent, snapshots) = kin?;
    Ok(Listed { name, id, size, locked, parent, snapshots })
}

/// The parents of the image and of its snapshots, most of which have the image's.
async fn look_at_kin(
    store: &Arc<dyn ObjectStore>,
    image: &Image,
    options: &OpenOptions,
) -> lsd_engine::Result<(Option<ListedParent>, Vec<(SnapInfo, Option<ListedParent>)>)> {
    let listed = |parent: Option<(Kin, lsd_engine::Parent)>| parent.map(|(kin, parent)| (kin, parent.snapshot.name));
    let parent = listed(overlapping_parent(store, image).await?);
    let mut snapshots = Vec::new();
    for snapshot in image.snapshots().list().await?.into_iter().filter(is_users) {
        let its = match snapshot.is_of_clone {
            true => {
                let at = OpenOptions { snapshot: Some(SnapRef::Id(snapshot.id)), ..options.clone() };
                let shown = Image::open(store, &ImageRef::Id(image.info().id), &at).await?;
                let its = overlapping_parent(store, &shown).await;
                shown.close().await?;
                listed(its?)
            }
            false => None,
        };
        snapshots.push((snapshot, its));
    }
    Ok((parent, snapshots))
}

fn parent_tree((kin, snapshot): &ListedParent) -> Tree {
    Tree::Object(vec![
        ("pool", kin.pool.as_str().into()),
        ("pool_namespace", kin.namespace.as_str().into()),
        ("image", kin.image.as_str().into()),
        ("snapshot", snapshot.as_str().into()),
    ])
}

fn print_long(format: Format, rows: &[Listed]) -> Result<()> {
    let image = |row: &Listed| {
        let mut fields: Vec<(&'static str, Tree)> =
            vec![("image", row.name.as_str().into()), ("id", row.id.as_str().into()), ("size", row.size.into())];
        fields.extend(row.parent.as_ref().map(|parent| ("parent", parent_tree(parent))));
        fields.push(("format", 2.into()));
        if row.locked {
            fields.push(("lock_type", "exclusive".into()));
        }
        Tree::Object(fields)
    };
    let snapshot = |row: &Listed, (snapshot, parent): &(SnapInfo, Option<ListedParent>)| {
        let mut fields: Vec<(&'static str, Tree)> = vec![
            ("image", row.name.as_str().into()),
            ("id", row.id.as_str().into()),
            ("snapshot", snapshot.name.as_str().into()),
            ("snapshot_id", snapshot.id.into()),
            ("size", snapshot.size.into()),
        ];
        fields.extend(parent.as_ref().map(|parent| ("parent", parent_tree(parent))));
        fields.extend([("format", 2.into()), ("protected", flag(snapshot.is_protected).into())]);
        Tree::Object(fields)
    };
    let mut items = Vec::new();
    for row in rows {
        items.push(("image", image(row)));
        items.extend(row.snapshots.iter().map(|one| ("snapshot", snapshot(row, one))));
    }
    format.print("images", &Tree::Mixed(items), || plain_long(rows))
}

fn plain_long(rows: &[Listed]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut table = Table::default()
        .column("NAME", Align::Left, Align::Left)
        .column("SIZE", Align::Left, Align::Right)
        .column("PARENT", Align::Left, Align::Left)
        .column("FMT", Align::Left, Align::Right)
        .column("PROT", Align::Left, Align::Left)
        .column("LOCK", Align::Left, Align::Right);
    let parents = |parent: &Option<ListedParent>| {
        parent.as_ref().map(|(kin, snapshot)| format!("{}@{snapshot}", kin.spec())).unwrap_or_default()
    };
    for row in rows {
        let lock = if row.locked { "excl" } else { "" };
        let size = size::format(row.size);
        table.row(vec![row.name.clone(), size, parents(&row.parent), "2".into(), String::new(), lock.into()]);
        for (SnapInfo { name, size, is_protected, .. }, parent) in &row.snapshots {
            let (name, size) = (format!("{}@{name}", row.name), size::format(*size));
            let is_protected = if *is_protected { "yes" } else { "" };
            table.row(vec![name, size, parents(parent), "2".into(), is_protected.into(), String::new()]);
        }
    }
    table.to_string()
}
