//! `lsd snap list` and `lsd snap purge`: no image of this format version has snapshots, so there is nothing to list and nothing
//! to delete, for images that are there.
use crate::command::image_args::by_name_or_id;
use crate::command::options::{FORMAT, IMAGE_SPEC, NO_PROGRESS, ONE_IMAGE};
use crate::command::{CommandSpec, OptionSpec, Parsed};
use crate::error::{Failure, Result};
use crate::output::format::{Format, Tree};
use crate::session::Session;

const IMAGE_ID: OptionSpec = OptionSpec::value("image-id", "image id");

pub const LIST: CommandSpec = CommandSpec {
    words: &["snap", "list"],
    alias: &["snap", "ls"],
    summary: "Dump list of image snapshots.",
    epilogue: "",
    positionals: &[IMAGE_SPEC],
    options: &[
        ONE_IMAGE,
        &[IMAGE_ID],
        FORMAT,
        &[OptionSpec::switch("all", "list snapshots from all namespaces").short('a')],
    ],
    run: |session, parsed| Box::pin(list(session, parsed)),
};

pub const PURGE: CommandSpec = CommandSpec {
    words: &["snap", "purge"],
    alias: &[],
    summary: "Delete all unprotected snapshots.",
    epilogue: "",
    positionals: &[IMAGE_SPEC],
    options: &[ONE_IMAGE, &[IMAGE_ID, NO_PROGRESS]],
    run: |session, parsed| Box::pin(open_and_close(session, parsed)),
};

async fn list(session: &Session, parsed: &Parsed) -> Result<()> {
    let format = Format::of(parsed)?;
    open_and_close(session, parsed).await?;
    format.print("snapshots", &Tree::List("snapshot", Vec::new()), String::new)
}

/// Fails for an image that is not there, or cannot be read.
async fn open_and_close(session: &Session, parsed: &Parsed) -> Result<()> {
    let (location, image) = by_name_or_id(parsed)?;
    let image = session.open_ref(&location, image, true).await?;
    image.close().await.map_err(|error| Failure::engine("error closing image", &error))
}
