//! The Linux driver in a guest: this test program runs again in there, with the driver loaded.
mod common;
use common::{FileDevice, pattern, run};
use lsd_nbd::kernel::{self, Attached, DeviceIndex, Netlink, Params, sysfs};
use lsd_nbd::proto::{ExportInfo, Session};
use lsd_nbd::server::{Bounds, Guests, SessionEnd, Stopper, serve_session, transmission_flags};
use lsd_nbd::{Device, kernel::KernelError};
use nix::libc;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// Runs a test of this file in the guest; it is ignored on the host.
fn in_guest(test: &str) {
    let runner = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vm/run-in-guest");
    let this = std::env::current_exe().unwrap();
    let args = ["-t", "100", "--", this.to_str().unwrap(), "--exact", test, "--ignored", "--nocapture"];
    let output = run(runner.to_str().unwrap(), &args);
    assert!(output.contains("1 passed"), "{output}");
}

#[test]
fn netlink_device() {
    in_guest("guest_netlink_device");
}

#[test]
fn ioctl_device() {
    in_guest("guest_ioctl_device");
}

struct Served {
    stopper: Stopper,
    serving: tokio::task::JoinHandle<SessionEnd>,
    params: Params,
    socket: UnixStream,
}

fn serve(device: Arc<FileDevice>) -> Served {
    let (ours, drivers) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let (reader, writer) = tokio::net::UnixStream::from_std(ours).unwrap().into_split();
    let flags = transmission_flags(&*device);
    let size = device.size();
    let export = ExportInfo { name: String::new(), description: None, size, flags };
    let session = Session { export, structured_replies: false, base_allocation: false };
    let stopper = Stopper::default();
    let stop = stopper.watch();
    let serving = tokio::spawn(async move {
        let seat = Guests::new(Bounds::default()).seat("the kernel".to_owned()).await.unwrap();
        serve_session(reader, writer, Default::default(), session, device, stop, &seat).await
    });
    let params =
        Params { size, block_size: 512, flags, timeout_s: None, dead_connection_timeout_s: None, cookie: None };
    Served { stopper, serving, params, socket: drivers }
}

/// Writes through the block device and reads the file behind it.
async fn use_device(attached: &Attached, file: &Path, device: &FileDevice) {
    let path = attached.index.path();
    let file = file.to_owned();
    let work = move || {
        let block = std::fs::File::options().read(true).write(true).open(path).unwrap();
        let data = pattern(3 * MIB as usize, 5);
        block.write_all_at(&data, MIB).unwrap();
        block.sync_all().unwrap();
        assert!(std::fs::read(file).unwrap()[MIB as usize..4 * MIB as usize] == data[..]);
    };
    tokio::task::spawn_blocking(work).await.unwrap();
    assert!(device.counts.flushes.load(Ordering::Relaxed) > 0);
    let path = attached.index.to_string();
    let tools = move || {
        run("blkdiscard", &["-o", "1048576", "-l", "2097152", &path]);
        run("mkfs.ext4", &["-q", &path]);
        run("fsck.ext4", &["-fn", &path]);
    };
    tokio::task::spawn_blocking(tools).await.unwrap();
}

struct Successor {
    stopper: Stopper,
    serving: tokio::task::JoinHandle<SessionEnd>,
}

/// The next server of a device, as soon as the driver has seen that the first one is gone: before, it takes no socket, and
/// the session ends at once.
async fn reattached(index: DeviceIndex, device: &Arc<FileDevice>) -> (Successor, Attached) {
    loop {
        let mut served = serve(device.clone());
        served.params.cookie = Some("a-cookie".into());
        let attached = kernel::reattach(index, &served.params, vec![served.socket.into()]).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        if !served.serving.is_finished() {
            return (Successor { stopper: served.stopper, serving: served.serving }, attached);
        }
    }
}

#[test]
#[ignore = "needs the nbd driver and root: run by netlink_device in a guest"]
fn guest_netlink_device() {
    assert!(matches!(Netlink::open(), Err(KernelError::Unavailable(_))), "the driver is not loaded yet");
    run("modprobe", &["nbd", "nbds_max=2"]);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let file = Path::new("/dev/shm/disk");
        let device = Arc::new(FileDevice::create(file, 32 * MIB + 512));
        let mut served = serve(device.clone());
        served.params.cookie = Some("a-cookie".into());
        served.params.dead_connection_timeout_s = Some(60);
        let mut attached = kernel::attach(None, &served.params, vec![served.socket.into()]).unwrap();
        let index = attached.index;
        assert_eq!(sysfs::size(index), Some(32 * MIB + 512));
        let in_use = sysfs::in_use();
        assert_eq!((in_use.len(), in_use[0].index, in_use[0].cookie.as_deref()), (1, index, Some("a-cookie")));
        let status = Netlink::open().unwrap().status(Some(index)).unwrap();
        assert!(status.len() == 1 && status[0].connected);
        use_device(&attached, file, &device).await;

        let second = serve(device.clone());
        let busy = kernel::attach(Some(index), &second.params, vec![second.socket.into()]).err().unwrap();
        assert_eq!(busy.errno(), Some(libc::EBUSY), "{busy}");
        second.serving.await.unwrap();

        attached.resize(48 * MIB).unwrap();
        assert_eq!(sysfs::size(index), Some(48 * MIB));

        // The server goes without a word; what is asked meanwhile waits for the next one.
        served.serving.abort();
        let _ = served.serving.await;
        drop(attached);
        let reader = tokio::task::spawn_blocking(move || {
            run("dd", &[&format!("if={index}"), "of=/dev/null", "bs=64k", "count=9", "iflag=direct"])
        });
        let mut third = serve(device.clone());
        third.params.cookie = Some("another".into());
        let wrong = kernel::reattach(index, &third.params, vec![third.socket.into()]).err().unwrap();
        assert_eq!(wrong.errno(), Some(libc::EINVAL), "{wrong}");
        let (fourth, attached) = reattached(index, &device).await;
        reader.await.unwrap();
        kernel::detach(index).unwrap();
        assert_eq!(fourth.serving.await.unwrap(), SessionEnd::Disconnected);
        attached.finish();
        assert_eq!(sysfs::in_use(), []);
        assert!(Netlink::open().unwrap().disconnect(DeviceIndex(99)).is_err());
        drop((served.stopper, third.stopper, fourth.stopper));
    });
}

#[test]
#[ignore = "needs the nbd driver and root: run by ioctl_device in a guest"]
fn guest_ioctl_device() {
    run("modprobe", &["nbd", "nbds_max=2"]);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let file = Path::new("/dev/shm/disk");
        let device = Arc::new(FileDevice::create(file, 32 * MIB));
        let served = serve(device.clone());
        let mut attached = kernel::attach_by_ioctl(None, &served.params, vec![served.socket.into()]).unwrap();
        assert_eq!(attached.index, DeviceIndex(0));
        use_device(&attached, file, &device).await;

        let second = serve(device.clone());
        let busy =
            kernel::attach_by_ioctl(Some(attached.index), &second.params, vec![second.socket.into()]).err().unwrap();
        assert_eq!(busy.errno(), Some(libc::EBUSY), "{busy}");
        let third = serve(Arc::new(FileDevice::create(Path::new("/dev/shm/other"), MIB).read_only()));
        let mut other = kernel::attach_by_ioctl(None, &third.params, vec![third.socket.into()]).unwrap();
        assert_eq!(other.index, DeviceIndex(1));
        assert_eq!(std::fs::read_to_string("/sys/block/nbd1/ro").unwrap().trim(), "1");
        let fourth = serve(device.clone());
        let full = kernel::attach_by_ioctl(None, &fourth.params, vec![fourth.socket.into()]).err().unwrap();
        assert_eq!(full.errno(), Some(libc::EBUSY), "{full}");

        attached.resize(16 * MIB).unwrap();
        assert_eq!(sysfs::size(attached.index), Some(16 * MIB));
        for (attached, serving) in [(&mut attached, served.serving), (&mut other, third.serving)] {
            attached.disconnect().unwrap();
            serving.await.unwrap();
        }
        attached.finish();
        other.finish();
        assert_eq!(sysfs::in_use(), []);
    });
}
