//! `lsd sparsify`.
use super::transfer::closed;
use crate::command::image_args::existing_image;
use crate::command::options::{IMAGE_SPEC, ONE_IMAGE, PROGRESS, SPARSE_SIZE};
use crate::command::{CommandSpec, Parsed};
use crate::error::{Failure, Result};
use crate::output::progress::ProgressLine;
use crate::output::size;
use crate::session::Session;

const DEFAULT_SPARSE_SIZE: u64 = 4096;

pub const SPEC: CommandSpec = CommandSpec {
    words: &["sparsify"],
    alias: &[],
    summary: "Reclaim space for zeroed image extents.",
    epilogue: "",
    positionals: &[IMAGE_SPEC],
    options: &[ONE_IMAGE, PROGRESS, &[SPARSE_SIZE]],
    run: |session, parsed| Box::pin(execute(session, parsed)),
};

async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let location = existing_image(parsed)?;
    let block = parsed.get_with("sparse-size", size::parse_bytes)?.unwrap_or(DEFAULT_SPARSE_SIZE);
    let image = location.open_image(session, false).await?;
    let line = ProgressLine::new("Image sparsify", !parsed.has("no-progress"));
    let progress = |done, total| {
        line.update(done, total);
        Ok(())
    };
    let done = line.end(image.sparsify(block, &progress).await);
    let done = done.map_err(|error| Failure::errno("sparsify error", error.errno()));
    closed(&image, "sparsify error", done).await
}
