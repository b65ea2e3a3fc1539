//! Clients with the capabilities of ceph-conf/capabilities.md, and with less.
use crate::common::{Ceph, Cmd, built, scratch_dir};

/// A cephx user of the test's own, with a ceph.conf that holds its key.
struct User {
    ceph: Ceph,
    name: String,
    admin: Ceph,
}

impl Drop for User {
    fn drop(&mut self) {
        self.admin.stock("ceph").args(["auth", "rm", &format!("client.{}", self.name)]).run();
    }
}

impl User {
    fn new(admin: &Ceph, hint: &str, caps: &[&str]) -> Self {
        let name = format!("{hint}{}", std::process::id());
        let entity = format!("client.{name}");
        let made = admin.stock("ceph").args(["auth", "get-or-create-key", &entity]).args(caps).ok();
        let ceph = admin.with_client_conf(&[&format!("key = {}", made.text().trim())]);
        Self { ceph, name, admin: admin.clone() }
    }

    fn lsd(&self, args: &[&str]) -> Cmd {
        self.ceph.client(built("lsd")).args(["--id", &self.name]).args(args)
    }

    fn qemu_io(&self, image: &str, commands: &[&str]) -> Cmd {
        let drive = format!("rbd:{image}:id={}:conf={}", self.name, self.ceph.conf.display());
        let args = commands.iter().flat_map(|command| ["-c", command]);
        // Line by line, so that a test can wait for what a running one has done.
        let qemu_io = self.ceph.client("stdbuf").args(["-oL", "qemu-io", "-f", "raw", "-t", "writeback"]);
        qemu_io.args(args).arg(drive)
    }
}

/// A whole life of an image as this user.
fn can_work(user: &User, spec: &str) {
    user.lsd(&["create", "--size", "32M", spec]).ok();
    user.qemu_io(spec, &["write -P 5 0 8M", "flush", "read -P 5 0 8M"]).ok();
    user.lsd(&["rm", "--no-progress", spec]).ok();
}

#[test]
fn the_rbd_profiles_are_enough() {
    let ceph = requires_ceph!();
    let user = User::new(&ceph, "profile", &["mon", "profile rbd", "osd", "profile rbd pool=rbd"]);
    can_work(&user, &format!("rbd/profile-{}", std::process::id()));
}

#[test]
fn a_user_of_one_namespace_stays_in_it() {
    let ceph = requires_ceph!();
    let space = format!("tenant{}", std::process::id());
    ceph.client(built("lsd")).args(["namespace", "create", &format!("rbd/{space}")]).ok();
    let osd = format!("profile rbd pool=rbd namespace={space}");
    let user = User::new(&ceph, "tenant", &["mon", "profile rbd", "osd", &osd]);
    can_work(&user, &format!("rbd/{space}/image"));
    user.lsd(&["create", "--size", "8M", "rbd/outside"]).run().expect_code(1).says("Operation not permitted");
    ceph.client(built("lsd")).args(["namespace", "remove", &format!("rbd/{space}")]).ok();
}

/// Without the right to blocklist, the epoch in the header alone keeps a dead writer out.
#[test]
fn a_takeover_without_the_right_to_blocklist() {
    let ceph = requires_ceph!().with_short_watches();
    let user = User::new(&ceph, "plain", &["mon", "allow r", "osd", "allow rwx pool=rbd"]);
    let image = ceph.image("plain").create("32M");
    let mut dead = user.qemu_io(&image.spec(), &["write -P 6 0 4M", "flush", "sleep 600000"]).start();
    dead.wait_for_text("wrote 4194304", std::time::Duration::from_secs(60));
    std::thread::sleep(std::time::Duration::from_secs(1)); // for the flush, which says nothing
    dead.kill();
    user.qemu_io(&image.spec(), &["write -P 7 4M 4M", "flush", "read -P 6 0 4M", "read -P 7 4M 4M"]).ok();
}

#[test]
fn a_user_who_may_only_read_cannot_write() {
    let ceph = requires_ceph!();
    let user = User::new(&ceph, "reader", &["mon", "profile rbd-read-only", "osd", "profile rbd-read-only pool=rbd"]);
    let image = ceph.image("reader").create("8M");
    image.qemu_io(&["write -P 8 0 1M", "flush"]);
    let exported = user.lsd(&["export", "--no-progress", &image.spec(), "-"]).ok();
    assert!(exported.stdout[..1 << 20].iter().all(|byte| *byte == 8));
    user.lsd(&["image-meta", "set", &image.spec(), "key", "value"])
        .run()
        .expect_code(1)
        .says("Operation not permitted");
}

/// Each way to have no key says which it is, and who says so.
#[test]
fn a_wrong_key_is_refused_with_the_reason() {
    let ceph = requires_ceph!();
    let dir = scratch_dir();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (none, others, wrong) = (path("none"), path("others"), path("wrong"));
    let key = "AQAAAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAA==";
    std::fs::write(&others, format!("[client.other]\n\tkey = {key}\n")).unwrap();
    std::fs::write(&wrong, format!("[client.admin]\n\tkey = {key}\n[client.nobody]\n\tkey = {key}\n")).unwrap();
    let refused = |args: &[&str], why: &str| {
        ceph.client(built("lsd")).args(args).args(["ls", "rbd"]).fails().says(why);
        let nbd =
            ceph.client(built("lsd-nbd")).args(args).args(["serve", "--listen", "127.0.0.1:0", "rbd/image"]).fails();
        nbd.says("lsd-nbd: couldn't connect to the cluster!").says("lsd-nbd: (").says(why);
    };
    let unknown = |name: &str| {
        format!(
            "(13) Permission denied: the cluster does not know client.{name}, or has another key for it than {wrong}"
        )
    };
    refused(&["-k", &wrong], &unknown("admin"));
    refused(&["-k", &wrong, "--id", "nobody"], &unknown("nobody"));
    refused(&["-k", &others], &format!("the keyring {others} has no key of client.admin"));
    refused(&["-k", &none], &format!("there is no keyring with the key of client.admin, neither {none};"));
    let folder = dir.path().display().to_string();
    refused(&["-k", &folder], &format!("{folder} cannot be read: (21) Is a directory"));
}

/// Secrets that never lie on a disk: `-K <(...)`, and the same for the other files.
#[test]
fn keys_and_configuration_come_through_pipes() {
    let ceph = requires_ceph!();
    let auth = |command: &str| ceph.stock("ceph").args(["auth", command, "client.admin"]).ok().text();
    let (key, keyring) = (auth("get-key"), auth("get"));
    let monitors = ceph.stock("ceph-conf").args(["--name", "client.admin", "mon host"]).ok().text();
    let lsd = built("lsd").display().to_string();
    let run = |line: &str| {
        let cmd = ceph.client("bash").args(["-c", line]).env("LSD", &lsd).env("KEY", key.trim());
        cmd.env("RING", &keyring).env("MONITORS", monitors.trim()).ok()
    };
    run("$LSD -k /nonexistent -K <(echo $KEY) ls rbd");
    run("$LSD -k <(echo \"$RING\") ls rbd");
    run("unset CEPH_CONF; $LSD -c <(printf '[global]\nmon_host = %s\nkey = %s\n' \"$MONITORS\" $KEY) ls rbd");
}
