//! Operations whose futures are dropped or forgotten, and handles that go away under them.
mod common;

use bytes::Bytes;
use lsd_rados::{AppendOp, IoCtx, OpFlags, WriteOp};
use nix::libc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const OBJECT_BYTES: usize = 1 << 20;
const FLIGHTS: usize = 200;

fn content() -> Bytes {
    (0..OBJECT_BYTES).map(|place| (place % 241) as u8).collect::<Vec<_>>().into()
}

async fn written(io: &IoCtx, name: &str) {
    let op = WriteOp::new().write_full(&content());
    io.write(name, op, OpFlags::NONE, "test").await.expect("a write");
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_and_forgotten_reads() {
    let Some(io) = common::pool("dropped_and_forgotten_reads", common::POOL) else { return };
    let name = common::prefix("reads");
    written(&io, &name).await;
    for flight in 0..FLIGHTS {
        let read = io.read(&name, 0, OBJECT_BYTES as u64);
        if flight % 2 == 0 { drop(read) } else { std::mem::forget(read) }
    }
    for _ in 0..FLIGHTS {
        // Polled once, then dropped.
        let read = io.read(&name, 0, 4096);
        tokio::select! { biased; _ = read => {}, () = std::future::ready(()) => {} }
    }
    // Buffers of reads in flight must not be anyone else's: what is read now is whole.
    assert!(io.read(&name, 0, OBJECT_BYTES as u64).await.expect("a read") == content(), "a read came back changed");
    io.write(&name, WriteOp::new().remove(), OpFlags::NONE, "test").await.expect("removal");
}

/// Writes of dropped futures happen, even when the connection's last handle is dropped while they are in flight; then
/// one of librados' own threads is the last to hold it.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_handle_goes_while_operations_are_in_flight() {
    let test = "the_last_handle_goes_while_operations_are_in_flight";
    let Some(io) = common::pool(test, common::POOL) else { return };
    let prefix = common::prefix("last");
    for round in 0..5 {
        let Some(doomed) = common::pool(test, common::POOL) else { return };
        let name = format!("{prefix}.{round}");
        for piece in 0..50u8 {
            let op = AppendOp::new().append([vec![piece; 4096].into()]);
            drop(doomed.write(&name, op, OpFlags::NONE, "test"));
        }
        std::mem::forget(doomed.read(&name, 0, 1 << 20));
        let usage = doomed.cluster().usage();
        assert!(!usage.is_over());
        drop(doomed);
        common::eventually("the last use", async || usage.is_over()).await;
        let size = io.stat(&name).await.expect("a size").size;
        assert_eq!(size, 50 * 4096, "it was over while appends were in flight");
        let data = io.read(&name, 0, 1 << 20).await.expect("a read");
        assert!((0..50usize).all(|piece| data[piece * 4096] as usize == piece), "appends out of order");
        io.write(&name, WriteOp::new().remove(), OpFlags::NONE, "test").await.expect("removal");
    }
}

/// A write operation that cannot be expressed is refused as a whole, and nothing is sent.
#[tokio::test(flavor = "multi_thread")]
async fn names_with_a_nul_are_refused() {
    let Some(io) = common::pool("names_with_a_nul_are_refused", common::POOL) else { return };
    let name = common::prefix("nul");
    let op = WriteOp::new().create(true).set_xattr("a\0b", b"value");
    let error = io.write(&name, op, OpFlags::NONE, "test").await.expect_err("a NUL in an attribute's name");
    assert_eq!(error.errno, libc::EINVAL);
    assert_eq!(io.stat(&name).await.expect_err("nothing was made").errno, libc::ENOENT);
    assert_eq!(io.stat("a\0b").await.expect_err("a NUL in a name").errno, libc::EINVAL);
    assert_eq!(io.read("", 0, 1).await.expect_err("no name").errno, libc::EINVAL);
    assert_eq!(io.read(&name, 0, u64::MAX).await.expect_err("too long").errno, libc::EINVAL);
}

/// Memory that says when it goes, and is worth nothing then.
struct Told {
    bytes: Vec<u8>,
    gone: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for Told {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.bytes.fill(0xee);
        self.gone.fetch_add(1, Ordering::SeqCst);
    }
}

/// An append is sent from where its data is: that stays until it is sent, whether anybody waits or not, and goes then.
#[tokio::test(flavor = "multi_thread")]
async fn the_data_of_an_append_stays_until_it_is_sent() {
    const PIECE: usize = 64 << 10;
    let Some(io) = common::pool("the_data_of_an_append_stays_until_it_is_sent", common::POOL) else { return };
    let name = common::prefix("append");
    let gone = Arc::new(AtomicUsize::new(0));
    let piece = |value: usize| Told { bytes: vec![(value % 200) as u8; PIECE], gone: gone.clone() };
    let append = |value: usize| {
        let op = AppendOp::new().append([Bytes::from_owner(piece(value))]);
        io.write(&name, op, OpFlags::NONE, "test")
    };
    (0..FLIGHTS).for_each(|flight| drop(append(flight)));
    append(FLIGHTS).await.expect("an append");
    for flight in 0..=FLIGHTS {
        let data = io.read(&name, (flight * PIECE) as u64, PIECE as u64).await.expect("a read");
        assert!(data.iter().all(|byte| *byte == (flight % 200) as u8), "piece {flight} came out changed");
    }
    let mut appended = FLIGHTS + 1;
    common::eventually("all memory given back", async || {
        append(0).await.expect("an append");
        appended += 1;
        // The last one may still be on its way back.
        gone.load(Ordering::SeqCst) + 1 >= appended
    })
    .await;

    let before = gone.load(Ordering::SeqCst);
    drop(AppendOp::new().append([Bytes::from_owner(piece(0))]));
    let op = AppendOp::new().append([Bytes::from_owner(piece(0))]).set_xattr("a\0b", b"value");
    let error = io.write(&name, op, OpFlags::NONE, "test").await.expect_err("a NUL in an attribute's name");
    assert_eq!(error.errno, libc::EINVAL);
    assert!(gone.load(Ordering::SeqCst) >= before + 2, "what was never sent is kept");
    io.write(&name, WriteOp::new().remove(), OpFlags::NONE, "test").await.expect("removal");
}

/// Data that was read stays where it arrived: also when the connection it came over is gone.
#[tokio::test(flavor = "multi_thread")]
async fn data_that_was_read_outlives_the_connection() {
    let test = "data_that_was_read_outlives_the_connection";
    let Some(io) = common::pool(test, common::POOL) else { return };
    let Some(doomed) = common::pool(test, common::POOL) else { return };
    let name = common::prefix("outlive");
    written(&io, &name).await;
    let content = content();
    let mut kept = Vec::new();
    for (offset, len) in [(0, OBJECT_BYTES), (1, 4095), (4096, 4096), (OBJECT_BYTES - 10, 4096), (OBJECT_BYTES, 1)] {
        let end = OBJECT_BYTES.min(offset + len);
        kept.push((offset..end, doomed.read(&name, offset as u64, len as u64).await.expect("a read")));
    }
    let usage = doomed.cluster().usage();
    drop(doomed);
    common::eventually("the last use", async || usage.is_over()).await;
    // What was freed would be used again by these.
    for _ in 0..FLIGHTS {
        io.read(&name, 0, 8192).await.expect("a read");
    }
    for (range, data) in kept {
        assert!(data == content[range.clone()], "{range:?} came back changed");
    }
    io.write(&name, WriteOp::new().remove(), OpFlags::NONE, "test").await.expect("removal");
}
