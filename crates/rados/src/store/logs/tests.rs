use super::*;
use std::collections::BTreeMap;

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
    assert!(joined(&pieces(&[])).is_empty());
    assert_eq!(lens(&joined(&pieces(&[0, 7, 0]))), [7]);
    assert_eq!(lens(&joined(&pieces(&[4096, 512, 100]))), [4708]);
    assert_eq!(lens(&joined(&pieces(&[large, 512]))), [large, 512]);
    assert_eq!(lens(&joined(&pieces(&[4096, large, 512, 100, large]))), [4096, large, 612, large]);
    assert_eq!(lens(&joined(&pieces(&[large, 0, large + 1]))), [large, large + 1]);
    assert_eq!(&joined(&pieces(&[2, 3]))[0][..], [0, 0, 1, 1, 1]);
}

#[test]
fn data_is_split_where_it_should_be() {
    let split_lens = |len| {
        let (head, rest) = split(pieces(&[4, 0, 6]), len);
        (lens(&head), lens(&rest))
    };
    assert_eq!(split_lens(0), (vec![], vec![4, 6]));
    assert_eq!(split_lens(3), (vec![3], vec![1, 6]));
    assert_eq!(split_lens(4), (vec![4], vec![6]));
    assert_eq!(split_lens(7), (vec![4, 3], vec![3]));
    assert_eq!(split_lens(10), (vec![4, 6], vec![]));
    let (head, rest) = split(pieces(&[4, 0, 6]), 7);
    assert_eq!([head.concat(), rest.concat()].concat(), [0, 0, 0, 0, 2, 2, 2, 2, 2, 2]);
}
