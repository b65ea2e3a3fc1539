//! What moving whole images has in common: the size of requests, how many are under way, zeroes and holes.
use crate::command::Parsed;
use crate::command::parsed::invalid_value;
use crate::error::{Failure, Result};
use crate::output::size;
use crate::session::Session;
use bytes::Bytes;
use lsd_engine::{Image, ReadData, ReadPiece};
use std::ops::Range;

/// One request, bytes.
pub const CHUNK_BYTES: u64 = 4 << 20;
/// Requests under way when ceph.conf does not say (`rbd_concurrent_management_ops`), and the most it may say.
const REQUESTS_DEFAULT: usize = 10;
const REQUESTS_MAX: usize = 128;
/// Zeroes shorter than this are written like data (`--sparse-size`).
const SPARSE_BYTES_DEFAULT: usize = 4096;
const SPARSE_BYTES_MAX: u64 = 32 << 20;

/// How many requests are under way at the same time.
pub fn requests_in_flight(session: &Session) -> usize {
    let setting = session.setting("rbd_concurrent_management_ops").and_then(|text| text.trim().parse().ok());
    setting.unwrap_or(REQUESTS_DEFAULT).clamp(1, REQUESTS_MAX)
}

/// `--sparse-size`, which may be any size; what is far too small or too large is taken for the next that makes sense.
pub fn sparse_bytes(parsed: &Parsed) -> Result<usize> {
    let Some(text) = parsed.get("sparse-size") else { return Ok(SPARSE_BYTES_DEFAULT) };
    let bytes = size::parse_bytes(text).ok_or_else(|| invalid_value("sparse-size"))?;
    Ok(bytes.clamp(SPARSE_BYTES_DEFAULT as u64, SPARSE_BYTES_MAX) as usize)
}

/// The parts of `data` that are not zeroes, in pieces of `granule` bytes; neighbours are one range.
pub fn data_runs(data: &[u8], granule: usize) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for start in (0..data.len()).step_by(granule) {
        let end = data.len().min(start + granule);
        if is_zero(&data[start..end]) {
            continue;
        }
        match runs.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => runs.push(start..end),
        }
    }
    runs
}

/// Compares in words where it can; the first word that is not zero ends it.
pub fn is_zero(data: &[u8]) -> bool {
    let (words, rest) = data.as_chunks::<16>();
    words.iter().all(|word| u128::from_le_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}

/// Writes what is not zeroes of `data` at `offset`.
pub async fn write_sparse(image: &Image, offset: u64, data: Bytes, granule: usize) -> lsd_engine::Result<()> {
    let writes =
        data_runs(&data, granule).into_iter().map(|run| image.write(offset + run.start as u64, data.slice(run), false));
    futures::future::try_join_all(writes).await?;
    Ok(())
}

/// Writes what a read returned to the same place of another image, all of it at once; holes stay holes.
pub async fn write_pieces(image: &Image, offset: u64, data: ReadData, granule: usize) -> lsd_engine::Result<()> {
    let runs = joined(offset, data.pieces).into_iter().map(|(at, bytes)| write_sparse(image, at, bytes, granule));
    futures::future::try_join_all(runs).await?;
    Ok(())
}

/// Data that follows on data becomes one: what was written in small pieces is read in small pieces.
fn joined(offset: u64, pieces: Vec<ReadPiece>) -> Vec<(u64, Bytes)> {
    let mut runs: Vec<(u64, Vec<Bytes>)> = Vec::new();
    let (mut at, mut follows) = (offset, false);
    for piece in pieces {
        let len = piece.len();
        match (piece, runs.last_mut().filter(|_| follows)) {
            (ReadPiece::Data(bytes), Some((_, run))) => run.push(bytes),
            (ReadPiece::Data(bytes), None) => runs.push((at, vec![bytes])),
            (ReadPiece::Zero(_), _) => {
                follows = false;
                at += len;
                continue;
            }
        }
        follows = true;
        at += len;
    }
    let whole = |mut run: Vec<Bytes>| if run.len() == 1 { run.remove(0) } else { run.concat().into() };
    runs.into_iter().map(|(at, run)| (at, whole(run))).collect()
}

/// The chunks of an image that hold data, in order.
pub async fn chunks_with_data(image: &Image) -> lsd_engine::Result<Vec<Range<u64>>> {
    let size = image.size();
    let mut chunks: Vec<Range<u64>> = Vec::new();
    let mut at = 0;
    while at < size {
        for extent in image.first_extents(at, size - at).await? {
            at = extent.offset + extent.len;
            if !extent.data || extent.len == 0 {
                continue;
            }
            let first = extent.offset / CHUNK_BYTES;
            let last = (extent.offset + extent.len - 1) / CHUNK_BYTES;
            let known = chunks.last().map_or(0, |chunk| chunk.start / CHUNK_BYTES + 1);
            let new = first.max(known)..last + 1;
            chunks.extend(new.map(|chunk| chunk * CHUNK_BYTES..size.min((chunk + 1) * CHUNK_BYTES)));
        }
    }
    Ok(chunks)
}

/// Closes an image after `result`; the first failure counts.
pub async fn closed<T>(image: &Image, what: &str, result: Result<T>) -> Result<T> {
    let closed = image.close().await.map_err(|error| Failure::engine(what, &error));
    result.and_then(|value| closed.map(|()| value))
}

#[cfg(test)]
mod tests;
