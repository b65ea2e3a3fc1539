//! `lsd merge-diff`: two differences, of which the second begins where the first ends, as one.
use crate::command::options::PROGRESS;
use crate::command::{CommandSpec, OptionSpec, Parsed, Positional};
use crate::error::{Failure, Result};
use crate::interchange::{Input, Output};
use crate::output::progress::ProgressLine;
use crate::session::Session;
use merge::Merge;
use nix::libc;
use std::sync::Arc;

mod merge;
mod side;

const PATH_HELP: &str = "path to merged diff (or '-' for stdout)";

pub const SPEC: CommandSpec = CommandSpec {
    words: &["merge-diff"],
    alias: &[],
    summary: "Merge two diff exports together.",
    epilogue: "",
    positionals: &[
        Positional { name: "diff1-path", help: "path to first diff (or '-' for stdin)" },
        Positional { name: "diff2-path", help: "path to second diff" },
        Positional { name: "path-name", help: PATH_HELP },
    ],
    options: &[&[OptionSpec::value("path", PATH_HELP)], PROGRESS],
    run: |session, parsed| Box::pin(execute(session, parsed)),
};

async fn execute(_: &Session, parsed: &Parsed) -> Result<()> {
    let given = |what: &str| {
        let path = parsed.next_positional().filter(|path| !path.is_empty()).map(str::to_owned);
        path.ok_or_else(|| Failure::invalid(format!("{what} was not specified")))
    };
    let first = given("first diff")?;
    let second = given("second diff")?;
    let path = super::import::path_argument(parsed)?;
    let line = Arc::new(ProgressLine::new("Merging image diff", !parsed.has("no-progress")));
    let shown = line.clone();
    let merging = tokio::task::spawn_blocking(move || merge(&first, &second, &path, &shown));
    let merged = merging.await.unwrap_or_else(|_| Err(Failure::new(libc::EIO, "the merging thread stopped")));
    let merged = merged.inspect_err(crate::report);
    line.end(merged).map_err(|failure| Failure::new(failure.code, "merge-diff error"))
}

/// Blocks. A file that could not be completed is removed again.
fn merge(first: &str, second: &str, path: &str, line: &ProgressLine) -> Result<()> {
    let first = Input::open(first)?;
    let second = Input::open_file(second)?;
    let output = Output::open(path)
        .map_err(|error| Failure::new(error.raw_os_error().unwrap_or(libc::EIO), format!("error create {path}")))?;
    let remove = output.removal();
    let merged = Merge::begin(first, second, output).and_then(|merge| merge.run(line));
    if merged.is_err() {
        remove();
    }
    merged
}
