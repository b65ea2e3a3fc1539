//! `lsd status`: who has an image open.
use super::migration::Shown;
use super::perf::counters;
use crate::command::image_args::{Snap, by_name_or_id};
use crate::command::options::{FORMAT, IMAGE_ID, IMAGE_SPEC, ONE_IMAGE};
use crate::command::{CommandSpec, OptionSpec, Parsed};
use crate::error::{Failure, Result};
use crate::output::format::{Format, Tree};
use crate::session::Session;
use lsd_core::format::names;
use lsd_engine::Image;
use lsd_store::{ObjectName, ObjectStore, Watcher};
use std::sync::Arc;

/// The exclusive lock on the header, which the engine takes under librbd's name for it.
const LOCK_NAME: &str = "rbd_lock";

pub const SPEC: CommandSpec = CommandSpec {
    words: &["status"],
    alias: &[],
    summary: "Show the status of this image.",
    epilogue: "",
    positionals: &[IMAGE_SPEC],
    options: &[
        ONE_IMAGE,
        &[IMAGE_ID],
        FORMAT,
        &[OptionSpec::switch("counters", "show what each client has counted, too")],
    ],
    run: |session, parsed| Box::pin(execute(session, parsed)),
};

async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let (location, image) = by_name_or_id(parsed, Snap::No)?;
    let format = Format::of(parsed)?;
    let store = location.store(session).await?;
    let image = session.open_ref(&location, image, true).await?;
    let failed = |error: lsd_engine::Error| Failure::engine("show status failed", &error);
    let watchers = other_watchers(&store, &image).await.map_err(failed)?;
    let counted = match parsed.has("counters") {
        true => Some(counters::totals(image.client_stats().await.map_err(failed)?)),
        false => None,
    };
    let migration = match image.migration().await.map_err(failed)? {
        Some(status) => Some(Shown::of(&store, status).await.map_err(failed)?),
        None => None,
    };
    let describe = |watcher: &Watcher| {
        Tree::Object(vec![
            ("address", watcher.addr.as_str().into()),
            ("client", watcher.client.into()),
            ("cookie", watcher.cookie.into()),
        ])
    };
    let list = Tree::List("watcher", watchers.iter().map(describe).collect());
    let mut fields = vec![("watchers", list)];
    fields.extend(migration.as_ref().map(|migration| ("migration", migration.tree())));
    fields.extend(counted.as_ref().map(|clients| ("counters", counters::tree(clients))));
    let counted = || counted.as_ref().map(|clients| counters::plain(clients, "COUNTER")).unwrap_or_default();
    let migrating = || migration.as_ref().map(Shown::plain).unwrap_or_default();
    format.print("status", &Tree::Object(fields), || plain(&watchers) + &migrating() + &counted())?;
    image.close().await.map_err(failed)
}

fn plain(watchers: &[Watcher]) -> String {
    if watchers.is_empty() {
        return "Watchers: none\n".to_owned();
    }
    let line =
        |Watcher { addr, client, cookie }: &Watcher| format!("\twatcher={addr} client.{client} cookie={cookie}\n");
    format!("Watchers:\n{}", watchers.iter().map(line).collect::<String>())
}

/// Everybody who has the image open, but for this process.
pub async fn other_watchers(store: &Arc<dyn ObjectStore>, image: &Image) -> lsd_engine::Result<Vec<Watcher>> {
    let own = store.identity().0;
    let watchers = image.watchers().await?;
    Ok(watchers.into_iter().filter(|watcher| format!("client.{}", watcher.client) != own).collect())
}

/// True if somebody holds the image's exclusive lock. A header that cannot be asked counts as not locked.
pub async fn is_locked(store: &Arc<dyn ObjectStore>, image: &Image) -> bool {
    let header = ObjectName::from(names::header(&image.info().id.0));
    store.lock_state(&header, LOCK_NAME).await.is_ok_and(|lock| !lock.lockers.is_empty())
}
