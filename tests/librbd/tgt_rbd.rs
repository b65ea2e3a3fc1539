//! Debian's `tgt` with its `bs_rbd` backing store on the tested library: an image as an iSCSI disk, used by QEMU's own
//! initiator.
use crate::common::{Ceph, Cmd, Running, pattern, scratch_dir, wait_until};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

const TARGET: &str = "iqn.2026-01.org.example:lsd";

/// A number that ends the name of the control socket; the name itself is the test's own.
const CONTROL: &str = "1";

struct Tgtd {
    socket: PathBuf,
    portal: String,
    daemon: Option<Running>,
}

impl Tgtd {
    /// tgtd with its own control channel and portal, so that it does not meet another one of the host.
    fn start(ceph: &Ceph, dir: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let portal = format!("127.0.0.1:{port}");
        let daemon = ceph
            .client("tgtd")
            .args(["-f", "-C", CONTROL, "--iscsi", &format!("portal={portal}")])
            .env("TGT_IPC_SOCKET", dir.join("control"))
            .start();
        let tgtd = Self { socket: dir.join("control"), portal, daemon: Some(daemon) };
        let ready = || tgtd.admin(&["--op", "show", "--mode", "target"]).run().code == Some(0);
        wait_until("tgtd answers", Duration::from_secs(20), ready);
        tgtd
    }

    fn admin(&self, args: &[&str]) -> Cmd {
        Cmd::stock("tgtadm").args(["-C", CONTROL, "--lld", "iscsi"]).args(args).env("TGT_IPC_SOCKET", &self.socket)
    }

    fn url(&self) -> String {
        format!("iscsi://{}/{TARGET}/1", self.portal)
    }
}

impl Drop for Tgtd {
    fn drop(&mut self) {
        // It closes the image with the target, and ends when it is told to, not by a signal.
        self.admin(&["--op", "delete", "--mode", "target", "--tid", "1", "--force"]).run();
        self.admin(&["--op", "delete", "--mode", "system"]).run();
        drop(self.daemon.take().map(|daemon| daemon.wait(Duration::from_secs(10))));
    }
}

#[test]
fn an_image_as_an_iscsi_disk() {
    let ceph = requires_ceph!();
    let image = ceph.image("tgt").create("24M");
    let dir = scratch_dir();
    let tgtd = Tgtd::start(&ceph, dir.path());
    tgtd.admin(&["--op", "new", "--mode", "target", "--tid", "1", "-T", TARGET]).ok();
    let options = format!("conf={};id=admin", ceph.conf.display());
    let unit = ["--op", "new", "--mode", "logicalunit", "--tid", "1", "--lun", "1", "--bstype", "rbd"];
    tgtd.admin(&unit).args(["--backing-store", &image.spec(), "--bsopts", &options]).ok();
    tgtd.admin(&["--op", "bind", "--mode", "target", "--tid", "1", "-I", "ALL"]).ok();

    let info = Cmd::stock("qemu-img").args(["info", "--output=json", "-f", "raw", &tgtd.url()]).ok().json();
    assert_eq!(info["virtual-size"], 24 << 20);
    let file = dir.path().join("file");
    std::fs::write(&file, pattern(24 << 20, 12)).unwrap();
    Cmd::stock("qemu-img").args(["convert", "-n", "-f", "raw", "-O", "raw"]).arg(&file).arg(tgtd.url()).ok();
    let commands = ["-c", "write -P 0x61 1M 300k", "-c", "read -P 0x61 1M 300k", "-c", "flush"];
    Cmd::stock("qemu-io").args(["-f", "raw"]).args(commands).arg(tgtd.url()).ok();
    Cmd::stock("qemu-io").args(["-f", "raw", "-c", "write -P 0 1M 300k", "-c", "flush"]).arg(tgtd.url()).ok();
    drop(tgtd);

    let mut expected = std::fs::read(&file).unwrap();
    expected[1 << 20..(1 << 20) + 300 * 1024].fill(0);
    image.read_to(&file);
    assert!(std::fs::read(&file).unwrap() == expected, "the image holds other bytes than the initiator wrote");
}
