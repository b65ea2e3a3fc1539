//! `lsd create`.
use super::layout::Layout;
use crate::command::image_args::{Role, Snap, image_location};
use crate::command::options::{FEATURES_EPILOGUE, IMAGE_SPEC, LAYOUT, NO_PROGRESS, ONE_IMAGE, SIZE};
use crate::command::{CommandSpec, OptionSpec, Parsed};
use crate::error::{Failure, Result};
use crate::output::progress::ProgressLine;
use crate::output::size;
use crate::session::{Location, Session};
use crate::spec::Strictness;
use lsd_engine::Image;

const THICK_CHUNK_BYTES: u64 = 4 << 20;

pub const SPEC: CommandSpec = CommandSpec {
    words: &["create"],
    alias: &[],
    summary: "Create an empty image.",
    epilogue: FEATURES_EPILOGUE,
    positionals: &[IMAGE_SPEC],
    options: &[
        ONE_IMAGE,
        LAYOUT,
        &[OptionSpec::switch("thick-provision", "fully allocate storage and zero image"), SIZE, NO_PROGRESS],
    ],
    run: |session, parsed| Box::pin(execute(session, parsed)),
};

/// `--size`, which must be given.
pub fn size_argument(parsed: &Parsed) -> Result<u64> {
    let size = parsed.get_with("size", size::parse_image_size)?;
    size.ok_or_else(|| Failure::invalid("must specify --size <M/G/T>"))
}

async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let location = image_location(parsed, Role::Only, Strictness::Strict, Snap::No)?;
    let layout = Layout::of(parsed)?;
    let size = size_argument(parsed)?;
    let store = location.store_for_new(session).await?;
    let options = layout.for_new(session, &store, size).await?;
    let created = location.give_name(session, Image::create(&store, &location.image, &options)).await;
    created.map_err(|error| Failure::engine("create error", &error))?;
    if parsed.has("thick-provision") {
        let line = ProgressLine::new("Thick provisioning", !parsed.has("no-progress")).repeating_end();
        line.end(provision(session, &location, &line).await)?;
    }
    Ok(())
}

/// Writes zeroes everywhere, in space that stays allocated.
async fn provision(session: &Session, location: &Location, line: &ProgressLine) -> Result<()> {
    let failed = |error: lsd_engine::Error| Failure::engine("thick provisioning error", &error);
    let image = location.open_image(session, false).await?;
    let size = image.size();
    let mut done = 0;
    while done < size {
        let len = THICK_CHUNK_BYTES.min(size - done);
        image.write_zeroes(done, len, true, false).await.map_err(failed)?;
        done += len;
        line.update(done, size);
    }
    image.flush().await.map_err(failed)?;
    image.close().await.map_err(failed)
}
