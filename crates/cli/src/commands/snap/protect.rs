//! `lsd snap protect` and `lsd snap unprotect`.
use super::{IMAGE_ID, failed, snapshot_of};
use crate::command::image_args::{Role, Snap, by_name_or_id};
use crate::command::options::{IMAGE_OR_SNAP, SNAP_SPEC};
use crate::command::{CommandSpec, Parsed};
use crate::commands::transfer::closed;
use crate::error::{Failure, Result};
use crate::session::Session;
use crate::spec::Strictness;
use lsd_engine::{Error, ErrorKind};

const PROTECT_FAILED: &str = "protecting snap failed";
const UNPROTECT_FAILED: &str = "unprotecting snap failed";

pub const PROTECT: CommandSpec = CommandSpec {
    words: &["snap", "protect"],
    alias: &[],
    summary: "Prevent a snapshot from being deleted.",
    epilogue: "",
    positionals: &[SNAP_SPEC],
    options: &[IMAGE_OR_SNAP],
    run: |session, parsed| Box::pin(protect(session, parsed)),
};

pub const UNPROTECT: CommandSpec = CommandSpec {
    words: &["snap", "unprotect"],
    alias: &[],
    summary: "Allow a snapshot to be deleted.",
    epilogue: "",
    positionals: &[SNAP_SPEC],
    options: &[IMAGE_OR_SNAP, IMAGE_ID],
    run: |session, parsed| Box::pin(unprotect(session, parsed)),
};

async fn protect(session: &Session, parsed: &Parsed) -> Result<()> {
    let (location, name) = snapshot_of(parsed, Role::Only, Strictness::Lenient)?;
    let image = location.open_image(session, false).await?;
    let in_words = |error: Error| match error.kind {
        ErrorKind::Busy => Failure::new(error.errno(), "snap is already protected"),
        _ => failed(PROTECT_FAILED, &error),
    };
    let protected = image.snapshots().protect(&name).await.map_err(in_words);
    closed(&image, PROTECT_FAILED, protected).await
}

async fn unprotect(session: &Session, parsed: &Parsed) -> Result<()> {
    let (location, image) = by_name_or_id(parsed, Snap::Required)?;
    let image = session.open_ref(&location.head(), image, false).await?;
    let in_words = |error: Error| match error.kind {
        ErrorKind::Invalid => Failure::new(error.errno(), "snap is already unprotected"),
        _ => failed(UNPROTECT_FAILED, &error),
    };
    let name = location.snap.unwrap_or_default();
    let unprotected = image.snapshots().unprotect(&name).await.map_err(in_words);
    closed(&image, UNPROTECT_FAILED, unprotected).await
}
