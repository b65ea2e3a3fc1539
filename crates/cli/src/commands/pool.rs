//! `lsd pool init` and `lsd pool stats`.
use crate::command::image_args::pool_place;
use crate::command::options::{FORMAT, POOL, POOL_ONLY, POOL_SPEC};
use crate::command::{CommandSpec, OptionSpec, Parsed, Positional};
use crate::error::{Failure, Result};
use crate::output::format::{Format, Tree};
use crate::output::size;
use crate::session::Session;
use lsd_engine::{ImageCounts, PoolStats};
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

pub const STATS: CommandSpec = CommandSpec {
    words: &["pool", "stats"],
    alias: &[],
    summary: "Display pool statistics.",
    epilogue: "",
    positionals: &[POOL_SPEC],
    options: &[POOL_ONLY, FORMAT],
    run: |session, parsed| Box::pin(stats(session, parsed)),
};

async fn stats(session: &Session, parsed: &Parsed) -> Result<()> {
    let place = pool_place(parsed)?;
    let format = Format::of(parsed)?;
    let store = session.store(&place).await?;
    let stats = PoolStats::of(&store).await;
    let stats = stats.map_err(|error| Failure::engine("failed to query pool stats", &error))?;
    let counts = |counts: &ImageCounts| {
        Tree::Object(vec![
            ("count", counts.images.into()),
            ("provisioned_bytes", counts.provisioned_bytes.into()),
            ("snap_count", counts.snapshots.into()),
        ])
    };
    let tree = Tree::Object(vec![("images", counts(&stats.images)), ("trash", counts(&stats.trash))]);
    format.print("stats", &tree, || plain(&stats))
}

fn plain(PoolStats { images, trash }: &PoolStats) -> String {
    let line = |what: &str, of: &dyn Fn(&ImageCounts) -> String| {
        let trashed = if trash.images > 0 { format!(" ({} in trash)", of(trash)) } else { String::new() };
        format!("{what}: {}{trashed}\n", of(images))
    };
    line("Total Images", &|counts| counts.images.to_string())
        + &line("Total Snapshots", &|counts| counts.snapshots.to_string())
        + &line("Provisioned Size", &|counts| size::format(counts.provisioned_bytes))
}
