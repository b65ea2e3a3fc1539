use super::*;
use std::collections::BTreeMap;

fn limits(append_alignment: u32) -> StoreLimits {
    StoreLimits { append_alignment, max_write: 64 << 20, atomic_appends: true, keyed_objects: true }
}

fn pieces(lens: &[usize]) -> Vec<Bytes> {
    lens.iter().enumerate().map(|(index, len)| vec![index as u8; *len].into()).collect()
}

fn lens(writes: &[Bytes]) -> Vec<usize> {
    writes.iter().map(Bytes::len).collect()
}

#[test]
fn epochs_sort_as_text() {
    let mut epochs = [0, 1, 9, 10, 255, 256, 1 << 40, u64::MAX].map(epoch_text);
    let sorted = epochs.clone();
    epochs.sort();
    assert_eq!(epochs, sorted);
    assert!(epochs.iter().all(|text| text.len() == 16));
}

#[test]
fn a_tail_comes_back_from_its_attributes() {
    let attribute = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
    let mut xattrs = BTreeMap::new();
    xattrs.insert(EPOCH.to_owned(), attribute(epoch_text(300).as_bytes()));
    xattrs.insert(TAIL.to_owned(), attribute(&tail_bytes(0x0102_0304_0506, 77)));
    let mut outcome = ReadOutcome { xattrs, ..ReadOutcome::default() };
    assert_eq!(tail_of(&outcome), Some(LogTail { epoch: 300, len: 0x0102_0304_0506, summary_len: 77 }));
    assert_eq!(&outcome.xattrs[TAIL][..], [6, 5, 4, 3, 2, 1, 0, 0, 77, 0, 0, 0], "the format is fixed");
    assert_eq!(&outcome.xattrs[EPOCH][..], b"000000000000012c", "the format is fixed");
    for (name, wrong) in [(TAIL, &b"short"[..]), (EPOCH, &b"not a number"[..])] {
        let right = outcome.xattrs.insert(name.to_owned(), attribute(wrong));
        assert_eq!(tail_of(&outcome), None, "{name}");
        outcome.xattrs.extend(right.map(|right| (name.to_owned(), right)));
    }
    outcome.xattrs.remove(EPOCH);
    assert_eq!(tail_of(&outcome), None);
}

#[test]
fn small_pieces_are_joined_and_large_ones_kept() {
    let large = LARGE_PIECE;
    assert!(writes(&pieces(&[]), &limits(1)).is_empty());
    assert_eq!(lens(&writes(&pieces(&[0, 7, 0]), &limits(1))), [7]);
    assert_eq!(lens(&writes(&pieces(&[4096, 512, 100]), &limits(1))), [4708]);
    assert_eq!(lens(&writes(&pieces(&[large, 512]), &limits(1))), [large, 512]);
    assert_eq!(lens(&writes(&pieces(&[4096, large, 512, 100, large]), &limits(1))), [4096, large, 612, large]);
    let at_a_stripe = writes(&pieces(&[4096, large, 512]), &limits(8192));
    assert_eq!(lens(&at_a_stripe), [4096 + large + 512], "each but the last must be whole stripes");
    assert_eq!(lens(&writes(&pieces(&[large, 0, large + 1]), &limits(1))), [large, large + 1]);
    assert_eq!(lens(&writes(&pieces(&[large, large + 1]), &limits(8192))), [large, large + 1]);
    assert_eq!(lens(&writes(&pieces(&[large + 1, large]), &limits(8192))), [2 * large + 1]);
    let joined = writes(&pieces(&[2, 3]), &limits(1));
    assert_eq!(&joined[0][..], [0, 0, 1, 1, 1]);
}
