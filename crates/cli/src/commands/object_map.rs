//! `lsd object-map`: whether the map of an image, or of a snapshot, is sound. It cannot become invalid as that of rbd does, so there is
//! nothing to rebuild; `lsd check` says more.
use super::transfer::closed;
use crate::command::image_args::{Role, Snap, image_location};
use crate::command::options::{IMAGE_OR_SNAP, IMAGE_OR_SNAP_SPEC, PROGRESS};
use crate::command::{CommandSpec, Parsed};
use crate::error::{Failure, Result};
use crate::output::progress::ProgressLine;
use crate::session::Session;
use crate::spec::Strictness;

pub const CHECK: CommandSpec = CommandSpec {
    words: &["object-map", "check"],
    alias: &[],
    summary: "Verify the object map is correct.",
    epilogue: "",
    positionals: &[IMAGE_OR_SNAP_SPEC],
    options: &[IMAGE_OR_SNAP, PROGRESS],
    run: |session, parsed| Box::pin(check(session, parsed)),
};

pub const REBUILD: CommandSpec = CommandSpec {
    words: &["object-map", "rebuild"],
    alias: &[],
    summary: "Rebuild an invalid object map.",
    epilogue: "",
    positionals: &[IMAGE_OR_SNAP_SPEC],
    options: &[IMAGE_OR_SNAP, PROGRESS],
    run: |session, parsed| Box::pin(rebuild(session, parsed)),
};

async fn check(session: &Session, parsed: &Parsed) -> Result<()> {
    let location = image_location(parsed, Role::Only, Strictness::Lenient, Snap::Permitted)?;
    let image = location.open_image(session, true).await?;
    let line = ProgressLine::new("Object Map Check", !parsed.has("no-progress"));
    let progress = |done, total| {
        line.update(done, total);
        Ok(())
    };
    let what = "checking object map failed";
    let checked = line.end(image.check_object_map(&progress).await);
    closed(&image, what, checked.map_err(|error| Failure::errno(what, error.errno()))).await
}

async fn rebuild(session: &Session, parsed: &Parsed) -> Result<()> {
    let location = image_location(parsed, Role::Only, Strictness::Lenient, Snap::Permitted)?;
    // A snapshot must be there; what is looked at is all of the image.
    if location.snap.is_some() {
        let shown = location.open_image(session, true).await?;
        shown.close().await.map_err(|error| Failure::engine("error closing image", &error))?;
    }
    let image = location.head().open_image(session, false).await?;
    let line = ProgressLine::new("Object Map Rebuild", !parsed.has("no-progress"));
    let progress = |done, total| {
        line.update(done, total);
        Ok(())
    };
    let what = "rebuilding object map failed";
    let rebuilt = line.end(image.rebuild_object_map(&progress).await);
    closed(&image, what, rebuilt.map_err(|error| Failure::errno(what, error.errno()))).await
}
