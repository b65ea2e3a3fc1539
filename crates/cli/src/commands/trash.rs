//! `lsd trash list`: nothing is moved to a trash yet, so a pool that is there has none.
use crate::command::image_args::pool_place;
use crate::command::options::{FORMAT, POOL_ONLY, POOL_SPEC};
use crate::command::{CommandSpec, OptionSpec, Parsed};
use crate::error::Result;
use crate::output::format::{Format, Tree};
use crate::session::Session;

pub const LIST: CommandSpec = CommandSpec {
    words: &["trash", "list"],
    alias: &["trash", "ls"],
    summary: "List trash images.",
    epilogue: "",
    positionals: &[POOL_SPEC],
    options: &[
        POOL_ONLY,
        &[
            OptionSpec::switch("all", "list images from all sources").short('a'),
            OptionSpec::switch("long", "long listing format").short('l'),
        ],
        FORMAT,
    ],
    run: |session, parsed| Box::pin(execute(session, parsed)),
};

async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let place = pool_place(parsed)?;
    let format = Format::of(parsed)?;
    session.store(&place).await?;
    format.print("trash", &Tree::List("image", Vec::new()), String::new)
}
