use super::*;

#[test]
fn a_copy_is_what_the_bytes_themselves_would_be() {
    let all: Vec<u8> = (0..2 * MOST + 70_000).map(|index| (index * 7 % 251) as u8).collect();
    for len in [0, 1, 4095, 4096, 4097, 16_384, 50_000, MOST, MOST + 1, 2 * MOST, all.len()] {
        for piece in [4096, 70_001, all.len()] {
            let kept = WriteData::from(Bytes::copy_from_slice(&all[..len]));
            let copied = WriteData::copied(all.chunks(piece), len);
            assert_eq!(copied.len(), len as u64);
            assert_eq!(copied.chunks.len(), kept.chunks.len(), "{len} bytes in pieces of {piece}");
            for (copied, kept) in copied.chunks.iter().zip(&kept.chunks) {
                assert_eq!(copied.piece.data, kept.piece.data);
                assert_eq!(copied.crc, kept.crc, "{len} bytes in pieces of {piece}");
                let sums = |chunk: &Chunk| chunk.piece.sums.as_ref().map(|sums| sums.as_slice().to_vec());
                assert_eq!(sums(copied), sums(kept), "{len} bytes in pieces of {piece}");
            }
        }
    }
}

#[test]
fn pieces_that_end_early_end_the_copy() {
    assert_eq!(WriteData::copied([&[1; 10][..]], 4096).len(), 10);
    assert_eq!(WriteData::copied([], 4096).len(), 0);
}
