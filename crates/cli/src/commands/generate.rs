//! `lsd generate`: manual pages and shell completion, for packages and for hosts without one. rbd has nothing like it.
use crate::command::{CommandSpec, Parsed, Positional};
use crate::error::{Failure, Result};
use crate::pages;
use std::path::Path;

pub const SPEC: CommandSpec = CommandSpec {
    words: &["generate"],
    alias: &[],
    summary: "Write manual pages and shell completion into a directory.",
    epilogue: "",
    positionals: &[Positional { name: "directory", help: "made if it is not there; gets man, bash, zsh and fish" }],
    options: &[],
    run: |_, parsed| Box::pin(async move { execute(parsed) }),
};

fn execute(parsed: &Parsed) -> Result<()> {
    let folder = parsed.next_positional().ok_or_else(|| Failure::invalid("directory was not specified"))?;
    pages::write_all(Path::new(folder))
}
