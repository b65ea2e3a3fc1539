//! `lsd snap remove` and `lsd snap purge`.
use super::{IMAGE_ID, failed, is_users, progress_line};
use crate::command::image_args::{Snap, by_name_or_id};
use crate::command::options::{IMAGE_OR_SNAP, IMAGE_SPEC, ONE_IMAGE, PROGRESS, SNAP_ID, SNAP_SPEC};
use crate::command::{CommandSpec, OptionSpec, Parsed};
use crate::commands::transfer::closed;
use crate::error::{Failure, Result};
use crate::output::progress::ProgressLine;
use crate::output::{print, program};
use crate::session::Session;
use lsd_engine::{Error, ErrorKind, Image, OpenOptions, SnapInfo};

const REMOVE_FAILED: &str = "failed to remove snapshot";
const PURGE_FAILED: &str = "removing snaps failed";
const FORCE_HELP: &str = "flatten children and unprotect snapshot if needed.";

pub const REMOVE: CommandSpec = CommandSpec {
    words: &["snap", "remove"],
    alias: &["snap", "rm"],
    summary: "Delete a snapshot.",
    epilogue: "",
    positionals: &[SNAP_SPEC],
    options: &[IMAGE_OR_SNAP, IMAGE_ID, &[SNAP_ID], PROGRESS, &[OptionSpec::switch("force", FORCE_HELP)]],
    run: |session, parsed| Box::pin(remove(session, parsed)),
};

pub const PURGE: CommandSpec = CommandSpec {
    words: &["snap", "purge"],
    alias: &[],
    summary: "Delete all unprotected snapshots.",
    epilogue: "",
    positionals: &[IMAGE_SPEC],
    options: &[ONE_IMAGE, IMAGE_ID, PROGRESS],
    run: |session, parsed| Box::pin(purge(session, parsed)),
};

async fn remove(session: &Session, parsed: &Parsed) -> Result<()> {
    let id = parsed.number("snap-id")?;
    let needed = if id.is_some() { Snap::Permitted } else { Snap::Required };
    let (location, image) = by_name_or_id(parsed, needed)
        .map_err(|failure| Failure { message: failure.message.trim_end().to_owned(), ..failure })?;
    if id.is_some() && location.snap.is_some() {
        return Err(Failure::invalid("trying to access snapshot using both name and id."));
    }
    if id.is_some() && (parsed.has("force") || parsed.has("no-progress")) {
        return Err(Failure::invalid("force and no-progress options not permitted when removing by id."));
    }
    let image = session.open_ref(&location.head(), image, false).await?;
    let removed = match (id, location.snap.clone()) {
        (Some(id), _) => {
            let removed = image.snapshots().remove_by_id(id).await;
            removed.map_err(|error| in_words(&error, &format!("id {id}")))
        }
        (None, name) => {
            let name = name.unwrap_or_default();
            let line = progress_line(parsed, "Removing snap");
            let force = parsed.has("force").then_some(session.open_options(&location.place, false).await?);
            let removed = line.end(remove_named(&image, &name, force.as_ref(), &line).await);
            removed.map_err(|error| in_words(&error, &format!("'{name}'")))
        }
    };
    closed(&image, REMOVE_FAILED, removed).await
}

/// `force`: whether it is protected or not; its clones are flattened, which are opened with these options.
async fn remove_named(
    image: &Image,
    name: &str,
    force: Option<&OpenOptions>,
    line: &ProgressLine,
) -> lsd_engine::Result<()> {
    let snapshots = image.snapshots();
    if let Some(options) = force {
        let progress = |done, total| {
            line.update(done, total);
            Ok(())
        };
        snapshots.flatten_children(name, options, &progress).await?;
        if snapshots.get(name).await?.is_protected {
            snapshots.unprotect(name).await?;
        }
    }
    snapshots.remove(name).await
}

fn in_words(error: &Error, snapshot: &str) -> Failure {
    match error.kind {
        ErrorKind::Busy => Failure::new(error.errno(), format!("snapshot {snapshot} is protected from removal.")),
        _ => failed(REMOVE_FAILED, error),
    }
}

async fn purge(session: &Session, parsed: &Parsed) -> Result<()> {
    let (location, image) = by_name_or_id(parsed, Snap::No)?;
    let image = session.open_ref(&location, image, false).await?;
    let line = progress_line(parsed, "Removing all snapshots");
    let purged = remove_all(&image, &line).await;
    closed(&image, PURGE_FAILED, purged).await
}

/// Those that are protected stay, which is said and is no failure.
async fn remove_all(image: &Image, line: &ProgressLine) -> Result<()> {
    let snapshots = image.snapshots();
    let failed = |error: Error| {
        line.fail();
        failed(PURGE_FAILED, &error)
    };
    let users = snapshots.list().await.map_err(failed)?.into_iter().filter(is_users);
    let (kept, doomed): (Vec<SnapInfo>, Vec<SnapInfo>) = users.partition(|snapshot| snapshot.is_protected);
    if !kept.is_empty() {
        print(&kept_words(&kept))?;
    }
    let total = (kept.len() + doomed.len()) as u64;
    for (done, snapshot) in (1..).zip(&doomed) {
        snapshots.remove_by_id(snapshot.id).await.map_err(failed)?;
        line.update(done, total);
    }
    match (kept.is_empty(), doomed.is_empty()) {
        (false, _) => line.fail(),
        (true, false) => line.finish(),
        (true, true) => {}
    }
    Ok(())
}

fn kept_words(kept: &[SnapInfo]) -> String {
    let names: Vec<&str> = kept.iter().map(|snapshot| snapshot.name.as_str()).collect();
    let verb = if names.len() == 1 { "is" } else { "are" };
    format!(
        "{}: error removing snapshot(s) '{}', which {verb} protected - these must be unprotected with `lsd snap unprotect`.\n",
        program(),
        names.join(",")
    )
}
