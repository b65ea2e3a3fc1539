//! Real clients against the server: what they see, read back and compare.
mod common;
use common::{FileDevice, Running, nbdsh, pattern, run, try_run};
use lsd_nbd::server::Bounds;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const MIB: u64 = 1 << 20;

fn two_disks(dir: &Path) -> Vec<(&'static str, Arc<dyn lsd_nbd::Device>)> {
    vec![
        ("first", Arc::new(FileDevice::create(&dir.join("a"), 64 * MIB))),
        ("pool/second@snap", Arc::new(FileDevice::create(&dir.join("b"), 8 * MIB + 700).read_only())),
    ]
}

#[test]
fn nbdinfo_lists_exports_with_their_properties() {
    let server = Running::start(two_disks);
    let list = run("nbdinfo", &["--json", "--list", &server.uri("")]);
    for wanted in ["\"export-name\": \"first\"", "\"export-name\": \"pool/second@snap\"", "the disk first"] {
        assert!(list.contains(wanted), "{wanted} in {list}");
    }
    let one = run("nbdinfo", &[&server.tcp_uri("first")]);
    for wanted in [
        "export-size: 67108864",
        "can_fua: true",
        "can_flush: true",
        "can_trim: true",
        "can_zero: true",
        "can_fast_zero: true",
        "can_multi_conn: true",
        "can_cache: true",
        "can_df: true",
        "is_read_only: false",
        "base:allocation",
        "block_size_minimum: 1",
        "block_size_preferred: 4096",
        "block_size_maximum: 33554432",
    ] {
        assert!(one.contains(wanted), "{wanted} in {one}");
    }
    let two = run("nbdinfo", &[&server.uri("pool%2Fsecond@snap")]);
    assert!(two.contains("is_read_only: true") && two.contains("export-size: 8389308"), "{two}");
    let unknown = try_run("nbdinfo", &[&server.uri("third")]);
    assert!(!unknown.status.success());
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("No such file or directory for export"), "{unknown:?}");
}

#[test]
fn nbdcopy_round_trip_keeps_data_and_holes() {
    let server = Running::start(two_disks);
    let source = server.dir.path().join("source");
    let data = pattern(5 * MIB as usize + 123, 1);
    let mut whole = vec![0; 64 * MIB as usize];
    whole[3 * MIB as usize..][..data.len()].copy_from_slice(&data);
    std::fs::write(&source, &whole).unwrap();
    run("nbdcopy", &["--flush", "--connections=4", source.to_str().unwrap(), &server.uri("first")]);
    assert!(std::fs::read(server.dir.path().join("a")).unwrap() == whole, "the file behind the export differs");
    let map = run("nbdinfo", &["--map", &server.uri("first")]);
    assert!(map.lines().next().unwrap().contains("hole,zero"), "{map}");
    assert!(map.contains(" 0  data"), "{map}");
    let back = server.dir.path().join("back");
    run("nbdcopy", &["--connections=4", &server.tcp_uri("first"), back.to_str().unwrap()]);
    assert!(std::fs::read(&back).unwrap() == whole, "what was read back differs");
}

#[test]
fn qemu_tools_agree() {
    let server = Running::start(two_disks);
    let uri = server.uri("first");
    run(
        "qemu-io",
        &["-f", "raw", "-c", "write -P 0x5a 1000 70000", "-c", "write -f -P 0x11 1M 64k", "-c", "flush", &uri],
    );
    let reads = ["read -P 0 0 1000", "read -P 0x5a 1000 70000", "read -P 0x11 1M 64k", "read -P 0 2M 30M"];
    let args: Vec<&str> = ["-f", "raw"].into_iter().chain(reads.iter().flat_map(|read| ["-c", read])).collect();
    let output = run("qemu-io", &[&args[..], &[&uri]].concat());
    assert!(!output.contains("failed"), "{output}");
    let zero = run(
        "qemu-io",
        &["-f", "raw", "-c", "write -z -u 1000 30000", "-c", "read -P 0 1000 30000", "-c", "discard 1M 64k", &uri],
    );
    assert!(!zero.contains("failed"), "{zero}");
    let map = run("qemu-img", &["map", "-f", "raw", "--output=json", &uri]);
    assert!(map.contains("\"zero\": true") && map.contains("\"data\": true"), "{map}");
    let copy = server.dir.path().join("copy.qcow2");
    run("qemu-img", &["convert", "-f", "raw", "-O", "qcow2", &uri, copy.to_str().unwrap()]);
    run("qemu-img", &["compare", "-f", "raw", "-F", "qcow2", &uri, copy.to_str().unwrap()]);
}

#[test]
fn nbd_client_lists() {
    let server = Running::start(two_disks);
    let list = run("nbd-client", &["-l", "-u", server.socket().to_str().unwrap()]);
    assert!(list.contains("first") && list.contains("pool/second@snap"), "{list}");
}

#[test]
fn libnbd_sees_each_command_and_error() {
    let server = Running::start(two_disks);
    nbdsh(
        &server,
        r#"
import errno
def fails(code, call, *args):
    try:
        call(*args)
    except nbd.Error as ex:
        assert ex.errnum == code, (ex.errnum, code, ex.string)
    else:
        raise AssertionError("no error")

h = nbd.NBD()
h.set_strict_mode(0)
h.add_meta_context("base:allocation")
h.connect_uri(uri)
assert h.get_size() == 64 << 20 and h.can_meta_context("base:allocation")
h.pwrite(b"x" * 4096, 8192, nbd.CMD_FLAG_FUA)
h.pwrite(b"y", 65536 + 17)
assert h.pread(4096, 8192) == b"x" * 4096
got = []
def chunk(buf, offset, status, err):
    got.append((offset, len(buf), status))
h.pread_structured(1 << 20, 0, chunk)
assert sum(c[1] for c in got) == 1 << 20 and len(got) > 2, got
assert any(c[2] == nbd.READ_HOLE for c in got), got
got.clear()
h.pread_structured(1 << 20, 0, chunk, nbd.CMD_FLAG_DF)
assert len(got) == 1 and got[0][2] == nbd.READ_DATA, got
extents = []
def extent(context, offset, entries, err):
    extents.append(list(entries))
h.block_status(1 << 20, 0, extent)
assert sum(extents[0][0::2]) == 1 << 20 and 0 in extents[0][1::2] and 3 in extents[0][1::2], extents
extents.clear()
h.block_status(1 << 20, 0, extent, nbd.CMD_FLAG_REQ_ONE)
assert len(extents[0]) == 2, extents
h.zero(4096, 8192)
assert h.pread(4096, 8192) == bytes(4096)
h.zero(4096, 8192, nbd.CMD_FLAG_FAST_ZERO)
fails(errno.EOPNOTSUPP, h.zero, 4096, 8192, nbd.CMD_FLAG_FAST_ZERO | nbd.CMD_FLAG_NO_HOLE)
h.trim(1 << 20, 0)
h.cache(10 << 20, 0)
h.flush()
fails(errno.ENOSPC, h.pwrite, b"z" * 512, (64 << 20) - 511)
fails(errno.EINVAL, h.pread, 512, (64 << 20) - 511)
fails(errno.EINVAL, h.pread, 33 << 20, 0)
# Refused with its payload unread: the connection must still be in step afterwards.
fails(errno.EINVAL, h.pwrite, bytes(33 << 20), 0)
h.pwrite(b"last", (64 << 20) - 4)
assert h.pread(4, (64 << 20) - 4) == b"last"
h.shutdown()

r = nbd.NBD()
r.set_strict_mode(0)
r.set_export_name("pool/second@snap")
r.connect_unix(uri.split("socket=")[1])
assert r.is_read_only()
for call in [lambda: r.pwrite(b"a", 0), lambda: r.trim(1, 0), lambda: r.zero(1, 0)]:
    fails(errno.EPERM, call)
r.pread(8389308, 0)
r.flush()
r.shutdown()
"#,
    );
}

#[test]
fn a_client_without_extensions_is_served() {
    let server = Running::start(two_disks);
    nbdsh(
        &server,
        r#"
h = nbd.NBD()
h.set_request_structured_replies(False)
h.set_handshake_flags(0)
h.connect_uri(uri)
assert not h.get_structured_replies_negotiated()
h.pwrite(b"q" * 3000, 777)
assert h.pread(5000, 0) == bytes(777) + b"q" * 3000 + bytes(1223)
h.shutdown()
o = nbd.NBD()
o.set_opt_mode(True)
o.connect_uri(uri)
names = []
o.opt_list(lambda name, text: names.append((name, text)))
assert ("first", "the disk first") in names, names
contexts = []
o.add_meta_context("base:")
o.opt_list_meta_context(lambda name: contexts.append(name))
assert contexts == ["base:allocation"], contexts
o.opt_abort()
"#,
    );
}

#[test]
fn many_requests_out_of_order_over_several_connections() {
    let server = Running::start(two_disks);
    nbdsh(
        &server,
        r#"
import random, hashlib
random.seed(7)
hs = []
for i in range(4):
    h = nbd.NBD()
    h.connect_uri(tcp if i % 2 else uri)
    assert h.can_multi_conn()
    hs.append(h)
image = bytearray(64 << 20)
live = []
def drain(limit):
    while len(live) > limit:
        for h in hs:
            h.poll(0)
        for item in live[:]:
            h, cookie, buf, want = item
            if h.aio_command_completed(cookie):
                assert want is None or bytes(buf.to_bytearray()) == want
                live.remove(item)
# Each slot of 256 KiB is used once a round, so that overlapping requests never race.
for round in range(2):
    slots = list(range(256)); random.shuffle(slots)
    for slot in slots:
        size = random.choice([1, 511, 4096, 70000, 262144])
        at = slot * 262144 + random.randrange(262144 - size + 1)
        h = random.choice(hs)
        if random.random() < 0.7:
            data = random.randbytes(size)
            image[at:at + size] = data
            buf = nbd.Buffer.from_bytearray(bytearray(data))
            live.append((h, h.aio_pwrite(buf, at, flags=random.choice([0, 0, nbd.CMD_FLAG_FUA])), buf, None))
        else:
            buf = nbd.Buffer(size)
            live.append((h, h.aio_pread(buf, at), buf, bytes(image[at:at + size])))
        drain(64)
    drain(0)
hs[0].flush()
whole = hashlib.sha256()
for at in range(0, 64 << 20, 16 << 20):
    whole.update(hs[3].pread(16 << 20, at))
assert whole.hexdigest() == hashlib.sha256(image).hexdigest()
for h in hs:
    h.shutdown()
"#,
    );
}

#[test]
fn fua_and_flush_reach_the_device() {
    let mut counts = None;
    let server = Running::start(|dir| {
        let device = FileDevice::create(&dir.join("a"), MIB);
        counts = Some(device.counts.clone());
        vec![("a", Arc::new(device))]
    });
    nbdsh(
        &server,
        "h = nbd.NBD()\nh.connect_uri(uri)\nh.pwrite(b'a', 0, nbd.CMD_FLAG_FUA)\nh.pwrite(b'b', 1)\nh.flush()\nh.shutdown()\n",
    );
    let counts = counts.unwrap();
    assert_eq!(counts.fua_writes.load(Ordering::Relaxed), 1);
    assert_eq!(counts.flushes.load(Ordering::Relaxed), 1);
}

#[test]
fn clients_that_say_nothing_do_not_close_the_server_to_others() {
    let soon = Duration::from_millis(200);
    let bounds = Bounds { connections: 6, undecided: soon, silent: soon, ..Bounds::default() };
    let server = Running::start_with(bounds, two_disks);
    let connect = || TcpStream::connect(("127.0.0.1", server.tcp_port)).unwrap();
    // More than there are places: the rest waits in the listener's queue.
    let silent: Vec<TcpStream> = (0..20).map(|_| connect()).collect();
    assert!(run("nbdinfo", &[&server.tcp_uri("first")]).contains("export-size: 67108864"));
    drop(silent);
    // The same by clients that have chosen an export, over both sockets.
    nbdsh(
        &server,
        r#"
silent = []
for i in range(20):
    h = nbd.NBD()
    h.connect_uri(tcp if i % 2 else uri)
    silent.append(h)
last = nbd.NBD()
last.connect_uri(uri)
last.pwrite(b"here", 0, nbd.CMD_FLAG_FUA)
assert last.pread(4, 0) == b"here"
try:
    silent[0].pread(4, 0)
except nbd.Error:
    pass
else:
    raise AssertionError("the first one is still connected")
"#,
    );
    assert!(server.server.held().len() <= 6, "{:?}", server.server.held());
}

/// A host that is gone says nothing, so the kernel has to ask.
#[test]
fn tcp_connections_are_probed() {
    let server = Running::start(two_disks);
    let client = TcpStream::connect(("127.0.0.1", server.tcp_port)).unwrap();
    let mut greeting = [0; 18];
    std::io::Read::read_exact(&mut &client, &mut greeting).unwrap();
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    // Of the server's end: established (01), and its timer is that of keep-alive (02).
    let (local, remote) =
        (format!(":{:04X}", server.tcp_port), format!(":{:04X}", client.local_addr().unwrap().port()));
    let fields = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let ends_with = |fields: &[&str]| fields[1].ends_with(&local) && fields[2].ends_with(&remote);
    let server_end = fields.skip(1).find(|fields| ends_with(fields)).expect("the server's end");
    assert_eq!(server_end[3], "01", "{server_end:?}");
    assert!(server_end[5].starts_with("02:"), "{server_end:?}");
}
