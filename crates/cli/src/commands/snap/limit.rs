//! `lsd snap limit set` and `lsd snap limit clear`.
use super::failed;
use crate::command::image_args::existing_image;
use crate::command::options::{IMAGE_SPEC, ONE_IMAGE};
use crate::command::{CommandSpec, OptionSpec, Parsed};
use crate::commands::transfer::closed;
use crate::error::{Failure, Result};
use crate::session::{Location, Session};
use nix::libc;

pub const SET_LIMIT: CommandSpec = CommandSpec {
    words: &["snap", "limit", "set"],
    alias: &[],
    summary: "Limit the number of snapshots.",
    epilogue: "",
    positionals: &[IMAGE_SPEC],
    options: &[ONE_IMAGE, &[OptionSpec::value("limit", "maximum allowed snapshot count")]],
    run: |session, parsed| Box::pin(set(session, parsed)),
};

pub const CLEAR_LIMIT: CommandSpec = CommandSpec {
    words: &["snap", "limit", "clear"],
    alias: &[],
    summary: "Remove snapshot limit.",
    epilogue: "",
    positionals: &[IMAGE_SPEC],
    options: &[ONE_IMAGE],
    run: |session, parsed| Box::pin(clear(session, parsed)),
};

/// The largest number is rbd's word for no limit.
const NO_LIMIT: u64 = u64::MAX;

async fn set(session: &Session, parsed: &Parsed) -> Result<()> {
    let limit = parsed.number("limit")?;
    let location = existing_image(parsed)?;
    let limit = limit.ok_or_else(|| Failure::new(libc::ERANGE, "must specify --limit <num>"))?;
    let limit = Some(limit).filter(|limit| *limit != NO_LIMIT);
    change(session, &location, limit, "setting snapshot limit failed").await
}

async fn clear(session: &Session, parsed: &Parsed) -> Result<()> {
    change(session, &existing_image(parsed)?, None, "clearing snapshot limit failed").await
}

async fn change(session: &Session, location: &Location, limit: Option<u64>, what: &str) -> Result<()> {
    let image = location.open_image(session, false).await?;
    let changed = image.snapshots().set_limit(limit).await.map_err(|error| failed(what, &error));
    closed(&image, what, changed).await
}
