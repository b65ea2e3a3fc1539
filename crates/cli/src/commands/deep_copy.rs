//! `lsd deep cp`: a copy with the snapshots, which stays a clone where the image is one.
use super::layout::{Layout, clone_format};
use super::transfer::closed;
use crate::command::image_args::{Role, Snap, image_location};
use crate::command::options::{
    CLONE_LAYOUT, DEST_IMAGE_SPEC, DESTINATION, FEATURES_EPILOGUE, NO_PROGRESS, SOURCE_IMAGE_OR_SNAP_SPEC,
    SOURCE_OR_SNAP,
};
use crate::command::{CommandSpec, OptionSpec, Parsed};
use crate::error::{Failure, Result};
use crate::output::progress::ProgressLine;
use crate::session::{Location, Session};
use crate::spec::{Place, Strictness};
use lsd_engine::{DeepCopy, Image};
use lsd_store::ObjectStore;
use std::sync::Arc;

const FAILED: &str = "deep copy failed";

pub const SPEC: CommandSpec = CommandSpec {
    words: &["deep", "copy"],
    alias: &["deep", "cp"],
    summary: "Deep copy src image to dest.",
    epilogue: FEATURES_EPILOGUE,
    positionals: &[SOURCE_IMAGE_OR_SNAP_SPEC, DEST_IMAGE_SPEC],
    options: &[
        SOURCE_OR_SNAP,
        DESTINATION,
        CLONE_LAYOUT,
        &[OptionSpec::switch("flatten", "fill clone with parent data (make it independent)"), NO_PROGRESS],
    ],
    run: |session, parsed| Box::pin(execute(session, parsed)),
};

async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let source = image_location(parsed, Role::Source, Strictness::Lenient, Snap::Permitted)?;
    let mut to = image_location(parsed, Role::Destination, Strictness::Strict, Snap::No)?;
    if to.place == Place::default() && matches!(source.place, Place::Directory(_)) {
        to.place = source.place.clone();
    }
    let layout = Layout::of(parsed)?;
    let image = source.open_moment(session).await?;
    let store = match to.store_for_new(session).await {
        Ok(store) => store,
        Err(failure) => return closed(&image, FAILED, Err(failure)).await,
    };
    let line = ProgressLine::new("Image deep copy", !parsed.has("no-progress")).repeating_end();
    let copied = copy(session, (&source, &image), (store, &to, &layout), parsed.has("flatten"), &line).await;
    closed(&image, FAILED, line.end(copied)).await
}

/// What was copied until an error is left, as rbd leaves it.
async fn copy(
    session: &Session,
    (source, image): (&Location, &Image),
    (store, to, layout): (Arc<dyn ObjectStore>, &Location, &Layout),
    flatten: bool,
    line: &ProgressLine,
) -> Result<()> {
    let format = clone_format(&session.settings_for_new(&store).await?)?;
    let copy = DeepCopy {
        layout: layout.for_copy(session, &store, &image.info()).await?,
        flatten,
        format,
        from: session.open_options(&source.place, true).await?,
        to: session.open_options(&to.place, false).await?,
        store,
        name: to.image.clone(),
    };
    let progress = |done, total| {
        line.update(done, total);
        Ok(())
    };
    let copied = to.give_name(session, image.deep_copy(&copy, &progress)).await;
    copied.map(drop).map_err(|error| Failure::engine(FAILED, &error))
}
