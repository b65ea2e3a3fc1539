use super::*;
use crate::format::ImageUuid;
use crate::units::{Epoch, SegmentNo};

fn data(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index * 7 + index / 251) as u8).collect()
}

fn identity() -> SegmentIdentity {
    SegmentIdentity { image: ImageUuid([7; 16]), epoch: Epoch(3), segment: SegmentNo(9) }
}

#[test]
fn the_sum_of_all_follows_from_the_sums_of_blocks() {
    for len in [0, 1, 4095, 4096, 4097, 3 * 4096, 64 * 4096, 64 * 4096 + 5] {
        let data = data(len);
        let (sums, all) = BlockSums::of(&data);
        assert_eq!(all, crc32c(&data), "{len} bytes");
        let expected: Vec<u32> = data.chunks_exact(4096).map(crc32c).collect();
        assert_eq!(sums.as_slice(), expected, "{len} bytes");
    }
}

#[test]
fn pieces_of_any_length_give_the_same_sums() {
    let all = data(10 * 4096);
    let expected: Vec<u32> = all.chunks(4096).map(crc32c).collect();
    for lens in [vec![10 * 4096], vec![4096, 9 * 4096], vec![100, 8092, 4096, 1, 4095 + 6 * 4096], vec![4096 + 7; 9]] {
        let mut builder = SumBuilder::default();
        let mut at = 0;
        for len in lens {
            let piece = &all[at..(at + len).min(all.len())];
            builder.push(piece, BlockSums::of(piece).0.as_slice());
            at += piece.len();
        }
        builder.push(&all[at..], &[]);
        assert_eq!(builder.finish(), expected);
    }
}

#[test]
fn a_changed_bit_or_a_missing_sum_is_an_error() {
    let mut data = data(3 * 4096);
    let (sums, _) = BlockSums::of(&data);
    assert!(check_blocks(sums.as_slice(), 0, &data).is_ok());
    assert!(check_blocks(sums.as_slice(), 1, &data[4096..]).is_ok());
    assert!(check_blocks(sums.as_slice(), 1, &data).is_err(), "beyond the sums");
    assert!(check_blocks(sums.as_slice(), usize::MAX, &data).is_err());
    assert!(check_blocks(sums.as_slice(), 1, &data[..4096]).is_err(), "another block's data");
    data[5000] ^= 4;
    assert!(check_blocks(sums.as_slice(), 0, &data).is_err());
}

#[test]
fn a_table_comes_back_and_every_changed_byte_is_noticed() {
    let sums = [1, 0xffff_ffff, 77];
    let mut bytes = encode_block_table(&identity(), &sums);
    let len = bytes.len();
    assert_eq!(len, block_table_len(3));
    bytes.extend_from_slice(b"what follows");
    assert_eq!(decode_block_table(&identity(), &bytes), Ok((sums.to_vec(), len)));
    for at in 0..len {
        bytes[at] ^= 1;
        assert!(decode_block_table(&identity(), &bytes).is_err(), "byte {at}");
        bytes[at] ^= 1;
    }
    for short in 0..len {
        assert!(decode_block_table(&identity(), &bytes[..short]).is_err(), "{short} bytes");
    }
    let other = SegmentIdentity { segment: SegmentNo(10), ..identity() };
    assert!(decode_block_table(&other, &bytes).is_err());
}
