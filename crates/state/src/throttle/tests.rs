use super::*;

const THRESHOLDS: Thresholds = Thresholds { start_percent: 40, stop_percent: 20, limit_percent: 60, least_live: 0 };

fn space(stored: u64) -> Space {
    Space { live: 3200, stored, dead: 0 }
}

fn pace() -> GcThrottle {
    let mut pace = GcThrottle::default();
    pace.start(Some(THRESHOLDS));
    pace
}

#[test]
fn collection_runs_from_the_upper_to_the_lower_threshold() {
    let mut pace = pace();
    assert!(!pace.is_due(&space(4480)));
    assert!(pace.is_due(&space(4481)));
    assert!(pace.is_due(&space(4000)));
    assert!(!pace.is_due(&space(3840)));
    assert!(!pace.is_due(&space(4000)));
}

#[test]
fn writers_wait_beyond_the_limit_but_not_for_a_collection_that_rests() {
    let mut pace = pace();
    assert!(!pace.holds_writers(&space(5120)));
    assert!(pace.holds_writers(&space(5121)));
    pace.rest(&space(5121));
    assert!(!pace.holds_writers(&space(5221)) && !pace.is_due(&space(5221)));
    assert!(pace.holds_writers(&space(5222)) && pace.is_due(&space(5222)));
}

#[test]
fn what_a_checkpoint_could_not_delete_is_no_reason_for_the_next() {
    let mut pace = pace();
    let dead = |dead| Space { dead, ..space(4000) };
    assert!(pace.wants_checkpoint(&dead(81)));
    pace.swept(&dead(81));
    assert!(!pace.wants_checkpoint(&dead(161)));
    assert!(pace.wants_checkpoint(&dead(162)));
}

#[test]
fn a_handle_that_does_not_collect_holds_nobody() {
    let mut pace = GcThrottle::default();
    assert!(!pace.is_due(&space(1 << 40)) && !pace.holds_writers(&space(1 << 40)));
}

#[test]
fn without_room_any_garbage_is_worth_collecting() {
    let mib = |live: u64, stored: u64, dead: u64| Space { live: live << 20, stored: stored << 20, dead: dead << 20 };
    let mut pace = pace();
    pace.start(Some(Thresholds { least_live: 1 << 30, ..THRESHOLDS }));
    assert!(!pace.is_due(&mib(64, 80, 0)) && !pace.wants_checkpoint(&mib(64, 65, 1)));
    pace.press(true);
    assert!(pace.is_due(&mib(64, 80, 0)) && pace.wants_checkpoint(&mib(64, 65, 1)));
    assert!(!pace.is_due(&mib(64, 68, 0)) && !pace.is_due(&mib(64, 80, 14)), "a copy needs room as well");
    // What cannot be gained is not tried again for every write that finds no room.
    pace.rest(&mib(64, 80, 0));
    assert!(!pace.is_due(&mib(64, 82, 0)) && pace.is_due(&mib(64, 83, 0)));
    pace.press(false);
    assert!(!pace.is_due(&mib(64, 90, 0)));
}
