//! `lsd clone`.
use super::layout::Layout;
use super::transfer::closed;
use crate::command::image_args::{Role, Snap, image_location};
use crate::command::options::{
    CLONE_LAYOUT, DEST_IMAGE_SPEC, DESTINATION, FEATURES_EPILOGUE, SOURCE_OR_SNAP, SOURCE_SNAP_SPEC,
};
use crate::command::{CommandSpec, Parsed};
use crate::error::{Failure, Result};
use crate::session::{Location, Session};
use crate::spec::{Place, Strictness};
use lsd_engine::{CloneOptions, Image, ImageRef, SnapRef};

pub mod over_stock;

const FAILED: &str = "clone error";

pub const SPEC: CommandSpec = CommandSpec {
    words: &["clone"],
    alias: &[],
    summary: "Clone a snapshot into a CoW child image.",
    epilogue: FEATURES_EPILOGUE,
    positionals: &[SOURCE_SNAP_SPEC, DEST_IMAGE_SPEC],
    options: &[SOURCE_OR_SNAP, DESTINATION, CLONE_LAYOUT],
    run: |session, parsed| Box::pin(execute(session, parsed)),
};

async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let parent = image_location(parsed, Role::Source, Strictness::Lenient, Snap::Required)?;
    let mut to = image_location(parsed, Role::Destination, Strictness::Strict, Snap::No)?;
    if to.place == Place::default() && matches!(parent.place, Place::Directory(_)) {
        to.place = parent.place.clone();
    }
    let layout = Layout::of(parsed)?;
    let (from, store) = (session.store(&parent.place).await?, session.store(&to.place).await?);
    if let (Place::Pool { .. }, Place::Pool { .. }) = (&parent.place, &to.place)
        && over_stock::is_stock(session, &parent).await?
    {
        return over_stock::clone(session, &parent, &to, &layout).await;
    }
    let options = options(session, &parent, &layout, &to).await?;
    let image = ImageRef::Name(parent.image.clone());
    let snapshot = SnapRef::Name(parent.snap.clone().unwrap_or_default());
    let make = Image::clone_from((&from, &image, &snapshot), (&store, &to.image), &options);
    let made = to.give_name(session, make).await;
    made.map(drop).map_err(|error| Failure::engine(FAILED, &error))
}

/// What the parent has is looked at only where it is needed.
async fn options(session: &Session, parent: &Location, layout: &Layout, to: &Location) -> Result<CloneOptions> {
    let store = session.store(&to.place).await?;
    let features = match layout.needs_parent() {
        true => {
            let image = parent.head().open_image(session, true).await.map_err(|failure| match failure.code {
                code if code == nix::libc::ENOENT => Failure::errno(FAILED, code),
                _ => failure,
            })?;
            closed(&image, FAILED, Ok(image.info().features)).await?
        }
        false => 0,
    };
    layout.for_clone(session, &store, features).await
}
