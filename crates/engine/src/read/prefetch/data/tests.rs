use super::*;

#[test]
fn a_random_reader_fetches_nothing_ahead() {
    let mut readahead = Readahead::default();
    for index in 0..100u64 {
        assert_eq!(readahead.observe(index * 7919 % 97 * 8192, 4096, 1 << 30), None);
    }
}

#[test]
fn a_sequential_reader_is_ahead_and_nothing_is_fetched_twice() {
    let mut readahead = Readahead::default();
    let mut fetched: Vec<(u64, u64)> = Vec::new();
    for index in 0..1024u64 {
        fetched.extend(readahead.observe(index * 4096, 4096, 4 << 20));
    }
    assert_eq!(fetched.first().map(|range| range.0), Some(4 * 4096));
    for pair in fetched.windows(2) {
        assert_eq!(pair[0].0 + pair[0].1, pair[1].0);
    }
    assert_eq!(fetched.last().map(|range| range.0 + range.1), Some(4 << 20));
}
