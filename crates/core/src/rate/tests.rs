use super::*;

fn limit(rate: u64, burst: u64, burst_seconds: u64) -> Limit {
    Limit { rate, burst, burst_seconds }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Tokens that one who never rests gets until then.
fn got(bucket: &mut Bucket, from: Duration, until: Duration) -> u64 {
    let (mut now, mut got) = (from, 0);
    loop {
        let mut wanted = 1;
        match bucket.take(&mut wanted, now) {
            None => got += 1,
            Some(wait) => now += wait,
        }
        if now >= until {
            return got;
        }
    }
}

#[test]
fn the_rate_holds_from_the_first_token_on() {
    let mut bucket = Bucket::new(limit(100, 0, 1), ms(5000));
    let mut wanted = 1;
    assert_eq!(bucket.take(&mut wanted, ms(5000)), Some(ms(10)));
    assert_eq!(got(&mut bucket, ms(5000), ms(8000)), 299);
}

#[test]
fn what_was_not_used_is_kept_for_a_second() {
    let mut bucket = Bucket::new(limit(100, 0, 1), ms(0));
    let mut wanted = 1000;
    assert!(bucket.take(&mut wanted, ms(60_000)).is_some());
    assert_eq!(wanted, 900);
}

#[test]
fn a_burst_lasts_until_what_was_kept_is_gone() {
    // Ten times the rate for two seconds: 2000 tokens were kept, and 200 come in meanwhile.
    let mut bucket = Bucket::new(limit(100, 1000, 2), ms(0));
    let first = got(&mut bucket, ms(0), ms(2000));
    assert!((1990..=2000).contains(&first), "{first}");
    let long = got(&mut bucket, ms(2000), ms(12_000));
    // What is left of the burst, and then the rate.
    assert!((1190..=1210).contains(&long), "{long}");
    // Only rest fills it again.
    let later = got(&mut bucket, ms(72_000), ms(74_000));
    assert!((1990..=3010).contains(&later), "{later}");
}

#[test]
fn a_burst_below_the_rate_is_none() {
    let mut bucket = Bucket::new(limit(100, 10, 60), ms(0));
    assert!(bucket.limit().is_burst_ignored());
    let got = got(&mut bucket, ms(0), ms(10_000));
    assert!((990..=1000).contains(&got), "{got}");
}

#[test]
fn what_is_larger_than_the_bucket_passes_in_its_time() {
    let mut bucket = Bucket::new(limit(1 << 20, 0, 1), ms(0));
    let (mut wanted, mut now) = (8 << 20, ms(0));
    while let Some(wait) = bucket.take(&mut wanted, now) {
        now += wait;
    }
    assert_eq!(now, ms(8000));
}

#[test]
fn another_limit_holds_at_once() {
    let mut bucket = Bucket::new(limit(1, 0, 1), ms(0));
    let mut wanted = 50;
    assert!(bucket.take(&mut wanted, ms(0)).is_some());
    bucket.set(limit(1000, 0, 1), ms(100));
    assert_eq!(bucket.take(&mut wanted, ms(200)), None);
    // Without a limit everything passes.
    bucket.set(Limit::NONE, ms(200));
    let mut wanted = u64::MAX;
    assert_eq!(bucket.take(&mut wanted, ms(200)), None);
    assert_eq!(wanted, 0);
}

#[test]
fn nothing_overflows() {
    let most = u64::MAX;
    let mut bucket = Bucket::new(limit(most, most, most), Duration::ZERO);
    let mut wanted = most;
    let wait = bucket.take(&mut wanted, Duration::MAX);
    assert!(wait.is_none() || wanted < most);
    let mut slow = Bucket::new(limit(1, 0, most), ms(0));
    let mut wanted = most;
    assert!(slow.take(&mut wanted, ms(10)).is_some());
}
