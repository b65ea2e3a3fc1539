//! Rules of the rooms: the modules directly under a crate's `src`, and all below them, name each other in no circle, and the
//! engine has few files that are in no folder.
use super::modules::{Arrows, arrows, circle};
use super::{is_test, read, report, tracked_files};
use std::collections::BTreeMap;

/// Where modules must not name each other in a circle, and how deep that is looked at: 1 is a file or folder directly under
/// `src`, 2 one inside such a folder.
const WITHOUT_CIRCLES: &[(&str, usize)] = &[
    ("crates/state/src", 1),
    ("crates/engine/src", 1),
    ("crates/store/src", 1),
    ("crates/nbd/src", 1),
    ("crates/librbd/src", 1),
    ("crates/librbd/src", 2),
    ("crates/bench/src", 1),
    ("crates/sim/src", 1),
    ("crates/sim/src", 2),
];

/// `.rs` files directly under `crates/engine/src`: what belongs together gets a folder.
const MAX_ENGINE_FILES: usize = 16;

/// Path below `folder`, and text.
fn sources(folder: &str) -> Vec<(String, String)> {
    let names = tracked_files(&format!("{folder}/*.rs")).into_iter().filter(|name| !is_test(name));
    names.map(|name| (name.strip_prefix(folder).unwrap().display().to_string(), read(&name))).collect()
}

#[test]
fn modules_name_each_other_in_no_circle() {
    for (folder, depth) in WITHOUT_CIRCLES {
        let arrows = arrows(&sources(folder), *depth);
        assert!(!arrows.is_empty(), "{folder} has no modules that name each other: is it still there?");
        report(&format!("modules of {folder} name each other in no circle"), circle(&arrows));
    }
}

#[test]
fn the_engine_has_few_files_outside_of_folders() {
    let files: Vec<String> = sources("crates/engine/src").into_iter().map(|(name, _)| name).collect();
    let outside: Vec<&String> = files.iter().filter(|name| !name.contains('/')).collect();
    assert!(!outside.is_empty() && outside.len() <= MAX_ENGINE_FILES, "{} files: {outside:?}", outside.len());
}

/// A crate of these files.
fn arrows_of(files: &[(&str, &str)], depth: usize) -> Arrows {
    let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    arrows(&files.iter().map(owned).collect::<Vec<_>>(), depth)
}

/// Rooms and the rooms that they name.
fn pairs(arrows: &Arrows) -> Vec<(&str, Vec<&str>)> {
    arrows.iter().map(|(from, to)| (from.as_str(), to.keys().map(String::as_str).collect())).collect()
}

#[test]
fn a_circle_is_found_and_told() {
    let files = [
        ("lib.rs", "mod cellar;\nmod hall;\nmod roof;\nmod yard;\npub use roof::tiles::{Slate, Tile as Shingle};\n"),
        ("cellar/mod.rs", "mod wine;\nuse crate::hall::{self, stairs::{Step, Rail as Hold}};\n"),
        ("cellar/wine.rs", "use super::Shelf;\n"),
        ("hall.rs", "fn up() -> Shingle { crate::Shingle::new::<'{', 'a'>() }\n"),
        ("roof/mod.rs", "pub mod tiles;\n"),
        ("roof/tiles.rs", "fn fall() { super::super::cellar::wine::fill() }\n"),
        ("yard.rs", "use crate::{cellar, hall};\n"),
    ];
    let found = arrows_of(&files, 1);
    let expected =
        [("cellar", vec!["hall"]), ("hall", vec!["roof"]), ("roof", vec!["cellar"]), ("yard", vec!["cellar", "hall"])];
    assert_eq!(pairs(&found), expected);
    let told = [
        "cellar names hall (cellar/mod.rs: crate::hall)",
        "hall names roof (hall.rs: crate::Shingle::new)",
        "roof names cellar (roof/tiles.rs: super::super::cellar::wine::fill)",
    ];
    assert_eq!(circle(&found), told);
}

#[test]
fn what_is_only_said_or_only_for_tests_is_no_arrow() {
    let files = [
        ("lib.rs", "mod a;\nmod b;\n"),
        (
            "a.rs",
            "// crate::b\nconst TEXT: &str = \"crate::b\";\n#[cfg(test)]\n#[path = \"x\"]\nmod told;\nfn f() {}\n",
        ),
        ("a/told.rs", "use crate::b::B;\n"),
        (
            "b.rs",
            "use crate::a::A;\n#[cfg(test)]\nmod tests { fn g([u8; 4]) { if '{' == '\\'' { super::super::c::g() } } }\n",
        ),
        (
            "c.rs",
            "#[cfg(test)]\nuse crate::b::{B};\nstruct Of<'a>(&'a str);\npub(crate) fn g() { other::crate_name::b() }\n",
        ),
    ];
    assert_eq!(pairs(&arrows_of(&files, 1)), [("b", vec!["a"])]);
    assert_eq!(circle(&arrows_of(&files, 1)), Vec::<String>::new());
}

#[test]
fn a_deeper_look_sees_circles_inside_a_room() {
    let files = [
        ("lib.rs", "mod a;\n"),
        ("a/mod.rs", "mod in_;\nmod out;\nuse out::Out;\n"),
        ("a/in_.rs", "use super::out::Out;\n"),
        ("a/out.rs", "use crate::a::in_;\nuse super::Top;\n"),
    ];
    assert_eq!(arrows_of(&files, 1), BTreeMap::new());
    let told = ["a::in_ names a::out (a/in_.rs: super::out::Out)", "a::out names a::in_ (a/out.rs: crate::a::in_)"];
    assert_eq!(circle(&arrows_of(&files, 2)), told);
}
