//! `lsd gc`: rbd has nothing like it, because its images have no log.
use crate::command::image_args::existing_image;
use crate::command::options::{IMAGE_SPEC, ONE_IMAGE, PROGRESS};
use crate::command::{CommandSpec, Parsed};
use crate::error::{Failure, Result};
use crate::output::progress::ProgressLine;
use crate::session::Session;

pub const SPEC: CommandSpec = CommandSpec {
    words: &["gc"],
    alias: &[],
    summary: "Sort and collect the log of an image.",
    epilogue: "What was written at random is put in the order of the image, so that reading in\n\
               order is fast again. Until that is done it takes up to twice the room; in a full\n\
               pool garbage is collected and nothing is sorted.",
    positionals: &[IMAGE_SPEC],
    options: &[ONE_IMAGE, PROGRESS],
    run: |session, parsed| Box::pin(execute(session, parsed)),
};

/// Collects until nothing is worth it. A client that has the image open hands it over for that long; one that keeps it
/// makes this fail with EBUSY or EROFS.
async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let location = existing_image(parsed)?;
    let image = location.open_image(session, false).await?;
    let line = ProgressLine::new("Collecting garbage", !parsed.has("no-progress"));
    let progress = |done, total| {
        line.update(done, total);
        Ok(())
    };
    let failed = |error: lsd_engine::Error| Failure::engine("gc failed", &error);
    let collected = line.end(image.collect(&progress).await).map_err(failed);
    let closed = image.close().await.map_err(failed);
    collected.and(closed)
}
