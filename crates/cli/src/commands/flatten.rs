//! `lsd flatten`.
use super::transfer::closed;
use crate::command::image_args::existing_image;
use crate::command::options::{IMAGE_SPEC, ONE_IMAGE, PROGRESS};
use crate::command::{CommandSpec, Parsed};
use crate::error::{Failure, Result};
use crate::output::progress::ProgressLine;
use crate::session::Session;

pub const SPEC: CommandSpec = CommandSpec {
    words: &["flatten"],
    alias: &[],
    summary: "Fill clone with parent data (make it independent).",
    epilogue: "",
    positionals: &[IMAGE_SPEC],
    options: &[ONE_IMAGE, PROGRESS],
    run: |session, parsed| Box::pin(execute(session, parsed)),
};

async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let image = existing_image(parsed)?.open_image(session, false).await?;
    let line = ProgressLine::new("Image flatten", !parsed.has("no-progress"));
    let progress = |done, total| {
        line.update(done, total);
        Ok(())
    };
    let flattened = line.end(image.flatten(&progress).await);
    let flattened = flattened.map_err(|error| Failure::engine("flatten error", &error));
    closed(&image, "flatten error", flattened).await
}
