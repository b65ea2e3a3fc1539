//! Clones by `lsd` and by Ceph's own `rbd`, side by side as in `cli_against_rbd.rs`; and what becomes of a clone's content.
use crate::cli_against_rbd::compare;
use crate::cli_rbd::lsd;
use crate::cli_snapshots::WithSnapshots;
use crate::common::{pattern, scratch_dir};
use serde_json::{Value, json};

/// Without a format rbd goes by what the cluster's oldest client may be, so each is asked for. Lines with `=`: lsd says more there, or
/// a removed snapshot has another name.
const MAKING: &str = "
create foo --size 10
snap create foo@s --no-progress
clone
clone foo
clone foo c1
clone foo@s
clone foo@s c1@x
clone foo@s c1 extra
clone foo@s c1 --bogus
clone foo@nope c1
clone nofoo@s c1
clone foo@s nopool/c1
clone nopool/foo@s c1
clone foo@s {pool}/n/c1
clone --pool {pool} --image foo --snap s --dest-pool {pool}
= clone foo@s c1 --rbd_default_clone_format 1
clone foo@s c1 --rbd_default_clone_format 2
clone foo@s c1 --rbd_default_clone_format 2
= clone foo@s c2 --rbd_default_clone_format 2 --image-feature exclusive-lock
clone foo@s c2 --rbd_default_clone_format 2 --image-feature layering
info c2
clone --pool {pool} --image foo --snap s --dest c3 --rbd_default_clone_format 2 --image-shared
info c3
clone foo@s c4 --rbd_default_clone_format 2 --object-size 1M --stripe-unit 64K --stripe-count 4
info c4
= clone foo@s c5 --rbd_default_clone_format 2 --object-size 1K
= clone foo@s c5 --rbd_default_clone_format 2 --data-pool nopool
clone foo@s {other}/c5 --rbd_default_clone_format 2
info {other}/c5
info {other}/c5 --format json
info foo
info foo@s
info c1
info c1 --format json
info c1 --format xml --pretty-format
ls -l
ls -l --format json
ls -l --format xml
ls -l {other}
children foo
children foo@s
children foo@nope
children foo --format json
children foo --format json --pretty-format
children foo --format xml
children foo --all --format json
children foo -a --format xml --pretty-format
children foo --snap s --all
children c1
children nofoo
trash mv c2
children foo
children foo --format json
children foo --all --descendants --format json
snap create c1@t --no-progress
info c1@t
info c1@t --format json
clone c1@t g --rbd_default_clone_format 2
children foo
children foo --descendants
children foo@s --descendants --format json
children c1@t
snap rm foo@s --no-progress
snap ls foo
info foo
children foo --descendants
= clone foo@s c9 --rbd_default_clone_format 2
rm foo
rm foo --no-progress
snap purge foo
flatten
flatten foo@s
flatten nofoo
= flatten foo --no-progress
= flatten c1@t
flatten c1
info c1
= flatten c1
flatten g --no-progress
snap purge c1 --no-progress
= ls -l
rm c1
rm g
";

const PROTECTED: &str = "
create foo --size 10
snap create foo@s --no-progress
snap protect foo@s
clone foo@s c1 --rbd_default_clone_format 1
clone foo@s c2 --rbd_default_clone_format 1
info c1
info foo
children foo
ls -l
snap rm foo@s
= snap unprotect foo@s
snap rm foo@s --force
info c1
children foo
snap ls foo
snap rm foo@s --force
rm foo
rm c1
rm c2
";

const DEEP: &str = "
import {dir}/in foo --no-progress
snap create foo@one --no-progress
snap protect foo@one
image-meta set foo key value
deep cp
deep cp foo
deep cp nofoo bar
deep cp foo@nope bar
deep cp foo bar@x
deep cp foo nopool/bar
deep cp foo bar
deep cp foo bar
deep copy foo bar --no-progress
snap ls bar
info bar
image-meta ls bar
export bar {dir}/e1 --no-progress
export bar@one {dir}/e2 --no-progress
clone foo@one c --rbd_default_clone_format 1
snap create c@a --no-progress
snap create c@b --no-progress
snap protect c@b
deep cp c d --rbd_default_clone_format 1 --no-progress
info d
snap ls d
deep cp c@a e --rbd_default_clone_format 2 --no-progress
info e
snap ls e
deep cp c f --flatten
info f
info f@a
children foo
ls -l
export f {dir}/e3 --no-progress
deep cp {pool}/c {other}/g --no-progress --flatten
info {other}/g
";

#[test]
fn making_showing_and_flattening() {
    compare(&requires_ceph!(), "clones", MAKING);
}

#[test]
fn clones_of_protected_snapshots() {
    compare(&requires_ceph!(), "strict", PROTECTED);
}

#[test]
fn deep_copies() {
    compare(&requires_ceph!(), "deep", DEEP);
}

#[test]
fn a_clone_is_written_by_a_guest_and_its_parent_stays() {
    let ceph = requires_ceph!();
    let dir = scratch_dir();
    let (file, out) = (dir.path().join("file"), dir.path().join("out"));
    let bytes = pattern(9 << 20, 31);
    std::fs::write(&file, &bytes).unwrap();
    let parent = WithSnapshots(ceph.image("parent").fill_from(&file));
    let at = format!("{}@s", parent.0.spec());
    lsd(&ceph, &["snap", "create", "--no-progress", &at]).ok();
    let child = ceph.image("child");
    lsd(&ceph, &["clone", &at, &child.spec()]).ok();
    child.read_to(&out);
    assert!(std::fs::read(&out).unwrap() == bytes, "a clone begins as its parent's snapshot");
    child.qemu_io(&["write -P 0x44 1M 2M", "discard 4M 1M", "flush"]);
    lsd(&ceph, &["flatten", "--no-progress", &child.spec()]).ok();
    let mut wanted = bytes.clone();
    wanted[1 << 20..3 << 20].fill(0x44);
    wanted[4 << 20..5 << 20].fill(0);
    child.read_to(&out);
    assert!(std::fs::read(&out).unwrap() == wanted, "what was written and given up is in the flattened clone");
    parent.0.read_to(&out);
    assert!(std::fs::read(&out).unwrap() == bytes, "nothing changes in the parent");
    lsd(&ceph, &["check", &child.spec()]).ok();
}

/// rbd has no such command.
#[test]
fn the_family_of_an_image_is_shown_from_its_oldest_ancestor() {
    let ceph = requires_ceph!();
    let base = WithSnapshots(ceph.image("base").create("8M"));
    let at = format!("{}@s", base.0.spec());
    lsd(&ceph, &["snap", "create", "--no-progress", &at]).ok();
    let child = ceph.image("kid");
    lsd(&ceph, &["clone", &at, &child.spec()]).ok();
    lsd(&ceph, &["snap", "rm", "--no-progress", &at]).ok();
    let text = lsd(&ceph, &["tree", &child.spec()]).ok().text();
    let (base, kid) = (base.0.spec(), child.spec());
    assert_eq!(text, format!("{base} (8 MiB)\n  @s (removed)\n    {kid} (8 MiB, this image)\n"));
    let tree: Value = lsd(&ceph, &["tree", &base, "--format", "json"]).ok().json();
    assert_eq!((&tree["asked_for"], &tree["snapshots"][0]["removed"]), (&json!(true), &json!(true)));
    assert_eq!(tree["snapshots"][0]["children"][0]["image"], child.name);
    lsd(&ceph, &["tree", &base, "--format", "dot"])
        .ok()
        .says("digraph family {\n")
        .says("[label=\"@s\", style=dashed]");
}
