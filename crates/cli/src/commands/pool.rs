//! `lsd pool init`.
use crate::command::options::POOL;
use crate::command::{CommandSpec, OptionSpec, Parsed, Positional};
use crate::error::{Failure, Result};
use crate::session::Session;
use nix::libc;

const POOL_NAME: Positional = Positional { name: "pool-name", help: "pool name" };

pub const INIT: CommandSpec = CommandSpec {
    words: &["pool", "init"],
    alias: &[],
    summary: "Initialize pool for use by lsd.",
    epilogue: "",
    positionals: &[POOL_NAME],
    options: &[
        &[POOL],
        &[OptionSpec::switch("force", "force initialize pool for use if registered by another application")],
    ],
    run: |session, parsed| Box::pin(init(session, parsed)),
};

async fn init(session: &Session, parsed: &Parsed) -> Result<()> {
    let name = parsed.next_positional().or_else(|| parsed.get("pool")).filter(|name| !name.is_empty());
    let connection = session.connection().await?;
    let name = name.map_or_else(|| session.default_pool(), str::to_owned);
    connection.init_pool(&name, parsed.has("force")).await?.map_err(|error| match error.errno {
        libc::ENOENT => Failure::errno(&format!("error opening pool '{name}'"), error.errno),
        libc::EPERM => Failure::new(error.errno, "pool already registered to a different application."),
        _ => Failure::errno("error registered application", error.errno),
    })
}
