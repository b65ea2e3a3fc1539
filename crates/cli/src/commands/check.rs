//! `lsd check`: what an image consists of against itself, without opening it.
//!
//! Owns: the options and the exit codes, which are those of `qemu-img check`. Does not own: the words (`check/words.rs`), what is
//! looked at (the engine).
use crate::command::image_args::{Role, spec_of};
use crate::command::options::{FORMAT, IMAGE_SPEC, NO_PROGRESS, ONE_IMAGE};
use crate::command::{CommandSpec, OptionSpec, Parsed};
use crate::error::{Failure, Result};
use crate::output::format::Format;
use crate::output::progress::ProgressLine;
use crate::session::Session;
use crate::spec::{Place, Strictness};
use lsd_engine::{CheckReport, ErrorKind, Image, ImageId, ImageRef, RepairOptions, RepairReport, Severity};

mod words;

/// The check did not come to its end.
const EXIT_NOT_CHECKED: i32 = 1;
const EXIT_CORRUPTIONS: i32 = 2;
/// Space is lost and nothing else.
const EXIT_LEAKS: i32 = 3;

pub const SPEC: CommandSpec = CommandSpec {
    words: &["check"],
    alias: &[],
    summary: "Check an image: header, map, log and checksums against each other.",
    epilogue: "Exit codes: 0 the image is sound, 1 it could not be checked, 2 something is\n\
               damaged, 3 space is lost and nothing is damaged. After --repair they are about\n\
               what is left. Without --repair nothing is changed. An image in use can be\n\
               checked: what is found may have been put right meanwhile.",
    positionals: &[IMAGE_SPEC],
    options: &[
        ONE_IMAGE,
        &[
            OptionSpec::value("image-id", "image id"),
            OptionSpec::switch(
                "repair",
                "rebuild what can be rebuilt from intact data, and delete what is no longer needed",
            ),
            OptionSpec::switch(
                "discard-damaged",
                "with --repair: give up damaged data, which reads as zeroes afterwards, and everything that a damaged log \
                 has after the damage",
            ),
            NO_PROGRESS,
        ],
        FORMAT,
    ],
    run: |session, parsed| {
        Box::pin(async move {
            let outcome = execute(session, parsed).await;
            // The errno of what kept it from checking would be taken for a result.
            outcome.map_err(|failure| match failure.message.is_empty() {
                true => failure,
                false => Failure { code: EXIT_NOT_CHECKED, ..failure },
            })
        })
    },
};

async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let format = Format::of(parsed)?;
    if parsed.has("discard-damaged") && !parsed.has("repair") {
        return Err(Failure::usage("--discard-damaged only works with --repair"));
    }
    let (place, image, name) = subject(parsed)?;
    let (store, bases) = (session.store(&place).await?, session.bases(&place).await?);
    let line = ProgressLine::new("Checking image", !parsed.has("no-progress"));
    let progress = |done, total| {
        line.update(done, total);
        Ok(())
    };
    let report = if parsed.has("repair") {
        let watch_timeout = session.image_settings()?.watch_timeout;
        let options = RepairOptions { discard_damaged: parsed.has("discard-damaged"), watch_timeout };
        line.end(Image::repair_with(&store, &image, options, &bases, &progress).await)
    } else {
        let checked = line.end(Image::check_with(&store, &image, &bases, &progress).await);
        checked.map(|report| RepairReport { before: report.clone(), after: report, ..RepairReport::default() })
    };
    let report = report.map_err(|error| match error.kind {
        ErrorKind::Busy => {
            Failure::new(error.errno(), format!("the image is in use, so it cannot be repaired: {error}"))
        }
        _ => Failure::engine(&format!("error checking image {name}"), &error),
    })?;
    let repaired = parsed.has("repair");
    format.print("check", &words::tree(&name, &report, repaired), || words::plain(&report, repaired))?;
    match exit_code(&report.after) {
        0 => Ok(()),
        code => Err(Failure::silent(code)),
    }
}

fn exit_code(report: &CheckReport) -> i32 {
    match report.worst() {
        Some(Severity::Corruption) => EXIT_CORRUPTIONS,
        Some(Severity::Leak) => EXIT_LEAKS,
        Some(Severity::Note) | None => 0,
    }
}

/// The image by its name or id, and how to call it.
fn subject(parsed: &Parsed) -> Result<(Place, ImageRef, String)> {
    let spec = spec_of(parsed, Role::Only, Strictness::Lenient)?;
    let (image, name) = match (parsed.get("image-id"), spec.image) {
        (Some(_), Some(_)) => return Err(Failure::invalid("trying to access image using both name and id. ")),
        (Some(id), None) => (ImageRef::Id(ImageId(id.to_owned())), id.to_owned()),
        (None, Some(name)) => (ImageRef::Name(name.clone()), name),
        (None, None) => return Err(Failure::invalid("image name was not specified")),
    };
    if spec.snap.is_some() {
        return Err(Failure::invalid("snapname specified for a command that doesn't use it"));
    }
    Ok((spec.place, image, name))
}
