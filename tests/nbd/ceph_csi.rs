//! Kubernetes' driver for Ceph, ceph-csi: what it calls of librbd to make and remove volumes, and the commands by which its mounters
//! bring one to a node, as a user that has what docs/guides/kubernetes.md gives it. The driver is no package of Debian's.
//!
//! Owns: the calls. Does not own: a mounted volume that is healed and expanded (`nbd_kernel.rs`), the options (`nbd_commands.rs`).
use crate::common::Ceph;

/// The driver's user, and its pool.
struct Driver {
    admin: Ceph,
    ceph: Ceph,
    key: String,
    name: String,
}

impl Driver {
    /// It may not ask the manager for anything.
    fn new(admin: &Ceph, hint: &str) -> Self {
        let name = format!("csi{hint}{}", std::process::id());
        admin.make_pool(&name);
        let osd = format!("profile rbd pool={name}");
        let auth = ["auth", "get-or-create-key", &format!("client.{name}"), "mon", "profile rbd", "osd", &osd];
        let key = admin.stock("ceph").args(auth).ok().text().trim().to_owned();
        let lines = [&format!("key = {key}"), "rbd_default_clone_format = 2"];
        Self { admin: admin.clone(), ceph: admin.with_client_conf(&lines), key, name }
    }

    fn monitor(&self) -> String {
        let monitors = self.admin.stock("ceph").args(["mon", "dump", "--format", "json"]).ok().json();
        let addresses = monitors["mons"][0]["public_addrs"]["addrvec"].as_array().unwrap().clone();
        addresses.iter().find(|address| address["type"] == "v2").unwrap()["addr"].as_str().unwrap().to_owned()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.admin.stock("ceph").args(["auth", "rm", &format!("client.{}", self.name)]).run();
        self.admin.remove_pool(&self.name);
    }
}

/// A volume, its snapshot (which is a clone), a volume of the snapshot, and the end of them. A task that the manager must not take,
/// because it knows stock images only, is done by the driver itself where it is told `access denied:`.
const CONTROLLER: &str = r#"
import json, sys, rados, rbd
user = sys.argv[1]
cluster = rados.Rados(conffile='', rados_id=user)
cluster.connect()
io = cluster.open_ioctx(user)
driver = rbd.RBD()
layering = rbd.RBD_FEATURE_LAYERING

def refused_by_manager(action, **image):
    task = {'prefix': 'rbd task add ' + action, 'format': 'json', **image}
    code, _, words = cluster.mgr_command(json.dumps(task), b'')
    assert code == -13 and 'access denied:' in words, (action, code, words)

def delete(name):
    with rbd.Image(io, name) as image:
        number = image.id()
        assert len(list(image.watchers_list())) == 1
    driver.trash_move(io, name, 0)
    refused_by_manager('trash remove', image_id_spec=user + '/' + number)
    driver.trash_remove(io, number, True)

def clone(source, snap, name):
    driver.clone(io, source, snap, io, name, features=layering | rbd.RBD_FEATURE_DEEP_FLATTEN)

driver.create(io, 'csi-vol-1', 64 << 20, old_format=False, features=layering)
with rbd.Image(io, 'csi-vol-1') as image:
    image.metadata_set('csi.storage.k8s.io/pv/name', 'pv-1')
    image.write(b'volume', 0)
    image.resize(128 << 20)
    image.create_snap('csi-snap-1')
clone('csi-vol-1', 'csi-snap-1', 'csi-snap-1')
with rbd.Image(io, 'csi-vol-1') as image:
    image.remove_snap('csi-snap-1')
    image.write(b'changed', 0)
with rbd.Image(io, 'csi-snap-1') as image:
    assert image.read(0, 6) == b'volume' and image.parent_info()[1] == 'csi-vol-1'
    image.create_snap('csi-snap-1')
clone('csi-snap-1', 'csi-snap-1', 'csi-vol-2')
refused_by_manager('flatten', image_spec=user + '/csi-vol-2')
with rbd.Image(io, 'csi-vol-2') as image:
    image.flatten()
    assert image.read(0, 6) == b'volume' and image.size() == 128 << 20
with rbd.Image(io, 'csi-snap-1') as image:
    image.remove_snap('csi-snap-1')
for name in ['csi-snap-1', 'csi-vol-1', 'csi-vol-2']:
    delete(name)
assert driver.list(io) == [] and list(driver.trash_list(io)) == []
io.close()
cluster.shutdown()
"#;

#[test]
fn volumes_and_snapshots_are_made_and_removed() {
    let driver = Driver::new(&requires_ceph!(), "make");
    driver.ceph.client("/usr/bin/python3").args(["-c", CONTROLLER, &driver.name]).ok();
}

/// `$1`: a volume. `$CSI`: how the driver says who it is.
const NODE: &str = r#"
    type="--device-type nbd"; file=/dev/shm/log/rbd-nbd-$1.log; mkdir -p $(dirname $file)
    listed() { rbd device list --format=json $type; }
    dev=$(rbd $CSI --log-file $file map $1 $type --options try-netlink --options reattach-timeout=300 --options io-timeout=0 --options cookie=0001-$2)
    listed | jq -e --arg dev $dev --arg pool ${1%%/*} --arg image ${1##*/} '.[] | select(.pool == $pool and .namespace == "" and
        .image == $image and .device == $dev and .cookie == "0001-'$2'" and (.id | type) == "number")'
    mkfs.ext4 -q -m0 -Enodiscard,lazy_itable_init=1,lazy_journal_init=1 $dev
    kill -9 $(listed | jq '.[0].id')
    [ "$(rbd-nbd $CSI --log-file $file attach $1 --device $dev --try-netlink --reattach-timeout=300 --io-timeout=0 --cookie=0001-$2)" = $dev ]
    fsck.ext4 -fn $dev
    rbd unmap $dev $type
    code=0; rbd unmap $1 $type 2>/tmp/said || code=$?; cat /tmp/said
    [ $code != 0 ]; says "rbd-nbd: $1 is not mapped"
    [ "$(listed | jq length)" = 0 ]
    # The other mounter is the kernel's rbd driver, which cannot read the image.
    code=0; rbd $CSI map $1 --device-type krbd --options noudev 2>/tmp/said || code=$?; cat /tmp/said
    [ $code != 0 ]
"#;

/// As in the driver's container: a ceph.conf that says nothing, an empty keyring, all else on the command line. `rbd` and `rbd-nbd`
/// are ours, under these names by links and as copies, and then Ceph's own on our library.
#[test]
fn a_volume_comes_to_a_node() {
    let driver = Driver::new(&requires_ceph!().with_short_watches(), "node");
    let monitor = driver.monitor();
    let (name, key) = (&driver.name, &driver.key);
    let script = format!(
        r#"
        modprobe nbd nbds_max=4
        $LSD --id {name} create --size 64M {name}/csi-vol-1
        mkdir -p /dev/shm/links /dev/shm/copies /etc/ceph
        ln -s $LSD /dev/shm/links/rbd; ln -s $NBD /dev/shm/links/rbd-nbd
        cp $LSD /dev/shm/copies/rbd; cp $NBD /dev/shm/copies/rbd-nbd
        echo {key} >/dev/shm/key
        CSI="--id {name} -m {monitor} --keyfile=/dev/shm/key"
        printf '[client]\nlsd_watch_timeout_ms = 4000\nobjecter_tick_interval = 1\n' >/etc/ceph/ceph.conf
        printf '[global]\nauth_%s_required = cephx\n' cluster service client >>/etc/ceph/ceph.conf
        : >/etc/ceph/keyring; unset CEPH_CONF
        node() {{ {NODE} }}
        for names in links copies; do
            (PATH=/dev/shm/$names:$PATH; node {name}/csi-vol-1 $names)
            grep -F 'cannot read lsd images: use nbd' /tmp/said
        done
        [ $(command -v rbd) = /usr/bin/rbd ]; node {name}/csi-vol-1 cephs
        "#
    );
    super::in_guest_on_library(&driver.ceph, &script);
}
