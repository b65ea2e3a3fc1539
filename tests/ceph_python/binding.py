"""Makes Ceph 18's Python tests of RBD run with the binding of Ceph 16, as a plugin of pytest. The tests stay as they are.

Owns: what the binding of 16 lacks, the tests that cannot be had with it, and the list of outcomes. Does not own: which
outcomes are right (tests/librbd/ceph_python.rs).

- `RBD` and `Image` take the arguments of 18. How a clone is to be made is said to librbd by its setting, and a snapshot's id
  becomes its name.
- Each outcome is one line of the file that LSD_OUTCOMES names, as soon as it is known: `begin NAME`, then `passed NAME`,
  `skipped NAME`, or `failed NAME PLACE: ERROR`. The last line is `end`.
"""
import contextlib
import os
import sys

import pytest
import rbd

# The binding of 16 has no word for what these ask for: a deep copy that flattens, encryption of a clone's parents, and a
# snapshot that is not a user's, by its id.
NEEDS_18 = {
    "TestImage::test_deep_copy_clone_v1_flatten",
    "TestImage::test_deep_copy_clone_v2_flatten",
    "TestImage::test_diff_iterate_from_trash_snap",
    "TestClone::test_encryption_luks1",
    "TestClone::test_encryption_luks2",
    "TestGroups::test_group_snap_diff_iterate",
}

CLONE_FORMAT = "rbd_default_clone_format"


@contextlib.contextmanager
def clones_of(version):
    """Clones are made in this format meanwhile; `None` is what the setting says."""
    cluster = sys.modules["test_rbd"].rados  # the connection that the tests share
    before = cluster.conf_get(CLONE_FORMAT)
    if version is not None:
        cluster.conf_set(CLONE_FORMAT, str(version))
    try:
        yield
    finally:
        cluster.conf_set(CLONE_FORMAT, before)


class Rbd(rbd.RBD):
    def clone(self, *args, clone_format=None, **more):
        with clones_of(clone_format):
            return super().clone(*args, **more)

    def migration_prepare(self, *args, clone_format=None, **more):
        with clones_of(clone_format):
            return super().migration_prepare(*args, **more)


class Image(rbd.Image):
    any_luks = object()  # 18 finds out which of the two formats it is
    formats = {}  # of the images that were formatted, by id

    def deep_copy(self, *args, clone_format=None, **more):
        with clones_of(clone_format):
            return super().deep_copy(*args, **more)

    def diff_iterate(self, offset, length, since, *args, **more):
        if isinstance(since, int):
            names = [snap["name"] for snap in self.list_snaps() if snap["id"] == since]
            if since and not names:
                raise rbd.ImageNotFound(f"no snapshot {since}")
            since = names[0] if since else None
        elif not isinstance(since, (str, bytes, type(None))):
            raise TypeError("a snapshot has a name or an id")
        return super().diff_iterate(offset, length, since, *args, **more)

    def encryption_format(self, luks, *args, **more):
        super().encryption_format(luks, *args, **more)
        self.formats[self.id()] = luks

    def encryption_load(self, luks, *args, **more):
        if luks is self.any_luks:
            luks = self.formats[self.id()]
        return super().encryption_load(luks, *args, **more)


if not hasattr(rbd, "RBD_ENCRYPTION_FORMAT_LUKS"):
    rbd.RBD, rbd.Image, rbd.RBD_ENCRYPTION_FORMAT_LUKS = Rbd, Image, Image.any_luks


def name_of(nodeid):
    return nodeid.partition("::")[2]


def note(line):
    with open(os.environ["LSD_OUTCOMES"], "a", encoding="utf-8") as outcomes:
        outcomes.write(line + "\n")


def pytest_configure(config):
    config.addinivalue_line("markers", "skip_if_crimson: nothing here")


def pytest_collection_modifyitems(items):
    missing = NEEDS_18 - {name_of(item.nodeid) for item in items}
    assert not missing, f"not in the tests: {missing}"
    for item in items:
        if rbd.RBD is Rbd and name_of(item.nodeid) in NEEDS_18:
            item.add_marker(pytest.mark.skip(reason="not in librbd 16"))


def pytest_runtest_logstart(nodeid):
    note(f"begin {name_of(nodeid)}")


def error_of(report):
    """What was raised, and at which line of the tests."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is None:
        return report.when
    places = [entry.reprfileloc for entry in report.longrepr.reprtraceback.reprentries]
    lines = [place.lineno for place in places if place and os.path.basename(place.path) == "test_rbd.py"]
    return f"{report.when}, line {lines[0] if lines else 'unknown'}: " + " ".join(crash.message.split())


# Of the tests so far. A test is set up, called and torn down: the first that fails says why, and skipping counts if none does.
outcomes = {}


def pytest_runtest_logreport(report):
    name, before = name_of(report.nodeid), outcomes.get(report.nodeid, "passed")
    if report.failed and not before.startswith("failed"):
        outcomes[report.nodeid] = f"failed {name} {error_of(report)}"
    elif report.skipped and before == "passed":
        outcomes[report.nodeid] = f"skipped {name}"


def pytest_runtest_logfinish(nodeid):
    note(outcomes.get(nodeid, f"passed {name_of(nodeid)}"))


@pytest.hookimpl(trylast=True)
def pytest_unconfigure():
    """Ends the process here. A test that failed leaves its images open, held by its traceback; the interpreter would close them
    behind the end of their connection, and librados aborts on that."""
    note("end")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
