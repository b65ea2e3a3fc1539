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
