//! `lsd inspect header`.
use super::{Subject, snapshots};
use crate::command::Parsed;
use crate::commands::features::{flag_names, operation_names};
use crate::error::{Failure, Result};
use crate::output::format::{Format, Tree};
use crate::output::{size, time};
use crate::session::Session;
use lsd_core::format::header::{
    BaseRecord, CheckpointPointer, GroupRef, ImageRecord, LogRecord, MigrationRecord, SnapCounters, StateRecord, Tombs,
    decode_epoch, decode_requires, decode_text, key,
};
use lsd_core::format::names;
use lsd_engine::Features;
use nix::libc;

pub async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let format = Format::of(parsed)?;
    let subject = Subject::find_whole(session, parsed).await?;
    let mut view = View { fields: vec![("object", names::header(&subject.id).into())], damage: Vec::new() };
    view.add(subject.value(key::NAME, decode_text).map(|name| vec![("name", name.into())]), key::NAME);
    view.add(subject.value(key::IMAGE, ImageRecord::decode).map(|image| image_fields(&image)), key::IMAGE);
    view.add(subject.value(key::STATE, StateRecord::decode).map(|state| state_fields(&state)), key::STATE);
    view.add(subject.value(key::EPOCH, decode_epoch).map(|epoch| vec![("epoch", epoch.0.into())]), key::EPOCH);
    view.add(subject.value(key::LOG, LogRecord::decode).map(|log| vec![("log", log_tree(&log))]), key::LOG);
    if subject.header.contains_key(key::REQUIRES) {
        let requires = subject.value(key::REQUIRES, decode_requires);
        view.add(requires.map(|bits| vec![("requires", snapshots::requires_tree(bits))]), key::REQUIRES);
    }
    if subject.header.contains_key(key::GROUP) {
        view.add(
            subject.value(key::GROUP, GroupRef::decode).map(|group| vec![("group", group_tree(&group))]),
            key::GROUP,
        );
    }
    if subject.header.contains_key(key::MIGRATION) {
        let migration = subject.value(key::MIGRATION, MigrationRecord::decode);
        view.add(migration.map(|migration| vec![("migration", migration_tree(&migration))]), key::MIGRATION);
    }
    for (name, key) in [("base", key::BASE), ("former_base", key::LEFT_BASE)] {
        if subject.header.contains_key(key) {
            view.add(subject.value(key, BaseRecord::decode).map(|base| vec![(name, base_tree(&base))]), key);
        }
    }
    view.add_snapshots(&subject);
    if subject.header.contains_key(key::TOMBS) {
        view.add(
            subject.value(key::TOMBS, Tombs::decode).map(|tombs| vec![("tombstones", tombs_tree(&tombs))]),
            key::TOMBS,
        );
    }
    view.fields.push(("metadata", metadata(&subject)));
    if !view.damage.is_empty() {
        let damage = view.damage.iter().map(|line| Tree::from(line.as_str())).collect();
        view.fields.push(("damage", Tree::List("value", damage)));
    }
    let tree = Tree::Object(view.fields);
    format.print("header", &tree, || outline(&tree))?;
    match view.damage.first() {
        Some(first) => Err(Failure::new(libc::EIO, format!("the header is damaged: {first}"))),
        None => Ok(()),
    }
}

type Fields = Vec<(&'static str, Tree)>;

/// What can be shown, and what cannot.
struct View {
    fields: Fields,
    damage: Vec<String>,
}

impl View {
    fn add(&mut self, found: std::result::Result<Fields, String>, key: &str) {
        match found {
            Ok(fields) => self.fields.extend(fields),
            Err(why) => self.damage.push(format!("{key}: {why}")),
        }
    }

    fn add_snapshots(&mut self, subject: &Subject) {
        if subject.header.contains_key(key::SNAP_COUNTERS) {
            let counters = subject.value(key::SNAP_COUNTERS, SnapCounters::decode);
            let fields = counters.map(|counters| vec![("snapshot_counters", snapshots::counters_tree(&counters))]);
            self.add(fields, key::SNAP_COUNTERS);
        }
        let mut shown = Vec::new();
        for (key, record) in snapshots::records(subject) {
            match record {
                Ok(record) => shown.push(snapshots::tree(&record)),
                Err(why) => self.damage.push(format!("{key}: {why}")),
            }
        }
        if !shown.is_empty() {
            self.fields.push(("snapshots", Tree::List("snapshot", shown)));
        }
    }
}

fn image_fields(image: &ImageRecord) -> Fields {
    let uuid: String = image.uuid.0.iter().map(|byte| format!("{byte:02x}")).collect();
    let pool = match u64::try_from(image.data_pool) {
        Ok(pool) => Tree::Number(pool),
        Err(_) => Tree::from("none"),
    };
    vec![
        ("id", image.id.as_str().into()),
        ("uuid", uuid.into()),
        ("order", u64::from(image.order).into()),
        ("stripe_unit", image.stripe_unit.into()),
        ("stripe_count", image.stripe_count.into()),
        ("data_pool", pool),
        ("create_timestamp", time::ctime(image.create_ns).into()),
    ]
}

fn state_fields(state: &StateRecord) -> Fields {
    let list = |names: Vec<&str>| Tree::List("name", names.into_iter().map(Tree::from).collect());
    vec![
        ("size", state.size.into()),
        ("features", list(Features(state.features).names())),
        ("op_features", list(operation_names(state.op_features))),
        ("flags", list(flag_names(state.flags))),
        ("access_timestamp", time::ctime(state.access_ns).into()),
        ("modify_timestamp", time::ctime(state.modify_ns).into()),
    ]
}

fn log_tree(log: &LogRecord) -> Tree {
    let mut fields: Fields =
        vec![("closed_cleanly", Tree::Bool(log.clean)), ("replay_from_segment", log.replay_from.0.into())];
    if let Some(checkpoint) = &log.checkpoint {
        fields.push(("checkpoint", checkpoint_tree(checkpoint)));
    }
    let epochs = log.epochs.iter().map(|start| {
        Tree::Object(vec![
            ("epoch", start.epoch.0.into()),
            ("first_segment", start.first_segment.0.into()),
            ("first_seq", start.first_seq.0.into()),
        ])
    });
    fields.push(("epochs", Tree::List("epoch", epochs.collect())));
    Tree::Object(fields)
}

pub fn checkpoint_tree(checkpoint: &CheckpointPointer) -> Tree {
    Tree::Object(vec![
        ("id", checkpoint.id.to_string().into()),
        ("frontier", checkpoint.frontier.0.into()),
        ("first_root_page", u64::from(checkpoint.first_root_page).into()),
        ("root_pages", u64::from(checkpoint.root_pages).into()),
    ])
}

fn group_tree(group: &GroupRef) -> Tree {
    let pool = u64::try_from(group.pool).map_or_else(|_| Tree::from("none"), Tree::Number);
    Tree::Object(vec![("pool", pool), ("id", group.group.as_str().into())])
}

fn migration_tree(migration: &MigrationRecord) -> Tree {
    let pool = u64::try_from(migration.other.pool).map_or_else(|_| Tree::from("none"), Tree::Number);
    Tree::Object(vec![
        ("role", format!("{:?}", migration.role).to_lowercase().into()),
        ("state", format!("{:?}", migration.state).to_lowercase().into()),
        ("state_description", migration.description.as_str().into()),
        ("other_pool", pool),
        ("other_namespace", migration.other.namespace.as_str().into()),
        ("other_id", migration.other.id.as_str().into()),
        ("other_name", migration.name.as_str().into()),
        ("flatten", Tree::Bool(migration.flatten)),
        ("sources_last_segment", migration.source.last_segment.0.into()),
        ("sources_last_checkpoint", migration.source.last_checkpoint.to_string().into()),
    ])
}

fn base_tree(base: &BaseRecord) -> Tree {
    Tree::Object(vec![
        ("kind", base.kind.as_str().into()),
        ("spec", base.spec.as_str().into()),
        ("identity", base.identity.as_str().into()),
        ("size", base.size.into()),
        ("overlap", base.overlap.into()),
    ])
}

fn tombs_tree(tombs: &Tombs) -> Tree {
    let list = tombs.list.iter().map(|tomb| {
        Tree::Object(vec![
            ("epoch", tomb.epoch.0.into()),
            ("first_segment", tomb.first.0.into()),
            ("next_first_segment", tomb.next.0.into()),
        ])
    });
    Tree::Object(vec![("unlisted", Tree::Bool(tombs.more)), ("epochs", Tree::List("epoch", list.collect()))])
}

fn metadata(subject: &Subject) -> Tree {
    let pairs = subject.header.iter().filter_map(|(key, bytes)| {
        let value = decode_text(bytes).unwrap_or_else(|error| format!("<{error}>"));
        Some((key.strip_prefix(key::META)?.to_owned(), value.into()))
    });
    Tree::Map(pairs.collect())
}

/// The same tree for a person.
fn outline(tree: &Tree) -> String {
    let mut text = String::new();
    if let Tree::Object(fields) = tree {
        fields.iter().for_each(|(name, tree)| write_outline(&mut text, name, tree, 0));
    }
    text
}

fn write_outline(text: &mut String, name: &str, tree: &Tree, depth: usize) {
    let lead = format!("{}{name}:", "\t".repeat(depth));
    let line = match tree {
        Tree::Text(value) => format!("{lead} {value}\n"),
        Tree::Number(value) if name == "size" => format!("{lead} {} ({value} bytes)\n", size::format(*value)),
        Tree::Number(value) => format!("{lead} {value}\n"),
        Tree::Real(value) => format!("{lead} {value}\n"),
        Tree::Bool(value) => format!("{lead} {value}\n"),
        Tree::Object(fields) => {
            text.push_str(&format!("{lead}\n"));
            return fields.iter().for_each(|(name, tree)| write_outline(text, name, tree, depth + 1));
        }
        Tree::Map(pairs) => {
            text.push_str(&format!("{lead}\n"));
            return pairs.iter().for_each(|(name, tree)| write_outline(text, name, tree, depth + 1));
        }
        Tree::List(_, items) => {
            let items: Vec<String> = items.iter().map(inline).collect();
            format!("{lead} {}\n", items.join(", "))
        }
        Tree::Mixed(items) => {
            let items: Vec<String> = items.iter().map(|(_, tree)| inline(tree)).collect();
            format!("{lead} {}\n", items.join(", "))
        }
    };
    text.push_str(&line);
}

fn inline(tree: &Tree) -> String {
    match tree {
        Tree::Text(value) => value.clone(),
        Tree::Number(value) => value.to_string(),
        Tree::Real(value) => value.to_string(),
        Tree::Bool(value) => value.to_string(),
        Tree::Object(fields) => {
            let fields: Vec<String> = fields.iter().map(|(name, tree)| format!("{name} {}", inline(tree))).collect();
            format!("({})", fields.join(" "))
        }
        Tree::List(_, items) => {
            let items: Vec<String> = items.iter().map(inline).collect();
            format!("[{}]", items.join(" "))
        }
        Tree::Map(_) | Tree::Mixed(_) => String::new(),
    }
}
