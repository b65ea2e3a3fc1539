use proptest::prelude::*;

use super::Frontier;
use crate::units::Seq;

#[test]
fn late_first_batch_releases_the_ones_behind_it() {
    let mut frontier = Frontier::new(Seq(10));
    frontier.issue(Seq(11), Seq(13), 1);
    frontier.issue(Seq(14), Seq(14), 1);
    frontier.issue(Seq(15), Seq(20), 1);
    assert_eq!(frontier.complete(Seq(14)), None);
    assert_eq!(frontier.durable(), Seq(10));
    assert_eq!(frontier.complete(Seq(11)), Some(Seq(14)));
    assert_eq!(frontier.complete(Seq(11)), None, "completed twice");
    assert_eq!(frontier.complete(Seq(16)), None, "inside a batch, not its first");
    assert_eq!(frontier.complete(Seq(15)), Some(Seq(20)));
    assert_eq!((frontier.durable(), frontier.issued()), (Seq(20), Seq(20)));
}

#[test]
#[should_panic(expected = "batch 12..=13 after 10")]
fn a_gap_is_refused() {
    Frontier::new(Seq(10)).issue(Seq(12), Seq(13), 1);
}

#[test]
#[should_panic(expected = "batch 11..=10 after 10")]
fn an_empty_batch_is_refused() {
    Frontier::new(Seq(10)).issue(Seq(11), Seq(10), 1);
}

#[test]
fn a_group_is_durable_when_all_of_its_batches_are() {
    let mut frontier = Frontier::new(Seq(0));
    frontier.issue(Seq(1), Seq(5), 2);
    frontier.issue(Seq(6), Seq(6), 1);
    assert_eq!(frontier.complete(Seq(6)), None);
    assert_eq!(frontier.complete(Seq(1)), None, "one of two");
    assert_eq!(frontier.complete(Seq(1)), Some(Seq(6)));
}

proptest! {
    /// Against a plain array of "is this sequence number durable", batches issued and completed in any order.
    #[test]
    fn is_the_contiguous_prefix(lens in prop::collection::vec(1u64..6, 1..40), picks in prop::collection::vec(any::<prop::sample::Index>(), 200)) {
        let mut frontier = Frontier::new(Seq(0));
        let mut complete = vec![true];
        let mut in_flight: Vec<(u64, u64)> = Vec::new();
        let mut to_issue = lens.into_iter();
        for pick in picks {
            if in_flight.is_empty() || pick.index(3) == 0 {
                let Some(len) = to_issue.next() else { continue };
                let first = complete.len() as u64;
                complete.resize(complete.len() + len as usize, false);
                frontier.issue(Seq(first), Seq(first + len - 1), 1);
                in_flight.push((first, len));
            } else {
                let (first, len) = in_flight.swap_remove(pick.index(in_flight.len()));
                complete[first as usize..(first + len) as usize].fill(true);
                let before = frontier.durable();
                let moved = frontier.complete(Seq(first));
                prop_assert_eq!(moved, (frontier.durable() > before).then_some(frontier.durable()));
            }
            let prefix = complete.iter().position(|done| !done).unwrap_or(complete.len()) as u64 - 1;
            prop_assert_eq!(frontier.durable(), Seq(prefix));
            prop_assert_eq!(frontier.issued(), Seq(complete.len() as u64 - 1));
        }
    }
}
