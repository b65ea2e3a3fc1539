//! `lsd rm`.
use crate::command::image_args::existing_image;
use crate::command::options::{IMAGE_SPEC, ONE_IMAGE, PROGRESS};
use crate::command::{CommandSpec, OptionSpec, Parsed};
use crate::error::{Failure, Result};
use crate::output::progress::ProgressLine;
use crate::output::warn_named;
use crate::session::Session;
use lsd_core::format::names;
use lsd_engine::{Catalog, ErrorKind, Image, ImageRef};
use lsd_store::ObjectStore;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A removal that has not begun by then waits for somebody.
const WAIT_IS_TOLD_AFTER: Duration = Duration::from_secs(1);

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
    let has_begun = AtomicBool::new(false);
    let progress = |done, total| {
        has_begun.store(true, Ordering::Relaxed);
        line.update(done, total);
        Ok(())
    };
    let image = ImageRef::Name(location.image.clone());
    let removing = async {
        match parsed.has("force") {
            true => Image::remove_damaged(&store, &image, &progress).await,
            false => Image::remove(&store, &image, &progress).await,
        }
    };
    let mut removing = std::pin::pin!(removing);
    let removed = match tokio::time::timeout(WAIT_IS_TOLD_AFTER, &mut removing).await {
        Ok(removed) => removed,
        Err(_) if has_begun.load(Ordering::Relaxed) => removing.await,
        Err(_) => futures::join!(removing, tell_who_is_waited_for(&store, &location.image)).0,
    };
    line.end(removed).map_err(|error| in_words(&error))
}

/// Who has the image open and does not answer is waited for, until it counts as dead.
async fn tell_who_is_waited_for(store: &Arc<dyn ObjectStore>, name: &str) {
    // The removal itself says what cannot be asked.
    let Ok(id) = Catalog::new(store.clone()).id_of(name).await else { return };
    let Ok(watchers) = store.watchers(&names::header(&id.0).into()).await else { return };
    let clients: Vec<String> =
        watchers.iter().map(|watcher| format!("client.{} at {}", watcher.client, watcher.addr)).collect();
    if !clients.is_empty() {
        warn_named(&format!(
            "{name} is open at {}: waiting for an answer, or until it counts as dead",
            clients.join(", ")
        ));
    }
}

fn in_words(error: &lsd_engine::Error) -> Failure {
    let words = match error.kind {
        ErrorKind::Busy => {
            "error: image still has watchers\nThis means the image is still open or the client using it crashed. \
             Try again after closing/unmapping it or waiting 30s for the crashed client to timeout."
        }
        ErrorKind::NotEmpty => {
            "image has snapshots - these must be deleted with 'lsd snap purge' before the image can be removed."
        }
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
