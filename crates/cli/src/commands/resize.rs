//! `lsd resize`.
use super::create::size_argument;
use crate::command::image_args::existing_image;
use crate::command::options::{IMAGE_SPEC, NO_PROGRESS, ONE_IMAGE, SIZE};
use crate::command::{CommandSpec, OptionSpec, Parsed};
use crate::error::{Failure, Result};
use crate::output::progress::ProgressLine;
use crate::session::Session;
use lsd_engine::Image;

pub const SPEC: CommandSpec = CommandSpec {
    words: &["resize"],
    alias: &[],
    summary: "Resize (expand or shrink) image.",
    epilogue: "",
    positionals: &[IMAGE_SPEC],
    options: &[ONE_IMAGE, &[SIZE, OptionSpec::switch("allow-shrink", "permit shrinking"), NO_PROGRESS]],
    run: |session, parsed| Box::pin(execute(session, parsed)),
};

async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let location = existing_image(parsed)?;
    let size = size_argument(parsed)?;
    let image = location.open_image(session, false).await?;
    let resized = resize(&image, size, parsed).await;
    let closed = image.close().await.map_err(|error| Failure::engine("resize error", &error));
    resized.and(closed)
}

async fn resize(image: &Image, size: u64, parsed: &Parsed) -> Result<()> {
    if size < image.size() && !parsed.has("allow-shrink") {
        return Err(Failure::invalid("shrinking an image is only allowed with the --allow-shrink flag"));
    }
    if size == image.size() {
        return Err(Failure::invalid("new size is equal to original size "));
    }
    let line = ProgressLine::new("Resizing image", !parsed.has("no-progress"));
    let progress = |done, total| {
        line.update(done, total);
        Ok(())
    };
    let resized = image.resize(size, parsed.has("allow-shrink"), &progress).await;
    line.end(resized).map_err(|error| Failure::engine("resize error", &error))
}
