//! `lsd snap list`.
use super::{IMAGE_ID, flag, is_users};
use crate::command::image_args::{Snap, by_name_or_id};
use crate::command::options::{FORMAT, IMAGE_SPEC, ONE_IMAGE};
use crate::command::{CommandSpec, OptionSpec, Parsed};
use crate::commands::group::group_pool;
use crate::commands::transfer::closed;
use crate::error::{Failure, Result};
use crate::output::format::{Format, Tree};
use crate::output::table::{Align, Table};
use crate::output::{size, time};
use crate::session::Session;
use lsd_engine::{Image, SnapInfo, SnapNamespace};
use lsd_store::ObjectStore;
use std::sync::Arc;

const FAILED: &str = "failed to list snapshots";

pub const LIST: CommandSpec = CommandSpec {
    words: &["snap", "list"],
    alias: &["snap", "ls"],
    summary: "Dump list of image snapshots.",
    epilogue: "",
    positionals: &[IMAGE_SPEC],
    options: &[
        ONE_IMAGE,
        IMAGE_ID,
        FORMAT,
        &[OptionSpec::switch("all", "list snapshots from all namespaces").short('a')],
    ],
    run: |session, parsed| Box::pin(execute(session, parsed)),
};

/// A snapshot, and the pool of the group that it belongs to.
struct Row {
    snapshot: SnapInfo,
    pool: String,
}

async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let (location, image) = by_name_or_id(parsed, Snap::No)?;
    let format = Format::of(parsed)?;
    let all = parsed.has("all");
    let image = session.open_ref(&location, image, true).await?;
    let store = location.store(session).await?;
    let rows = closed(&image, FAILED, rows(&store, &image, all).await).await?;
    let tree = Tree::List("snapshot", rows.iter().map(|row| row.tree(all)).collect());
    format.print("snapshots", &tree, || plain(&rows, all))
}

async fn rows(store: &Arc<dyn ObjectStore>, image: &Image, all: bool) -> Result<Vec<Row>> {
    let listed = image.snapshots().list().await.map_err(|error| Failure::engine(FAILED, &error))?;
    let mut rows = Vec::new();
    for mut snapshot in listed.into_iter().filter(|snapshot| all || is_users(snapshot)) {
        name_group(image, &mut snapshot).await;
        let pool = match &snapshot.namespace {
            SnapNamespace::Group { pool, .. } => group_pool(store, *pool).await,
            _ => String::new(),
        };
        rows.push(Row { snapshot, pool });
    }
    Ok(rows)
}

/// Puts the names of a group and of its snapshot in the place of their ids; where they are gone the ids stay.
async fn name_group(image: &Image, snapshot: &mut SnapInfo) {
    if let Ok((named, name)) = image.group_snapshot(&snapshot.namespace).await {
        let pool = named.pool;
        snapshot.namespace = SnapNamespace::Group { pool, group: named.name, group_snapshot: name };
    }
}

fn namespace_name(namespace: &SnapNamespace) -> &'static str {
    match namespace {
        SnapNamespace::User => "user",
        SnapNamespace::Group { .. } => "group",
        SnapNamespace::Trash { .. } => "trash",
    }
}

impl Row {
    fn tree(&self, all: bool) -> Tree {
        let SnapInfo { id, name, size, is_protected, create_ns, .. } = &self.snapshot;
        let mut fields: Vec<(&'static str, Tree)> = vec![
            ("id", (*id).into()),
            ("name", name.as_str().into()),
            ("size", (*size).into()),
            ("protected", flag(*is_protected).into()),
            ("timestamp", time::ctime(*create_ns).into()),
        ];
        if all {
            fields.push(("namespace", self.namespace_tree()));
        }
        Tree::Object(fields)
    }

    fn namespace_tree(&self) -> Tree {
        let namespace = &self.snapshot.namespace;
        let mut fields: Vec<(&'static str, Tree)> = vec![("type", namespace_name(namespace).into())];
        match namespace {
            SnapNamespace::User => {}
            SnapNamespace::Group { group, group_snapshot, .. } => fields.extend([
                ("pool", self.pool.as_str().into()),
                ("group", group.as_str().into()),
                ("group snap", group_snapshot.as_str().into()),
            ]),
            SnapNamespace::Trash { name } => fields.push(("original_name", name.as_str().into())),
        }
        Tree::Object(fields)
    }

    fn namespace_words(&self) -> String {
        let namespace = &self.snapshot.namespace;
        let kind = namespace_name(namespace);
        match namespace {
            SnapNamespace::User => kind.to_owned(),
            SnapNamespace::Group { group, group_snapshot, .. } => {
                format!("{kind} ({}/{group}@{group_snapshot})", self.pool)
            }
            SnapNamespace::Trash { name } => format!("{kind} ({name})"),
        }
    }
}

fn plain(rows: &[Row], all: bool) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut table = Table::default()
        .column("SNAPID", Align::Left, Align::Right)
        .column("NAME", Align::Left, Align::Left)
        .column("SIZE", Align::Left, Align::Right)
        .column("PROTECTED", Align::Left, Align::Left)
        .column("TIMESTAMP", Align::Left, Align::Right);
    if all {
        table = table.column("NAMESPACE", Align::Left, Align::Left);
    }
    for row in rows {
        let SnapInfo { id, name, size, is_protected, create_ns, .. } = &row.snapshot;
        let is_protected = if *is_protected { "yes" } else { "" };
        let mut cells =
            vec![id.to_string(), name.clone(), size::format(*size), is_protected.into(), time::ctime(*create_ns)];
        if all {
            cells.push(row.namespace_words());
        }
        table.row(cells);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: u64, namespace: SnapNamespace) -> Row {
        let snapshot = SnapInfo {
            id,
            name: format!("s{id}"),
            namespace,
            size: 10 << 20,
            features: 0,
            flags: 0,
            is_protected: id == 2,
            create_ns: 0,
            is_of_clone: false,
        };
        Row { snapshot, pool: "rbd".into() }
    }

    #[test]
    fn every_namespace_is_said_as_rbd_says_it() {
        let group = SnapNamespace::Group { pool: 3, group: "g".into(), group_snapshot: "gs".into() };
        let trash = SnapNamespace::Trash { name: "was".into() };
        let rows = [row(2, SnapNamespace::User), row(3, group), row(4, trash)];
        let text = plain(&rows, true);
        let ends: Vec<&str> = text.lines().map(|line| line.trim_end().rsplit("  ").next().unwrap()).collect();
        assert_eq!(ends, ["NAMESPACE", "user", "group (rbd/g@gs)", "trash (was)"]);
        let json = Format::Json { pretty: false }.render("s", &rows[1].namespace_tree()).unwrap();
        assert_eq!(json, "{\"type\":\"group\",\"pool\":\"rbd\",\"group\":\"g\",\"group snap\":\"gs\"}\n");
        let json = Format::Json { pretty: false }.render("s", &rows[2].namespace_tree()).unwrap();
        assert_eq!(json, "{\"type\":\"trash\",\"original_name\":\"was\"}\n");
        assert!(plain(&rows, false).lines().nth(1).unwrap().starts_with("     2  s2    10 MiB  yes        "));
    }
}
