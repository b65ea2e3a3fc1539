//! Every ordering rule that protects data, with its reason and the test that breaks when it is taken away. Other modules ask here
//! and nowhere else.
//!
//! The tests are in `crates/engine/tests/ordering/`; `tests/mutations` takes the rules away one by one and shows that they fail.
//!
//! 1. *Log order = map order = acknowledgement order*: sequence, location and map change happen in one critical section
//!    (`state/mod.rs`), so replay of the log gives the map that readers saw. A write takes the place of an earlier one only in the open
//!    group, which counts as a whole, and where the map still points at all of that.
//!    Tests: `replay_applies_writes_in_the_order_in_which_they_were_seen`,
//!    `a_write_takes_the_place_of_an_earlier_one_only_where_nothing_has_touched_that`.
//! 2. *Flush waits for the frontier*, not for single batches: [`is_durable`].
//!    Test: `a_flush_waits_for_every_batch_before_its_own`.
//! 3. *A segment number is created only within a window*: [`may_create`].
//!    Test: `an_owner_leaves_nothing_where_the_next_one_does_not_look`.
//! 4. *A checkpoint covers exactly a durable prefix*: [`may_commit_checkpoint`].
//!    Test: `a_checkpoint_names_nothing_that_is_not_durable`.
//! 5. *A segment or a map page is deleted only after a committed checkpoint without it, and when nothing else pins it*: [`crate::pins`]
//!    answers, and `reclaim/` is the only place that deletes for an open image.
//!    Tests: `a_segment_that_the_map_points_at_stays`, `a_segment_that_replay_looks_for_stays`, `a_page_that_the_map_points_at_stays`,
//!    `what_the_last_checkpoint_needs_stays_until_the_next_one_is_in_force`.
//! 6. *A takeover raises the epoch, then reads the header, then fences, then reads the log, then commits its start, and only then
//!    writes* (`takeover.rs`): a header from before could be that of a checkpoint which the old owner has replaced since;
//!    reading the log before fencing could miss a record that the old owner still acknowledges; and what is written before the
//!    start is committed does not count if this owner dies. A repair takes the image over in the same way.
//!    Tests: `an_old_owner_commits_no_checkpoint` (raised), `a_takeover_starts_from_the_last_checkpoint_of_the_old_owner` (header),
//!    `a_repair_starts_from_the_last_checkpoint_of_the_old_owner` (header),
//!    `an_old_owner_appends_to_none_of_its_segments` (fenced), `a_record_that_lands_before_its_segment_is_fenced_is_read` (log),
//!    `a_new_owner_writes_only_when_its_start_is_committed`.
//! 7. *Every name that the old epoch could still create is taken by a tombstone* ([`tombstone_range`]), those that it left out so
//!    far as well as the next ones, so that the old owner cannot extend its log by what the takeover did not see, even where
//!    it is not blocklisted. Tombstones stay until the image is removed: nobody knows when a client that was cut off comes back,
//!    and where a name is free again it would be told that its log goes on (`recovery/`, `check/orphans.rs`).
//!    Tests: `an_old_owner_creates_no_segment_after_its_last_one`, `an_old_owner_creates_no_segment_that_it_had_left_out`,
//!    `what_an_old_owner_sends_late_does_not_stay_in_the_pool`, `tombstones_of_a_takeover_that_broke_off_stay`,
//!    `tombstones_stay_when_an_image_is_repaired`.
//! 8. *A hand-over stops accepting, then waits for the log, then writes the clean checkpoint, and only then gives the lock back*
//!    (`handover.rs`): a clean checkpoint says that nothing follows it in the log, so after it this owner never writes
//!    again; and a lock given back earlier would let the next owner drop what the log does not have yet.
//!    Tests: `nothing_is_accepted_behind_the_last_checkpoint_of_an_owner`, `an_owner_keeps_the_image_until_its_log_is_durable`.
//! 9. *A copy moves only what still lives at its source* (`state/relocation.rs`, `ExtentMap::replace_if`): in the running image and
//!    in replay, so a copy that comes late never brings old data back. Nothing is copied into the log after the last checkpoint
//!    of a writer was captured ([`may_copy`]).
//!    Tests: `a_copy_never_brings_old_data_back`, `nothing_is_copied_behind_the_last_checkpoint_of_an_owner`.
//! 10. *A segment that is missing after an error is created again only by who still owned the image after the look* (`append/`,
//!     [`may_create_again`]): an owner of a later epoch deletes segments that this one has created, and then the name is free.
//!     Test: `an_old_owner_does_not_begin_a_deleted_segment_again`.
//! 11. *The batches of a group count together or not at all* (`log/mod.rs`, `lsd_core::replay`): their records take turns in the
//!     order of writes, so one without the others is no prefix of it. None of them is durable before all are.
//!     Tests: `a_flush_waits_for_every_batch_of_a_group`, `a_group_that_is_not_all_there_does_not_count`.
//! 12. *What was read of a log counts if the header still says the same afterwards* (`recovery/open.rs`): a living owner deletes the beginning of
//!     its log once a checkpoint has it, and to who read the header before that looks like the log's end.
//!     Test: `a_reader_that_opens_while_the_log_moves_on_sees_all_of_it`.
//! 13. *A log that ends below what its own writers said was durable has lost something* ([`is_lost`]): each batch and each summary
//!     says up to where the log was durable when it was written. Nobody opens such an image as if a crash had ended it there, and
//!     nobody begins a log behind it; only a repair that is told to discard what is damaged does (`recovery/`, `recovery/open.rs`).
//!     Tests: `a_segment_that_is_lost_is_no_end_of_the_log`, `a_flipped_bit_in_an_open_segment_is_no_torn_tail`,
//!     `what_an_owner_appends_meanwhile_is_not_lost`.
//! 14. *No segment gets longer than the format has room for* (`log/budget.rs`, `check_length` of the appender): what a batch needs is
//!     counted with everything that is written behind its data. A write for which there is no room fails; one that was accepted
//!     would be refused by the next opening, with all that came before it.
//!     Test: `an_image_of_mixed_sizes_opens_again`.
//! 25. *An image is taken before anything of it is deleted* (`lifecycle/remove.rs`): one update of the header raises the epoch and says that the image
//!     is being removed; it expects the epoch of before anybody was looked for who uses the image. Who opens it later is told that there
//!     is none, and who opened it before becomes its owner no more: otherwise it would write, be acknowledged, and lose it.
//!     Tests: `who_opens_an_image_that_is_being_removed_is_told`, `a_removal_does_not_take_the_image_from_who_was_faster`,
//!     `who_has_opened_an_image_that_is_then_taken_does_not_become_its_owner`.
//! 26. *A reader that goes on in the log reads the header behind the log* (`follow.rs`): what it found counts if the header still says the
//!     same then, as in rule 12.
//!     Test: `a_reader_that_looks_while_the_log_moves_on_sees_all_of_it`.
//! 30. *A discard of several records holds its range until the last one is in the log* (`write/`): what is called later and overlaps
//!     waits for it, or a step that comes late would take what was written since.
//!     Test: `a_discard_of_several_records_takes_nothing_that_was_written_after_its_call`.
//! 20. *A close stops accepting before anything else, as a hand-over does* (`session/mod.rs`): its checkpoint says that nothing follows in the log,
//!     so what is accepted behind it is gone, whatever was answered. What waits meanwhile fails as on a closed image; a second close
//!     waits for the first. One that was given up is taken up again by the next: where only the lock was left to give back, that
//!     one gives it back, and says of the log what the first would have said.
//!     Tests: `nothing_is_accepted_behind_the_checkpoint_of_a_close`, `what_waits_for_a_leaf_while_the_image_is_closed_is_not_lost`,
//!     `a_second_close_waits_for_the_first`, `a_close_that_is_taken_up_again_says_what_the_first_would_have_said`.
//! 21. *A flush covers every change that was called before it, to its last step* (`shared/queue.rs`): also one that reads before it writes, or that
//!     is accepted step by step.
//!     Tests: `a_flush_covers_a_compare_and_write_under_way`, `a_flush_covers_all_steps_of_what_is_under_way`.
//! 22. *A checkpoint replaces the log record that its writer knows, and no other* (`checkpoint/`): one that was given up and arrives late
//!     would bring back a map whose segments are deleted. If it arrived first, its writer goes on from there.
//!     Tests: `a_checkpoint_that_arrives_late_does_not_undo_the_next_one`, `an_owner_goes_on_behind_a_checkpoint_that_it_had_given_up`.
//! 23. *An epoch leaves the header with the checkpoint whose table has none of its segments, and which replays none* (`LogRecord::epochs_needed`):
//!     the name of a segment has its epoch. Where its tombstones are stays in the header (`Tombs`), for removal.
//!     Test: `a_segment_keeps_its_epoch_in_the_header`.
//! 31. *A snapshot comes into being in one update of the header with the checkpoint that is its map, and with the counts of what it
//!     needs* (`checkpoint/purpose.rs`): who commits or deletes anything later goes by those counts. An update of which nobody knows is
//!     cleared up before the next checkpoint.
//!     Tests: `what_a_snapshot_needs_is_not_deleted`, `a_snapshot_of_which_nobody_knows_is_there_with_all_it_needs_or_not_at_all`.
//! 32. *What a snapshot needed is let go once, in the update that takes the snapshot out of the header* (`checkpoint/purpose.rs`): twice
//!     would take it from another snapshot that needs the same.
//!     Test: `what_two_snapshots_need_stays_until_the_second_one_goes`.
//! 33. *A rollback stops accepting, then waits for the log, then replaces the map and commits that, and only then accepts again*
//!     (`session/snapshots/`): what is accepted in between would be acknowledged and be gone. Nothing is copied meanwhile either: where
//!     the rollback fails, the log goes on from the books of before.
//!     Tests: `a_write_that_comes_while_an_image_is_rolled_back_is_not_lost`,
//!     `a_rollback_that_fails_loses_nothing_that_is_written_later`, `a_rollback_that_fails_leaves_no_segments`.
//! 34. *A clone's numbers begin behind those of the snapshot that it is a clone of* (`lifecycle/clone.rs`), of segments as of checkpoints: a number says
//!     whose it is, and where two had the same, one would be read as the other. What is an ancestor's is neither counted nor deleted
//!     by a clone.
//!     Test: `what_a_clone_writes_has_no_number_of_its_parents`.
//! 35. *A snapshot stays as long as a clone, or a snapshot of that, needs it* (`ties/tie.rs`): the tie is made before the clone, and loosed when no map
//!     that is committed leads to the parent any more. It is an entry and a count that change in one update, and who changes the
//!     snapshot expects it as it was seen: clones come and go without the owner.
//!     Tests: `a_snapshot_with_clones_stays`, `a_clone_that_comes_while_its_snapshot_changes_counts`,
//!     `a_flattened_clone_looses_its_parent_when_its_map_is_committed`, `snapshots_of_a_flattened_clone_keep_its_parent`.
//! 36. *A tie is forgotten only if its clone cannot come into being any more, or says that it needs the snapshot no more* (`ties/stale.rs`): who
//!     forgets one of which nothing is there takes the name of the clone's header first,
//!     and who makes a clone looks whether it is tied once its header is there.
//!     Tests: `a_clone_that_is_being_made_is_not_forgotten`, `a_clone_that_is_forgotten_is_not_made`.
//! 37. *What snapshots point at is moved with all their maps in one update, and never from under a clone* (`collect/pinned/`,
//!     `checkpoint/rewrite.rs`, `ties/tie.rs`): the copies stay from the first one on, though no map points at them; the update expects each
//!     snapshot as it was seen; and a clone is tied to the map that it takes, or takes another.
//!     Tests: `copies_for_snapshots_stay_until_their_maps_follow`,
//!     `a_clone_that_is_made_while_its_snapshot_moves_takes_the_map_that_is_in_force`,
//!     `a_snapshot_that_got_a_clone_meanwhile_is_not_moved`.
//! 38. *The source of a migration stays as it is until the destination needs it no more* (`migration/`, [`crate::pins`]): it is frozen in one
//!     update of the header, which expects what was seen of it and raises the epoch, so that nobody becomes its owner. An abort, which
//!     writes to it, deletes nothing of what it had then: the destination's maps may point at it. Who prepares looks, once the
//!     destination's header is there, whether the source is still frozen for it: an abort takes a header that is there before the source is
//!     free. And who exchanged the names too late gives them back.
//!     Tests: `who_opened_a_source_before_does_not_become_its_owner`, `what_a_destination_shows_stays_while_its_source_gets_writes_back`,
//!     `who_prepares_looks_whether_the_migration_goes_on`, `who_exchanges_the_names_behind_an_abort_gives_them_back`.
//! 39. *The source goes only behind the update that says that no committed map of the destination leads to it* ([`may_go`], `session/migrate.rs`): not
//!     the head's, nor a snapshot's; and what the log brings behind that checkpoint lies in the destination. Clones of the destination
//!     come only behind that update, too.
//!     Tests: `a_source_goes_only_when_the_destination_has_everything`, `snapshots_of_a_destination_need_its_source_until_they_are_copied`.
//! 40. *The destination of an aborted migration goes only when the source has, durably, what was written to it* (`migration/abort.rs`): it is taken from
//!     its writers first, as rule 25 has it, and cannot be opened any more before the source deletes anything again. An execution may give it
//!     back to its writers until then, and another abort may come: so each raises its epoch, an abort takes it at the epoch at which
//!     it froze it, and writes to the source only if it saw it at that epoch when it had become the source's owner, which it becomes once.
//!     Nobody who aborts becomes the owner of a source that is free.
//!     Tests: `an_aborted_migration_loses_no_write`, `who_has_a_destination_open_does_not_write_to_it_behind_an_abort`,
//!     `an_abort_takes_no_destination_that_was_written_to_since`, `an_abort_that_was_overtaken_writes_nothing_to_the_source`,
//!     `who_lost_the_source_to_another_abort_does_not_get_it_again`, `a_second_abort_takes_no_source_from_its_guest`.
//! 45. *What is brought from a base goes where nothing was ever written, and a discard is a write* (`state/relocation.rs`, `ExtentMap::fill`,
//!     `lsd_core::map`): in the running image and in replay, so a base that is read late brings nothing back that was written, discarded or
//!     cut off since.
//!     Test: `what_was_written_wins_against_a_base_that_comes_late`.
//! 46. *A base leaves the header only behind a checkpoint that has everything of it* (`collect/bring.rs`, `session/flatten.rs`): without it
//!     replay would not know where what is brought belongs, and the user may remove the base. Who shows it yet, as a reader or as who takes
//!     the image over, looks at the header where the base does not give what it had (`session/retry_moved.rs`, `session/own.rs`), and the
//!     base looks behind every read whether it is still what it was (`lsd_store::Base`).
//!     Test: `a_base_goes_only_when_a_committed_map_has_all_of_it`.
//! 47. *What an image requires of who touches it is never lowered, and what comes from it requires the same* (`objects/line.rs`,
//!     `objects/header.rs`, `ties/tie.rs`); *and no log that has what was a base's is replayed from its beginning* (`check/examine.rs`): up to
//!     where the base was shown when is in no log, so such a replay leaves out what was brought, and a repair would commit zeroes in its
//!     place.
//!     Tests: `an_image_that_had_a_base_says_so_for_ever`, `a_repair_puts_no_zeroes_in_place_of_what_a_base_had`.
//! 48. *An image comes back from the trash or is removed from it, not both* (`lifecycle/remove.rs`, `catalog/trash.rs`): its entry is in one
//!     object and the mark of rule 25 in another, so each of the two writes first and looks then, and one sees the other at least. Who removes
//!     looks for the entry behind its mark, and takes the mark away where that is gone. Who restores has given the name, and then
//!     expects that the header has no mark, or puts the entry back; with that the header says that the image came back, which a removal
//!     that has read it before does not expect. Each removal has a mark of its own, and takes no other one's away: that one may have begun
//!     to delete.
//!     Tests: `an_image_that_came_back_from_the_trash_is_not_removed`, `a_removal_that_dies_takes_nothing_that_came_back_from_the_trash`,
//!     `an_image_that_is_being_removed_does_not_come_back_from_the_trash`,
//!     `a_removal_that_another_one_goes_on_with_does_not_give_the_image_back`.
//! 49. *Of a migration from an image of another kind one side has the writers, as the destination's header says*
//!     (`migration/foreign/`): the source has no header that could expect something, only a note, which one at a time has. So who prepares
//!     looks, once the destination's header is there, whether the source is still noted for it. Who aborts before there is one keeps it
//!     from coming as long as there is the note; else he freezes the destination, and then has the source open alone until the destination
//!     is taken: as soon as it is, it looks whether the destination is as it was frozen, since another one may have given the source back.
//!     It takes it at the epoch at which it froze it, as rule 40 has it. And the header says that the source goes before anything of it
//!     does.
//!     Tests: `what_was_written_to_a_destination_comes_back_to_a_foreign_source`,
//!     `a_destination_whose_foreign_source_was_given_back_is_not_made`,
//!     `a_destination_is_not_made_while_its_foreign_source_is_given_back`,
//!     `who_takes_back_late_writes_nothing_to_a_foreign_source_that_has_a_guest`,
//!     `an_abort_takes_no_destination_of_a_foreign_source_that_was_written_to_since`,
//!     `a_migration_whose_foreign_source_goes_is_not_taken_back`, `an_abort_that_began_before_the_commit_takes_nothing`,
//!     `who_prepares_late_gives_no_foreign_source_back_that_another_one_has_moved`.
use crate::limits::CREATE_WINDOW;
use crate::lineage::Ancestors;
use lsd_core::units::{CheckpointId, Epoch, SegmentNo, Seq};

/// Rule 2. A record is durable when everything up to it is: a later batch may land before an earlier one, and recovery
/// drops what lies beyond a gap.
pub fn is_durable(record: Seq, frontier: Seq) -> bool {
    record <= frontier
}

/// Rule 3. Recovery looks no further than `CREATE_WINDOW` missing numbers, and a takeover takes that many names. What lies beyond a
/// missing number was never promised: the first batch of a segment comes before the first of the next in the log, so
/// the log ends there. But a segment beyond the window would be found by nobody, and stay in the pool until the image is removed.
/// `oldest_uncreated`: the lowest number that is not known to exist in the store.
pub fn may_create(segment: SegmentNo, oldest_uncreated: SegmentNo) -> bool {
    segment.0 < oldest_uncreated.0 + CREATE_WINDOW
}

/// Rule 13. `end`: the last record that is there with all before it. `reach`: the highest frontier that any batch or summary of the log
/// says. What its writer said had been acknowledged by the store by then.
pub fn is_lost(end: Seq, reach: Seq) -> bool {
    end < reach
}

/// Rule 4. A checkpoint that names locations which never became durable would turn a crash into corruption.
pub fn may_commit_checkpoint(covers: Seq, frontier: Seq) -> bool {
    is_durable(covers, frontier)
}

/// Rule 10. `header`: the epoch in the header, read after the segment was seen to be missing. Epochs only rise, so nobody else had
/// deleted it by then; and whoever takes over from then on takes the name (rule 7).
pub fn may_create_again(own: Epoch, header: Epoch) -> bool {
    own == header
}

/// Rule 9, and rule 33 while a rollback is not committed. After the capture of a clean end the header will say that nothing follows in the log: a copy that did not arrive would
/// be a gap in front of what this handle writes when it takes the image back.
pub fn may_copy(is_closing: bool) -> bool {
    !is_closing
}

/// Rule 7. The numbers that the old owner could still create: of those from `first` on, where replay begins, the ones that are not
/// there (they may be created out of order), and a window beyond `last_seen`: it knows at most that one to exist (rule 3). The
/// first of those beyond keeps the old owner from acknowledging anything more, the others keep its late segments out of the pool.
pub fn tombstone_range(first: SegmentNo, last_seen: SegmentNo) -> std::ops::RangeInclusive<u64> {
    first.0..=last_seen.0 + CREATE_WINDOW
}

/// Rule 39. `maps`: the checkpoints whose pages the destination's committed maps are in. What they point at was copied before them.
pub fn may_go(line: &Ancestors, mut maps: impl Iterator<Item = CheckpointId>) -> bool {
    maps.all(|checkpoint| !line.is_source(line.of_checkpoint(checkpoint)))
}

#[cfg(test)]
mod tests;
