//! `lsd cp`.
use super::layout::Layout;
use super::transfer::{chunks_with_data, closed, requests_in_flight, sparse_bytes, write_pieces};
use crate::command::image_args::{Role, Snap, image_location};
use crate::command::options::{
    DEST_IMAGE_SPEC, DESTINATION, FEATURES_EPILOGUE, LAYOUT, NO_PROGRESS, SOURCE_IMAGE_OR_SNAP_SPEC, SOURCE_OR_SNAP,
    SPARSE_SIZE,
};
use crate::command::{CommandSpec, Parsed};
use crate::error::{Failure, Result};
use crate::output::progress::ProgressLine;
use crate::output::warn_named;
use crate::session::{Location, Session};
use crate::spec::{Place, Strictness};
use futures::{StreamExt, TryStreamExt};
use lsd_engine::{Image, ImageRef};

pub const SPEC: CommandSpec = CommandSpec {
    words: &["copy"],
    alias: &["cp"],
    summary: "Copy src image to dest.",
    epilogue: FEATURES_EPILOGUE,
    positionals: &[SOURCE_IMAGE_OR_SNAP_SPEC, DEST_IMAGE_SPEC],
    options: &[SOURCE_OR_SNAP, DESTINATION, LAYOUT, &[SPARSE_SIZE, NO_PROGRESS]],
    run: |session, parsed| Box::pin(execute(session, parsed)),
};

async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let source = image_location(parsed, Role::Source, Strictness::Lenient, Snap::Permitted)?;
    let mut destination = image_location(parsed, Role::Destination, Strictness::Strict, Snap::No)?;
    if destination.place == Place::default() && matches!(source.place, Place::Directory(_)) {
        destination.place = source.place.clone();
    }
    let layout = Layout::of(parsed)?;
    let granule = sparse_bytes(parsed)?;
    let image = source.open_moment(session).await?;
    let line = ProgressLine::new("Image copy", !parsed.has("no-progress")).repeating_end();
    let copied = copy(session, &image, &destination, &layout, Copy { granule, line: &line }).await;
    closed(&image, "copy failed", line.end(copied)).await
}

/// How the content is copied.
#[derive(Clone, Copy)]
struct Copy<'a> {
    granule: usize,
    line: &'a ProgressLine,
}

/// A copy that could not be completed is removed again.
async fn copy(session: &Session, source: &Image, to: &Location, layout: &Layout, how: Copy<'_>) -> Result<()> {
    let store = to.store_for_new(session).await?;
    let options = layout.for_copy(session, &store, &source.info()).await?;
    let created = to.give_name(session, Image::create(&store, &to.image, &options)).await;
    created.map_err(|error| failed(&error))?;
    let target = to.open_image(session, false).await?;
    let filled = fill(session, source, &target, how).await;
    let filled = closed(&target, "copy failed", filled).await;
    if filled.is_err()
        && let Err(error) = Image::remove(&store, &ImageRef::Name(to.image.clone()), &|_, _| Ok(())).await
    {
        warn_named(&format!("cannot remove the incomplete image {}: {error}", to.image));
    }
    filled
}

async fn fill(session: &Session, source: &Image, target: &Image, how: Copy<'_>) -> Result<()> {
    // From the first flush on a write need not be durable when it is acknowledged; that it all is, the last one sees to.
    target.flush().await.map_err(|error| failed(&error))?;
    let chunks = chunks_with_data(source).await.map_err(|error| failed(&error))?;
    let total = chunks.len() as u64;
    let moves = chunks.into_iter().map(|chunk| async move {
        let data = source.read(chunk.start, chunk.end - chunk.start).await?;
        write_pieces(target, chunk.start, data, how.granule).await?;
        Ok::<(), lsd_engine::Error>(())
    });
    let mut moves = futures::stream::iter(moves).buffer_unordered(requests_in_flight(session));
    let mut done = 0;
    while let Some(()) = moves.try_next().await.map_err(|error| failed(&error))? {
        done += 1;
        how.line.update(done, total);
    }
    for (key, value) in source.metadata().list().await.map_err(|error| failed(&error))? {
        target.metadata().set(&key, &value).await.map_err(|error| failed(&error))?;
    }
    target.flush().await.map_err(|error| failed(&error))
}

fn failed(error: &lsd_engine::Error) -> Failure {
    Failure::engine("copy failed", error)
}
