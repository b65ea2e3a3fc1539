//! The snapshots in a header: what each is, and where its map is.
use super::Subject;
use super::header::checkpoint_tree;
use crate::commands::features::flag_names;
use crate::output::format::Tree;
use crate::output::time;
use lsd_core::format::header::{
    REQUIRES_BASE, REQUIRES_CLONES, REQUIRES_FOREIGN, REQUIRES_MIGRATION, REQUIRES_SNAPSHOTS, SnapCounters,
    SnapNamespace, SnapRecord, key,
};
use lsd_engine::Features;

/// Each key of a snapshot in the header with its record, or why it has none.
pub fn records(subject: &Subject) -> impl Iterator<Item = (&str, Result<SnapRecord, String>)> {
    let keys = subject.header.keys().filter(|name| name.starts_with(key::SNAP));
    keys.map(|name| (name.as_str(), subject.value(name, SnapRecord::decode)))
}

/// A user's snapshot by its name, as far as records can be read.
pub fn find(subject: &Subject, name: &str) -> Option<SnapRecord> {
    let named =
        |record: &SnapRecord| record.name == name && !record.is_removing && record.namespace == SnapNamespace::User;
    records(subject).filter_map(|(_, record)| record.ok()).find(named)
}

pub fn tree(record: &SnapRecord) -> Tree {
    let list = |names: Vec<&str>| Tree::List("name", names.into_iter().map(Tree::from).collect());
    let mut fields: Vec<(&'static str, Tree)> = vec![("id", record.id.0.into()), ("name", record.name.as_str().into())];
    fields.extend(namespace_fields(&record.namespace));
    fields.extend([
        ("protected", Tree::Bool(record.is_protected)),
        ("removing", Tree::Bool(record.is_removing)),
        ("size", record.size.into()),
        ("features", list(Features(record.features).names())),
        ("flags", list(flag_names(record.flags))),
        ("timestamp", time::ctime(record.time_ns).into()),
        ("checkpoint", checkpoint_tree(&record.root)),
    ]);
    Tree::Object(fields)
}

fn namespace_fields(namespace: &SnapNamespace) -> Vec<(&'static str, Tree)> {
    match namespace {
        SnapNamespace::User => vec![("namespace", "user".into())],
        SnapNamespace::Group { pool, group, group_snapshot } => vec![
            ("namespace", "group".into()),
            ("group_pool", pool.to_string().into()),
            ("group", group.as_str().into()),
            ("group_snapshot", group_snapshot.as_str().into()),
        ],
        SnapNamespace::Trash { name } => vec![("namespace", "trash".into()), ("original_name", name.as_str().into())],
    }
}

pub fn counters_tree(counters: &SnapCounters) -> Tree {
    let mut fields: Vec<(&'static str, Tree)> = vec![("last_id", counters.last.0.into())];
    fields.extend(counters.limit.map(|limit| ("limit", limit.into())));
    fields.push(("last_id_at_rollback", counters.rolled_back.0.into()));
    Tree::Object(fields)
}

/// The names of the bits that say what an image requires; those without a name by their numbers.
pub fn requires_tree(bits: u64) -> Tree {
    let name = |bit: u32| match 1_u64 << bit {
        REQUIRES_SNAPSHOTS => "snapshots".to_owned(),
        REQUIRES_CLONES => "clones".to_owned(),
        REQUIRES_MIGRATION => "migration".to_owned(),
        REQUIRES_BASE => "base".to_owned(),
        REQUIRES_FOREIGN => "foreign".to_owned(),
        _ => format!("bit {bit}"),
    };
    Tree::List("name", (0..u64::BITS).filter(|bit| bits >> bit & 1 == 1).map(|bit| name(bit).into()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::format::Format;

    #[test]
    fn what_is_required_has_a_name_or_a_number() {
        let json = |bits| Format::Json { pretty: false }.render("r", &requires_tree(bits)).unwrap();
        assert_eq!(json(0), "[]\n");
        assert_eq!(json(1), "[\"snapshots\"]\n");
        assert_eq!(json(4 | 8), "[\"migration\",\"base\"]\n");
        assert_eq!(json(1 | 2 | 1 << 63), "[\"snapshots\",\"clones\",\"bit 63\"]\n");
    }
}
