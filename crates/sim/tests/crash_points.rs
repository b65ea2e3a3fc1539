//! Many seeds: whatever is lost, late or torn, and wherever a client dies, no promise is broken.
use lsd_sim::{Coverage, run_many};

/// Crash points that a run without `LSD_SIM_CRASH_POINTS` covers.
const CRASH_POINTS: u64 = 10_000;

#[test]
fn no_crash_breaks_a_promise() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let points = number("LSD_SIM_CRASH_POINTS").unwrap_or(CRASH_POINTS);
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    let enough = |covered: &Coverage| covered.crash_points >= points;
    let (coverage, failures) = run_many(number("LSD_SIM_FROM").unwrap_or(1), threads, &enough);
    println!("{coverage}");
    assert!(failures.is_empty(), "{}", failures[0]);
    assert_eq!(coverage.missing(), Vec::<&str>::new(), "never met in {} runs", coverage.runs);
}
