//! `lsd snap create`, `lsd snap rename` and `lsd snap rollback`.
use super::{failed, progress_line, snapshot_of};
use crate::command::image_args::Role;
use crate::command::options::{
    DEST_OR_SNAP, DEST_SNAP_SPEC, IMAGE_OR_SNAP, PROGRESS, SNAP_SPEC, SOURCE_OR_SNAP, SOURCE_SNAP_SPEC,
};
use crate::command::{CommandSpec, OptionSpec, Parsed};
use crate::commands::transfer::closed;
use crate::error::{Failure, Result};
use crate::output::progress::ProgressLine;
use crate::session::{Location, Session};
use crate::spec::{Place, Strictness};
use lsd_engine::{ErrorKind, Image, Quiesce};

const CREATE_FAILED: &str = "failed to create snapshot";
const RENAME_FAILED: &str = "renaming snap failed";
const ROLLBACK_FAILED: &str = "rollback failed";

pub const CREATE: CommandSpec = CommandSpec {
    words: &["snap", "create"],
    alias: &["snap", "add"],
    summary: "Create a snapshot.",
    epilogue: "",
    positionals: &[SNAP_SPEC],
    options: &[
        IMAGE_OR_SNAP,
        &[
            OptionSpec::switch("skip-quiesce", "do not run quiesce hooks"),
            OptionSpec::switch("ignore-quiesce-error", "ignore quiesce hook error"),
        ],
        PROGRESS,
    ],
    run: |session, parsed| Box::pin(create(session, parsed)),
};

pub const RENAME: CommandSpec = CommandSpec {
    words: &["snap", "rename"],
    alias: &[],
    summary: "Rename a snapshot.",
    epilogue: "",
    positionals: &[SOURCE_SNAP_SPEC, DEST_SNAP_SPEC],
    options: &[SOURCE_OR_SNAP, DEST_OR_SNAP],
    run: |session, parsed| Box::pin(rename(session, parsed)),
};

pub const ROLLBACK: CommandSpec = CommandSpec {
    words: &["snap", "rollback"],
    alias: &["snap", "revert"],
    summary: "Rollback image to snapshot.",
    epilogue: "",
    positionals: &[SNAP_SPEC],
    options: &[IMAGE_OR_SNAP, PROGRESS],
    run: |session, parsed| Box::pin(rollback(session, parsed)),
};

async fn create(session: &Session, parsed: &Parsed) -> Result<()> {
    let (location, name) = snapshot_of(parsed, Role::Only, Strictness::NewSnap)?;
    let quiesce = quiesce_of(parsed)?;
    let image = location.open_image(session, false).await?;
    let created = take(&image, &name, quiesce, &progress_line(parsed, "Creating snap")).await;
    closed(&image, CREATE_FAILED, created).await
}

/// Whether clients that want to be quiet before a snapshot are asked, and waited for.
pub(in crate::commands) fn quiesce_of(parsed: &Parsed) -> Result<Quiesce> {
    match (parsed.has("skip-quiesce"), parsed.has("ignore-quiesce-error")) {
        (true, true) => Err(Failure::invalid("ignore-quiesce-error cannot be used together with skip-quiesce")),
        (true, false) => Ok(Quiesce::Skip),
        (false, true) => Ok(Quiesce::IgnoreErrors),
        (false, false) => Ok(Quiesce::Required),
    }
}

async fn take(image: &Image, name: &str, quiesce: Quiesce, line: &ProgressLine) -> Result<()> {
    let progress = |done, total| {
        line.update(done, total);
        Ok(())
    };
    let created = image.snapshots().create_with(name, quiesce, &progress).await;
    // rbd looks at the name first; a tenth is done when it knows the rest.
    if created.as_ref().is_err_and(|error| error.kind != ErrorKind::Exists) {
        line.update(10, 100);
    }
    line.end(created).map_err(|error| failed(CREATE_FAILED, &error))
}

async fn rename(session: &Session, parsed: &Parsed) -> Result<()> {
    let (source, from) = snapshot_of(parsed, Role::Source, Strictness::Lenient)?;
    let (destination, to) = snapshot_of(parsed, Role::Destination, Strictness::NewSnap)?;
    check_same_image(&source, &destination)?;
    let image = source.open_image(session, false).await?;
    let renamed = image.snapshots().rename(&from, &to).await.map_err(|error| failed(RENAME_FAILED, &error));
    closed(&image, RENAME_FAILED, renamed).await
}

/// The destination is in the source's place where it does not say another. What is said is compared, not what it stands for.
fn check_same_image(source: &Location, destination: &Location) -> Result<()> {
    let different = |what: &str| Err(Failure::invalid(format!("source and destination {what} must be the same")));
    match (&source.place, &destination.place) {
        (Place::Pool { pool, namespace }, Place::Pool { pool: other, namespace: other_namespace }) => {
            if other.is_some() && pool != other {
                return different("pool");
            }
            if !other_namespace.is_empty() && namespace != other_namespace {
                return different("namespace");
            }
        }
        (Place::Directory(_), place) if *place == Place::default() => {}
        (place, other) if place != other => return different("pool"),
        _ => {}
    }
    if source.image == destination.image { Ok(()) } else { different("image name") }
}

async fn rollback(session: &Session, parsed: &Parsed) -> Result<()> {
    let (location, name) = snapshot_of(parsed, Role::Only, Strictness::Lenient)?;
    let image = location.open_image(session, false).await?;
    let line = progress_line(parsed, "Rolling back to snapshot");
    let rolled_back = line.end(image.snapshots().rollback(&name).await);
    closed(&image, ROLLBACK_FAILED, rolled_back.map_err(|error| failed(ROLLBACK_FAILED, &error))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_renamed_within_its_image() {
        let check = |source: &str, destination: &str| {
            let [source, destination] = [source, destination].map(|text| Location::parse(text).unwrap());
            check_same_image(&source, &destination).map_err(|failure| failure.message)
        };
        let must = |what: &str| Err(format!("source and destination {what} must be the same"));
        for (source, destination) in
            [("a", "a"), ("p/a", "p/a"), ("p/a", "a"), ("p/n/a", "p/a"), ("p/n/a", "a"), ("dir:/d/a", "a")]
        {
            assert_eq!(check(source, destination), Ok(()), "{source} {destination}");
        }
        assert_eq!(check("a", "b"), must("image name"));
        assert_eq!(check("dir:/d/a", "dir:/d/b"), must("image name"));
        assert_eq!(check("a", "p/a"), must("pool"));
        assert_eq!(check("dir:/d/a", "dir:/e/a"), must("pool"));
        assert_eq!(check("dir:/d/a", "p/a"), must("pool"));
        assert_eq!(check("a", "dir:/d/a"), must("pool"));
        assert_eq!(check("p/n/a", "p/m/a"), must("namespace"));
    }
}
