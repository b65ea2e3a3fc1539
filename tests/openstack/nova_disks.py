"""Nova's own calls to RBD (nova.storage.rbd_utils), as its libvirt driver makes them for the disks of instances."""
import os

os.environ["OS_NOVA_DISABLE_EVENTLET_PATCHING"] = "1"  # nova-compute patches threads; the driver has its own way around librbd

import nova.conf  # noqa: E402
from nova import exception  # noqa: E402
from nova.storage import rbd_utils  # noqa: E402

import world as common  # noqa: E402
from world import MIB, Content, equal, must_raise, step, world  # noqa: E402

images = world.pool("images")
vms = world.pool("vms")
USER = world.user("nova", f"profile rbd pool={vms.name}, profile rbd pool={images.name}")

CONF = nova.conf.CONF
CONF([], project="nova", default_config_files=[])
for name, value in {"images_rbd_pool": vms.name, "images_rbd_ceph_conf": world.conf, "rbd_user": USER,
                    "rbd_destroy_volume_retries": 3, "rbd_destroy_volume_retry_interval": 1}.items():
    CONF.set_override(name, value, "libvirt")

SIZE = 24 * MIB
BASE = Content.seeded(1, (0, 13 * MIB + 512, SIZE - 64 * 1024))


def driver():
    return rbd_utils.RBDDriver()


def from_glance(name="image", content=BASE):
    """An image as Glance leaves it. Returns where it is, as Glance tells Nova."""
    images.create(name, SIZE, order=23)
    images.write(name, content)
    with images.open(name, read_only=False) as image:
        image.create_snap("snap")
        image.protect_snap("snap")
    return {"url": f"rbd://{world.fsid}/{images.name}/{name}/snap"}


@step
def the_cluster_is_described():
    nova = driver()
    equal(nova.get_fsid(), world.fsid)
    info = nova.get_pool_info()
    assert 0 < info["free"] <= info["total"], info
    hosts, ports = nova.get_mon_addrs()
    equal((len(hosts), all(port.isdigit() for port in ports)), (1, True))


@step
def an_instance_s_disk_is_a_clone():
    nova, location = driver(), from_glance()
    equal(nova.is_cloneable(location, {"disk_format": "raw"}), True)
    equal(nova.is_cloneable(location, {"disk_format": "qcow2"}), False)
    equal(nova.is_cloneable({"url": location["url"] + "s"}, {"disk_format": "raw"}), False)
    equal(nova.is_cloneable({"url": location["url"].replace(world.fsid, "x")}, {"disk_format": "raw"}), False)
    equal(nova.exists("disk"), False)
    nova.clone(location, "disk")
    equal(nova.exists("disk"), True)
    equal(tuple(nova.parent_info("disk")), (images.name, "image", "snap"))
    nova.resize("disk", 2 * SIZE)
    equal(nova.size("disk"), 2 * SIZE)
    vms.holds_all("disk", BASE, 2 * SIZE)
    own = BASE.with_parts(Content.seeded(2, (6 * MIB, 40 * MIB)))
    vms.write("disk", own)
    nova.flatten("disk")
    must_raise(exception.ImageUnacceptable, nova.parent_info, "disk")
    vms.holds_all("disk", own, 2 * SIZE)
    images.holds("image", BASE, SIZE)
    nova.remove_image("disk")
    nova.remove_image("disk")  # is gone, and that is told in the log only
    equal(vms.names(), [])


@step
def a_disk_is_imported_and_exported():
    """By `rbd import` and `rbd export`, with the words that Nova uses."""
    nova = driver()
    base, copy = world.dir / "base", world.dir / "copy"
    BASE.to_file(base, SIZE)
    nova.import_image(str(base), "disk")
    vms.holds_all("disk", BASE, SIZE)
    nova.create_snap("disk", "before")
    vms.write("disk", Content.seeded(3, (0, 5 * MIB)))
    nova.export_image(str(copy), "disk", "before")
    BASE.in_file(copy, SIZE)
    nova.remove_snap("disk", "before")
    base.unlink()
    copy.unlink()


@step
def a_resize_can_be_taken_back():
    """Nova takes a snapshot before it resizes an instance, and goes back to it where the resize is refused."""
    nova, location = driver(), from_glance()
    nova.clone(location, "disk")
    nova.create_snap("disk", rbd_utils.RESIZE_SNAPSHOT_NAME)
    equal(vms.snapshots("disk"), {rbd_utils.RESIZE_SNAPSHOT_NAME: False})
    nova.resize("disk", 3 * SIZE)
    vms.write("disk", Content.seeded(4, (0, 13 * MIB, 2 * SIZE + MIB)))
    nova.rollback_to_snap("disk", rbd_utils.RESIZE_SNAPSHOT_NAME)
    vms.holds_all("disk", BASE, SIZE)
    must_raise(exception.SnapshotNotFound, nova.rollback_to_snap, "disk", "gone")
    nova.remove_snap("disk", rbd_utils.RESIZE_SNAPSHOT_NAME)
    nova.remove_snap("disk", rbd_utils.RESIZE_SNAPSHOT_NAME, ignore_errors=True)
    equal(vms.snapshots("disk"), {})


@step
def an_instance_becomes_an_image():
    """A snapshot of the disk, cloned into Glance's pool, flattened, and given a protected snapshot of its own."""
    nova, location = driver(), from_glance()
    nova.clone(location, "disk")
    now = BASE.with_parts(Content.seeded(5, (8 * MIB,)))
    vms.write("disk", now)
    nova.create_snap("disk", "shot", protect=True)
    equal(vms.snapshots("disk"), {"shot": True})
    vms.write("disk", Content.seeded(6, (8 * MIB, 20 * MIB)))
    nova.clone({"url": f"rbd://{nova.get_fsid()}/{vms.name}/disk/shot"}, "new", dest_pool=images.name)
    equal(images.parent("new"), (vms.name, "disk", "shot"))
    nova.flatten("new", pool=images.name)
    nova.remove_snap("disk", "shot")
    equal(vms.snapshots("disk"), {"shot": True}, "a protected snapshot, which stays")
    nova.remove_snap("disk", "shot", force=True)
    equal(vms.snapshots("disk"), {})
    nova.create_snap("new", "snap", pool=images.name, protect=True)
    equal((images.parent("new"), images.snapshots("new")), (None, {"snap": True}))
    images.holds_all("new", now, SIZE)


@step
def what_an_instance_leaves_is_removed():
    """Its disks by name, those with the snapshot of a resize too; others stay, and so does what somebody has open."""
    nova = driver()
    for name in ("one_disk", "one_disk.config", "two_disk"):
        vms.create(name, SIZE)
    nova.create_snap("one_disk", rbd_utils.RESIZE_SNAPSHOT_NAME)
    nova.cleanup_volumes(lambda name: name.startswith("one_"))
    equal(vms.names(), ["two_disk"])
    with vms.open("two_disk", read_only=False) as disk:
        disk.read(0, 512)
        nova.destroy_volume("two_disk")  # tells it in the log only
        equal(vms.names(), ["two_disk"])
    nova.destroy_volume("two_disk")
    equal(vms.names(), [])


if __name__ == "__main__":
    common.run()
