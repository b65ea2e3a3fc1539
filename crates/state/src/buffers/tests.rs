use super::*;
use lsd_core::units::SegmentNo;

fn loc(offset: u32) -> Loc {
    Loc::new(SegmentNo(1), offset)
}

fn look(buffers: &mut Buffers, offset: u32, len: u32) -> Vec<Cached> {
    let mut out = Vec::new();
    buffers.lookup(loc(offset), len, &mut out);
    out
}

#[test]
fn a_range_is_answered_piece_by_piece() {
    let mut buffers = Buffers::new(1000);
    buffers.insert_dirty(loc(10), Bytes::from_static(b"abcd"));
    buffers.offer(loc(20), Bytes::from_static(b"xy"), Keep::Always);
    let found = look(&mut buffers, 8, 16);
    let hit = |text: &'static str| Cached::Hit(Bytes::from_static(text.as_bytes()));
    assert_eq!(found, [Cached::Miss(2), hit("abcd"), Cached::Miss(6), hit("xy"), Cached::Miss(2)]);
    assert_eq!(look(&mut buffers, 11, 2), [hit("bc")]);
}

#[test]
fn what_is_read_once_is_not_kept() {
    let mut buffers = Buffers::new(1000);
    let data = || Bytes::from_static(b"data");
    buffers.offer(loc(0), data(), Keep::IfUsedAgain);
    assert_eq!(look(&mut buffers, 0, 4), [Cached::Miss(4)]);
    buffers.offer(loc(4096), data(), Keep::IfUsedAgain);
    buffers.offer(loc(0), data(), Keep::IfUsedAgain);
    assert_eq!(look(&mut buffers, 0, 4), [Cached::Hit(data())]);
    assert_eq!(look(&mut buffers, 4096, 4), [Cached::Miss(4)]);
}

#[test]
fn what_is_written_is_kept_if_it_was_read_meanwhile() {
    let mut buffers = Buffers::new(1000);
    let data = || Bytes::from_static(b"data");
    buffers.insert_dirty(loc(0), data());
    buffers.insert_dirty(loc(4096), data());
    assert_eq!(look(&mut buffers, 0, 4), [Cached::Hit(data())]);
    buffers.written(loc(0));
    buffers.written(loc(4096));
    assert_eq!(look(&mut buffers, 0, 4), [Cached::Hit(data())]);
    assert_eq!(look(&mut buffers, 4096, 4), [Cached::Miss(4)]);
    assert_eq!(buffers.clean_bytes, 4);
}

/// Memory that says when it is given back.
struct Whole(#[expect(dead_code, reason = "it is counted")] std::sync::Arc<()>);

impl AsRef<[u8]> for Whole {
    fn as_ref(&self) -> &[u8] {
        &[7; 128 << 10]
    }
}

#[test]
fn a_cached_piece_does_not_keep_what_it_was_part_of() {
    let held = std::sync::Arc::new(());
    let whole = Bytes::from_owner(Whole(held.clone()));
    let mut buffers = Buffers::new(1 << 20);
    buffers.insert_dirty(loc(0), whole.slice(4096..8192));
    drop(whole);
    assert_eq!(look(&mut buffers, 0, 4096).len(), 1);
    assert_eq!(std::sync::Arc::strong_count(&held), 2, "until it is durable it is not copied");
    buffers.written(loc(0));
    assert_eq!(std::sync::Arc::strong_count(&held), 1, "4 KiB in the cache keep 128 KiB in memory");
    assert_eq!(look(&mut buffers, 0, 4096), [Cached::Hit(Bytes::from(vec![7; 4096]))]);
    assert_eq!(buffers.clean_bytes, 4096);
}

#[test]
fn dirty_data_is_never_dropped_and_clean_data_is_bounded() {
    let mut buffers = Buffers::new(100);
    for index in 0..50 {
        buffers.insert_dirty(loc(index * 10), Bytes::from(vec![1; 10]));
    }
    buffers.trim();
    assert_eq!(look(&mut buffers, 0, 500).len(), 50);
    for index in 0..50 {
        buffers.written(loc(index * 10));
    }
    buffers.trim();
    assert!(buffers.clean_bytes <= 100);
    assert_eq!(buffers.map.len(), 10);
    buffers.clear_clean();
    assert_eq!(look(&mut buffers, 0, 500), [Cached::Miss(500)]);
}
