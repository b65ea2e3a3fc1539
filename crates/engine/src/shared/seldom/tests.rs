use super::*;
use std::time::Duration;

/// What is told of so many in a row, a second apart.
async fn told(kind: &Seldom, count: usize) -> Vec<Option<u64>> {
    let mut told = Vec::new();
    for _ in 0..count {
        kind.tell(|left_out| told.push(left_out));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    told
}

#[tokio::test(start_paused = true)]
async fn the_first_is_told_and_then_one_a_minute_with_a_count() {
    let kind = Seldom::default();
    assert_eq!(told(&kind, 60).await, [None]);
    assert_eq!(told(&kind, 121).await, [Some(59), Some(59), Some(59)]);
}

#[tokio::test(start_paused = true)]
async fn what_comes_seldom_is_told_each_time() {
    let kind = Seldom::default();
    for _ in 0..3 {
        assert_eq!(told(&kind, 1).await, [None]);
        tokio::time::sleep(TOLD_AGAIN).await;
    }
    let other = Seldom::default();
    assert_eq!(told(&other, 1).await, [None], "each kind has a count of its own");
}
