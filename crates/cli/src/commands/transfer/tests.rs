use super::*;

#[test]
fn zeroes_are_left_out_in_whole_granules() {
    let mut data = vec![0u8; 10 * 4096 + 100];
    assert_eq!(data_runs(&data, 4096), []);
    data[4096] = 1;
    data[3 * 4096 - 1] = 1;
    data[10 * 4096 + 99] = 1;
    assert_eq!(data_runs(&data, 4096), [4096..3 * 4096, 10 * 4096..10 * 4096 + 100]);
    assert_eq!(data_runs(&data, 4 * 4096), [0..4 * 4096, 8 * 4096..10 * 4096 + 100]);
    assert_eq!(data_runs(&[], 4096), []);
}

#[test]
fn every_byte_counts() {
    for len in [0, 1, 15, 16, 17, 4096] {
        let mut data = vec![0u8; len];
        assert!(is_zero(&data));
        for index in 0..len {
            data[index] = 1;
            assert!(!is_zero(&data), "{index} of {len}");
            data[index] = 0;
        }
    }
}

#[test]
fn data_that_follows_on_data_is_written_as_one() {
    let data = |text: &'static str| ReadPiece::Data(Bytes::from_static(text.as_bytes()));
    let pieces = vec![data("ab"), data("c"), ReadPiece::Zero(5), data("d"), ReadPiece::Zero(1), data("e"), data("f")];
    let runs: Vec<(u64, Vec<u8>)> = joined(100, pieces).into_iter().map(|(at, bytes)| (at, bytes.to_vec())).collect();
    assert_eq!(runs, [(100, b"abc".to_vec()), (108, b"d".to_vec()), (110, b"ef".to_vec())]);
    assert!(joined(0, vec![ReadPiece::Zero(3)]).is_empty());
}
