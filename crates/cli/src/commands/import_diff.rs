//! `lsd import-diff`.
use super::import::apply::{Apply, Broken};
use super::import::{PATH, PATH_OPTION, blocking, path_argument, steps};
use super::transfer::{closed, requests_in_flight, sparse_bytes};
use crate::command::image_args::existing_image;
use crate::command::options::{IMAGE_SPEC, NO_PROGRESS, ONE_IMAGE, SPARSE_SIZE};
use crate::command::{CommandSpec, Parsed};
use crate::error::{Failure, Result, describe_errno};
use crate::interchange::Input;
use crate::interchange::diff::Version;
use crate::output::progress::ProgressLine;
use crate::session::Session;
use lsd_engine::Image;
use nix::libc;

const FAILED: &str = "import-diff failed";

pub const SPEC: CommandSpec = CommandSpec {
    words: &["import-diff"],
    alias: &[],
    summary: "Import an incremental diff.",
    epilogue: "",
    positionals: &[PATH, IMAGE_SPEC],
    options: &[&[PATH_OPTION], ONE_IMAGE, &[SPARSE_SIZE, NO_PROGRESS]],
    run: |session, parsed| Box::pin(execute(session, parsed)),
};

async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let granule = sparse_bytes(parsed)?;
    let path = path_argument(parsed)?;
    let location = existing_image(parsed)?;
    let image = location.open_image(session, false).await?;
    let line = ProgressLine::new("Importing image diff", !parsed.has("no-progress"));
    let apply = Apply { image: &image, granule, in_flight: requests_in_flight(session), is_blank: false };
    let imported = import(&image, &path, apply, &line).await;
    closed(&image, FAILED, imported).await
}

async fn import(image: &Image, path: &str, apply: Apply<'_>, line: &ProgressLine) -> Result<()> {
    let input = Input::open(path).map_err(|failure| failed(failure.into()))?;
    let (version, input) = blocking(input, Version::read).await.map_err(|failure| failed(failure.into()))?;
    let size = input.size();
    let mut steps = steps::of_diff(input, version);
    // Of a stream it is not known how much there is of it, but of what.
    let progress = |at, offset| match size {
        Some(size) => line.update(at, size),
        None => line.update(offset, image.size()),
    };
    match apply.run(&mut steps, &progress).await {
        Ok(()) => {
            line.finish();
            Ok(())
        }
        Err(broken) => {
            broken.report();
            line.fail();
            Err(failed(Broken { line: None, ..broken }))
        }
    }
}

fn failed(broken: Broken) -> Failure {
    broken.report();
    // A file that ends too early is told so here, and nowhere else.
    let (errno, reason) = match broken.errno {
        libc::EDOM => (libc::EBADMSG, describe_errno(libc::EBADMSG)),
        errno => (errno, broken.reason),
    };
    let changed = match broken.changed {
        Some(0) => ": the image has its new size, and nothing else was done".to_owned(),
        Some(end) => {
            format!(": what the file says of the image's first {end} bytes was done, and no snapshot was made")
        }
        None => String::new(),
    };
    Failure::new(errno, format!("{FAILED}: {reason}{changed}"))
}
