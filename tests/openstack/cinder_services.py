"""Cinder's RBD driver beside other services: images of Glance, volumes that others made, types, limits, backups. Each step says
what must be there afterwards."""
import contextlib
import subprocess

import rbd

import world as common
from cinder_driver import CONTEXT, Glance, driver, exception, filled, images, snapshot, volume, volume_type, volumes
from world import GIB, MIB, Content, equal, must_raise, step, world

SECRET = "11" * 32
# What several writers at once exclude: exclusive-lock, object-map, fast-diff.
FOR_ONE_WRITER = 4 | 8 | 16
LIMIT = "conf_rbd_qos_iops_limit"


@contextlib.contextmanager
def file(name):
    path = world.dir / name
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


@step
def an_image_is_copied_to_a_volume():
    """By `rbd import`, of a file smaller than the volume: raw, and in a format that is converted first."""
    cinder = driver()
    size = 96 * MIB + 512
    content = Content.seeded(1, (0, 33 * MIB + 512, size - 64 * 1024))
    with file("image") as raw, file("image.qcow2") as other:
        content.to_file(raw, size)
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, other], check=True)
        for path, kind in ((raw, "raw"), (other, "qcow2")):
            made = volume(1)
            cinder.create_volume(made)
            cinder.copy_image_to_volume(CONTEXT, made, Glance(path, kind), "an-image")
            volumes.holds_all(made.name, content, GIB)
            with volumes.open(made.name) as image:
                equal(image.stat()["order"], 22)
            cinder.delete_volume(made)


@step
def a_volume_is_copied_to_an_image():
    """Raw through librbd, another format by `rbd export`."""
    cinder = driver()
    made, content = filled(cinder, 2)
    with file("image") as path:
        glance = Glance(path)
        cinder.copy_volume_to_image(CONTEXT, made, glance, glance.meta())
        content.in_file(path, GIB)
    with file("image.qcow2") as path, file("image") as raw:
        glance = Glance(path, "qcow2")
        cinder.copy_volume_to_image(CONTEXT, made, glance, glance.meta())
        subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, raw], check=True)
        content.in_file(raw, GIB)
    cinder.delete_volume(made)


@step
def an_image_of_glance_is_cloned():
    cinder = driver()
    content = Content.seeded(3, (0, 20 * MIB, 63 * MIB))
    images.create("image", 64 * MIB, order=23)
    images.write("image", content)
    with images.open("image", read_only=False) as image:
        image.create_snap("snap")
        image.protect_snap("snap")
    url = f"rbd://{world.fsid}/{images.name}/image/snap"
    for wrong in (url.replace(world.fsid, "other"), url.replace("/snap", "/gone"), "rbd://image", "file:///image"):
        equal(cinder.clone_image(CONTEXT, volume(), (wrong, None), {"disk_format": "raw"}, None), ({}, False))
    equal(cinder.clone_image(CONTEXT, volume(), (url, None), {"disk_format": "qcow2"}, None), ({}, False))
    made = volume()
    equal(cinder.clone_image(CONTEXT, made, (None, [{"url": url}]), {"disk_format": "raw"}, None),
          ({"provider_location": None}, True))
    equal(volumes.names(), [made.name])
    equal(volumes.parent(made.name), (images.name, "image", "snap"))
    volumes.holds(made.name, content, GIB)
    own = content.with_parts(Content.seeded(4, (20 * MIB, 500 * MIB)))
    volumes.write(made.name, own)
    volumes.holds_all(made.name, own, GIB)
    images.holds("image", content, 64 * MIB, "snap")
    clone = volume()
    cinder.create_cloned_volume(clone, made)
    volumes.holds(clone.name, own, GIB)
    cinder.delete_volume(clone)
    cinder.delete_volume(made)


@step
def what_others_made_is_managed():
    cinder = driver()
    known, _ = filled(cinder, 5)
    used, free = "in use", "free"
    content = Content.seeded(6, (0, 5 * MIB))
    for name in (used, free):
        volumes.create(name, GIB + GIB // 2)
        volumes.write(name, content)
    with volumes.open(free, read_only=False) as image:
        image.create_snap("theirs")

    def list_volumes():
        found = cinder.get_manageable_volumes([{"id": known.id}], None, 1000, 0, ["size"], ["asc"])
        return {entry["reference"]["source-name"]: (entry["size"], entry["reason_not_safe"]) for entry in found}

    with volumes.open(used, read_only=False):
        equal(list_volumes(), {known.name: (1, "already managed"), used: (2, "volume in use"), free: (2, None)})
    equal(list_volumes()[used], (2, None))

    made, reference = volume(2), {"source-name": free}
    equal(cinder.manage_existing_get_size(made, reference), 2)
    must_raise(exception.ManageExistingInvalidReference, cinder.manage_existing_get_size, made, {"source-name": "gone"})
    cinder.manage_existing(made, reference)
    equal(volumes.names(), sorted([known.name, used, made.name]))
    volumes.holds(made.name, content, GIB + GIB // 2)
    must_raise(rbd.ImageExists, cinder.manage_existing, made, {"source-name": used})

    taken, reference = snapshot(made), {"source-name": "theirs"}
    found = cinder.get_manageable_snapshots([], None, 1000, 0, ["size"], ["asc"])
    equal([(entry["reference"], entry["size"], entry["safe_to_manage"]) for entry in found], [(reference, 2, True)])
    equal(cinder.manage_existing_snapshot_get_size(taken, reference), 2)
    must_raise(exception.ManageExistingInvalidReference, cinder.manage_existing_snapshot_get_size, taken, "gone")
    cinder.manage_existing_snapshot(taken, reference)
    equal(volumes.snapshots(made.name), {taken.name: True})
    volumes.holds(made.name, content, GIB + GIB // 2, taken.name)
    cinder.unmanage_snapshot(taken)
    equal(volumes.snapshots(made.name), {taken.name: False})
    cinder.unmanage(made)
    assert made.name in volumes.names()


@step
def a_type_for_several_writers_changes_features():
    cinder = driver()
    several = volume_type(multiattach="<is> True")
    made, content = filled(cinder, 7)
    before = volumes.features(made.name)
    equal(before & FOR_ONE_WRITER, FOR_ONE_WRITER)
    done, update = cinder.retype(CONTEXT, made, several, None, None)
    equal((done, update), (True, {"provider_location": '{"saved_features":%d}' % before}))
    equal(volumes.features(made.name), before & ~FOR_ONE_WRITER)
    with volumes.open(made.name, read_only=False) as one, volumes.open(made.name, read_only=False) as other:
        one.write(b"1" * 4096, 0)
        other.write(b"2" * 4096, 4096)
        one.write(b"1" * 4096, 8192)
        one.flush()
        other.flush()
    parts = b"1" * 4096 + b"2" * 4096 + b"1" * 4096 + content.range(12288, 65536 - 12288)
    content = content.with_parts(Content({0: parts}))
    volumes.holds(made.name, content, GIB)
    made.volume_type, made.provider_location = several, update["provider_location"]
    equal(cinder.retype(CONTEXT, made, volume_type(), None, None), (True, {"provider_location": None}))
    equal(volumes.features(made.name), before)
    volumes.holds(made.name, content, GIB)
    cinder.delete_volume(made)
    made = volume(kind=several)
    cinder.create_volume(made)
    equal(volumes.features(made.name) & FOR_ONE_WRITER, 0)
    cinder.delete_volume(made)


@step
def limits_are_settings_of_the_image():
    cinder = driver()
    made = volume(kind=volume_type(qos={"total_iops_sec": "500", "write_bytes_sec": "1048576"}))
    cinder.create_volume(made)
    equal(volumes.metadata(made.name), {LIMIT: "500", "conf_rbd_qos_write_bps_limit": "1048576"})
    cinder.delete_volume(made)


@step
def limits_change_with_the_type():
    cinder = driver()
    made = volume(kind=volume_type(qos={"total_iops_sec": "500", "write_bytes_sec": "1048576"}))
    cinder.create_volume(made)
    found = cinder.get_rbd_image_qos(made)
    equal((found["rbd_qos_iops_limit"], found["rbd_qos_write_bps_limit"], found["rbd_qos_bps_limit"]), ("500", "1048576", "0"))
    diff = {"qos_specs": {"consumer": ("back-end", "back-end"), "total_iops_sec": ("500", "700"),
                          "write_bytes_sec": ("1048576", None)}}
    equal(cinder.retype(CONTEXT, made, volume_type(qos={"total_iops_sec": "700"}), diff, None), (True, {}))
    equal(volumes.metadata(made.name), {LIMIT: "700"})
    diff = {"qos_specs": {"consumer": ("back-end", "front-end"), "total_iops_sec": ("700", None)}}
    equal(cinder.retype(CONTEXT, made, volume_type(), diff, None), (True, {}))
    equal(volumes.metadata(made.name), {})
    cinder.delete_volume(made)


@step
def an_encrypted_volume_is_a_file_that_is_imported():
    """LUKS is made by qemu-img in a file; the volume has its header, and QEMU opens it with the key."""
    from castellan.common.objects import symmetric_key
    from cinder.volume import volume_utils
    from cinder.volume.drivers import rbd as module

    class Keys:
        def get(self, _context, _key):
            return symmetric_key.SymmetricKey("AES", 256, bytes.fromhex(SECRET))

    key_managers, check = module.key_manager.API, volume_utils.check_encryption_provider
    module.key_manager.API = lambda _conf: Keys()
    volume_utils.check_encryption_provider = lambda _volume, _context: {
        "encryption_key_id": "a key", "cipher": "aes-xts-plain64", "key_size": 256, "provider": "luks"}
    try:
        cinder = driver()
        made = volume(1)
        made.encryption_key_id = "a key"
        cinder.create_volume(made)
        size = volumes.size(made.name)
        assert size > GIB, size
        with volumes.open(made.name) as image:
            equal(image.read(0, 6), b"LUKS\xba\xbe")
        drive = f"driver=luks,key-secret=s,file.driver=rbd,file.pool={volumes.name},file.image={made.name}," \
            f"file.conf={world.conf}"
        command = ["qemu-io", "--object", f"secret,id=s,data={SECRET}", "--image-opts", drive,
                   "-c", "write -P 9 1M 64k", "-c", "flush", "-c", "read -P 9 1M 64k"]
        subprocess.run(command, check=True)
        clone = volume(2)
        clone.encryption_key_id = "a key"
        taken = snapshot(made)
        cinder.create_snapshot(taken)
        cinder.create_volume_from_snapshot(clone, taken)
        equal(volumes.size(clone.name), size + GIB)
    finally:
        module.key_manager.API, volume_utils.check_encryption_provider = key_managers, check


if __name__ == "__main__":
    common.run()
