//! `lsd inspect segment`: the log, segment by segment, batch by batch, record by record.
use super::{Subject, damaged, store_failed};
use crate::command::Parsed;
use crate::error::{Failure, Result};
use crate::output::format::{Format, Tree};
use crate::output::table::{Align, Table};
use crate::output::{size, time};
use crate::session::Session;
use lsd_core::format::FormatError;
use lsd_core::format::batch::{self, Batch};
use lsd_core::format::block_sums::check_blocks;
use lsd_core::format::header::{ImageRecord, LogRecord};
use lsd_core::format::names;
use lsd_core::format::record::{Record, RecordKind};
use lsd_core::format::segment::{Seal, SegmentIdentity, decode_seal};
use lsd_core::units::{Epoch, Loc, SegmentNo};
use lsd_store::{LogTail, ObjectName, ObjectStore, StoreErrorKind};
use nix::libc;
use std::sync::Arc;

pub async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let format = Format::of(parsed)?;
    let subject = Subject::find_whole(session, parsed).await?;
    let (image, log) = subject.image_and_log()?;
    let data = subject.data_store(&image).await?;
    let number = match parsed.next_positional() {
        None => return list(format, &subject, &data).await,
        Some(text) => text.parse().map(SegmentNo),
    };
    let number = number.map_err(|_| Failure::invalid("the segment must be a number"))?;
    let found = find(&subject, &log, &data, number).await?;
    let look = Look { check: parsed.has("check"), settled: number < log.replay_from };
    let (batches, damage) = read(&image, &found, &data, look).await?;
    let view = SegmentView { found: &found, batches: &batches, records: parsed.has("records") };
    format.print("segment", &view.tree(), || view.plain())?;
    damage.map_or(Ok(()), Err)
}

/// A segment's object.
struct Found {
    number: SegmentNo,
    epoch: Epoch,
    name: ObjectName,
    tail: LogTail,
}

/// Every segment in the pool, whether the log needs it or not.
async fn list(format: Format, subject: &Subject, data: &Arc<dyn ObjectStore>) -> Result<()> {
    let prefix = format!("{}.", names::data_prefix(&subject.id));
    let objects = data.list(&prefix).await.map_err(|error| store_failed("listing segments failed", &error))?;
    let mut found = Vec::new();
    for name in objects {
        let Some((epoch, number)) = names::parse_segment(&subject.id, &name.0) else { continue };
        match data.log_tail(&name).await {
            Ok(tail) => found.push(Found { number, epoch, name, tail }),
            Err(error) if error.kind == StoreErrorKind::NotFound => {}
            Err(error) => return Err(store_failed(&format!("error reading {name}"), &error)),
        }
    }
    found.sort_by_key(|found| (found.number, found.epoch));
    let tree = Tree::List("segment", found.iter().map(|found| Tree::Object(found.fields())).collect());
    format.print("segments", &tree, || {
        let headings = ["SEGMENT", "EPOCH", "LENGTH", "SUMMARY"];
        let mut table =
            headings.iter().fold(Table::default(), |table, heading| table.column(heading, Align::Right, Align::Right));
        table = table.column("OBJECT", Align::Left, Align::Left);
        for Found { number, epoch, name, tail } in &found {
            let summary = if tail.summary_len == 0 { "open".into() } else { tail.summary_len.to_string() };
            table.row(vec![number.to_string(), epoch.to_string(), tail.len.to_string(), summary, name.to_string()]);
        }
        table.to_string()
    })
}

/// The object of a segment number: the header says which epoch wrote it, and so its name.
async fn find(subject: &Subject, log: &LogRecord, data: &Arc<dyn ObjectStore>, number: SegmentNo) -> Result<Found> {
    let what = format!("error opening segment {number}");
    let epoch = log.epoch_of(number).ok_or_else(|| Failure::errno(&what, libc::ENOENT))?;
    let name = ObjectName::from(names::segment(&subject.id, epoch, number));
    let tail = data.log_tail(&name).await.map_err(|error| store_failed(&what, &error))?;
    Ok(Found { number, epoch, name, tail })
}

#[derive(Clone, Copy)]
struct Look {
    /// Read the data too, and check it.
    check: bool,
    /// The last checkpoint covers the segment: nothing in it may be missing.
    settled: bool,
}

/// The batches, from the summary of a sealed segment or from the whole of an open one, and what ends them if they do not
/// end as they should. With `check` from the
/// whole in any case, with the data's checksums.
async fn read(
    image: &ImageRecord,
    found: &Found,
    data: &Arc<dyn ObjectStore>,
    look: Look,
) -> Result<(Vec<Batch>, Option<Failure>)> {
    let Found { name, tail, .. } = found;
    let identity = SegmentIdentity { image: image.uuid, epoch: found.epoch, segment: found.number };
    let failed = |error| store_failed(&format!("error reading {name}"), &error);
    let summary_len = u64::from(tail.summary_len);
    let content_len = tail.len.saturating_sub(summary_len);
    let mut sealed = None;
    let mut damage = None;
    if tail.summary_len > 0 {
        let bytes = data.read(name, content_len, summary_len).await.map_err(failed)?;
        match decode_seal(&identity, &bytes) {
            Ok(seal) if !look.check => return Ok((seal.summary.batches, None)),
            Ok(seal) => sealed = Some(seal),
            Err(error) => damage = Some(damaged(name, &error)),
        }
    }
    let bytes = data.read(name, 0, content_len).await.map_err(failed)?;
    let (batches, end) = scan(&identity, &bytes);
    // Where appends may be torn, an open segment may end in the middle of one.
    let may_be_torn = !data.limits().atomic_appends && tail.summary_len == 0 && !look.settled;
    damage = damage.or_else(|| end.filter(|_| !may_be_torn).map(|error| damaged(name, &error)));
    if let Some(Seal { sums, summary }) = sealed.filter(|_| damage.is_none()) {
        let differs = format!("{name}: the summary differs from the batches");
        let same = summary.batches.len() == batches.len()
            && batches.iter().zip(&summary.batches).all(|(batch, entry)| batch.matches_entry(entry));
        damage = (!same).then(|| Failure::new(libc::EIO, differs));
        damage = damage.or_else(|| check_blocks(&sums, 0, &bytes).err().map(|error| damaged(name, &error)));
    }
    Ok((batches, damage))
}

/// Batch after batch, and why the last one found does not reach the end.
fn scan(identity: &SegmentIdentity, bytes: &[u8]) -> (Vec<Batch>, Option<FormatError>) {
    let mut batches = Vec::new();
    let mut offset = 0;
    while offset < bytes.len() {
        match batch::decode(&identity.place(offset as u32), &bytes[offset..], true) {
            Ok(found) => {
                offset += found.total_len as usize;
                batches.push(found);
            }
            Err(error) => return (batches, Some(error)),
        }
    }
    (batches, None)
}

impl Found {
    fn fields(&self) -> Vec<(&'static str, Tree)> {
        vec![
            ("segment", self.number.0.into()),
            ("epoch", self.epoch.0.into()),
            ("object", self.name.to_string().into()),
            ("length", self.tail.len.into()),
            ("summary_length", u64::from(self.tail.summary_len).into()),
            ("state", if self.tail.summary_len == 0 { "open" } else { "sealed" }.into()),
        ]
    }
}

struct SegmentView<'a> {
    found: &'a Found,
    batches: &'a [Batch],
    records: bool,
}

impl SegmentView<'_> {
    fn tree(&self) -> Tree {
        let mut fields = self.found.fields();
        let batch = |batch: &Batch| {
            let mut fields: Vec<(&'static str, Tree)> = vec![
                ("offset", u64::from(batch.place.offset).into()),
                ("length", u64::from(batch.total_len).into()),
                ("first_seq", batch.first_seq.0.into()),
                ("last_seq", batch.last_seq().0.into()),
                ("timestamp_ns", batch.timestamp_ns.into()),
            ];
            if self.records {
                fields.push(("records", Tree::List("record", batch.records.iter().map(record_tree).collect())));
            }
            Tree::Object(fields)
        };
        fields.push(("batches", Tree::List("batch", self.batches.iter().map(batch).collect())));
        Tree::Object(fields)
    }

    fn plain(&self) -> String {
        let Found { number, epoch, name, tail } = self.found;
        let state = match tail.summary_len {
            0 => "open".to_owned(),
            bytes => format!("sealed with a summary of {bytes} bytes"),
        };
        let (batches, length) = (self.batches.len(), size::format(tail.len));
        let mut text = format!("segment {number} of epoch {epoch}, {name}: {length} in {batches} batches, {state}\n");
        for batch in self.batches {
            let Batch { first_seq, total_len, timestamp_ns, records, .. } = batch;
            text += &format!(
                "batch at {}: {total_len} bytes, {} {first_seq}..{} ({} records), {}\n",
                batch.place.offset,
                if batch.share.is_some() { "some of writes" } else { "writes" },
                batch.last_seq(),
                records.len(),
                time::ctime(*timestamp_ns),
            );
            if self.records {
                batch.numbered().for_each(|(seq, record)| text += &format!("\t{seq}: {}\n", record_words(record)));
            }
        }
        text
    }
}

fn kind_name(kind: &RecordKind) -> &'static str {
    match kind {
        RecordKind::Write { .. } => "write",
        RecordKind::Discard { .. } => "discard",
        RecordKind::WriteZeroes { .. } => "write_zeroes",
        RecordKind::Resize { .. } => "resize",
        RecordKind::Relocate { from: Loc::NOWHERE, .. } => "bring",
        RecordKind::Relocate { .. } => "relocate",
    }
}

fn record_tree(record: &Record) -> Tree {
    let mut fields: Vec<(&'static str, Tree)> = vec![("kind", kind_name(&record.kind).into())];
    match record.kind {
        RecordKind::Resize { size } => fields.push(("size", size.into())),
        RecordKind::Write { data_offset, .. } | RecordKind::Relocate { data_offset, from: Loc::NOWHERE, .. } => fields
            .extend([
                ("offset", record.offset.into()),
                ("length", record.len().into()),
                ("data_offset", u64::from(data_offset).into()),
            ]),
        RecordKind::Relocate { data_offset, from, .. } => fields.extend([
            ("offset", record.offset.into()),
            ("length", record.len().into()),
            ("data_offset", u64::from(data_offset).into()),
            ("from_segment", from.segment().0.into()),
            ("from_offset", u64::from(from.offset()).into()),
        ]),
        _ => fields.extend([("offset", record.offset.into()), ("length", record.len().into())]),
    }
    Tree::Object(fields)
}

fn record_words(record: &Record) -> String {
    let name = kind_name(&record.kind);
    match record.kind {
        RecordKind::Resize { size } => format!("{name} to {size}"),
        RecordKind::Write { data_offset, .. } | RecordKind::Relocate { data_offset, from: Loc::NOWHERE, .. } => {
            format!("{name} {}+{} (data at {data_offset} of the batch)", record.offset, record.len())
        }
        RecordKind::Relocate { data_offset, from, .. } => {
            format!("{name} {}+{} from {from} (data at {data_offset} of the batch)", record.offset, record.len())
        }
        _ => format!("{name} {}+{}", record.offset, record.len()),
    }
}
