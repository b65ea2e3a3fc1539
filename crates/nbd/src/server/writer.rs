//! Sends replies with vectored writes, several replies to a system call when they queue up.
use super::guests::{Guest, Share};
use crate::proto::{Part, Reply};
use bytes::Buf;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

/// A reply and what its request holds until it is sent.
pub(super) struct Outgoing {
    pub reply: Reply,
    pub _share: Share,
}

/// Buffers in one system call; more go in the next.
const MAX_SLICES: usize = 128;
/// Replies gathered at once.
const MAX_GATHERED: usize = 64;
/// Zeroes are sent from here however long they are.
static ZEROES: [u8; 64 << 10] = [0; 64 << 10];

/// Sends until every sender is gone. When the client does not take replies any more it drops `broken` and goes on
/// receiving, so that requests in flight come to their end.
pub(super) async fn write_replies<W: AsyncWrite + Unpin>(
    mut writer: W,
    mut outgoing: mpsc::UnboundedReceiver<Outgoing>,
    broken: oneshot::Sender<()>,
    guest: Arc<Guest>,
) {
    let mut batch = Vec::with_capacity(MAX_GATHERED);
    let mut parts = VecDeque::new();
    while outgoing.recv_many(&mut batch, MAX_GATHERED).await > 0 {
        for one in &mut batch {
            parts.extend(std::mem::take(&mut one.reply.parts));
        }
        if write_parts(&mut writer, &mut parts, &guest).await.is_err() {
            drop(broken);
            batch.clear();
            while outgoing.recv().await.is_some() {}
            return;
        }
        batch.clear();
    }
    let _ = writer.shutdown().await;
}

async fn write_parts<W: AsyncWrite + Unpin>(
    writer: &mut W,
    parts: &mut VecDeque<Part>,
    guest: &Guest,
) -> io::Result<()> {
    while !parts.is_empty() {
        let written = {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let used = fill_slices(parts, &mut slices);
            writer.write_vectored(&slices[..used]).await?
        };
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        guest.moved();
        consume(parts, written);
    }
    Ok(())
}

fn fill_slices<'a>(parts: &'a VecDeque<Part>, slices: &mut [IoSlice<'a>]) -> usize {
    let mut used = 0;
    for part in parts {
        match part {
            Part::Bytes(bytes) => {
                if used == slices.len() {
                    return used;
                }
                slices[used] = IoSlice::new(bytes);
                used += 1;
            }
            Part::Zero(len) => {
                let mut rest = *len;
                while rest > 0 {
                    if used == slices.len() {
                        return used;
                    }
                    let now = rest.min(ZEROES.len() as u64);
                    slices[used] = IoSlice::new(&ZEROES[..now as usize]);
                    used += 1;
                    rest -= now;
                }
            }
        }
    }
    used
}

fn consume(parts: &mut VecDeque<Part>, mut written: usize) {
    while written > 0 {
        let Some(part) = parts.front_mut() else { return };
        let now = part.len().min(written as u64) as usize;
        match part {
            Part::Bytes(bytes) => bytes.advance(now),
            Part::Zero(len) => *len -= now as u64,
        }
        written -= now;
        if part.is_empty() {
            parts.pop_front();
        }
    }
}
