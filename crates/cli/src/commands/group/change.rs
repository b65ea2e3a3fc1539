//! `lsd group create`, `lsd group remove` and `lsd group rename`.
use super::{GROUP_SPEC, Named, ONE_GROUP};
use crate::command::image_args::Snap;
use crate::command::options::{DEST_NAMESPACE, DEST_POOL, SOURCE_NAMESPACE, SOURCE_POOL};
use crate::command::{CommandSpec, OptionSpec, Parsed, Positional};
use crate::error::{Failure, Result};
use crate::session::Session;
use crate::spec::Place;
use lsd_engine::{ErrorKind, Groups};

const SOURCE_GROUP_SPEC: Positional = Positional {
    name: "source-group-spec",
    help: "source group specification\n(example: [<pool-name>/[<namespace>/]]<group-name>\nor dir:<path>/<group-name>)",
};
const DEST_GROUP_SPEC: Positional = Positional {
    name: "dest-group-spec",
    help: "destination group specification\n(example: [<pool-name>/[<namespace>/]]<group-name>\nor dir:<path>/<group-name>)",
};

pub const CREATE: CommandSpec = CommandSpec {
    words: &["group", "create"],
    alias: &[],
    summary: "Create a group.",
    epilogue: "",
    positionals: &[GROUP_SPEC],
    options: &[ONE_GROUP],
    run: |session, parsed| Box::pin(create(session, parsed)),
};

pub const REMOVE: CommandSpec = CommandSpec {
    words: &["group", "remove"],
    alias: &["group", "rm"],
    summary: "Delete a group.",
    epilogue: "",
    positionals: &[GROUP_SPEC],
    options: &[ONE_GROUP],
    run: |session, parsed| Box::pin(remove(session, parsed)),
};

pub const RENAME: CommandSpec = CommandSpec {
    words: &["group", "rename"],
    alias: &[],
    summary: "Rename a group within pool.",
    epilogue: "",
    positionals: &[SOURCE_GROUP_SPEC, DEST_GROUP_SPEC],
    options: &[
        &[SOURCE_POOL, SOURCE_NAMESPACE, OptionSpec::value("group", "source group name")],
        &[DEST_POOL, DEST_NAMESPACE, OptionSpec::value("dest-group", "destination group name")],
    ],
    run: |session, parsed| Box::pin(rename(session, parsed)),
};

async fn create(session: &Session, parsed: &Parsed) -> Result<()> {
    let named = Named::of(parsed, Snap::No)?;
    let store = session.store_or_create(&named.place).await?;
    let groups = Groups::new(store, session.open_options(&named.place, false).await?);
    groups.create(&named.group).await.map_err(|error| Failure::engine("create error", &error))
}

/// One that is not there is no error, as in rbd.
async fn remove(session: &Session, parsed: &Parsed) -> Result<()> {
    let named = Named::of(parsed, Snap::No)?;
    match named.groups(session).await?.remove(&named.group).await {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(|error| Failure::engine("remove error", &error)),
    }
}

async fn rename(session: &Session, parsed: &Parsed) -> Result<()> {
    let source = Named::of(parsed, Snap::No)?;
    let options = ["dest-pool", "dest-namespace", "dest-group", "dest-snap"];
    let destination = Named::given_by(parsed, options, "destination ", Snap::No)?;
    check_places(session, &source.place, &destination.place)?;
    let renamed = source.groups(session).await?.rename(&source.group, &destination.group).await;
    renamed.map_err(|error| Failure::engine("failed to rename group", &error))
}

/// The destination lies where the source does, or says nothing of where it lies.
fn check_places(session: &Session, source: &Place, destination: &Place) -> Result<()> {
    if *destination == Place::default() {
        return Ok(());
    }
    let (from, to) = (session.pool_and_namespace(source), session.pool_and_namespace(destination));
    for (what, from, to) in [("pool", from.0, to.0), ("namespace", from.1, to.1)] {
        if from != to {
            let both = format!("source {what}: {from}, dest {what}: {to}");
            return Err(Failure::invalid(format!("group rename across {what}s not supported\n{both}")));
        }
    }
    Ok(())
}
