"""What the programs of this folder share: steps, a world of pools and users, and a second look at it with Ceph's own binding.

Owns: how steps run and how their ends are told; the pools, users and ceph.conf that the services get; content of images, and
what is compared. Does not own: which ends are right (tests/librbd/openstack.rs), nor any service.

- A step is a function that makes what it needs. Each ends as one line, `passed NAME` or `failed NAME: WHY`; the last line is
  `end`. What a step raised is told in full on standard error.
- LSD_CLIENT_CONF: more lines for the clients' ceph.conf, with commas between them.
"""
import contextlib
import json
import os
import pathlib
import random
import shutil
import sys
import tempfile
import time
import traceback

import rados
import rbd

MIB = 1 << 20
GIB = 1 << 30
# A client that ended without closing counts as alive until its watch times out.
REMOVE_SECONDS = 40
STATISTICS_SECONDS = 30
CHUNK = 32 * MIB
MARGIN = 4096
NOTHING = bytes(CHUNK)

steps = []


def step(function):
    steps.append(function)
    return function


def why(error):
    """The error in one line, with the line of the step that met it."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/openstack/" in frame.filename]
    place = f"{pathlib.Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "nowhere"
    return f"{place}: {type(error).__name__}: " + " ".join(str(error).split())[:300]


def run():
    """Runs the steps whose names were given, or all. The process ends here, without destructors: a step that failed leaves its
    images open, and librados aborts where a connection ends before them."""
    for function in steps:
        name = function.__name__
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        began = time.monotonic()
        try:
            function()
        except Exception as error:
            traceback.print_exc()
            print(f"failed {name}: {why(error)}", flush=True)
        else:
            print(f"passed {name}", flush=True)
        world.clear()
        print(f"{name} took {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
    print("end", flush=True)
    world.close()
    os._exit(0)


def must_raise(kind, function, *args, **more):
    try:
        function(*args, **more)
    except kind as error:
        return error
    raise AssertionError(f"{getattr(function, '__name__', function)} did not raise {kind}")


def equal(found, expected, what=""):
    assert found == expected, f"{what or 'it'} is {found!r}, and not {expected!r}"


class World:
    """Pools and users with the capabilities that Ceph's documentation gives to OpenStack, on the cluster of CEPH_CONF."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="lsd-openstack-"))
        self.conf = str(self.dir / "ceph.conf")
        shared = pathlib.Path(os.environ["CEPH_CONF"]).read_text()
        lines = os.environ.get("LSD_CLIENT_CONF", "").replace(",", "\n")
        self.cluster = rados.Rados(conffile=os.environ["CEPH_CONF"])
        self.cluster.connect()
        self.fsid = self.cluster.get_fsid()
        self.fsid = self.fsid if isinstance(self.fsid, str) else self.fsid.decode()
        pathlib.Path(self.conf).write_text(f"{shared}\n[client]\nkeyring = {self.dir}/$name.keyring\n{lines}\n")
        os.environ["CEPH_CONF"] = self.conf  # of whatever is started from here
        self.pools, self.users = [], []
        self.key("client.admin", {"prefix": "auth get", "entity": "client.admin"})

    def tell(self, **words):
        code, out, error = self.cluster.mon_command(json.dumps(words), b"")
        if code:
            raise AssertionError(f"{words}: {code} {error}")
        return out.decode()

    def key(self, entity, words):
        (self.dir / f"{entity}.keyring").write_text(self.tell(**words))

    def pool(self, purpose):
        name = f"os-{purpose}-{os.getpid()}"
        self.tell(prefix="osd pool create", pool=name, pg_num=8, pgp_num=8)
        self.tell(prefix="osd pool application enable", pool=name, app="rbd")
        self.pools.append(Pool(self, name))
        self.wait_for_statistics(name)
        return self.pools[-1]

    def wait_for_statistics(self, name):
        """Of a new pool the manager tells nothing at first, and the services take that for no pool."""
        until = time.monotonic() + STATISTICS_SECONDS
        while name not in [pool["name"] for pool in json.loads(self.tell(prefix="df", format="json"))["pools"]]:
            assert time.monotonic() < until, f"no statistics of {name}"
            time.sleep(0.1)

    def user(self, purpose, osd):
        name = f"{purpose}{os.getpid()}"
        caps = ["mon", "profile rbd", "osd", osd, "mgr", "profile rbd"]
        self.key(f"client.{name}", {"prefix": "auth get-or-create", "entity": f"client.{name}", "caps": caps})
        self.users.append(name)
        return name

    def clear(self):
        """Leaves the pools empty, whatever a step left behind."""
        until = time.monotonic() + REMOVE_SECONDS
        while left := [name for pool in self.pools for name in pool.names() + pool.trash()]:
            assert time.monotonic() < until, f"these stay: {left}"
            for pool in self.pools:
                pool.remove_what_can_be()

    def close(self):
        for user in self.users:
            self.tell(prefix="auth rm", entity=f"client.{user}")
        for name in [pool.name for pool in self.pools]:
            self.tell(prefix="osd pool delete", pool=name, pool2=name, yes_i_really_really_mean_it=True)
        shutil.rmtree(self.dir)


class Pool:
    """What is in a pool, seen by the administrator with the binding."""

    def __init__(self, world, name):
        self.name = name
        self.cluster = rados.Rados(conffile=world.conf)
        self.cluster.connect()
        self.io = self.cluster.open_ioctx(name)

    @contextlib.contextmanager
    def open(self, name, snapshot=None, read_only=True):
        image = rbd.Image(self.io, name, snapshot=snapshot, read_only=read_only)
        try:
            yield image
        finally:
            image.close()

    def names(self):
        return sorted(rbd.RBD().list(self.io))

    def trash(self):
        return sorted(entry["name"] for entry in rbd.RBD().trash_list(self.io))

    def create(self, name, size, **more):
        rbd.RBD().create(self.io, name, size, old_format=False, **more)

    def size(self, name, snapshot=None):
        with self.open(name, snapshot) as image:
            return image.size()

    def features(self, name):
        with self.open(name) as image:
            return image.features()

    def snapshots(self, name):
        """Names, and whether they are protected; those of users only."""
        with self.open(name) as image:
            snaps = [snap for snap in image.list_snaps() if snap["namespace"] == rbd.RBD_SNAP_NAMESPACE_TYPE_USER]
            return {snap["name"]: image.is_protected_snap(snap["name"]) for snap in snaps}

    def parent(self, name):
        """(pool, image, snapshot), or None."""
        with self.open(name) as image:
            try:
                return tuple(image.parent_info())
            except rbd.ImageNotFound:
                return None

    def metadata(self, name):
        with self.open(name) as image:
            return dict(image.metadata_list())

    def write(self, name, content):
        with self.open(name, read_only=False) as image:
            for offset, data in content.parts.items():
                image.write(data, offset)
            image.flush()

    def holds(self, name, content, size, snapshot=None):
        """What was written is there, and nothing else is: all that the image has, by its own account, is compared."""
        with self.open(name, snapshot) as image:
            equal(image.size(), size, f"the size of {name}")
            places = [(offset, len(data)) for offset, data in content.parts.items()]
            image.diff_iterate(0, size, None, lambda offset, length, exists: exists and places.append((offset, length)))
            for offset, length in places:
                self.compare(image, content, max(offset - MARGIN, 0), min(offset + length + MARGIN, size))

    def holds_all(self, name, content, size, snapshot=None):
        """Every byte is as it must be."""
        with self.open(name, snapshot) as image:
            equal(image.size(), size, f"the size of {name}")
            self.compare(image, content, 0, size)

    def compare(self, image, content, first, last):
        for offset in range(first, last, CHUNK):
            length = min(CHUNK, last - offset)
            found, expected = image.read(offset, length), content.range(offset, length)
            assert found == expected, f"{image.get_name()}: other content in [{offset}, {offset + length})"

    def remove_what_can_be(self):
        for name in self.names():
            with contextlib.suppress(rbd.Error):
                self.strip(name)
                rbd.RBD().remove(self.io, name)
        for entry in rbd.RBD().trash_list(self.io):
            with contextlib.suppress(rbd.Error):
                rbd.RBD().trash_remove(self.io, entry["id"], True)

    def strip(self, name):
        with self.open(name, read_only=False) as image:
            with contextlib.suppress(rbd.Error):
                image.flatten()
            for snap in list(image.list_snaps()):
                with contextlib.suppress(rbd.Error):
                    image.remove_snap2(snap["name"], rbd.RBD_SNAP_REMOVE_FORCE)


class Content:
    """What an image holds: some parts, and zeroes elsewhere."""

    def __init__(self, parts=None):
        self.parts = dict(parts or {})

    @classmethod
    def seeded(cls, seed, places=(0, 5 * MIB + 512, GIB - 64 * 1024), length=64 * 1024):
        source = random.Random(seed)
        return cls({place: source.randbytes(length) for place in places})

    def with_parts(self, other):
        return Content({**self.parts, **other.parts})

    def range(self, offset, length):
        inside = {at: data for at, data in self.parts.items() if at < offset + length and offset < at + len(data)}
        if not inside:
            return NOTHING if length == CHUNK else bytes(length)
        found = bytearray(length)
        for at, data in inside.items():
            first, last = max(at, offset), min(at + len(data), offset + length)
            found[first - offset:last - offset] = data[first - at:last - at]
        return bytes(found)

    def to_file(self, path, size):
        with open(path, "wb") as file:
            file.truncate(size)
            for offset, data in self.parts.items():
                file.seek(offset)
                file.write(data)

    def in_file(self, path, size):
        equal(os.path.getsize(path), size, "the file's size")
        with open(path, "rb") as file:
            for offset in range(0, size, CHUNK):
                length = min(CHUNK, size - offset)
                assert file.read(length) == self.range(offset, length), f"other content in [{offset}, {offset + length})"


world = World()
