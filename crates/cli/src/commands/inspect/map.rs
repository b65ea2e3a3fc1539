//! `lsd inspect map`: the map as the last checkpoint has it, or that of a snapshot. What was written since is in the log only.
mod tables;

use super::{Subject, damaged, snapshots, store_failed};
use crate::command::Parsed;
use crate::error::{Failure, Result};
use crate::output::format::{Format, Tree};
use crate::output::table::{Align, Table};
use crate::output::{size, time};
use crate::session::Session;
use lsd_core::format::checkpoint::{LeafPlace, LeafPointer, PageIdentity, PatchPointer};
use lsd_core::format::header::{CheckpointPointer, ImageRecord};
use lsd_core::format::names;
use lsd_core::format::root::{LeafEntry, Moment, Root, RootPages};
use lsd_core::map::{Leaf, MapError, Patch, Run};
use lsd_core::units::{CheckpointId, LeafNo};
use lsd_engine::Features;
use lsd_store::ObjectName;
use nix::libc;
use tables::{pages_tree, plain_pages, plain_segments, segments_tree};

pub async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let format = Format::of(parsed)?;
    let wanted_leaf = parsed.get_with("leaf", |text| text.parse().ok().map(LeafNo))?;
    let subject = Subject::find(session, parsed).await?;
    let (image, log) = subject.image_and_log()?;
    let checkpoint = match &subject.snap {
        Some(name) => {
            let found = snapshots::find(&subject, name);
            Some(found.ok_or_else(|| Failure::new(libc::ENOENT, "snapshot does not exist."))?.root)
        }
        None => log.checkpoint,
    };
    let Some(checkpoint) = checkpoint else {
        let none = Tree::Object(vec![("leaves", Tree::List("leaf", Vec::new()))]);
        return format.print("map", &none, || "There is no checkpoint yet.\n".to_owned());
    };
    let root = read_root(&subject, &image, &checkpoint).await?;
    if let Some(leaf) = wanted_leaf {
        let runs = read_leaf(&subject, &root, leaf).await?;
        return format.print("leaf", &runs_tree(leaf, &runs), || plain_runs(leaf, &runs));
    }
    if parsed.has("segments") {
        return format.print("segments", &segments_tree(&log, &root), || plain_segments(&log, &root));
    }
    if parsed.has("pages") {
        return format.print("pages", &pages_tree(&subject, &root), || plain_pages(&subject, &root));
    }
    let view = MapView { subject: &subject, checkpoint: &checkpoint, root: &root };
    format.print("map", &view.tree(), || view.plain())
}

async fn read_root(subject: &Subject, image: &ImageRecord, pointer: &CheckpointPointer) -> Result<Root> {
    let mut joined = RootPages::default();
    for index in 0..pointer.root_pages {
        let page = pointer.first_root_page + index;
        let name = ObjectName::from(names::map_page(&subject.id, pointer.id, page));
        let failed = |error| store_failed(&format!("error reading {name}"), &error);
        let size = subject.store.stat(&name).await.map_err(failed)?;
        let bytes = subject.store.read(&name, 0, size).await.map_err(failed)?;
        let identity = PageIdentity { image: image.uuid, checkpoint: pointer.id, page };
        joined.add(&identity, &bytes).map_err(|error| damaged(&name, &error))?;
    }
    joined.decode().map_err(|error| damaged(&format!("root of checkpoint {}", pointer.id), &error))
}

async fn read_leaf(subject: &Subject, root: &Root, leaf: LeafNo) -> Result<Vec<Run>> {
    let Some(entry) = root.leaves.iter().find(|entry| entry.leaf == leaf) else { return Ok(Vec::new()) };
    let bytes = read_at(subject, entry.at.base).await?;
    let mut content = Leaf::decode(leaf, &bytes).map_err(|error| damaged_leaf(subject, entry.at.base, leaf, &error))?;
    if let Some(patch) = entry.at.patch {
        let bytes = read_at(subject, patch.at).await?;
        let decoded = Patch::decode(leaf, &entry.at.base, &bytes);
        decoded.map_err(|error| damaged_leaf(subject, patch.at, leaf, &error))?.apply(&mut content);
    }
    Ok(content.runs().collect())
}

fn page_name(subject: &Subject, at: LeafPointer) -> ObjectName {
    page_object(subject, at.checkpoint, at.page)
}

fn page_object(subject: &Subject, checkpoint: CheckpointId, page: u32) -> ObjectName {
    names::map_page(&subject.id, checkpoint, page).into()
}

async fn read_at(subject: &Subject, at: LeafPointer) -> Result<bytes::Bytes> {
    let name = page_name(subject, at);
    let read = subject.store.read(&name, u64::from(at.offset), u64::from(at.len)).await;
    read.map_err(|error| store_failed(&format!("error reading {name}"), &error))
}

fn damaged_leaf(subject: &Subject, at: LeafPointer, leaf: LeafNo, error: &MapError) -> Failure {
    Failure::new(libc::EIO, format!("{}: leaf {leaf}: {error}", page_name(subject, at)))
}

fn runs_tree(leaf: LeafNo, runs: &[Run]) -> Tree {
    let run = |run: &Run| {
        Tree::Object(vec![
            ("offset", (leaf.start() + u64::from(run.start)).into()),
            ("length", u64::from(run.len).into()),
            ("segment", run.loc.segment().0.into()),
            ("segment_offset", u64::from(run.loc.offset()).into()),
        ])
    };
    Tree::List("extent", runs.iter().map(run).collect())
}

fn plain_runs(leaf: LeafNo, runs: &[Run]) -> String {
    let mut table = right_table(&["OFFSET", "LENGTH", "SEGMENT", "AT"]);
    for run in runs {
        let offset = leaf.start() + u64::from(run.start);
        let row = [offset, u64::from(run.len), run.loc.segment().0, u64::from(run.loc.offset())];
        table.row(row.iter().map(u64::to_string).collect());
    }
    table.to_string()
}

fn right_table(headings: &[&str]) -> Table {
    headings.iter().fold(Table::default(), |table, heading| table.column(heading, Align::Right, Align::Right))
}

fn moment_tree(moment: &Moment) -> Tree {
    let features = Features(moment.features).names().into_iter().map(Tree::from).collect();
    Tree::Object(vec![
        ("size", moment.size.into()),
        ("features", Tree::List("name", features)),
        ("timestamp", time::ctime(moment.time_ns).into()),
    ])
}

/// The leaves of a checkpoint and its sums.
struct MapView<'a> {
    subject: &'a Subject,
    checkpoint: &'a CheckpointPointer,
    root: &'a Root,
}

impl MapView<'_> {
    fn page_name(&self, at: LeafPointer) -> String {
        page_name(self.subject, at).0
    }

    /// The others in the table are let go by this checkpoint.
    fn pinned_pages(&self) -> u64 {
        self.root.pages.iter().filter(|page| page.pins > 0).count() as u64
    }

    fn mapped(&self) -> u64 {
        self.root.leaves.iter().map(|entry| u64::from(entry.mapped)).sum()
    }

    fn tree(&self) -> Tree {
        let leaf = |entry: &LeafEntry| {
            let LeafPlace { base, patch } = entry.at;
            let mut fields = vec![
                ("leaf", u64::from(entry.leaf.0).into()),
                ("offset", entry.leaf.start().into()),
                ("mapped", u64::from(entry.mapped).into()),
                ("object", self.page_name(base).into()),
                ("object_offset", u64::from(base.offset).into()),
                ("encoded_length", u64::from(base.len).into()),
            ];
            if let Some(PatchPointer { at, .. }) = patch {
                fields.push(("patch_object", self.page_name(at).into()));
                fields.push(("patch_object_offset", u64::from(at.offset).into()));
                fields.push(("patch_length", u64::from(at.len).into()));
            }
            Tree::Object(fields)
        };
        let mut fields: Vec<(&'static str, Tree)> = vec![
            ("checkpoint", self.checkpoint.id.to_string().into()),
            ("frontier", self.checkpoint.frontier.0.into()),
        ];
        fields.extend(self.root.moment.map(|moment| ("moment", moment_tree(&moment))));
        fields.extend([
            ("mapped", self.mapped().into()),
            ("segments", (self.root.segments.len() as u64).into()),
            ("pinned_pages", self.pinned_pages().into()),
            ("leaves", Tree::List("leaf", self.root.leaves.iter().map(leaf).collect())),
        ]);
        Tree::Object(fields)
    }

    fn plain(&self) -> String {
        let Root { moment, leaves, segments, .. } = self.root;
        let mut text = format!(
            "checkpoint {} up to write {}: {} in {} leaves and {} segments\n",
            self.checkpoint.id,
            self.checkpoint.frontier,
            size::format(self.mapped()),
            leaves.len(),
            segments.len()
        );
        if let Some(Moment { size, time_ns, .. }) = moment {
            let when = if *time_ns == 0 { String::new() } else { format!(" as it was at {}", time::ctime(*time_ns)) };
            text += &format!("of an image of {}{when}\n", size::format(*size));
        }
        if self.pinned_pages() > 0 {
            text += &format!("pages that snapshots need: {}\n", self.pinned_pages());
        }
        let mut table =
            right_table(&["LEAF", "OFFSET", "MAPPED", "ENCODED"]).column("OBJECT", Align::Left, Align::Left);
        let at = |at: LeafPointer| [size::format(u64::from(at.len)), format!("{}+{}", self.page_name(at), at.offset)];
        for entry in leaves {
            let [encoded, object] = at(entry.at.base);
            let mapped = size::format(u64::from(entry.mapped));
            table.row(vec![entry.leaf.to_string(), entry.leaf.start().to_string(), mapped, encoded, object]);
            // A line of its own, so that an image without patches looks the same to scripts.
            if let Some(patch) = entry.at.patch {
                let [encoded, object] = at(patch.at);
                table.row(vec![
                    entry.leaf.to_string(),
                    entry.leaf.start().to_string(),
                    "patch".to_owned(),
                    encoded,
                    object,
                ]);
            }
        }
        if !leaves.is_empty() {
            text += &table.to_string();
        }
        text
    }
}
