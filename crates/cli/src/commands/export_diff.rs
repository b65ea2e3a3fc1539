//! `lsd export-diff`: what an image or a snapshot has that an earlier snapshot has not, in rbd's format.
use super::changes::Start;
use super::diff::{FROM_SNAP, WHOLE_OBJECT};
use super::export::since::Difference;
use super::export::{PATH, PATH_OPTION, no_file};
use super::import::path_argument;
use super::transfer::{closed, requests_in_flight};
use crate::command::image_args::{Role, Snap, image_location};
use crate::command::options::{PROGRESS, SOURCE_IMAGE_OR_SNAP_SPEC, SOURCE_OR_SNAP};
use crate::command::{CommandSpec, Parsed};
use crate::error::{Failure, Result};
use crate::interchange::Output;
use crate::interchange::diff::Version;
use crate::output::progress::ProgressLine;
use crate::session::{Location, Session};
use crate::spec::Strictness;
use lsd_engine::Image;

const FAILED: &str = "export-diff error";

pub const SPEC: CommandSpec = CommandSpec {
    words: &["export-diff"],
    alias: &[],
    summary: "Export incremental diff to file.",
    epilogue: "",
    positionals: &[SOURCE_IMAGE_OR_SNAP_SPEC, PATH],
    options: &[SOURCE_OR_SNAP, &[PATH_OPTION, FROM_SNAP, WHOLE_OBJECT], PROGRESS],
    run: |session, parsed| Box::pin(execute(session, parsed)),
};

async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let location = image_location(parsed, Role::Source, Strictness::Lenient, Snap::Permitted)?;
    let path = path_argument(parsed)?;
    let image = location.open_moment(session).await?;
    let line = ProgressLine::new("Exporting image", !parsed.has("no-progress"));
    let exported = match Output::open(&path) {
        Ok(output) => {
            let remove = output.removal();
            let exported = line.end(export(session, parsed, (&location, &image), output, &line).await);
            if exported.is_err() {
                remove();
            }
            exported
        }
        Err(error) => Err(no_file(FAILED, &path, &error)),
    };
    closed(&image, FAILED, exported).await
}

async fn export(
    session: &Session,
    parsed: &Parsed,
    (location, image): (&Location, &Image),
    output: Output,
    line: &ProgressLine,
) -> Result<()> {
    let from = parsed.get("from-snap").filter(|name| !name.is_empty());
    let start = Start::open(session, location, image, from, FAILED).await?;
    let to = image.shown();
    let difference = Difference {
        image,
        start: &start,
        from,
        to: to.as_ref(),
        version: Version::One,
        whole_objects: parsed.has("whole-object"),
        in_flight: requests_in_flight(session),
    };
    let (writer, size) = (output.start(), image.size());
    let read = difference.write(&writer, &|at| line.update(at, size)).await;
    let written = writer.finish().await;
    let done = read.map_err(|error| Failure::engine(FAILED, &error));
    let done = done.and(written.map_err(|error| Failure::io(FAILED, &error)));
    start.close(FAILED, done).await
}
