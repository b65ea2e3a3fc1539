//! Ceph's own, unmodified `rbd` on our library: the command lines of the other modules must print what `rbd` prints on the system's,
//! and end with the same code.
//!
//! Owns: what differs. Does not own: the command lines, and how they are compared (`cli_against_rbd.rs`).
use crate::cli_against_rbd::{self, Program, compare_with};
use crate::{cli_clones, cli_config, cli_diffs, cli_groups, cli_snapshots, cli_trash};

/// The script and its command line, each with the reason. What is mended must leave the list.
const DIFFERS: &[(&str, &str, &str)] = &[(
    "snap-limits",
    "snap create foo@s3",
    "librbd reports a part of the work before it finds that there are too many",
)];

macro_rules! on_our_library {
    ($($test:ident $hint:literal $script:expr;)*) => {$(
        #[test]
        fn $test() {
            let differs: Vec<&str> = DIFFERS.iter().filter(|entry| entry.0 == $hint).map(|entry| entry.1).collect();
            compare_with(&requires_ceph!(), concat!("ours-", $hint), $script, Program::RbdOnOurs, &differs);
        }
    )*};
}

on_our_library! {
    an_image_s_life "life" cli_against_rbd::LIFE;
    layouts "layouts" cli_against_rbd::LAYOUTS;
    content "content" cli_against_rbd::CONTENT;
    usage "usage" cli_against_rbd::USAGE;
    locks "locks" cli_against_rbd::LOCKS;
    clones "clones" cli_clones::MAKING;
    clones_of_protected_snapshots "strict" cli_clones::PROTECTED;
    deep_copies "deep" cli_clones::DEEP;
    options "config" cli_config::CONFIG;
    upkeep "upkeep" cli_config::UPKEEP;
    differences "diffs" cli_diffs::DIFFS;
    images_with_their_snapshots "whole" cli_diffs::WHOLE;
    groups "groups" cli_groups::GROUPS;
    snapshots_of_groups "group-snaps" cli_groups::SNAPSHOTS;
    names_of_snapshots "snap-names" cli_snapshots::NAMES;
    limits_of_snapshots "snap-limits" cli_snapshots::LIMITS;
    places_of_snapshots "snap-places" cli_snapshots::PLACES;
    content_of_snapshots "snap-content" cli_snapshots::CONTENT;
    trash_there_and_back "trash-back" cli_trash::THERE_AND_BACK;
    trash_and_gone "trash-gone" cli_trash::GONE;
}
