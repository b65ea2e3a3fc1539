//! `lsd info`.
use super::features::{flag_names, operation_names};
use super::group::group_pool;
use super::kin::{Kin, overlapping_parent};
use super::snap::flag;
use super::transfer::closed;
use crate::command::image_args::{Snap, by_name_or_id};
use crate::command::options::{FORMAT, IMAGE_ID, IMAGE_OR_SNAP, IMAGE_OR_SNAP_SPEC};
use crate::command::{CommandSpec, Parsed};
use crate::error::{Failure, Result};
use crate::output::format::{Format, Tree};
use crate::output::{size, time};
use crate::session::Session;
use lsd_engine::{BaseInfo, Features, Image, ImageInfo, Parent};
use lsd_store::ObjectStore;
use std::fmt::Write;
use std::sync::Arc;

pub const SPEC: CommandSpec = CommandSpec {
    words: &["info"],
    alias: &[],
    summary: "Show information about image size, striping, etc.",
    epilogue: "",
    positionals: &[IMAGE_OR_SNAP_SPEC],
    options: &[IMAGE_OR_SNAP, &[IMAGE_ID], FORMAT],
    run: |session, parsed| Box::pin(execute(session, parsed)),
};

/// What the image says of itself, and of the snapshot that is looked at.
struct Shown {
    info: ImageInfo,
    data_pool: Option<String>,
    snapshots: u64,
    /// How many there may be.
    limit: Option<u64>,
    /// Of the snapshot, if it is one.
    is_protected: Option<bool>,
    /// The group that it is in, with its pool.
    group: Option<String>,
    parent: Option<(Kin, Parent)>,
    /// What is shown where nothing was ever written.
    base: Option<BaseInfo>,
}

async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let (location, image) = by_name_or_id(parsed, Snap::Permitted)?;
    let format = Format::of(parsed)?;
    let store = location.store(session).await?;
    let image = session.open_ref(&location, image, true).await?;
    let shown = look(&store, &image).await.map_err(|error| Failure::engine("error reading image", &error));
    let shown = closed(&image, "error closing image", shown).await?;
    format.print("image", &tree(&shown), || plain(&shown))
}

async fn look(store: &Arc<dyn ObjectStore>, image: &Image) -> lsd_engine::Result<Shown> {
    let snapshots = image.snapshots().list().await?;
    // It may have changed since the handle was opened.
    let shown = image.shown().map(|shown| snapshots.iter().find(|now| now.id == shown.id).cloned().unwrap_or(shown));
    let info = image.info();
    Ok(Shown {
        data_pool: data_pool_name(store, &info).await,
        snapshots: snapshots.len() as u64,
        limit: image.snapshots().limit().await?,
        is_protected: shown.map(|shown| shown.is_protected),
        group: match image.group().await? {
            Some(group) => Some(format!("{}/{}", group_pool(store, group.pool).await, group.name)),
            None => None,
        },
        parent: overlapping_parent(store, image).await?,
        base: image.base(),
        info,
    })
}

/// The name of the pool with the data, if that is not the image's own pool.
async fn data_pool_name(store: &Arc<dyn ObjectStore>, info: &ImageInfo) -> Option<String> {
    if info.data_pool == store.pool_id() {
        return None;
    }
    let pool = store.open_pool(info.data_pool).await.ok();
    Some(pool.map_or_else(|| "<missing data pool>".to_owned(), |pool| pool.pool_name()))
}

fn object_bytes(info: &ImageInfo) -> u64 {
    1 << info.order
}

/// Objects that an image of this layout would have in RADOS, as rbd counts them.
fn objects(info: &ImageInfo) -> u64 {
    let stripe_count = info.stripe_count.max(1);
    let period = object_bytes(info) * stripe_count;
    let periods = info.size.div_ceil(period);
    let tail = info.size % period;
    let unit = if info.stripe_unit == 0 { object_bytes(info) } else { info.stripe_unit };
    let whole_tail = tail >= unit * stripe_count || tail == 0;
    periods * stripe_count - if whole_tail { 0 } else { stripe_count - tail.div_ceil(unit) }
}

/// True if the layout differs from whole objects one after another.
fn is_striped(info: &ImageInfo) -> bool {
    info.features & Features::STRIPINGV2 != 0 && (info.stripe_unit != object_bytes(info) || info.stripe_count != 1)
}

fn tree(shown: &Shown) -> Tree {
    let info = &shown.info;
    let list =
        |item: &'static str, names: Vec<&'static str>| Tree::List(item, names.into_iter().map(Tree::from).collect());
    let mut fields: Vec<(&'static str, Tree)> = vec![
        ("name", info.name.as_str().into()),
        ("id", info.id.to_string().into()),
        ("size", info.size.into()),
        ("objects", objects(info).into()),
        ("order", u64::from(info.order).into()),
        ("object_size", object_bytes(info).into()),
        ("snapshot_count", shown.snapshots.into()),
    ];
    fields.extend(shown.data_pool.as_deref().map(|pool| ("data_pool", pool.into())));
    fields.extend([
        ("block_name_prefix", info.block_name_prefix.as_str().into()),
        ("format", 2.into()),
        ("features", list("feature", Features(info.features).names())),
        ("op_features", list("op_feature", operation_names(info.op_features))),
        ("flags", list("flag", flag_names(info.flags))),
    ]);
    fields.extend(shown.group.as_deref().map(|group| ("group", group.into())));
    fields.extend([
        ("create_timestamp", time::ctime(info.timestamps.create_ns).into()),
        ("access_timestamp", time::ctime(info.timestamps.access_ns).into()),
        ("modify_timestamp", time::ctime(info.timestamps.modify_ns).into()),
    ]);
    fields.extend(shown.is_protected.map(|value| ("protected", flag(value).into())));
    fields.extend(shown.limit.map(|limit| ("snapshot_limit", limit.into())));
    fields.extend(shown.parent.as_ref().map(|(kin, parent)| ("parent", parent_tree(kin, parent))));
    fields.extend(shown.base.as_ref().map(|base| ("base", base_tree(base))));
    if is_striped(info) {
        fields.extend([("stripe_unit", info.stripe_unit.into()), ("stripe_count", info.stripe_count.into())]);
    }
    Tree::Object(fields)
}

fn parent_tree(kin: &Kin, parent: &Parent) -> Tree {
    Tree::Object(vec![
        ("pool", kin.pool.as_str().into()),
        ("pool_namespace", kin.namespace.as_str().into()),
        ("image", kin.image.as_str().into()),
        ("id", parent.id.0.as_str().into()),
        ("snapshot", parent.snapshot.name.as_str().into()),
        ("trash", Tree::Bool(parent.trash)),
        ("overlap", parent.overlap.into()),
    ])
}

fn base_tree(base: &BaseInfo) -> Tree {
    Tree::Object(vec![
        ("kind", base.kind.as_str().into()),
        ("spec", base.spec.as_str().into()),
        ("overlap", base.overlap.into()),
    ])
}

fn plain(shown: &Shown) -> String {
    let info = &shown.info;
    let mut text = format!("rbd image '{}':\n", info.name);
    let mut line = |words: String| {
        let _ = writeln!(text, "\t{words}");
    };
    line(format!("size {} in {} objects", size::format(info.size), objects(info)));
    line(format!("order {} ({} objects)", info.order, size::format(object_bytes(info))));
    line(format!("snapshot_count: {}", shown.snapshots));
    line(format!("id: {}", info.id));
    if let Some(pool) = &shown.data_pool {
        line(format!("data_pool: {pool}"));
    }
    line(format!("block_name_prefix: {}", info.block_name_prefix));
    line("format: 2".to_owned());
    line(format!("features: {}", Features(info.features).names().join(", ")));
    line(format!("op_features: {}", operation_names(info.op_features).join(", ")));
    line(format!("flags: {}", flag_names(info.flags).join(", ")));
    if let Some(group) = &shown.group {
        line(format!("group: {group}"));
    }
    line(format!("create_timestamp: {}", time::ctime(info.timestamps.create_ns)));
    line(format!("access_timestamp: {}", time::ctime(info.timestamps.access_ns)));
    line(format!("modify_timestamp: {}", time::ctime(info.timestamps.modify_ns)));
    if let Some(value) = shown.is_protected {
        line(format!("protected: {}", if value { "True" } else { "False" }));
    }
    if let Some(limit) = shown.limit {
        line(format!("snapshot_limit: {limit}"));
    }
    if let Some((kin, Parent { trash, id, snapshot, overlap, .. })) = &shown.parent {
        let in_trash = if *trash { format!(" (trash {id})") } else { String::new() };
        line(format!("parent: {}@{}{in_trash}", kin.spec(), snapshot.name));
        line(format!("overlap: {}", size::format(*overlap)));
    }
    if let Some(BaseInfo { kind, spec, overlap }) = &shown.base {
        line(format!("base: {kind}:{spec}"));
        line(format!("overlap: {}", size::format(*overlap)));
    }
    if is_striped(info) {
        line(format!("stripe unit: {}", size::format(info.stripe_unit)));
        line(format!("stripe count: {}", info.stripe_count));
    }
    text
}
