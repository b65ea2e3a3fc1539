//! `lsd rm`.
use crate::command::image_args::existing_image;
use crate::command::options::{IMAGE_SPEC, ONE_IMAGE, PROGRESS};
use crate::command::{CommandSpec, Parsed};
use crate::error::{Failure, Result};
use crate::output::progress::ProgressLine;
use crate::session::Session;
use lsd_engine::{ErrorKind, Image, ImageRef};

pub const SPEC: CommandSpec = CommandSpec {
    words: &["remove"],
    alias: &["rm"],
    summary: "Delete an image.",
    epilogue: "",
    positionals: &[IMAGE_SPEC],
    options: &[ONE_IMAGE, PROGRESS],
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
    let removed = Image::remove(&store, &ImageRef::Name(location.image), &progress).await;
    line.end(removed).map_err(|error| in_words(&error))
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
        _ => return Failure::engine("delete error", error),
    };
    Failure::new(error.errno(), words)
}
