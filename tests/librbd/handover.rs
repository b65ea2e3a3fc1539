//! Two processes with one image open on a real cluster: ownership moves between them, a stopped one is fenced, and
//! maintenance from outside leaves the writer alone.
use crate::common::{Ceph, Cmd, Image, built, scratch_dir};
use nix::sys::signal::Signal;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(120);

/// What the python programs share: a block of their own making for every number.
const BLOCKS: &str = "
import os, time
SIZE = 4096
def block(number): return (b'%016d' % number) * (SIZE // 16)
def place(number): return number % 64 * SIZE
def say(*words): print(*words, flush=True)
";

fn python(image: &Image, program: &str) -> Cmd {
    image.ceph.python(&image.pool, &format!("{BLOCKS}{program}")).arg(&image.name).timeout(PATIENCE)
}

fn lsd(ceph: &Ceph, args: &[&str]) -> Cmd {
    ceph.client(built("lsd")).args(args)
}

#[test]
fn two_processes_write_in_turn_and_lose_nothing() {
    let ceph = requires_ceph!();
    let image = ceph.image("turns").create("16M");
    // Two processes of their own; each is told a number, writes that block, and checks all that came before it.
    let program = "
import subprocess
WORKER = '''
import sys, rados, rbd
cluster = rados.Rados(conffile=''); cluster.connect(); io = cluster.open_ioctx(sys.argv[1])
''' + args[1] + '''
with rbd.Image(io, sys.argv[2]) as image:
    for line in sys.stdin:
        number = int(line)
        image.write(block(number), place(number))
        image.flush()
        assert image.is_exclusive_lock_owner()
        for earlier in range(max(0, number - 63), number + 1):
            assert image.read(place(earlier), SIZE) == block(earlier), (number, earlier)
        say(number)
io.close(); cluster.shutdown()
'''
workers = [subprocess.Popen([sys.executable, '-c', WORKER, sys.argv[1], args[0]], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, text=True) for _ in range(2)]
for number in range(200):
    worker = workers[number % 2]
    worker.stdin.write('%d\\n' % number)
    worker.stdin.flush()
    assert int(worker.stdout.readline()) == number
for worker in workers:
    worker.stdin.close()
    assert worker.wait() == 0
with rbd.Image(io, args[0], read_only=True) as image:
    for number in range(136, 200):
        assert image.read(place(number), SIZE) == block(number), number
";
    python(&image, program).arg(BLOCKS).ok();
}

#[test]
fn two_processes_write_at_once_and_both_get_on() {
    let ceph = requires_ceph!();
    let image = ceph.image("at-once").create("16M");
    let program = "
with rbd.Image(io, args[0]) as image:
    base = int(args[1])
    for number in range(base, base + 640):
        image.write(block(number), base * SIZE + place(number))
        if number % 16 == 15: image.flush()
    image.flush()
";
    let writers = ["0", "640"].map(|base| python(&image, program).arg(base).start());
    for writer in writers {
        writer.wait(PATIENCE).expect_code(0);
    }
    let check = "
with rbd.Image(io, args[0], read_only=True) as image:
    for base in 0, 640:
        for number in range(base + 576, base + 640):
            assert image.read(base * SIZE + place(number), SIZE) == block(number), number
";
    python(&image, check).ok();
}

#[test]
fn a_process_stopped_for_longer_than_its_watch_is_fenced() {
    let ceph = requires_ceph!().with_short_watches();
    let image = ceph.image("stopped").create("16M");
    let first = "
image = rbd.Image(io, args[0])
image.write(block(1), 0)
image.flush()
say('ready')
while not os.path.exists(args[1]): time.sleep(0.05)
errors = []
for attempt in range(3):
    try:
        image.write(block(9), 0)
        image.flush()
        errors.append(0)
    except rbd.Error as error:
        errors.append(error.errno)
say('errors', *errors)
os._exit(0)
";
    let dir = scratch_dir();
    let go = dir.path().join("go");
    let mut stopped = python(&image, first).arg(&go).start();
    stopped.wait_for_text("ready", PATIENCE);
    stopped.signal(Signal::SIGSTOP);
    let second = "
with rbd.Image(io, args[0]) as image:
    image.write(block(2), SIZE)
    image.flush()
    say('written')
    while not os.path.exists(args[1]): time.sleep(0.05)
    time.sleep(3)
    image.write(block(3), 2 * SIZE)
    image.flush()
    assert [image.read(n * SIZE, SIZE) for n in range(3)] == [block(1), block(2), block(3)]
";
    let mut heir = python(&image, second).arg(&go).start();
    heir.wait_for_text("written", PATIENCE);
    std::fs::write(&go, "").unwrap();
    stopped.signal(Signal::SIGCONT);
    let ended = stopped.wait(PATIENCE).expect_code(0);
    let shutdown = nix::libc::ESHUTDOWN;
    ended.says(&format!("errors {shutdown} {shutdown} {shutdown}"));
    heir.wait(PATIENCE).expect_code(0);
    let check = "
with rbd.Image(io, args[0], read_only=True) as image:
    assert [image.read(n * SIZE, SIZE) for n in range(3)] == [block(1), block(2), block(3)]
";
    python(&image, check).ok();
}

#[test]
fn maintenance_of_an_image_in_use_leaves_its_writer_the_owner() {
    let ceph = requires_ceph!();
    let image = ceph.image("in-use").create("16M");
    let writer = "
with rbd.Image(io, args[0]) as image:
    number = 0
    while not os.path.exists(args[1]):
        image.write(block(number), place(number))
        number += 1
        if number % 32 == 0: image.flush()
        if number == 64: say('writing')
    assert image.is_exclusive_lock_owner()
    assert image.size() == 32 << 20, image.size()
    assert image.metadata_get('key') == 'value'
    image.write(block(number), (32 << 20) - SIZE)
";
    let dir = scratch_dir();
    let stop = dir.path().join("stop");
    let mut running = python(&image, writer).arg(&stop).start();
    running.wait_for_text("writing", PATIENCE);
    lsd(&ceph, &["resize", "--size", "32M", "--no-progress", &image.spec()]).ok();
    lsd(&ceph, &["image-meta", "set", &image.spec(), "key", "value"]).ok();
    lsd(&ceph, &["resize", "--size", "8M", "--no-progress", &image.spec()]).fails().says("shrinking an image");
    lsd(&ceph, &["feature", "disable", &image.spec(), "fast-diff"]).ok();
    std::fs::write(&stop, "").unwrap();
    running.wait(PATIENCE).expect_code(0);
    let info = lsd(&ceph, &["info", "--format", "json", &image.spec()]).ok().json();
    assert_eq!(info["size"], 32 << 20, "{info}");
    assert!(!info["features"].as_array().unwrap().iter().any(|name| name == "fast-diff"), "{info}");
}
