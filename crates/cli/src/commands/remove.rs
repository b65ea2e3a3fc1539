//! `lsd rm`.
use crate::command::image_args::existing_image;
use crate::command::options::{IMAGE_SPEC, ONE_IMAGE, PROGRESS};
use crate::command::{CommandSpec, OptionSpec, Parsed};
use crate::commands::group::group_pool;
use crate::commands::waiting::telling_who_is_waited_for;
use crate::error::{Failure, Result};
use crate::output::progress::ProgressLine;
use crate::session::{Location, Session};
use lsd_engine::{ErrorKind, Image, ImageRef, OpenOptions, SnapNamespace};
use lsd_store::ObjectStore;
use std::sync::Arc;

pub const HAS_WATCHERS: &str = "error: image still has watchers\nThis means the image is still open or the client using it \
     crashed. Try again after closing/unmapping it or waiting 30s for the crashed client to timeout.";
pub const HAS_SNAPSHOTS: &str =
    "image has snapshots - these must be deleted with 'lsd snap purge' before the image can be removed.";

pub const HAS_CLONES: &str =
    "image has snapshots with linked clones - these must be deleted or flattened before the image can be removed.";

const FORCE_HELP: &str = "force removal of an image whose header is damaged";

pub const SPEC: CommandSpec = CommandSpec {
    words: &["remove"],
    alias: &["rm"],
    summary: "Delete an image.",
    epilogue: "",
    positionals: &[IMAGE_SPEC],
    options: &[ONE_IMAGE, PROGRESS, &[OptionSpec::switch("force", FORCE_HELP)]],
    run: |session, parsed| Box::pin(execute(session, parsed)),
};

async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let location = existing_image(parsed)?;
    let store = location.store(session).await?;
    let line = ProgressLine::new("Removing image", !parsed.has("no-progress"));
    let progress = |done, total| {
        line.update(done, total);
        Ok(())
    };
    let image = ImageRef::Name(location.image.clone());
    let bases = session.bases(&location.place).await?;
    let removing = async {
        match parsed.has("force") {
            true => Image::remove_damaged_with(&store, &image, &bases, &progress).await,
            false => Image::remove_with(&store, &image, &bases, &progress).await,
        }
    };
    let removed = telling_who_is_waited_for(&store, &image, &|| line.has_begun(), removing).await;
    match line.end(removed) {
        Err(error) if error.kind == ErrorKind::InGroup => Err(in_group(&store, &image, &error).await),
        Err(error) if error.kind == ErrorKind::NotEmpty && !has_users_snapshots(session, &location).await => {
            Err(Failure::new(error.errno(), HAS_CLONES))
        }
        removed => removed.map_err(|error| in_words(&error)),
    }
}

/// Says which group it is, if that is still known.
pub async fn in_group(store: &Arc<dyn ObjectStore>, image: &ImageRef, error: &lsd_engine::Error) -> Failure {
    let options = OpenOptions { read_only: true, ..OpenOptions::default() };
    let mut group = String::new();
    if let Ok(image) = Image::open(store, image, &options).await {
        if let Ok(Some(found)) = image.group().await {
            group = format!(" {}/{}", group_pool(store, found.pool).await, found.name);
        }
        // It was looked at only.
        let _ = image.close().await;
    }
    let words = format!("error: image belongs to a group{group}\nRemove the image from the group and try again.");
    Failure::new(error.errno(), words)
}

/// Snapshots of the user's, or of a group. What is left otherwise are those that were removed and are kept for their clones.
async fn has_users_snapshots(session: &Session, location: &Location) -> bool {
    let Ok(image) = location.open_image(session, true).await else { return true };
    let listed = image.snapshots().list().await;
    // What only reads loses nothing.
    let _ = image.close().await;
    listed.map_or(true, |snapshots| {
        snapshots.iter().any(|snapshot| !matches!(snapshot.namespace, SnapNamespace::Trash { .. }))
    })
}

fn in_words(error: &lsd_engine::Error) -> Failure {
    let words = match error.kind {
        ErrorKind::Busy => HAS_WATCHERS,
        ErrorKind::NotEmpty => HAS_SNAPSHOTS,
        ErrorKind::Corrupt => {
            let Failure { message, .. } = Failure::engine("delete error", error);
            return Failure::new(
                error.errno(),
                format!("{message}\n'lsd check' looks at the damage, '--force' removes all the same"),
            );
        }
        _ => return Failure::engine("delete error", error),
    };
    Failure::new(error.errno(), words)
}
