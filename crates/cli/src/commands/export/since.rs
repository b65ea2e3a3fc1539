//! Writing what differs between two moments of an image, for `export-diff` and for an export with all snapshots.
//!
//! Owns: what is read when, and how much at a time. Does not own: the bytes of the records (module `interchange`), what differs
//! (`changes.rs`).
use crate::commands::changes::{Piece, Start, Unit};
use crate::commands::transfer::{CHUNK_BYTES, is_zero};
use crate::interchange::Writer;
use crate::interchange::diff::{Record, Version};
use bytes::Bytes;
use futures::StreamExt;
use lsd_engine::{Image, ReadData, ReadPiece, SnapInfo};

/// Bytes of an image that are compared at once: what differs there, at worst in blocks of 4 KiB, is in memory.
const COMPARED_AT_ONCE: u64 = 4 << 30;
/// Pieces that one request reads; it has no more than `CHUNK_BYTES`, either.
const PIECES_MAX: usize = 64;
static ZEROES: [u8; 64 << 10] = [0; 64 << 10];

/// What is written.
#[derive(Debug)]
pub struct Difference<'a> {
    pub image: &'a Image,
    pub start: &'a Start,
    /// The snapshot of the start.
    pub from: Option<&'a str>,
    /// The snapshot that is shown.
    pub to: Option<&'a SnapInfo>,
    pub version: Version,
    pub whole_objects: bool,
    /// Requests under way.
    pub in_flight: usize,
}

impl Difference<'_> {
    /// `progress`: up to which byte of the image. Stops where writing fails; the writer says why.
    pub async fn write(&self, writer: &Writer, progress: &(dyn Fn(u64) + Sync)) -> lsd_engine::Result<()> {
        if !writer.write(vec![self.head().into()]).await {
            return Ok(());
        }
        let size = self.image.size();
        let unit = match self.whole_objects {
            true => Unit::Whole(1 << self.image.info().order),
            false => Unit::Within(CHUNK_BYTES),
        };
        let mut at = 0;
        while at < size {
            let end = size.min(at + COMPARED_AT_ONCE);
            let pieces = self.start.pieces(self.image, at..end, unit).await?;
            let reads = batches(pieces).into_iter().map(|batch| self.read(batch));
            let mut reads = futures::stream::iter(reads).buffered(self.in_flight);
            while let Some(read) = reads.next().await {
                let (bytes, end) = read?;
                if !writer.write(bytes).await {
                    return Ok(());
                }
                progress(end);
            }
            at = end;
        }
        writer.write(vec![Record::End.encode(self.version).into()]).await;
        Ok(())
    }

    fn head(&self) -> Vec<u8> {
        let mut records = Vec::new();
        records.extend(self.from.map(|name| Record::From(name.to_owned())));
        records.extend(self.to.map(|snapshot| Record::To(snapshot.name.clone())));
        if let (Some(snapshot), Version::Two) = (self.to, self.version) {
            records.push(Record::Protected(snapshot.is_protected));
        }
        records.push(Record::Size(self.image.size()));
        let mut head = self.version.banner().to_vec();
        records.iter().for_each(|record| head.extend(record.encode(self.version)));
        head
    }

    /// The records of some pieces, and where the last one ends.
    async fn read(&self, batch: Vec<Piece>) -> lsd_engine::Result<(Vec<Bytes>, u64)> {
        let end = batch.last().map_or(0, |piece| piece.range.end);
        let read = batch.into_iter().map(|piece| async move {
            let len = piece.range.end - piece.range.start;
            let data = if piece.data { Some(self.image.read(piece.range.start, len).await?) } else { None };
            Ok::<_, lsd_engine::Error>(self.record(piece.range.start, len, data))
        });
        Ok((futures::future::try_join_all(read).await?.concat(), end))
    }

    /// What is read and has only zeroes is told as zeroes, as rbd does.
    fn record(&self, offset: u64, len: u64, data: Option<ReadData>) -> Vec<Bytes> {
        let has_content = |piece: &ReadPiece| matches!(piece, ReadPiece::Data(bytes) if !is_zero(bytes));
        let Some(data) = data.filter(|data| data.pieces.iter().any(has_content)) else {
            return vec![Record::Zero { offset, len }.encode(self.version).into()];
        };
        let mut record = vec![Record::Write { offset, len }.encode(self.version).into()];
        for piece in data.pieces {
            match piece {
                ReadPiece::Data(bytes) => record.push(bytes),
                ReadPiece::Zero(len) => zeroes(&mut record, len),
            }
        }
        record
    }
}

fn zeroes(record: &mut Vec<Bytes>, mut len: u64) {
    while len > 0 {
        let now = len.min(ZEROES.len() as u64);
        record.push(Bytes::from_static(&ZEROES[..now as usize]));
        len -= now;
    }
}

/// Pieces cut to what one request reads, and put together for one.
fn batches(pieces: Vec<Piece>) -> Vec<Vec<Piece>> {
    let mut batches: Vec<Vec<Piece>> = Vec::new();
    let mut bytes = 0;
    for piece in pieces.into_iter().flat_map(cut) {
        let len = if piece.data { piece.range.end - piece.range.start } else { 0 };
        match batches.last_mut().filter(|last| last.len() < PIECES_MAX && bytes + len <= CHUNK_BYTES) {
            Some(last) => {
                last.push(piece);
                bytes += len;
            }
            None => {
                batches.push(vec![piece]);
                bytes = len;
            }
        }
    }
    batches
}

/// Only what is read is cut.
fn cut(piece: Piece) -> Vec<Piece> {
    if !piece.data {
        return vec![piece];
    }
    let Piece { range, data } = piece;
    let starts = range.clone().step_by(CHUNK_BYTES as usize);
    starts.map(|start| Piece { range: start..range.end.min(start + CHUNK_BYTES), data }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_bounded() {
        let piece = |start: u64, len: u64, data| Piece { range: start..start + len, data };
        let large = batches(vec![piece(0, 10 << 20, true), piece(1 << 30, 1 << 30, false)]);
        let ranges: Vec<Vec<u64>> =
            large.iter().map(|batch| batch.iter().map(|piece| piece.range.end - piece.range.start).collect()).collect();
        assert_eq!(ranges, [vec![4 << 20], vec![4 << 20], vec![2 << 20, 1 << 30]]);
        let small: Vec<Piece> = (0..100).map(|index| piece(index * 8192, 4096, true)).collect();
        assert_eq!(batches(small.clone()).iter().map(Vec::len).collect::<Vec<_>>(), [PIECES_MAX, 100 - PIECES_MAX]);
        assert_eq!(batches(small.clone()).concat(), small);
    }
}
