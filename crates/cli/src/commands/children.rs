//! `lsd children`: no image has any yet, for images and snapshots that are there.
use super::transfer::closed;
use crate::command::image_args::{Role, Snap, image_location};
use crate::command::options::{FORMAT, IMAGE_OR_SNAP, IMAGE_OR_SNAP_SPEC, SNAP_ID};
use crate::command::{CommandSpec, OptionSpec, Parsed};
use crate::error::{Failure, Result};
use crate::output::format::{Format, Tree};
use crate::session::Session;
use crate::spec::Strictness;
use lsd_engine::ErrorKind;

pub const SPEC: CommandSpec = CommandSpec {
    words: &["children"],
    alias: &[],
    summary: "Display children of an image or its snapshot.",
    epilogue: "",
    positionals: &[IMAGE_OR_SNAP_SPEC],
    options: &[
        IMAGE_OR_SNAP,
        &[
            SNAP_ID,
            OptionSpec::switch("all", "list all children (include trash)").short('a'),
            OptionSpec::switch("descendants", "include all descendants"),
        ],
        FORMAT,
    ],
    run: |session, parsed| Box::pin(execute(session, parsed)),
};

async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let location = image_location(parsed, Role::Only, Strictness::Lenient, Snap::Permitted)?;
    let format = Format::of(parsed)?;
    let id = parsed.number("snap-id")?;
    if id.is_some() && location.snap.is_some() {
        return Err(Failure::invalid("trying to access snapshot using both name and id."));
    }
    // The image first: one that is not there has no snapshots either.
    let image = location.head().open_image(session, true).await?;
    let snapshots = image.snapshots();
    let found = match (&location.snap, id) {
        (Some(name), _) => snapshots.get(name).await.map(drop),
        (None, Some(id)) => snapshots.get_by_id(id).await.map(drop),
        (None, None) => Ok(()),
    };
    let found = found.map_err(|error| match error.kind {
        ErrorKind::NotFound => Failure::new(error.errno(), "snapshot does not exist."),
        _ => Failure::engine("error reading snapshots", &error),
    });
    closed(&image, "error closing image", found).await?;
    format.print("children", &Tree::List("child", Vec::new()), String::new)
}
