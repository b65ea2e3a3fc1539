"""Glance's RBD store (glance_store), as glance-api uses it: images come and go, others clone them meanwhile."""
import contextlib
import hashlib
import io
import threading
import uuid

import rados
import rbd
from glance_store import exceptions
from glance_store import multi_backend as glance_store
from oslo_config import cfg

import world as common
from world import MIB, Content, equal, must_raise, step, world

STORE = "lsd"
# The same images, as a user with the capabilities of Ceph's own documentation, who sees no other pool.
NARROW = "narrow"

images = world.pool("images")
guests = world.pool("guests")
# As ceph-conf/capabilities.md gives it.
USER = world.user("glance", f"profile rbd pool={images.name}, profile rbd-read-only pool={guests.name}")
NARROW_USER = world.user("narrow", f"profile rbd pool={images.name}")
NOVA = world.user("nova", f"profile rbd pool={guests.name}, profile rbd-read-only pool={images.name}, "
                          f"allow rwx pool={images.name} object_prefix lsd_header.")

CONF = cfg.CONF
CONF.register_opt(cfg.DictOpt("enabled_backends"))  # Glance's own option
SETTINGS = world.dir / "glance-api.conf"
SETTINGS.write_text(f"""
[DEFAULT]
enabled_backends = {STORE}:rbd,{NARROW}:rbd
[glance_store]
default_backend = {STORE}
""" + "".join(f"""
[{store}]
rbd_store_ceph_conf = {world.conf}
rbd_store_user = {user}
rbd_store_pool = {images.name}
rbd_store_chunk_size = 8
rbd_thin_provisioning = true
""" for store, user in ((STORE, USER), (NARROW, NARROW_USER))))
CONF([], project="glance", default_config_files=[str(SETTINGS)])
glance_store.register_store_opts(CONF)
glance_store.create_multi_stores(CONF)
glance_store.verify_store()


def add(data, size=None, image=None):
    """Returns the image's name and where it is, once what the store says of it was found right."""
    image = image or str(uuid.uuid4())
    where, written, md5, digest, metadata = glance_store.add_with_multihash(
        CONF, image, io.BytesIO(data), len(data) if size is None else size, STORE, "sha512")
    equal(where, f"rbd://{world.fsid}/{images.name}/{image}/snap")
    equal(written, len(data))
    equal((md5, digest), (hashlib.md5(data).hexdigest(), hashlib.sha512(data).hexdigest()))
    equal(metadata, {"store": STORE})
    return image, where


def get(where):
    chunks, size = glance_store.get(where, STORE)
    data = b"".join(chunks)
    equal(len(data), size)
    return data


def remove(where, store=STORE):
    glance_store.delete(where, store)


def data_of(seed, size):
    return Content.seeded(seed, (0, size // 2, size - 64 * 1024)).range(0, size)


@step
def an_image_is_stored_and_read():
    data = data_of(1, 37 * MIB + 512)
    image, where = add(data)
    with images.open(image) as stored:
        equal((stored.stat()["order"], stored.size()), (23, len(data)))
    equal(images.snapshots(image), {"snap": True})
    equal(glance_store.get_size_from_uri_and_backend(where, STORE), len(data))
    assert get(where) == data, "other content"
    must_raise(exceptions.Duplicate, add, b"other", image=image)
    assert get(where) == data, "other content, after a second image of that name"
    remove(where)
    equal(images.names(), [])
    must_raise(exceptions.NotFound, get, where)
    must_raise(exceptions.NotFound, glance_store.get_size_from_uri_and_backend, where, STORE)
    must_raise(exceptions.NotFound, remove, where)


@step
def an_image_grows_where_its_size_is_not_known():
    """It is made larger in steps, and cut to what came."""
    data = data_of(2, 41 * MIB + 1)
    image, where = add(data, size=0)
    equal(images.size(image), len(data))
    assert get(where) == data, "other content"
    remove(where)


@step
def zeroes_take_no_room():
    data = bytes(24 * MIB) + b"x" * 512
    image, where = add(data)
    extents = []
    with images.open(image, "snap") as stored:
        stored.diff_iterate(0, len(data), None, lambda offset, length, exists: extents.append((offset, length, exists)))
    assert extents and min(offset for offset, _, _ in extents) >= 24 * MIB, extents
    assert get(where) == data, "other content"
    remove(where)


@step
def an_image_of_another_size_than_was_said_is_refused():
    for size in (4 * MIB, 40 * MIB):
        must_raise(exceptions.Invalid, add, data_of(3, 20 * MIB), size)
        equal((images.names(), images.trash()), ([], []), f"what is left of one of {size} bytes")


@contextlib.contextmanager
def a_clone_of(image, version):
    """A guest's disk, made by somebody who may only read Glance's images."""
    cluster = rados.Rados(conffile=world.conf, rados_id=NOVA)
    cluster.conf_set("rbd_default_clone_format", str(version))
    cluster.connect()
    there, here = cluster.open_ioctx(images.name), cluster.open_ioctx(guests.name)
    try:
        rbd.RBD().clone(there, image, "snap", here, "guest", features=61)
        equal(guests.parent("guest"), (images.name, image, "snap"))
        yield
        rbd.RBD().remove(here, "guest")
    finally:
        there.close()
        here.close()
        cluster.shutdown()


def the_clone_lives(data):
    changed = data[:4096] + b"guest" * 1000 + data[9096:]
    guests.holds("guest", Content({0: data}), len(data))
    guests.write("guest", Content({4096: b"guest" * 1000}))
    guests.holds("guest", Content({0: changed}), len(data))
    with guests.open("guest", read_only=False) as guest:
        guest.flatten()
    guests.holds("guest", Content({0: changed}), len(data))


@step
def an_image_with_a_clone_of_format_1_is_kept():
    data = data_of(4, 24 * MIB)
    image, where = add(data)
    with a_clone_of(image, 1):
        must_raise(exceptions.InUseByStore, remove, where)
        equal((images.names(), images.snapshots(image)), ([image], {"snap": True}))
        assert get(where) == data, "other content"
        the_clone_lives(data)
    remove(where)
    equal(images.names(), [])


@step
def an_image_with_a_clone_of_format_2_goes_to_the_trash():
    data = data_of(5, 24 * MIB)
    image, where = add(data)
    with a_clone_of(image, 2):
        remove(where)
        equal((images.names(), images.trash()), ([], [image]))
        the_clone_lives(data)


@step
def an_image_with_clones_out_of_sight():
    """Who may not see the clone is told no more than that there is one."""
    data = data_of(6, 8 * MIB)
    image, where = add(data)
    with a_clone_of(image, 1):
        must_raise(exceptions.InUseByStore, remove, where, NARROW)
        equal((images.names(), images.snapshots(image)), ([image], {"snap": True}))
    remove(where, NARROW)
    image, where = add(data)
    with a_clone_of(image, 2):
        remove(where, NARROW)
        equal((images.names(), images.trash()), ([], [image]))


@step
def an_image_that_is_open_is_not_deleted():
    image, where = add(data_of(7, 8 * MIB))
    with images.open(image, read_only=False) as stored:
        stored.read(0, 512)
        must_raise(exceptions.InUseByStore, remove, where)
    equal(images.names(), [image])


@step
def threads_store_images_side_by_side():
    found, errors = {}, []

    def work(number):
        try:
            data = data_of(10 + number, 9 * MIB + number)
            image, where = add(data)
            assert get(where) == data, "other content"
            found[where] = data
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    equal(len(images.names()), 6)
    for where, data in found.items():
        assert get(where) == data, "other content, once all were there"
        remove(where)
    equal(images.names(), [])


if __name__ == "__main__":
    common.run()
