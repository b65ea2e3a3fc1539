//! `lsd namespace`.
use crate::command::image_args::pool_place;
use crate::command::options::{FORMAT, POOL, POOL_ONLY, POOL_SPEC};
use crate::command::{CommandSpec, Parsed, Positional};
use crate::error::{Failure, Result};
use crate::output::format::{Format, Tree};
use crate::output::table::{Align, Table};
use crate::session::Session;
use crate::spec::Place;
use lsd_engine::{Catalog, ErrorKind, Namespaces};
use lsd_store::ObjectStore;
use nix::libc;
use std::sync::Arc;

const POOL_NAME: Positional = Positional { name: "pool-name", help: "pool name" };

pub const CREATE: CommandSpec = CommandSpec {
    words: &["namespace", "create"],
    alias: &[],
    summary: "Create an lsd image namespace.",
    epilogue: "",
    positionals: &[POOL_SPEC],
    options: &[POOL_ONLY],
    run: |session, parsed| Box::pin(create(session, parsed)),
};

pub const LIST: CommandSpec = CommandSpec {
    words: &["namespace", "list"],
    alias: &["namespace", "ls"],
    summary: "List lsd image namespaces.",
    epilogue: "",
    positionals: &[POOL_NAME],
    options: &[&[POOL], FORMAT],
    run: |session, parsed| Box::pin(list(session, parsed)),
};

pub const REMOVE: CommandSpec = CommandSpec {
    words: &["namespace", "remove"],
    alias: &["namespace", "rm"],
    summary: "Remove an lsd image namespace.",
    epilogue: "",
    positionals: &[POOL_SPEC],
    options: &[POOL_ONLY],
    run: |session, parsed| Box::pin(remove(session, parsed)),
};

/// A pool and the namespace in it that a command is about.
struct Subject {
    place: Place,
    pool: Arc<dyn ObjectStore>,
    namespace: String,
}

impl Subject {
    async fn of(session: &Session, parsed: &Parsed) -> Result<Self> {
        let place = pool_place(parsed)?;
        let Place::Pool { pool, namespace } = &place else { return Err(no_pools()) };
        if namespace.is_empty() {
            return Err(Failure::invalid("namespace name was not specified"));
        }
        let namespace = namespace.clone();
        let pool = session.store(&Place::Pool { pool: pool.clone(), namespace: String::new() }).await?;
        Ok(Self { place, pool, namespace })
    }
}

fn no_pools() -> Failure {
    Failure::errno("a directory has no namespaces", libc::EOPNOTSUPP)
}

async fn create(session: &Session, parsed: &Parsed) -> Result<()> {
    let subject = Subject::of(session, parsed).await?;
    let added = Namespaces::new(subject.pool).add(&subject.namespace).await;
    added.map_err(|error| Failure::engine("failed to created namespace", &error))
}

async fn remove(session: &Session, parsed: &Parsed) -> Result<()> {
    let subject = Subject::of(session, parsed).await?;
    let missing = || Failure::new(libc::ENOENT, "namespace does not exist.");
    let failed = |error: lsd_engine::Error| match error.kind {
        ErrorKind::NotFound => missing(),
        ErrorKind::Busy => Failure::new(libc::EBUSY, "namespace contains images which must be deleted first."),
        _ => Failure::engine("failed to remove namespace", &error),
    };
    let namespaces = Namespaces::new(subject.pool);
    if !namespaces.exists(&subject.namespace).await.map_err(failed)? {
        return Err(missing());
    }
    let inside = Catalog::new(session.store(&subject.place).await?);
    namespaces.remove(&subject.namespace, &inside).await.map_err(failed)
}

async fn list(session: &Session, parsed: &Parsed) -> Result<()> {
    let place = pool_place(parsed)?;
    let format = Format::of(parsed)?;
    if matches!(place, Place::Directory(_)) {
        return Err(no_pools());
    }
    let pool = session.store(&place).await?;
    let names = Namespaces::new(pool).list().await;
    let names = names.map_err(|error| Failure::engine("failed to list namespaces", &error))?;
    let item = |name: &String| Tree::Object(vec![("name", name.as_str().into())]);
    let tree = Tree::List("namespace", names.iter().map(item).collect());
    format.print("namespaces", &tree, || {
        let mut table = Table::default().column("NAME", Align::Left, Align::Left);
        names.iter().for_each(|name| table.row(vec![name.clone()]));
        if names.is_empty() { String::new() } else { table.to_string() }
    })
}
