//! `lsd export`.
use super::import::{ExportFormat, path_argument};
use super::qemu_img::{self, DiskFormat, FORMAT};
use super::transfer::{chunks_with_data, closed, requests_in_flight};
use crate::command::image_args::{Role, Snap, image_location};
use crate::command::options::{NO_PROGRESS, SOURCE_IMAGE_OR_SNAP_SPEC, SOURCE_OR_SNAP};
use crate::command::{CommandSpec, OptionSpec, Parsed, Positional};
use crate::error::{Failure, Result};
use crate::interchange::Output;
use crate::output::progress::ProgressLine;
use crate::session::{Location, Session};
use crate::signals::unless_told_to_end;
use crate::spec::Strictness;
use futures::StreamExt;
use lsd_engine::Image;
use sink::Sink;
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

mod full;
pub mod since;
mod sink;

const FAILED: &str = "export error";

pub const PATH_OPTION: OptionSpec = OptionSpec::value("path", "export file (or '-' for stdout)");
pub const PATH: Positional = Positional { name: "path-name", help: "export file (or '-' for stdout)" };

pub const SPEC: CommandSpec = CommandSpec {
    words: &["export"],
    alias: &[],
    summary: "Export image to file.",
    epilogue: "",
    positionals: &[SOURCE_IMAGE_OR_SNAP_SPEC, PATH],
    options: &[
        SOURCE_OR_SNAP,
        &[PATH_OPTION, NO_PROGRESS, OptionSpec::value("export-format", "format of image file"), FORMAT],
    ],
    run: |session, parsed| Box::pin(execute(session, parsed)),
};

async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let format = ExportFormat::of(parsed)?;
    let location = image_location(parsed, Role::Source, Strictness::Lenient, Snap::Permitted)?;
    let path = path_argument(parsed)?;
    let disk = DiskFormat::of(parsed, &path)?;
    let line = ProgressLine::new("Exporting image", !parsed.has("no-progress"));
    match format {
        ExportFormat::Content if disk != DiskFormat::Raw => {
            other_format(session, &location, (&path, disk), &line).await
        }
        ExportFormat::Content => content(session, &location, &path, &line).await,
        ExportFormat::WithSnapshots => with_snapshots(session, &location, &path, &line.repeating_end()).await,
    }
}

async fn content(session: &Session, location: &Location, path: &str, line: &ProgressLine) -> Result<()> {
    let image = location.open_moment(session).await?;
    let exported = match Sink::open(path) {
        Ok(sink) => line.end(export(session, &image, sink, line).await),
        Err(error) => Err(no_file(FAILED, path, &error)),
    };
    closed(&image, FAILED, exported).await
}

/// By another program. A file that is not complete is removed.
async fn other_format(
    session: &Session,
    location: &Location,
    (path, disk): (&str, DiskFormat),
    line: &ProgressLine,
) -> Result<()> {
    let image = location.open_moment(session).await?;
    let exported = match OpenOptions::new().write(true).create_new(true).mode(0o644).open(path) {
        Ok(_) => {
            let made = line.end(unless_told_to_end(qemu_img::export(&image, disk, path, line)).await);
            made.map_err(|failure| {
                // It may be gone; the failure counts.
                let _ = std::fs::remove_file(path);
                Failure { message: format!("{FAILED}: {failure}"), ..failure }
            })
        }
        Err(error) => Err(no_file(FAILED, path, &error)),
    };
    closed(&image, FAILED, exported).await
}

/// A snapshot that is named must be there, and has no other effect: as in rbd the file has all of them, and the image.
async fn with_snapshots(session: &Session, location: &Location, path: &str, line: &ProgressLine) -> Result<()> {
    let image = location.open_image(session, true).await?;
    let snapshots = closed(&image, FAILED, full::snapshots_of(&image).await).await?;
    let location = location.head();
    let head = location.open_moment(session).await?;
    let exported = match Output::open(path) {
        Ok(output) => line.end(full::export(session, (&location, &head), &snapshots, output, line).await),
        Err(error) => Err(no_file(FAILED, path, &error)),
    };
    closed(&head, FAILED, exported).await
}

/// The file cannot be made.
pub fn no_file(what: &str, path: &str, error: &std::io::Error) -> Failure {
    let failure = Failure::io(what, error);
    let directory = Path::new(path).parent().filter(|directory| !directory.as_os_str().is_empty());
    match directory.filter(|directory| error.kind() == ErrorKind::NotFound && !directory.exists()) {
        Some(missing) => {
            Failure { message: format!("{failure}: there is no directory {}", missing.display()), ..failure }
        }
        None => failure,
    }
}

/// Reads many chunks at a time and writes them in order.
async fn export(session: &Session, image: &Image, sink: Sink, line: &ProgressLine) -> Result<()> {
    let failed_read = |error: lsd_engine::Error| Failure::engine(FAILED, &error);
    let size = image.size();
    let mut writer = sink.start();
    let chunks = chunks_with_data(image).await.map_err(failed_read)?;
    let reads = chunks.into_iter().map(|chunk| async move {
        let data = image.read(chunk.start, chunk.end - chunk.start).await?;
        Ok::<_, lsd_engine::Error>((chunk, data))
    });
    let mut reads = futures::stream::iter(reads).buffered(requests_in_flight(session));
    while let Some(read) = reads.next().await {
        let (chunk, data) = read.map_err(failed_read)?;
        if !writer.write(chunk.start, data).await {
            break;
        }
        line.update(writer.written(), size);
    }
    writer.finish(size).await.map_err(|error| Failure::io(FAILED, &error))
}
