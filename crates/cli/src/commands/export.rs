//! `lsd export`.
use super::import::{export_format, path_argument};
use super::transfer::{chunks_with_data, closed, requests_in_flight};
use crate::command::image_args::{Role, Snap, image_location};
use crate::command::options::{NO_PROGRESS, SOURCE_IMAGE_OR_SNAP_SPEC, SOURCE_OR_SNAP};
use crate::command::{CommandSpec, OptionSpec, Parsed, Positional};
use crate::error::{Failure, Result};
use crate::output::progress::ProgressLine;
use crate::session::Session;
use crate::spec::Strictness;
use futures::StreamExt;
use lsd_engine::Image;
use sink::Sink;
use std::io::ErrorKind;
use std::path::Path;

mod sink;

const PATH: Positional = Positional { name: "path-name", help: "export file (or '-' for stdout)" };

pub const SPEC: CommandSpec = CommandSpec {
    words: &["export"],
    alias: &[],
    summary: "Export image to file.",
    epilogue: "",
    positionals: &[SOURCE_IMAGE_OR_SNAP_SPEC, PATH],
    options: &[
        SOURCE_OR_SNAP,
        &[
            OptionSpec::value("path", "export file (or '-' for stdout)"),
            NO_PROGRESS,
            OptionSpec::value("export-format", "format of image file"),
        ],
    ],
    run: |session, parsed| Box::pin(execute(session, parsed)),
};

async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let location = image_location(parsed, Role::Source, Strictness::Lenient, Snap::Permitted)?;
    let path = path_argument(parsed)?;
    export_format(parsed)?;
    let image = location.open_moment(session).await?;
    let line = ProgressLine::new("Exporting image", !parsed.has("no-progress"));
    let exported = match Sink::open(&path) {
        Ok(sink) => line.end(export(session, &image, sink, &line).await),
        Err(error) => Err(no_file(&path, &error)),
    };
    closed(&image, "export error", exported).await
}

fn failed(error: &std::io::Error) -> Failure {
    Failure::io("export error", error)
}

/// The file cannot be made.
fn no_file(path: &str, error: &std::io::Error) -> Failure {
    let failure = failed(error);
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
    let failed_read = |error: lsd_engine::Error| Failure::engine("export error", &error);
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
    writer.finish(size).await.map_err(|error| failed(&error))
}
