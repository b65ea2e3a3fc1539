//! `lsd group list`.
use super::groups_in;
use crate::command::image_args::pool_place;
use crate::command::options::{FORMAT, POOL_ONLY, POOL_SPEC};
use crate::command::{CommandSpec, Parsed};
use crate::error::{Failure, Result};
use crate::output::format::{Format, Tree};
use crate::session::Session;

pub const LIST: CommandSpec = CommandSpec {
    words: &["group", "list"],
    alias: &["group", "ls"],
    summary: "List lsd groups.",
    epilogue: "",
    positionals: &[POOL_SPEC],
    options: &[POOL_ONLY, FORMAT],
    run: |session, parsed| Box::pin(execute(session, parsed)),
};

async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let place = pool_place(parsed)?;
    let format = Format::of(parsed)?;
    let names = groups_in(session, &place).await?.list().await;
    let names = names.map_err(|error| Failure::engine("failed to list groups", &error))?;
    let tree = Tree::List("name", names.iter().map(|name| name.as_str().into()).collect());
    format.print("groups", &tree, || names.iter().map(|name| format!("{name}\n")).collect())
}
