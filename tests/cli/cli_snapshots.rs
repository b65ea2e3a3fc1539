//! Snapshots by `lsd` and by Ceph's own `rbd`, side by side as in `cli_against_rbd.rs`; and what becomes of a snapshot's content.
use crate::cli_against_rbd::compare;
use crate::cli_rbd::lsd;
use crate::common::{Cmd, Finished, Image, built, pattern, scratch_dir};

/// Names: what may be done with them, and every way in which that fails.
const NAMES: &str = "
create foo --size 10
snap create foo@s1
snap create foo@s1
snap create foo@s1 --no-progress
snap create foo
snap create foo@
snap create nofoo@s1
snap add {pool}/foo@s2 --no-progress
snap create --snap s3 foo
snap create --image foo --snap s4 --skip-quiesce
snap create --image foo@s5 --ignore-quiesce-error --no-progress
snap create foo@s6 --skip-quiesce --ignore-quiesce-error
snap create foo@a/b
snap create foo@a@b
snap create foo --snap a/b
snap create foo --snap a@b
snap create --image foo s6
snap create foo@s6 extra
snap create foo@s6 --bogus
snap create
snap ls foo
snap ls foo --format json
snap ls foo --format json --pretty-format
snap ls foo --format xml
snap ls foo --all
snap ls foo -a --format json
snap list foo --all --format xml --pretty-format
snap ls foo --format yaml
snap ls foo --pretty-format
snap ls foo@s1
snap ls --image-id nope
snap ls foo --image-id nope
snap protect foo@s1
snap protect foo@s1
snap protect foo
snap protect foo@nope
snap protect nofoo@s1
snap protect foo@s1 --no-progress
snap ls foo
snap ls foo --format json
snap rm foo@s1
snap rm foo@s1 --no-progress
snap rm foo
snap rm foo@nope
snap rm foo@nope --force
snap rm nofoo@s
snap rm foo@s2 --no-progress
snap remove foo@s3
snap rm --image foo --snap s4
snap rm foo --snap-id 99999
snap rm foo --snap-id abc
snap rm foo@s1 --snap-id 99999
snap rm foo --snap-id 99999 --force
snap rm foo --snap-id 99999 --no-progress
snap rm --snap-id 99999
snap rm --image-id nope --snap-id 3
snap rm --image-id nope --snap s1
snap rm --image-id nope
snap rm foo --image-id nope --snap s1
snap rm --image-id nope --image foo --snap-id 3
snap unprotect foo@s1
snap unprotect foo@s1
snap unprotect foo
snap unprotect foo@nope
snap unprotect --image-id nope --snap s1
snap unprotect foo --image-id nope --snap s1
snap protect foo@s1
snap rm foo@s1 --force
snap create foo@s1 --no-progress
snap rename foo@s1 foo@s5
snap rename foo@s1 foo@s7
snap rename foo@s7 s8
snap rename foo@s7
snap rename foo foo@s8
snap rename foo@s7 bar@s8
snap rename foo@s7 foo@s8 --dest-pool {other}
snap rename foo@s7 {pool}/foo@s8
snap rename {pool}/foo@s7 {pool}/n/foo@s8
snap rename foo@nope foo@s9
snap rename nofoo@s1 nofoo@s2
snap rename foo@s7 foo@a/b
snap rename foo@s7 foo@a@b
snap rename foo@s7 --dest foo --dest-snap a/b
snap rename --snap s7 foo --dest-snap s8
snap rename foo@s7 --dest foo --dest-snap s8
snap rename {pool}/foo@s8 foo@s9
snap rename -p {pool} foo@s9 {pool}/foo@s7
snap rename
snap rename foo@s7 foo@s8 extra
snap ls foo
snap rollback foo@s7
snap revert foo@s7 --no-progress
snap rollback foo@nope
snap rollback foo
snap rollback nofoo@s7
snap rollback foo@s7 foo@s5
rm foo
rm --no-progress foo
info foo
snap protect foo@s7
snap purge foo
snap purge foo --no-progress
snap create foo@s8 --no-progress
snap protect foo@s8
snap purge foo
snap unprotect foo@s7
snap purge foo
snap unprotect foo@s8
snap purge foo
snap purge foo
snap ls foo
snap purge --image-id nope
snap purge foo --image-id nope
rm foo
";

const LIMITS: &str = "
create foo --size 10
snap limit set foo --limit 2
info foo
info foo --format json
info foo --format xml
snap create foo@s1 --no-progress
snap create foo@s2 --no-progress
snap create foo@s3
snap create foo@s3 --no-progress
snap limit set foo --limit 1
snap limit set foo --limit 0
snap limit set foo --limit 3
snap create foo@s3 --no-progress
snap limit set foo
snap limit set foo --limit x
snap limit set foo --limit 1.5
snap limit set foo 3
snap limit set foo@s1 --limit 4
snap limit set nofoo --limit 4
snap limit set --limit 4
info foo
snap limit set foo --limit -1
info foo
snap limit set foo --limit 3
info foo@s1
snap limit clear foo
snap limit clear foo@s1
snap limit clear nofoo
snap limit clear
info foo
snap create foo@s4 --no-progress
snap ls foo
create bar --size 1 --stripe-unit 4096 --stripe-count 4
snap limit set bar --limit 5
snap create bar@s --no-progress
info bar@s
info bar@s --format json
";

/// `image@snap` wherever it can stand, and wherever it cannot. Whole objects, which both programs count alike.
const PLACES: &str = "
import --no-progress {dir}/object foo
resize --no-progress foo --size 10
snap create foo@s1 --no-progress
resize --no-progress foo --size 20
= bench foo --io-type write --io-size 4M --io-total 4M --io-threads 1
snap create foo@s2 --no-progress
create bar --size 5
snap create bar@s1 --no-progress
snap protect bar@s1
info foo
info foo@s1
info foo@s1 --format json
info foo@s1 --format xml --pretty-format
info foo --snap s1
info --image foo@s2
info bar@s1
info bar@s1 --format json
info foo@nope
info nofoo@s1
info --image-id nope
info --image-id nope --snap s1
info foo --image-id nope
ls
ls -l
ls -l --format json
ls -l --format xml --pretty-format
du
du --format json
du foo
du foo --format json
du foo --format xml --pretty-format
du foo --exact
du foo@s1
du foo@s1 --format json
du foo@s2
du --snap s1
du --snap s1 --format json
du foo --from-snap s1
du foo --from-snap s2 --format json
du foo@s2 --from-snap s1
du foo@s1 --from-snap s2
du foo@s1 --from-snap s1
du foo@s1 --from-snap s1 --format json
du foo@nope
du foo --from-snap nope
du --from-snap s1
du nofoo@s1
du foo --merge-snapshots
du foo --merge-snapshots --format json
du --merge-snapshots
du foo@s1 --merge-snapshots
diff foo@s1
diff foo@s2 --format json
diff foo@s1 --whole-object --format xml
diff foo@nope
diff foo --from-snap s1
diff foo --from-snap s2
diff foo@s2 --from-snap s1 --format json
diff foo --whole-object --from-snap s1 --format xml
diff foo --from-snap nope
diff foo@s1 --from-snap s2
diff foo@s1 --from-snap s1
children foo@s1
children foo@s1 --format json
children foo@nope
children foo --snap-id 99999
children foo@s1 --snap-id 99999
export foo@nope -
export nofoo@s1 -
cp foo@nope c
cp foo@s1 c@s1
cp --no-progress foo@s1 c
info c
snap ls c
du c
bench foo@nope --io-type read
bench foo@s1 --io-type write
bench foo@s1 --io-type rw
= bench foo@s1 --io-type read --io-total 1M
status foo@s1
lock ls foo@s1
lock add foo@s1 id
resize foo@s1 --size 5
rename foo@s1 x
feature disable foo@s1 fast-diff
image-meta list foo@s1
image-meta set foo@s1 k v
rm foo@s1
rm foo
resize --no-progress foo --size 6 --allow-shrink
snap rollback --no-progress foo@s2
info foo
snap rollback --no-progress foo@s1
info foo
diff foo
diff foo@s2 --from-snap s1
snap purge --no-progress foo
info foo@s1
du foo
rm --no-progress foo
";

/// What is in a snapshot stays in it.
const CONTENT: &str = "
import --no-progress {dir}/in foo
snap create --no-progress foo@s1
= bench foo --io-type write --io-size 1M --io-total 8M --io-threads 1
snap create --no-progress foo@s2
resize --no-progress foo --size 4M --allow-shrink
export foo@s1 -
export --no-progress foo --snap s1 {dir}/e1
cp --no-progress foo@s1 {other}/c
export --no-progress {other}/c -
snap rollback foo@s1
export foo {dir}/e2
snap purge --no-progress foo
export --no-progress foo {dir}/e3
export --no-progress foo@s1 {dir}/e4
";

#[test]
fn snapshots_have_names() {
    compare(&requires_ceph!(), "snap-names", NAMES);
}

#[test]
fn snapshots_can_be_limited() {
    compare(&requires_ceph!(), "snap-limits", LIMITS);
}

#[test]
fn image_and_snapshot_are_named_together() {
    compare(&requires_ceph!(), "snap-places", PLACES);
}

#[test]
fn what_is_in_a_snapshot_stays_in_it() {
    compare(&requires_ceph!(), "snap-content", CONTENT);
}

/// Removes an image's snapshots with it.
pub struct WithSnapshots(pub Image);

impl Drop for WithSnapshots {
    fn drop(&mut self) {
        lsd(&self.0.ceph, &["snap", "purge", "--no-progress", &self.0.spec()]).run();
    }
}

#[test]
fn a_snapshot_is_removed_by_its_id_and_that_of_its_image() {
    let ceph = requires_ceph!();
    let image = WithSnapshots(ceph.image("by-id").create("8M"));
    let spec = image.0.spec();
    for name in ["a", "b"] {
        lsd(&ceph, &["snap", "create", "--no-progress", &format!("{spec}@{name}")]).ok();
    }
    let list = || lsd(&ceph, &["snap", "ls", &spec, "--format", "json"]).ok().json();
    let ids: Vec<String> = list().as_array().unwrap().iter().map(|snapshot| snapshot["id"].to_string()).collect();
    lsd(&ceph, &["snap", "protect", &format!("{spec}@a")]).ok();
    let refused = lsd(&ceph, &["snap", "rm", &spec, "--snap-id", &ids[0]]).run().expect_code(16);
    refused.says(&format!("lsd: snapshot id {} is protected from removal.\n", ids[0]));
    assert_eq!(lsd(&ceph, &["snap", "rm", &spec, "--snap-id", &ids[1]]).ok().errors(), "");
    assert_eq!(list().as_array().unwrap().len(), 1);
    let id = lsd(&ceph, &["info", &spec, "--format", "json"]).ok().json()["id"].as_str().unwrap().to_owned();
    let by_id = |words: &[&str]| lsd(&ceph, words).args(["-p", &image.0.pool, "--image-id", &id]);
    by_id(&["info", "--snap", "a"]).ok().says("protected: True");
    by_id(&["snap", "unprotect", "--snap", "a"]).ok();
    by_id(&["snap", "ls"]).ok().says("a     8 MiB");
    by_id(&["snap", "rm", "--snap", "a"]).ok().says("Removing snap: 100% complete...done.");
    assert_eq!(by_id(&["snap", "ls"]).ok().text(), "");
}

#[test]
fn a_snapshot_is_taken_while_a_guest_writes() {
    let ceph = requires_ceph!();
    let image = WithSnapshots(ceph.image("written").create("64M"));
    let spec = image.0.spec();
    image.0.qemu_io(&["write -P 0x11 0 1M", "flush"]);
    let commands = ["-c", "write -P 0x22 0 1M", "-c", "flush", "-c", "sleep 20000"];
    let guest =
        ceph.client("qemu-io").args(["-f", "raw", "-t", "writeback"]).args(commands).arg(image.0.qemu()).start();
    let first = |snapshot: &str| -> Finished {
        lsd(&ceph, &["export", "--no-progress", &format!("{spec}@{snapshot}"), "-"]).ok()
    };
    crate::common::wait_until("the guest's write is there", std::time::Duration::from_secs(15), || {
        lsd(&ceph, &["export", "--no-progress", &spec, "-"]).ok().stdout[0] == 0x22
    });
    lsd(&ceph, &["snap", "create", "--no-progress", &format!("{spec}@during")]).ok();
    assert!(guest_lives(guest), "the guest does not notice");
    assert!(first("during").stdout[..1 << 20].iter().all(|byte| *byte == 0x22));
}

fn guest_lives(mut guest: crate::common::Running) -> bool {
    let lives = guest.is_alive();
    guest.kill();
    lives
}

#[test]
fn a_snapshot_is_served_read_only() {
    let ceph = requires_ceph!();
    let dir = scratch_dir();
    let (file, socket) = (dir.path().join("file"), dir.path().join("s"));
    let bytes = pattern(3 << 20, 71);
    std::fs::write(&file, &bytes).unwrap();
    let image = WithSnapshots(ceph.image("served").fill_from(&file));
    let at = format!("{}@then", image.0.spec());
    lsd(&ceph, &["snap", "create", "--no-progress", &at]).ok();
    image.0.qemu_io(&["write -P 0x33 0 3M", "flush"]);
    let mut server =
        ceph.client(built("lsd-nbd")).args(["serve", "--socket"]).arg(&socket).arg(format!("disk={at}")).start();
    server.wait_for_text("nbd+unix", std::time::Duration::from_secs(15));
    let url = format!("nbd+unix:///disk?socket={}", socket.display());
    let out = dir.path().join("out");
    Cmd::new("qemu-img").args(["convert", "-f", "raw", "-O", "raw", &url]).arg(&out).ok();
    assert!(std::fs::read(&out).unwrap() == bytes, "the snapshot is served as it was");
    Cmd::new("qemu-io").args(["-f", "raw", "-c", "write 0 4k", &url]).run().expect_code(1).says("Permission denied");
    server.stop();
    let missing = ceph.client(built("lsd-nbd")).args(["serve", "--socket"]).arg(&socket);
    missing.arg(format!("{}@never", image.0.spec())).run().expect_code(1).says("error setting snapshot context: (2)");
}
