use super::*;
use bytes::Bytes;

fn zeroes(len: usize) -> ReadPiece {
    ReadPiece::Data(Bytes::from(vec![0; len]))
}

fn ones(len: usize) -> ReadPiece {
    ReadPiece::Data(Bytes::from(vec![1; len]))
}

#[test]
fn blocks_of_zeroes_are_found_and_holes_are_none() {
    let data =
        ReadData { pieces: vec![zeroes(8), ones(1), zeroes(7), ReadPiece::Zero(8), zeroes(4), ReadPiece::Zero(4)] };
    // Bytes 100 to 107 are zeroes, 108 to 115 are not, 116 to 123 are a hole, of the last block half is stored.
    assert_eq!(zero_runs(&data, 100, 8), vec![100..108, 124..132]);
    assert_eq!(zero_runs(&data, 100, 16), vec![116..132]);
}

#[test]
fn neighbours_are_one_run_and_the_last_block_may_be_short() {
    let data = ReadData { pieces: vec![zeroes(16), zeroes(3)] };
    assert_eq!(zero_runs(&data, 0, 8), vec![0..19]);
    assert_eq!(zero_runs(&ReadData { pieces: vec![ReadPiece::Zero(64)] }, 0, 8), Vec::<Range<u64>>::new());
    assert_eq!(zero_runs(&ReadData { pieces: vec![ones(7), zeroes(1)] }, 0, 8), Vec::<Range<u64>>::new());
}
