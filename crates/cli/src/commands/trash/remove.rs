//! `lsd trash remove` and `lsd trash purge`.
use super::{ID_SPEC, Subject, date};
use crate::command::image_args::pool_place;
use crate::command::options::{IMAGE_ID, NAMESPACE, POOL, POOL_ONLY, POOL_SPEC, PROGRESS};
use crate::command::{CommandSpec, OptionSpec, Parsed};
use crate::commands::remove::{HAS_SNAPSHOTS, HAS_WATCHERS, in_group};
use crate::commands::waiting::telling_who_is_waited_for;
use crate::error::{Failure, Result};
use crate::output::progress::ProgressLine;
use crate::session::Session;
use lsd_engine::{Error, ErrorKind, ImageRef, Trash};

pub const REMOVE: CommandSpec = CommandSpec {
    words: &["trash", "remove"],
    alias: &["trash", "rm"],
    summary: "Remove an image from trash.",
    epilogue: "",
    positionals: &[ID_SPEC],
    options: &[
        &[POOL, NAMESPACE, IMAGE_ID],
        PROGRESS,
        &[OptionSpec::switch("force", "force remove of non-expired delayed images")],
    ],
    run: |session, parsed| Box::pin(remove(session, parsed)),
};

pub const PURGE: CommandSpec = CommandSpec {
    words: &["trash", "purge"],
    alias: &[],
    summary: "Remove all expired images from trash.",
    epilogue: "",
    positionals: &[POOL_SPEC],
    options: &[
        POOL_ONLY,
        PROGRESS,
        &[
            OptionSpec::value(
                "expired-before",
                "purges images that expired before the given date, as date(1) reads it",
            ),
            OptionSpec::value(
                "threshold",
                "purges images until the current pool data usage is reduced to X%, value range: 0.0-1.0",
            ),
        ],
    ],
    run: |session, parsed| Box::pin(purge(session, parsed)),
};

async fn remove(session: &Session, parsed: &Parsed) -> Result<()> {
    let Subject { store, trash, id, .. } = Subject::of(session, parsed).await?;
    let line = ProgressLine::new("Removing image", !parsed.has("no-progress"));
    let progress = |done, total| {
        line.update(done, total);
        Ok(())
    };
    let removing = trash.remove(&id, parsed.has("force"), &progress);
    let removed = telling_who_is_waited_for(&store, &ImageRef::Id(id.clone()), &|| line.has_begun(), removing).await;
    let removed = match removed {
        Err(error) if error.kind == ErrorKind::InGroup => Err(in_group(&store, &ImageRef::Id(id), &error).await),
        removed => removed.map_err(|error| not_removed(&error)),
    };
    ended(&line, removed)
}

/// rbd says what is wrong before it ends the line that says how far it came.
fn ended(line: &ProgressLine, result: Result<()>) -> Result<()> {
    let result = result.map_err(|failure| {
        crate::report(&failure);
        Failure::silent(failure.code)
    });
    line.end(result)
}

fn not_removed(error: &Error) -> Failure {
    match error.kind {
        ErrorKind::NotEmpty => Failure::new(error.errno(), HAS_SNAPSHOTS),
        ErrorKind::Busy => Failure::new(error.errno(), HAS_WATCHERS),
        ErrorKind::Permission => Failure::bare(
            error.errno(),
            "\nDeferment time has not expired, please use --force if you really want to remove the image",
        ),
        ErrorKind::Corrupt => {
            let Failure { message, code, .. } = Failure::engine("remove error", error);
            let hint = "with a name again ('lsd trash restore'), 'lsd rm --force' removes it all the same";
            Failure::new(code, format!("{message}\n{hint}"))
        }
        _ => Failure::engine("remove error", error),
    }
}

async fn purge(session: &Session, parsed: &Parsed) -> Result<()> {
    let invalid = |text| Failure::usage(format!("the argument ('{text}') for option '--threshold' is invalid"));
    let threshold = parsed.get("threshold").map(|text| text.parse().map_err(|_| invalid(text))).transpose()?;
    let place = pool_place(parsed)?;
    let trash = Trash::new(session.store(&place).await?).with_bases(session.bases(&place).await?);
    let (share, by_ns) = match threshold {
        // rbd looks at the date where there is no threshold.
        Some(threshold) => (share_of(threshold)?, None),
        None => (None, parsed.get("expired-before").map(date::parse).transpose()?.map(date::to_the_second)),
    };
    let line = ProgressLine::new("Removing images", !parsed.has("no-progress")).repeating_end();
    let progress = |done, total| {
        line.update(done, total);
        Ok(())
    };
    let purged = match share {
        None => trash.purge(by_ns, &progress).await,
        Some(share) => trash.purge_to(share, by_ns, &progress).await.map(drop),
    };
    line.end(purged).map_err(|error| not_purged(&error))
}

/// -1 is rbd's word for none.
fn share_of(threshold: f32) -> Result<Option<f64>> {
    match threshold {
        -1.0 => Ok(None),
        0.0..=1.0 => Ok(Some(threshold.into())),
        _ => Err(Failure::invalid("argument 'threshold' is out of valid range")),
    }
}

fn not_purged(error: &Error) -> Failure {
    match error.kind {
        ErrorKind::NotEmpty | ErrorKind::Busy | ErrorKind::InGroup => Failure::new(
            error.errno(),
            "some expired images could not be removed\nEnsure that they are closed/unmapped, do not have snapshots \
             (including trashed snapshots with linked clones), are not in a group and were moved to the trash successfully.",
        ),
        _ => Failure::engine("purge error", error),
    }
}
