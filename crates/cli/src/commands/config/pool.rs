//! `lsd config pool`: what a pool says of the options of its images, and of those that are made in it.
use super::{KEY, OVERRIDE, VALUE, key, not_set, print_options};
use crate::command::options::FORMAT;
use crate::command::{CommandSpec, Parsed, Positional};
use crate::error::{Failure, Result};
use crate::output::format::Format;
use crate::output::print;
use crate::session::Session;
use crate::spec::{Place, is_directory, parse_pool_spec};
use lsd_engine::{Catalog, ErrorKind, Namespaces, PoolMetadata, pool_config};

const POOL_NAME: Positional = Positional { name: "pool-name", help: "pool name" };

pub const GET: CommandSpec = CommandSpec {
    words: &["config", "pool", "get"],
    alias: &[],
    summary: "Get a pool-level configuration override.",
    epilogue: "",
    positionals: &[POOL_NAME, KEY],
    options: &[],
    run: |session, parsed| Box::pin(get(session, parsed)),
};

pub const LIST: CommandSpec = CommandSpec {
    words: &["config", "pool", "list"],
    alias: &["config", "pool", "ls"],
    summary: "List pool-level configuration overrides.",
    epilogue: "",
    positionals: &[POOL_NAME],
    options: &[FORMAT],
    run: |session, parsed| Box::pin(list(session, parsed)),
};

pub const REMOVE: CommandSpec = CommandSpec {
    words: &["config", "pool", "remove"],
    alias: &["config", "pool", "rm"],
    summary: "Remove a pool-level configuration override.",
    epilogue: "",
    positionals: &[POOL_NAME, KEY],
    options: &[],
    run: |session, parsed| Box::pin(remove(session, parsed)),
};

pub const SET: CommandSpec = CommandSpec {
    words: &["config", "pool", "set"],
    alias: &[],
    summary: "Set a pool-level configuration override.",
    epilogue: "",
    positionals: &[POOL_NAME, KEY, VALUE],
    options: &[],
    run: |session, parsed| Box::pin(set(session, parsed)),
};

/// The pool, which has no namespace here, or the directory.
fn place(parsed: &Parsed) -> Result<Place> {
    let name = parsed.next_positional().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Failure::invalid("pool name was not specified"))?;
    match is_directory(name) {
        true => parse_pool_spec(name),
        false => Ok(Place::Pool { pool: Some(name.to_owned()), namespace: String::new() }),
    }
}

async fn metadata(session: &Session, place: &Place) -> Result<PoolMetadata> {
    Ok(PoolMetadata::new(session.store(place).await?))
}

/// Who has an image of the pool open goes by what the pool says now.
async fn tell_images(session: &Session, place: &Place) -> Result<()> {
    let failed = |error: lsd_engine::Error| Failure::engine("failed to tell clients of the pool", &error);
    let root = session.store(place).await?;
    if let Place::Pool { pool, .. } = place {
        for namespace in Namespaces::new(root.clone()).list().await.map_err(failed)? {
            let inside = session.store(&Place::Pool { pool: pool.clone(), namespace }).await?;
            Catalog::new(inside).tell_of_options().await.map_err(failed)?;
        }
    }
    Catalog::new(root).tell_of_options().await.map_err(failed)
}

/// What a command is about. Which options there are the cluster says, so it is asked first.
async fn subject(session: &Session, parsed: &Parsed) -> Result<(PoolMetadata, String, Place)> {
    let place = place(parsed)?;
    if matches!(place, Place::Pool { .. }) {
        session.connection().await?;
    }
    let key = key(session, parsed)?;
    Ok((metadata(session, &place).await?, key, place))
}

async fn get(session: &Session, parsed: &Parsed) -> Result<()> {
    let (metadata, key, _) = subject(session, parsed).await?;
    let value = metadata.get(&format!("{OVERRIDE}{key}")).await.map_err(|error| match error.kind {
        ErrorKind::NotFound => not_set(&key),
        _ => Failure::engine(&format!("failed to get {key}"), &error),
    })?;
    print(&format!("{value}\n"))
}

async fn set(session: &Session, parsed: &Parsed) -> Result<()> {
    let (metadata, key, place) = subject(session, parsed).await?;
    let value = parsed.next_positional().unwrap_or_default();
    let set = metadata.set(&format!("{OVERRIDE}{key}"), value).await;
    set.map_err(|error| Failure::engine(&format!("failed to set {key}"), &error))?;
    tell_images(session, &place).await
}

async fn remove(session: &Session, parsed: &Parsed) -> Result<()> {
    let (metadata, key, place) = subject(session, parsed).await?;
    let removed = metadata.remove(&format!("{OVERRIDE}{key}")).await;
    removed.map_err(|error| Failure::errno(&format!("failed to remove {key}"), error.errno()))?;
    tell_images(session, &place).await
}

async fn list(session: &Session, parsed: &Parsed) -> Result<()> {
    let place = place(parsed)?;
    let format = Format::of(parsed)?;
    let listed = metadata(session, &place).await?.list().await;
    let listed = listed.map_err(|error| Failure::engine("failed to list options", &error))?;
    print_options(format, &pool_config(&|name| session.setting(name), &listed), String::new())
}
