//! The log of a client of the library: options `lsd_log_level` and `lsd_log_file` of its ceph.conf, and no others.
use crate::common::{Ceph, Image, scratch_dir};
use std::path::Path;

/// The same cluster, whose clients have these options.
fn with_log(ceph: &Ceph, level: &str, file: &Path) -> Ceph {
    ceph.with_client_conf(&[&format!("lsd_log_level = {level}"), &format!("lsd_log_file = {}", file.display())])
}

/// Lines of the target `lsd::api` that name the image and an operation.
fn lines_of(log: &str, image: &Image, op: &str) -> usize {
    let wanted = format!(" image={} op={op} ", image.name);
    log.lines().filter(|line| line.contains(" DEBUG lsd::api: ") && line.contains(&wanted)).count()
}

/// A function that opens the image of the first argument.
const OPEN: &str = "
def use():
    with rbd.Image(io, args[0]) as image:
        image.write(b'x' * 4096, 0)
        image.flush()
";

#[test]
fn opening_and_closing_an_image_leaves_lines_that_name_it() {
    let (ceph, dir) = (requires_ceph!(), scratch_dir());
    let file = dir.path().join("log");
    let image = with_log(&ceph, "debug", &file).image("log").create("8M");
    let done =
        image.ceph.client("qemu-io").args(["-f", "raw", "-c", "write 0 64k", "-c", "flush"]).arg(image.qemu()).ok();
    assert!(!done.errors().contains("lsd"), "the options are known, and the lines are in the file: {done}");
    let log = std::fs::read_to_string(&file).unwrap();
    let (opened, closed) = (lines_of(&log, &image, "open"), lines_of(&log, &image, "close"));
    assert!(opened >= 1 && opened == closed, "{log}");
    let owner = format!(" image={} ", image.name);
    let takes = |line: &str| line.contains(" INFO lsd::ownership: this client owns the image") && line.contains(&owner);
    assert!(log.lines().any(takes), "{log}");
}

#[test]
fn nobody_asks_and_there_is_none() {
    let (ceph, dir) = (requires_ceph!(), scratch_dir());
    let file = dir.path().join("log");
    let image = with_log(&ceph, "off", &file).image("nolog").create("8M");
    // The variable is of the commands: a client of the library may have its own use for it.
    let done = image.ceph.python("rbd", &format!("{OPEN}\nuse()")).arg(&image.name).env("RUST_LOG", "trace").ok();
    assert_eq!((done.errors(), file.exists()), (String::new(), false));
}

#[test]
fn a_mistake_in_the_options_is_told_and_the_image_opens() {
    let (ceph, dir) = (requires_ceph!(), scratch_dir());
    let image = ceph.image("logmistake").create("8M");
    let run = |ceph: &Ceph| ceph.python("rbd", &format!("{OPEN}\nuse()")).arg(&image.name).ok().errors();
    let told = run(&with_log(&ceph, "inof", &dir.path().join("log")));
    assert!(told.starts_with("lsd: option lsd_log_level: \"inof\" is not off, error, warn"), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    let told = run(&with_log(&ceph, "debug", dir.path()));
    assert!(told.starts_with(&format!("lsd: log file {}: Is a directory", dir.path().display())), "{told}");
    assert_eq!(lines_of(&told, &image, "open"), 1, "{told}");
}

/// A process that becomes a daemon forks, and may close what it does not know: a file that it opens then gets that number.
#[test]
fn a_forked_child_writes_lines_of_its_own_and_none_into_other_files() {
    let (ceph, dir) = (requires_ceph!(), scratch_dir());
    let (file, other) = (dir.path().join("log"), dir.path().join("other"));
    let image = ceph.image("logfork").create("8M");
    let program = format!(
        "{OPEN}
import os
def connect():
    global cluster, io
    cluster = rados.Rados(conffile=''); cluster.connect(); io = cluster.open_ioctx('rbd')
def end():
    io.close(); cluster.shutdown()
def link(number):
    try: return os.readlink('/proc/self/fd/' + number)
    except OSError: return ''
def child(closes):
    pid = os.fork()
    if pid == 0:
        if closes:
            [log] = [int(number) for number in os.listdir('/proc/self/fd') if link(number) == args[2]]
            os.dup2(os.open(args[1], os.O_RDWR | os.O_CREAT), log)
        connect(); use(); end()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
use(); end()
child(False)
child(True)
connect(); use()
"
    );
    let logged = with_log(&ceph, "debug", &file);
    let done = logged.python("rbd", &program).arg(&image.name).arg(&other).arg(&file).ok();
    let log = std::fs::read_to_string(&file).unwrap();
    assert_eq!((lines_of(&log, &image, "open"), lines_of(&log, &image, "close")), (3, 3), "{log}");
    assert_eq!(std::fs::read(&other).unwrap(), b"");
    assert_eq!(lines_of(&done.errors(), &image, "open"), 1, "{done}");
}
