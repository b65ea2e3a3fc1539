use super::*;
use crate::ErrorKind;
use lsd_core::format::block_sums::BlockSums;

const BLOCK: usize = BLOCK_BYTES as usize;

struct Collected(Vec<u8>);

impl ReadTarget for Collected {
    fn data(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn zeroes(&mut self, len: u64) {
        self.0.resize(self.0.len() + len as usize, 0);
    }
}

/// `len` bytes at `from` of a segment, and the blocks around them as they came, perhaps with one damaged byte of the segment.
fn fetched(from: u32, len: u32, damaged: Option<usize>) -> (Vec<u8>, Unchecked) {
    let segment: Vec<u8> = (0..16 * BLOCK).map(|at| ((at * 7919) >> 3) as u8).collect();
    let table = Table::new(BlockSums::of(&segment).0.as_slice().to_vec());
    let loc = Loc::new(SegmentNo(1), from);
    let blocks = Blocks::around(loc, len);
    let (at, wanted) = blocks.range();
    let mut bytes = segment[at as usize..(at + wanted) as usize].to_vec();
    if let Some(damaged) = damaged {
        bytes[damaged - at as usize] ^= 1;
    }
    let unchecked =
        Unchecked { name: "lsd_data.1".to_owned().into(), segment: SegmentNo(1), blocks, table, bytes: bytes.into() };
    (segment[from as usize..(from + len) as usize].to_vec(), unchecked)
}

#[test]
fn a_part_of_what_was_fetched_is_copied_whole() {
    let block = BLOCK as u32;
    for (from, len) in
        [(2 * block, block), (2 * block + 100, 50), (3 * block - 1, 2), (2 * block + 512, 9 * block), (0, 16 * block)]
    {
        let (expected, unchecked) = fetched(from, len, None);
        let mut target = Collected(Vec::new());
        let loc = Loc::new(SegmentNo(1), from);
        let checked = unchecked.check_into(loc, len, &mut target).unwrap();
        assert_eq!(target.0, expected);
        assert_eq!(checked.part(loc, len), expected);
    }
}

#[test]
fn nothing_is_copied_from_a_damaged_block_on() {
    let block = BLOCK as u32;
    for damaged in [2 * BLOCK + 5, 7 * BLOCK, 9 * BLOCK - 1] {
        let (expected, unchecked) = fetched(2 * block, 7 * block, Some(damaged));
        let mut target = Collected(Vec::new());
        let error = unchecked.check_into(Loc::new(SegmentNo(1), 2 * block), 7 * block, &mut target).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Corrupt);
        assert!(target.0.len() <= damaged / BLOCK * BLOCK - 2 * BLOCK);
        assert_eq!(target.0, expected[..target.0.len()]);
        let (_, unchecked) = fetched(2 * block, 7 * block, Some(damaged));
        assert_eq!(unchecked.check().unwrap_err().kind, ErrorKind::Corrupt);
    }
}

#[test]
fn less_than_the_map_says_is_an_error() {
    let (_, mut unchecked) = fetched(0, 4 * BLOCK_BYTES, None);
    unchecked.bytes.truncate(3 * BLOCK);
    let mut target = Collected(Vec::new());
    let error = unchecked.check_into(Loc::new(SegmentNo(1), 0), 4 * BLOCK_BYTES, &mut target).unwrap_err();
    assert_eq!((error.kind, target.0.len()), (ErrorKind::Corrupt, 0));
}
