use super::*;
use proptest::prelude::*;

const THRESHOLDS: Thresholds =
    Thresholds { start_percent: 45, stop_percent: 43, limit_percent: 48, least_live: 128 << 20 };
const LEN: u32 = 8 << 20;

fn candidate(segment: u64, live: u32, timestamp_ns: u64) -> Candidate {
    Candidate { segment: SegmentNo(segment), len: LEN, live, timestamp_ns }
}

fn numbers(victims: &[Candidate]) -> Vec<u64> {
    victims.iter().map(|victim| victim.segment.0).collect()
}

#[test]
fn a_small_image_is_not_churned() {
    let mostly_garbage = Space { live: 1 << 20, stored: 40 << 20, dead: 0 };
    assert!(!THRESHOLDS.is_due(&mostly_garbage));
    let large = Space { live: 1 << 30, stored: 40 << 30, dead: 0 };
    assert!(THRESHOLDS.is_due(&large) && THRESHOLDS.is_exceeded(&large));
}

#[test]
fn dead_segments_are_no_reason_to_copy_but_one_for_a_checkpoint() {
    let space = Space { live: 1 << 30, stored: 5 << 30, dead: 4 << 30 };
    assert!(!THRESHOLDS.is_due(&space));
    assert!(THRESHOLDS.is_exceeded(&space) && THRESHOLDS.wants_checkpoint(&space));
}

#[test]
fn of_equal_use_the_oldest_goes_first() {
    let all = [candidate(1, LEN / 2, 300), candidate(2, LEN / 2, 100), candidate(3, LEN / 2, 200)];
    assert_eq!(numbers(&choose_victims(&all, 1000, u64::MAX)), [2, 3, 1]);
}

#[test]
fn old_and_cold_goes_before_young_and_hot() {
    // The young segment has a little more garbage and will soon have much more.
    let all = [candidate(1, LEN * 6 / 10, 0), candidate(2, LEN / 2, 999_000)];
    assert_eq!(numbers(&choose_victims(&all, 1_000_000, 1)), [1]);
}

prop_compose! {
    fn any_candidate()(segment in 1u64..500, live in 0..=LEN, timestamp_ns in 0u64..1 << 40) -> Candidate {
        candidate(segment, live, timestamp_ns)
    }
}

proptest! {
    /// Where everything has the same age, as under a uniform load over a long time, the choice is greedy's.
    #[test]
    fn of_equal_age_the_emptiest_goes_first(mut all in prop::collection::vec(any_candidate(), 0..60)) {
        all.iter_mut().for_each(|candidate| candidate.timestamp_ns = 7);
        let victims = choose_victims(&all, 1 << 41, u64::MAX);
        prop_assert!(victims.windows(2).all(|pair| pair[0].live <= pair[1].live));
    }

    #[test]
    fn victims_are_worth_it_and_within_the_budget(
        all in prop::collection::vec(any_candidate(), 0..60), budget in 1u64..100 << 20, now in 0u64..1 << 41,
    ) {
        let victims = choose_victims(&all, now, budget);
        let garbage = |victim: &Candidate| LEN - victim.live;
        prop_assert!(victims.iter().all(|victim| all.contains(victim) && victim.live > 0));
        prop_assert!(victims.iter().all(|victim| garbage(victim) >= LEN / 10));
        let but_last: u64 = victims.iter().rev().skip(1).map(|victim| u64::from(victim.live)).sum();
        prop_assert!(but_last < budget);
        let any_worth = all.iter().any(|candidate| candidate.live > 0 && garbage(candidate) > LEN / 10);
        prop_assert!(!any_worth || !victims.is_empty());
    }

    /// What ends a collection never begins one, and writers wait only for a collection that has begun or a checkpoint.
    #[test]
    fn thresholds_agree(
        live in 0u64..1 << 40, garbage in 0u64..1 << 40, dead in 0u64..1 << 40,
        start in 0u32..200, stop in 0u32..200, limit in 0u32..200,
    ) {
        let thresholds = Thresholds { start_percent: start, stop_percent: stop, limit_percent: limit, ..THRESHOLDS };
        let space = Space { live, stored: live + garbage + dead, dead };
        prop_assert!(!(thresholds.is_done(&space) && thresholds.is_due(&space)));
        if thresholds.is_exceeded(&space) && dead == 0 {
            prop_assert!(thresholds.is_due(&space));
        }
    }
}
