//! Groups by `lsd` and by Ceph's own `rbd`, side by side as in `cli_against_rbd.rs`, and by `lsd` on the directory store. What rbd
//! tells by its log alone is compared by the exit code.
use crate::cli_against_rbd::compare;
use crate::common::{Cmd, built, scratch_dir};

const GROUPS: &str = "
create bar --size 10
create foo --size 10
group create
group create {pool}/
group create a@b
group create g x
group create g
group create g
group create --pool {pool} --group h
group create nopool/g
group create {pool}/n/g
group ls
group list {pool}
group ls -p {pool} --format json
group ls --format json --pretty-format
group ls --format xml
group ls --format yaml
group ls {other}
group ls {other} --format json
group ls nopool
group ls {pool}/n
group image add
group image add g
group image add g foo
group image add g foo
group image add h foo
group image ls h
group image add nog foo
group image add g nofoo
group image add g foo@s
group image add --group-pool {pool} --group g --image-pool {pool} --image bar
group image ls
group image ls g
group image list {pool}/g --format json
group image ls g --format xml
group image ls --group g --pool {pool} --format json --pretty-format
group image ls nog
group image ls nog --format json
info foo
info foo --format json
rm foo
rm foo --no-progress
mv foo foe
group image ls g
mv foe foo
group image rm g
= group image rm h foo
group image rm g nofoo
group image rm nog foo
group image rm g foo --image-id x
group image rm g foo
group image rm g foo
info foo
group image add g foo
group image rm g --image-id {id:foo}
group image remove -p {pool} g bar
group image ls g
group image ls g --format json
group image add g foo
namespace create {pool}/n
create {pool}/n/in --size 1
group image add g {pool}/n/in
group create {pool}/n/g
group image add {pool}/n/g in
group image add {pool}/n/g {pool}/n/in
group image ls {pool}/n/g
group image ls {pool}/n/g --format json
group rm {pool}/n/g
rm {pool}/n/in
namespace rm {pool}/n
group rename
group rename g
group rename g h
group rename g g
group rename nog x
group rename g a@b
group rename --group g --dest-group k
group ls
info foo
group rm
group rm nog
group rm g x
group rm g
group ls
group ls --format json
info foo
rm foo
rm bar
";

const SNAPSHOTS: &str = "
create bar --size 10
create foo --size 10
group create g
group image add g foo
group image add g bar
group snap ls g
group snap ls g --format json
group snap create
group snap create g
group snap create g@
group snap create g@a/b
group snap create g@one --skip-quiesce --ignore-quiesce-error
group snap create g@one
= group snap create g@one
= group snap create nog@one
group snap create --group g --snap two --skip-quiesce
group snap create {pool}/g@three --ignore-quiesce-error
group snap ls
group snap ls g
group snap list {pool}/g --format json
group snap ls g --format json --pretty-format
group snap ls g --format xml
group snap ls nog
group snap ls nog --format json
group snap ls g@one
snap ls foo
snap ls foo --format json
info foo
snap purge foo
rm foo
group snap rename g
group snap rename g@one
group snap rename g@one a@b
group snap rename g@one two
group snap rename g@one one
group snap rename g@none x
group snap rename nog@one x
group snap rename g@one first
group snap rename --group g --snap two --dest-snap second
group snap ls g
group snap rollback
group snap rollback g
group snap rollback g@one
group snap rollback nog@one
group snap rollback g@none --no-progress
group snap rollback g@first
group snap rollback g@second --no-progress
group snap rm
group snap rm g
group snap rm g@none
group snap rm nog@one
group snap rm g@first
group snap rm g@first
group snap remove --group g --snap second
group image rm g bar
rm bar
trash mv foo
group image ls g
group snap ls g
= trash rm {id:foo}
= trash purge
group rm g
";

#[test]
fn images_come_into_a_group_and_leave_it() {
    compare(&requires_ceph!(), "groups", GROUPS);
}

#[test]
fn a_group_has_snapshots() {
    compare(&requires_ceph!(), "group-snaps", SNAPSHOTS);
}

fn lsd(args: &[&str]) -> Cmd {
    Cmd::new(built("lsd")).args(args)
}

/// What is in a directory can be rolled back together, and says so in rbd's words.
#[test]
fn groups_in_a_directory() {
    let dir = scratch_dir();
    let pool = format!("dir:{}/store", dir.path().display());
    let at = |name: &str| format!("{pool}/{name}");
    let input = |value: u8| {
        let path = dir.path().join(value.to_string());
        std::fs::write(&path, vec![value; 1 << 20]).unwrap();
        path.display().to_string()
    };
    let first = input(1);
    for name in ["a", "b"] {
        lsd(&["import", "--no-progress", &first, &at(name)]).ok();
    }
    lsd(&["group", "create", &at("g")]).ok();
    lsd(&["group", "image", "add", &at("g"), &at("a")]).ok();
    lsd(&["group", "image", "add", &at("g"), "b"]).ok();
    assert_eq!(lsd(&["group", "ls", &pool]).ok().text(), "g\n");
    let images = lsd(&["group", "image", "ls", &at("g")]).ok().text();
    let mut images: Vec<&str> = images.lines().collect();
    images.sort_unstable();
    assert_eq!(images, [at("a") + " ", at("b") + " "]);
    lsd(&["group", "snap", "create", &at("g@s")]).ok();
    for name in ["a", "b"] {
        lsd(&["bench", "--io-type", "write", "--io-size", "64K", "--io-total", "1M", &at(name)]).ok();
    }
    let is_first = |name: &str| {
        let out = dir.path().join("out");
        let _ = std::fs::remove_file(&out);
        lsd(&["export", "--no-progress", &at(name), out.to_str().unwrap()]).ok();
        std::fs::read(&out).unwrap() == vec![1; 1 << 20]
    };
    assert!(!is_first("a") && !is_first("b"));
    lsd(&["group", "snap", "rollback", "--no-progress", &at("g@s")]).ok();
    assert!(is_first("a") && is_first("b"));
    let listed = lsd(&["snap", "ls", "--all", "--format", "json", &at("a")]).ok().json();
    assert_eq!(listed[0]["namespace"]["group snap"], "s");
    assert_eq!(listed[0]["namespace"]["group"], "g");
    let refused = lsd(&["rm", "--no-progress", &at("b")]).run();
    refused.expect_code(39);
    lsd(&["group", "snap", "rm", &at("g@s")]).ok();
    lsd(&["rm", "--no-progress", &at("b")]).run().expect_code(31);
    let report = lsd(&["check", &at("a")]).ok().text();
    assert!(report.contains("No errors were found"), "{report}");
    lsd(&["group", "rm", &at("g")]).ok();
    lsd(&["rm", "--no-progress", &at("a")]).ok();
    lsd(&["rm", "--no-progress", &at("b")]).ok();
}
