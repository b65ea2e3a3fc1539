//! `lsd group snap create`, `remove`, `rename`, `list` and `rollback`.
use super::{GROUP_SNAP_SPEC, GROUP_SPEC, Named, ONE_GROUP, ONE_SNAP};
use crate::command::image_args::Snap;
use crate::command::options::{DEST_SNAP, FORMAT, PROGRESS};
use crate::command::{CommandSpec, OptionSpec, Parsed, Positional};
use crate::commands::snap::quiesce_of;
use crate::error::{Failure, Result};
use crate::output::format::{Format, Tree};
use crate::output::progress::ProgressLine;
use crate::output::table::{Align, Table};
use crate::session::Session;
use lsd_engine::{ErrorKind, GroupSnapshot};
use nix::libc;

const DEST_SNAP_NAME: Positional =
    Positional { name: "dest-snap", help: "destination snapshot name\n(example: <snap-name>)" };

pub const SNAP_CREATE: CommandSpec = CommandSpec {
    words: &["group", "snap", "create"],
    alias: &[],
    summary: "Make a snapshot of a group.",
    epilogue: "",
    positionals: &[GROUP_SNAP_SPEC],
    options: &[
        ONE_SNAP,
        &[
            OptionSpec::switch("skip-quiesce", "do not run quiesce hooks"),
            OptionSpec::switch("ignore-quiesce-error", "ignore quiesce hook error"),
        ],
    ],
    run: |session, parsed| Box::pin(create(session, parsed)),
};

pub const SNAP_REMOVE: CommandSpec = CommandSpec {
    words: &["group", "snap", "remove"],
    alias: &["group", "snap", "rm"],
    summary: "Remove a snapshot from a group.",
    epilogue: "",
    positionals: &[GROUP_SNAP_SPEC],
    options: &[ONE_SNAP],
    run: |session, parsed| Box::pin(remove(session, parsed)),
};

pub const SNAP_RENAME: CommandSpec = CommandSpec {
    words: &["group", "snap", "rename"],
    alias: &[],
    summary: "Rename group's snapshot.",
    epilogue: "",
    positionals: &[GROUP_SNAP_SPEC, DEST_SNAP_NAME],
    options: &[ONE_SNAP, &[DEST_SNAP]],
    run: |session, parsed| Box::pin(rename(session, parsed)),
};

pub const SNAP_LIST: CommandSpec = CommandSpec {
    words: &["group", "snap", "list"],
    alias: &["group", "snap", "ls"],
    summary: "List snapshots of a group.",
    epilogue: "",
    positionals: &[GROUP_SPEC],
    options: &[FORMAT, ONE_GROUP],
    run: |session, parsed| Box::pin(list(session, parsed)),
};

pub const SNAP_ROLLBACK: CommandSpec = CommandSpec {
    words: &["group", "snap", "rollback"],
    alias: &[],
    summary: "Rollback group to snapshot.",
    epilogue: "",
    positionals: &[GROUP_SNAP_SPEC],
    options: &[PROGRESS, ONE_SNAP],
    run: |session, parsed| Box::pin(rollback(session, parsed)),
};

async fn create(session: &Session, parsed: &Parsed) -> Result<()> {
    let named = Named::of(parsed, Snap::Required)?;
    let quiesce = quiesce_of(parsed)?;
    let created = named.groups(session).await?.snap_create(&named.group, &named.snap, quiesce).await;
    created.map_err(|error| match error.kind {
        ErrorKind::Io { errno: errno @ libc::EDQUOT } => Failure::errno("failed to create group snapshot", errno),
        _ => Failure::engine("failed to create group snapshot", &error),
    })
}

async fn remove(session: &Session, parsed: &Parsed) -> Result<()> {
    let named = Named::of(parsed, Snap::Required)?;
    let removed = named.groups(session).await?.snap_remove(&named.group, &named.snap).await;
    removed.map_err(|error| Failure::engine("failed to remove group snapshot", &error))
}

async fn rename(session: &Session, parsed: &Parsed) -> Result<()> {
    let named = Named::of(parsed, Snap::Required)?;
    let to = parsed.get("dest-snap").filter(|name| !name.is_empty()).or_else(|| parsed.next_positional());
    let to = to
        .filter(|name| !name.is_empty())
        .ok_or_else(|| Failure::invalid("destination snapshot name was not specified"))?;
    if to.contains(['/', '@']) {
        return Err(Failure::invalid(format!("invalid snap name '{to}'")));
    }
    let renamed = named.groups(session).await?.snap_rename(&named.group, &named.snap, to).await;
    renamed.map_err(|error| Failure::engine("failed to rename group snapshot", &error))
}

async fn rollback(session: &Session, parsed: &Parsed) -> Result<()> {
    let named = Named::of(parsed, Snap::Required)?;
    let groups = named.groups(session).await?;
    let line = ProgressLine::new("Rolling back to group snapshot", !parsed.has("no-progress"));
    let progress = |done, total| {
        line.update(done, total);
        Ok(())
    };
    let rolled_back = line.end(groups.rollback(&named.group, &named.snap, &progress).await);
    rolled_back.map_err(|error| Failure::engine("rollback group to snapshot failed", &error))
}

/// Of a group that is not there nothing is listed, as in rbd.
async fn list(session: &Session, parsed: &Parsed) -> Result<()> {
    let named = Named::of(parsed, Snap::No)?;
    let format = Format::of(parsed)?;
    let listed = match named.groups(session).await?.snapshots(&named.group).await {
        Err(error) if error.kind == ErrorKind::NotFound => Vec::new(),
        listed => listed.map_err(|error| Failure::engine("failed to list snapshots of the group", &error))?,
    };
    let item = |snap: &GroupSnapshot| {
        Tree::Object(vec![("snapshot", snap.name.as_str().into()), ("state", state(snap).into())])
    };
    let tree = Tree::List("group_snap", listed.iter().map(item).collect());
    format.print("group_snaps", &tree, || plain(&listed))
}

fn state(snapshot: &GroupSnapshot) -> &'static str {
    if snapshot.is_complete { "ok" } else { "incomplete" }
}

fn plain(listed: &[GroupSnapshot]) -> String {
    if listed.is_empty() {
        return String::new();
    }
    let mut table =
        Table::default().column("NAME", Align::Left, Align::Left).column("STATUS", Align::Left, Align::Right);
    for snapshot in listed {
        table.row(vec![snapshot.name.clone(), state(snapshot).to_owned()]);
    }
    table.to_string()
}
