//! The trash by `lsd` and by Ceph's own `rbd`, side by side as in `cli_against_rbd.rs`; and images that somebody has open.
use crate::cli_against_rbd::compare;
use crate::cli_rbd::lsd;
use crate::common::built;
use serde_json::Value;

/// In, out, and what is shown meanwhile.
const THERE_AND_BACK: &str = "
create foo --size 10
create baz --size 10
trash mv
trash mv nofoo
trash mv foo@s
trash mv foo x
trash mv foo --bogus
trash mv foo --no-progress
trash mv foo --expires-at
trash mv foo --expires-at garbage
trash mv foo --expires-at +3600
trash mv nofoo --expires-at garbage
trash mv nopool/foo
trash mv nopool/foo --expires-at garbage
trash mv {pool}/n/foo
trash mv foo
trash mv foo
info foo
ls
trash ls
trash ls -l
trash ls -a -l {pool}
trash list --all --long --format json
trash ls -l --format json --pretty-format
trash ls -l --format xml --pretty-format
trash ls --format json
trash ls --format json --pretty-format {pool}
trash ls --format xml
trash ls --format yaml
trash ls --pretty-format
trash ls x y
trash ls {other}
trash ls {other} --format json
trash ls {pool}/n
trash ls -l nopool
info --image-id {id:foo}
info --image-id {id:foo} --format json
info --image-id {id:foo} foo
snap ls --image-id {id:foo}
create foo --size 1
trash restore {id:foo}
trash restore --image foo {id:foo}
trash restore --image baz --image-id {id:foo}
trash restore
trash restore ''
trash restore nope
trash restore nope --image x
trash restore {id:foo} x
trash restore {id:foo}@s
trash restore {pool}/
trash restore {pool}/n/{id:foo}
trash restore nopool/{id:foo}
trash restore --pool {other} {id:foo}
trash restore --image-id {pool}/{id:foo}
trash restore {id:foo} --no-progress
trash restore --image bar {pool}/{id:foo}
info bar
ls
trash ls
trash mv --pool {pool} --image bar --expires-at tomorrow
trash restore nope@s --image-id {id:bar} --image ''
trash move {pool}/bar --expires-at 2100-01-01
trash mv baz --expires-at 2033-05-18T03:33:20
trash ls -l
trash restore --pool {pool} {id:bar}
trash restore --image-id {id:baz}
trash mv baz --expires-at +1hour
trash ls --format json -l
trash restore {id:baz}
ls
trash ls -l
";

const GONE: &str = "
create foo --size 10
create kept --size 10
create late --size 10
trash mv late --expires-at tomorrow
trash rm
trash rm ''
trash rm nope
trash rm nope --force
trash rm nope --no-progress
trash rm a@b
trash rm a@
= trash rm a/b/c/d
trash rm {pool}/
trash rm {pool}/n/x
trash rm nopool/x
trash rm {id:late}
trash rm --image-id {id:late}
trash rm {pool}/{id:late} --no-progress
trash rm --pool {pool} {id:late} x
trash rm {id:late} --image-id {id:late}
trash rm --image-id {pool}/{id:late}
trash rm {id:kept}
trash purge
trash ls
trash rm {id:late} --force
trash ls
snap create foo@s --no-progress
trash mv foo --expires-at now
trash rm {id:foo}
trash rm {id:foo} --no-progress --force
info --image-id {id:foo} --snap s
snap ls --image-id {id:foo}
create a --size 1
create b --size 1
create c --size 1
trash mv a
trash mv b
trash mv c --expires-at +1hour
trash purge
trash ls
trash purge --no-progress
snap purge --image-id {id:foo} --no-progress
trash purge {pool} --expired-before yesterday
trash ls
trash purge x y
trash purge nopool
trash purge {pool}/n
trash purge --expired-before
trash purge --expired-before garbage
trash purge --expired-before +3600
trash purge --threshold
trash purge --threshold x
= trash purge --threshold 2
= trash purge --threshold -0.5
trash purge --threshold 1
trash purge
trash purge
trash ls
trash purge --threshold -1
trash purge --expired-before tomorrow --threshold -1
trash ls
trash purge --expired-before tomorrow
trash ls
trash ls --format json
trash purge schedule
trash rm --no-progress {id:kept}
ls
namespace create {pool}/n
create {pool}/n/x --size 1
trash mv {pool}/n/x
trash ls
trash ls --namespace n
namespace rm {pool}/n
trash purge {pool}
trash ls {pool}/n
trash purge --no-progress --pool {pool} --namespace n
namespace rm {pool}/n
create grandparent --size 4
snap create grandparent@s --no-progress
clone grandparent@s parent --rbd-default-clone-format 2
snap rm grandparent@s --no-progress
snap create parent@s --no-progress
clone parent@s child --rbd-default-clone-format 2
snap rm parent@s --no-progress
trash mv grandparent
trash mv parent
trash purge --no-progress
trash mv child
trash purge --no-progress
trash ls
";

#[test]
fn an_image_goes_to_the_trash_and_back() {
    compare(&requires_ceph!(), "trash-back", THERE_AND_BACK);
}

#[test]
fn what_is_in_the_trash_is_removed() {
    compare(&requires_ceph!(), "trash-gone", GONE);
}

/// Runs commands while it has an image open, and when it has not.
const OPEN_MEANWHILE: &str = "
import json, subprocess
lsd, pool, name, id = args
def run(*words):
    done = subprocess.run([lsd, *words], capture_output=True, text=True)
    print(json.dumps([done.returncode, done.stderr]))
image = rbd.Image(io, name)
image.lock_acquire(rbd.RBD_LOCK_MODE_EXCLUSIVE)
run('trash', 'mv', pool + '/' + name)
image.lock_release()
run('trash', 'mv', pool + '/' + name)
image.close()
image = rbd.Image(io, image_id=id)
run('status', '-p', pool, '--image-id', id)
run('trash', 'rm', '--no-progress', pool + '/' + id)
image.close()
run('trash', 'rm', '--no-progress', pool + '/' + id)
";

#[test]
fn an_image_whose_lock_is_kept_is_not_moved_and_one_that_is_open_is_not_removed() {
    let ceph = requires_ceph!();
    let image = ceph.image("trash-open").create("8M");
    let id = lsd(&ceph, &["info", &image.spec(), "--format", "json"]).ok().json()["id"].as_str().unwrap().to_owned();
    let program = ceph.python(&image.pool, OPEN_MEANWHILE).arg(built("lsd")).args([&image.pool, &image.name, &id]).ok();
    let said: Vec<(i64, String)> = program.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [move_busy, moved, status, remove_busy, removed] = &said[..] else { panic!("{said:?}") };
    assert_eq!(move_busy.0, 16, "{said:?}");
    assert!(move_busy.1.starts_with("lsd: deferred delete error: (16) Device or resource busy"), "{said:?}");
    assert_eq!((moved, status), (&(0, String::new()), &(0, String::new())));
    assert_eq!(remove_busy.0, 16, "{said:?}");
    assert!(remove_busy.1.starts_with("lsd: error: image still has watchers\nThis means the image is"), "{said:?}");
    assert_eq!(removed, &(0, String::new()));
}

#[test]
fn an_image_of_the_trash_shows_who_watches_it() {
    let ceph = requires_ceph!();
    let image = ceph.image("trash-status").create("8M");
    let id = lsd(&ceph, &["info", &image.spec(), "--format", "json"]).ok().json()["id"].as_str().unwrap().to_owned();
    lsd(&ceph, &["trash", "mv", &image.spec(), "--expires-at", "1 hour"]).ok();
    let status = |words: &[&str]| lsd(&ceph, &["status", "--image-id", &id]).args(words).run();
    assert_eq!(status(&["-p", &image.pool]).expect_code(0).text(), "Watchers: none\n");
    status(&["-p", &image.pool, &image.name]).expect_code(22).says("trying to access image using both name and id.");
    lsd(&ceph, &["status", "-p", &image.pool, "--image-id", "nope"]).run().expect_code(2);
    let program = "image = rbd.Image(io, image_id=args[1])\nimport subprocess\n\
        print(subprocess.run([args[0], 'status', '-p', sys.argv[1], '--image-id', args[1], '--format', 'json'],\n\
        capture_output=True, text=True).stdout)\nimage.close()";
    let open = ceph.python(&image.pool, program).arg(built("lsd")).arg(&id).ok();
    let status: Value = serde_json::from_str(open.text().trim()).unwrap();
    assert_eq!(status["watchers"].as_array().unwrap().len(), 1, "{status}");
    lsd(&ceph, &["trash", "restore", &format!("{}/{id}", image.pool)]).ok();
}
