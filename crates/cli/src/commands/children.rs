//! `lsd children`.
use super::kin::Kin;
use super::transfer::closed;
use crate::command::image_args::{Snap, by_name_or_id};
use crate::command::options::{FORMAT, IMAGE_ID, IMAGE_OR_SNAP, IMAGE_OR_SNAP_SPEC, SNAP_ID};
use crate::command::{CommandSpec, OptionSpec, Parsed};
use crate::error::{Failure, Result};
use crate::output::format::{Format, Tree};
use crate::session::Session;
use lsd_engine::{Child, ErrorKind, Image};
use lsd_store::ObjectStore;
use std::sync::Arc;

pub const SPEC: CommandSpec = CommandSpec {
    words: &["children"],
    alias: &[],
    summary: "Display children of an image or its snapshot.",
    epilogue: "",
    positionals: &[IMAGE_OR_SNAP_SPEC],
    options: &[
        IMAGE_OR_SNAP,
        &[
            IMAGE_ID,
            SNAP_ID,
            OptionSpec::switch("all", "list all children (include trash)").short('a'),
            OptionSpec::switch("descendants", "include all descendants"),
        ],
        FORMAT,
    ],
    run: |session, parsed| Box::pin(execute(session, parsed)),
};

/// A clone, and its place in names.
type Named = (Kin, Child);

async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let (location, image) = by_name_or_id(parsed, Snap::Permitted)?;
    let format = Format::of(parsed)?;
    let id = parsed.number("snap-id")?;
    if id.is_some() && location.snap.is_some() {
        return Err(Failure::invalid("trying to access snapshot using both name and id."));
    }
    let (all, descendants) = (parsed.has("all"), parsed.has("descendants"));
    let store = location.store(session).await?;
    // The image first: one that is not there has no snapshots either.
    let image = session.open_ref(&location.head(), image, true).await?;
    let found = match snapshot(&image, location.snap.as_deref(), id).await {
        Ok(snapshot) => {
            let found = named(&store, &image, snapshot, descendants).await;
            found.map_err(|error| Failure::engine("listing children failed", &error))
        }
        Err(failure) => Err(failure),
    };
    let mut found = closed(&image, "error closing image", found).await?;
    found.retain(|(_, child)| all || !child.trash);
    let tree = Tree::List("child", found.iter().map(|child| tree(child, all)).collect());
    format.print("children", &tree, || found.iter().map(plain).collect())
}

/// The id of the snapshot that is asked for; `None`: all of them.
async fn snapshot(image: &Image, name: Option<&str>, id: Option<u64>) -> Result<Option<u64>> {
    let snapshots = image.snapshots();
    let found = match (name, id) {
        (Some(name), _) => snapshots.get(name).await.map(|found| Some(found.id)),
        (None, Some(id)) => snapshots.get_by_id(id).await.map(|found| Some(found.id)),
        (None, None) => Ok(None),
    };
    found.map_err(|error| match error.kind {
        ErrorKind::NotFound => Failure::new(error.errno(), "snapshot does not exist."),
        _ => Failure::engine("error reading snapshots", &error),
    })
}

/// In the order of the names.
async fn named(
    store: &Arc<dyn ObjectStore>,
    image: &Image,
    snapshot: Option<u64>,
    descendants: bool,
) -> lsd_engine::Result<Vec<Named>> {
    let found = if descendants { image.descendants(snapshot).await? } else { image.children(snapshot).await? };
    let mut named = Vec::with_capacity(found.len());
    for child in found {
        named.push((Kin::of(store, child.pool, &child.namespace, &child.name).await?, child));
    }
    named.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(named)
}

fn tree((kin, child): &Named, all: bool) -> Tree {
    let mut fields: Vec<(&'static str, Tree)> = vec![
        ("pool", kin.pool.as_str().into()),
        ("pool_namespace", kin.namespace.as_str().into()),
        ("image", kin.image.as_str().into()),
    ];
    if all {
        fields.extend([("id", child.id.0.as_str().into()), ("trash", Tree::Bool(child.trash))]);
    }
    Tree::Object(fields)
}

fn plain((kin, child): &Named) -> String {
    match child.trash {
        true => format!("{} (trash {})\n", kin.spec(), child.id),
        false => format!("{}\n", kin.spec()),
    }
}
