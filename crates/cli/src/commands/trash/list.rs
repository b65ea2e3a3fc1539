//! `lsd trash list`.
use crate::command::image_args::pool_place;
use crate::command::options::{FORMAT, POOL_ONLY, POOL_SPEC};
use crate::command::{CommandSpec, OptionSpec, Parsed};
use crate::error::{Failure, Result};
use crate::output::format::{Format, Tree};
use crate::output::table::{Align, Table};
use crate::output::time;
use crate::session::Session;
use lsd_engine::{Trash, TrashEntry, TrashSource};
use std::time::SystemTime;

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
    let (all, long) = (parsed.has("all"), parsed.has("long"));
    let trash = Trash::new(session.store(&place).await?);
    let mut entries = trash.list().await.map_err(|error| Failure::engine("trash list", &error))?;
    entries.retain(|entry| is_listed(entry.source, all));
    let now_ns = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    let rows: Vec<Vec<(&'static str, String)>> = entries.iter().map(|entry| cells(entry, long, now_ns)).collect();
    let object = |row: &Vec<(&'static str, String)>| {
        Tree::Object(row.iter().map(|(name, cell)| (*name, cell.as_str().into())).collect())
    };
    format.print("trash", &Tree::List("image", rows.iter().map(object).collect()), || plain(&rows, long))
}

/// Of an image that is being removed users see nothing.
fn is_listed(source: TrashSource, all: bool) -> bool {
    source == TrashSource::User || (all && source != TrashSource::Removing)
}

fn cells(entry: &TrashEntry, long: bool, now_ns: u128) -> Vec<(&'static str, String)> {
    let mut cells = vec![("id", entry.id.to_string()), ("name", entry.name.clone())];
    if long {
        let until = time::ctime(entry.deferred_until_ns);
        let is_protected = now_ns < u128::from(entry.deferred_until_ns);
        cells.extend([
            ("source", source_name(entry.source).to_owned()),
            ("deleted_at", time::ctime(entry.deleted_ns)),
            ("status", format!("{} {until}", if is_protected { "protected until" } else { "expired at" })),
        ]);
    }
    cells
}

fn source_name(source: TrashSource) -> &'static str {
    match source {
        TrashSource::User => "USER",
        TrashSource::Mirroring => "MIRRORING",
        TrashSource::Migration => "MIGRATION",
        TrashSource::Removing => "REMOVING",
        TrashSource::UserParent => "USER_PARENT",
    }
}

fn plain(rows: &[Vec<(&'static str, String)>], long: bool) -> String {
    let texts = rows.iter().map(|row| row.iter().map(|(_, cell)| cell.clone()).collect::<Vec<_>>());
    if !long {
        return texts.map(|row| format!("{}\n", row.join(" "))).collect();
    }
    let headings = ["ID", "NAME", "SOURCE", "DELETED_AT", "STATUS", "PARENT"];
    let table = Table::default();
    let mut table = headings.into_iter().fold(table, |table, name| table.column(name, Align::Left, Align::Left));
    // No image has a parent yet.
    texts.for_each(|row| table.row(row.into_iter().chain([String::new()]).collect()));
    if rows.is_empty() { String::new() } else { table.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lsd_engine::ImageId;

    #[test]
    fn users_see_what_they_put_there_and_with_all_what_others_did() {
        let shown = |all| {
            use TrashSource::{Migration, Mirroring, Removing, User, UserParent};
            let sources = [User, Mirroring, Migration, Removing, UserParent];
            sources.into_iter().filter(|source| is_listed(*source, all)).map(source_name).collect::<Vec<_>>()
        };
        assert_eq!(shown(false), ["USER"]);
        assert_eq!(shown(true), ["USER", "MIRRORING", "MIGRATION", "USER_PARENT"]);
    }

    #[test]
    fn an_entry_is_protected_until_its_time_has_come() {
        let entry = TrashEntry {
            id: ImageId("1a".into()),
            name: "x".into(),
            source: TrashSource::User,
            deleted_ns: 1_000_000_000,
            deferred_until_ns: 2_000_000_000,
        };
        let status = |now| cells(&entry, true, now).pop().unwrap().1;
        assert!(status(1_999_999_999).starts_with("protected until "));
        assert!(status(2_000_000_000).starts_with("expired at "));
        assert_eq!(plain(&[cells(&entry, false, 0)], false), "1a x\n");
        let table = plain(&[cells(&entry, true, 0)], true);
        assert!(table.starts_with("ID  NAME  SOURCE  DELETED_AT                STATUS"), "{table}");
    }
}
