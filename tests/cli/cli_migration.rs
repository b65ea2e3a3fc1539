//! Migrations by `lsd` and by Ceph's own `rbd`, side by side as in `cli_against_rbd.rs`; and what becomes of an image on its way through
//! pools and namespaces.
use crate::cli_against_rbd::{Program, compare_with};
use crate::cli_rbd::lsd;
use crate::common::{pattern, scratch_dir};

/// Lines with `=`: progress goes in other steps, or lsd says more.
const MOVING: &str = "
import {dir}/in foo --no-progress
snap create foo@s --no-progress
image-meta set foo key value
migration prepare
migration prepare nofoo
migration prepare foo@s bar
migration prepare foo bar@x
migration prepare foo nopool/bar
migration prepare foo bar extra
migration prepare foo bar --bogus
migration execute
migration execute nofoo
= migration execute foo
= migration commit foo
migration commit nofoo
= migration abort foo
migration abort nofoo
migration abort foo@s
status foo
migration prepare foo {other}/bar --object-size 8M --stripe-unit 8M --stripe-count 1
status {other}/bar
status {other}/bar --format json
status {other}/bar --format xml --pretty-format
info {other}/bar
info {other}/bar --format json
= snap ls {other}/bar
image-meta ls {other}/bar
info foo
ls
ls {other}
trash ls
trash ls --all
= trash restore {id:foo}
= migration prepare {other}/bar third
= rm {other}/bar --no-progress
= trash mv {other}/bar
= migration commit {other}/bar --no-progress
= migration execute {other}/bar
= migration execute {other}/bar --no-progress
status {other}/bar
= migration commit {other}/bar
status {other}/bar
info {other}/bar
trash ls --all
export {other}/bar {dir}/e1 --no-progress
migration prepare {other}/bar foo
= migration abort {other}/bar
info {other}/bar
migration prepare {other}/bar
status bar
migration execute bar --no-progress
migration commit bar --no-progress --force
ls
ls {other}
export bar {dir}/e2 --no-progress
snap create bar@t --no-progress
migration prepare bar bar
info bar@t
migration abort bar --no-progress
info bar@t
export bar {dir}/e3 --no-progress
snap purge bar --no-progress
rm bar --no-progress
";

#[test]
fn migrations_as_rbd_makes_them() {
    compare_with(&requires_ceph!(), "moving", MOVING, &[Program::Lsd]);
}

/// Through another pool's namespace, with what was written on the way.
#[test]
fn an_image_moves_through_a_namespace() {
    let ceph = requires_ceph!();
    let image = ceph.image("moves");
    let name = &image.name;
    let dir = scratch_dir();
    let [before, after, written, back] = ["before", "after", "written", "back"].map(|name| dir.path().join(name));
    std::fs::write(&before, pattern(9 << 20, 3)).unwrap();
    let run = |line: String| lsd(&ceph, &line.split(' ').collect::<Vec<_>>()).ok();
    run(format!("import --no-progress {} rbd/{name}", before.display()));
    run(format!("namespace create rbd/{name}-n"));
    let there = format!("rbd/{name}-n/{name}");
    run(format!("migration prepare rbd/{name} {there}"));
    run(format!("bench --io-type write --io-size 64K --io-total 1M {there}"));
    run(format!("migration execute --no-progress {there}"));
    run(format!("export --no-progress {there} {}", after.display()));
    let moved = std::fs::read(&after).unwrap();
    run(format!("check {there}"));
    run(format!("migration commit --no-progress {there}"));
    run(format!("check {there}"));
    // And back, where what was written on the way comes back with an abort.
    run(format!("migration prepare {there} rbd/{name}"));
    run(format!("bench --io-type write --io-size 4K --io-total 512K rbd/{name}"));
    run(format!("export --no-progress rbd/{name} {}", written.display()));
    run(format!("migration abort --no-progress rbd/{name}"));
    run(format!("export --no-progress {there} {}", back.display()));
    let (written, back) = (std::fs::read(&written).unwrap(), std::fs::read(&back).unwrap());
    assert!(written == back, "what was written is in the source");
    assert!(moved.len() == 9 << 20 && back != moved);
    run(format!("check {there}"));
    run(format!("rm --no-progress {there}"));
    run(format!("namespace rm rbd/{name}-n"));
}
