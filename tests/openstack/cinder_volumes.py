"""Cinder's RBD driver: the life of volumes, their snapshots and clones. Each step says what must be there afterwards."""
import subprocess

import eventlet
import rbd

import world as common
from cinder_driver import CONTEXT, USER, driver, exception, filled, others, snapshot, volume, volumes
from world import GIB, MIB, Content, equal, must_raise, step, world

DEFAULT_FEATURES = 61
ELSEWHERE = (64 * MIB, 300 * MIB + 4096)


@step
def setup_and_statistics():
    cinder = driver(rbd_exclusive_cinder_pool=False)
    cinder.check_for_setup_error()
    first, _ = filled(cinder, 1)
    second, _ = filled(cinder, 2, size=2)
    stats = cinder.get_volume_stats(refresh=True)
    equal(stats["backend_state"], "up")
    equal(stats["provisioned_capacity_gb"], 3)
    equal(stats["qos_support"], True)
    equal(stats["multiattach"], True)
    equal(stats["location_info"].split(":")[2:3], [world.fsid])
    assert 0 < stats["free_capacity_gb"] <= stats["total_capacity_gb"], stats
    for made in (first, second):
        cinder.delete_volume(made)
    driver(rbd_exclusive_cinder_pool=True)


@step
def a_volume_is_made_extended_and_deleted():
    cinder = driver()
    made, content = filled(cinder, 3)
    with volumes.open(made.name) as image:
        equal((image.stat()["order"], image.features(), image.old_format()), (22, DEFAULT_FEATURES, False))
    volumes.holds_all(made.name, content, GIB)
    cinder.extend_volume(made, 2)
    volumes.holds_all(made.name, content, 2 * GIB)
    must_raise(exception.VolumeBackendAPIException, cinder.extend_volume, volume(), 2)
    must_raise(rbd.ImageExists, cinder.create_volume, made)
    cinder.delete_volume(made)
    cinder.delete_volume(made)  # is gone, and that is no error
    equal(volumes.names(), [])


@step
def what_a_host_is_told_of_a_volume_opens_it():
    cinder = driver()
    made, content = filled(cinder, 4)
    data = cinder.initialize_connection(made, {})["data"]
    equal((data["name"], data["auth_username"]), (f"{volumes.name}/{made.name}", USER))
    hosts = "\\;".join(f"{host}\\:{port}" for host, port in zip(data["hosts"], data["ports"]))
    key = (world.dir / f"client.{USER}.keyring").read_text().split("key = ")[1].split()[0]
    drive = f"rbd:{data['name']}:id={USER}:key={key}:mon_host={hosts}:conf=/dev/null"
    copy = world.dir / "copy"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "raw", drive, str(copy)], check=True)
    content.in_file(copy, GIB)
    copy.unlink()
    cinder.delete_volume(made)


@step
def a_snapshot_keeps_what_was():
    cinder = driver()
    made, before = filled(cinder, 5)
    taken = snapshot(made)
    cinder.create_snapshot(taken)
    equal(volumes.snapshots(made.name), {taken.name: True})
    after = before.with_parts(Content.seeded(6, ELSEWHERE))
    volumes.write(made.name, after)
    volumes.holds(made.name, before, GIB, taken.name)
    volumes.holds(made.name, after, GIB)
    cinder.delete_snapshot(taken)
    equal(volumes.snapshots(made.name), {})
    cinder.delete_snapshot(taken)  # is gone, and that is no error
    volumes.holds(made.name, after, GIB)
    cinder.delete_volume(made)
    equal(volumes.names(), [])


@step
def a_volume_from_a_snapshot_is_a_larger_clone():
    cinder = driver()
    made, before = filled(cinder, 7)
    taken = snapshot(made)
    cinder.create_snapshot(taken)
    volumes.write(made.name, Content.seeded(8))
    child = volume(2)
    cinder.create_volume_from_snapshot(child, taken)
    equal(volumes.parent(child.name), (volumes.name, made.name, taken.name))
    volumes.holds(child.name, before, 2 * GIB)
    own = before.with_parts(Content.seeded(9, ELSEWHERE))
    volumes.write(child.name, own)
    volumes.holds(child.name, own, 2 * GIB)
    volumes.holds(made.name, before, GIB, taken.name)
    cinder.delete_volume(child)
    cinder.delete_snapshot(taken)
    cinder.delete_volume(made)
    equal((volumes.names(), volumes.trash()), ([], []))


@step
def a_snapshot_with_children_is_deleted():
    """Clones of format 1 are flattened for it; of format 2, the snapshot goes out of sight. Its volume goes, and they stay."""
    cinder = driver()
    made, content = filled(cinder, 10)
    taken = snapshot(made)
    cinder.create_snapshot(taken)
    children = [volume(), volume()]
    for child in children:
        cinder.create_volume_from_snapshot(child, taken)
    cinder.delete_snapshot(taken)
    equal(volumes.snapshots(made.name), {})
    for child in children:
        volumes.holds(child.name, content, GIB)
    cinder.delete_volume(children[0])
    cinder.delete_volume(made)
    equal(volumes.names(), [children[1].name])
    equal(volumes.parent(children[1].name), None)
    volumes.holds(children[1].name, content, GIB)
    cinder.delete_volume(children[1])
    equal((volumes.names(), volumes.trash()), ([], []))


@step
def a_volume_from_a_snapshot_is_flattened_on_demand():
    cinder = driver(rbd_flatten_volume_from_snapshot=True)
    made, content = filled(cinder, 11)
    taken = snapshot(made)
    cinder.create_snapshot(taken)
    child = volume()
    cinder.create_volume_from_snapshot(child, taken)
    equal(volumes.parent(child.name), None)
    volumes.holds_all(child.name, content, GIB)
    cinder.delete_snapshot(taken)
    cinder.delete_volume(made)
    volumes.holds(child.name, content, GIB)
    cinder.delete_volume(child)
    equal(volumes.names(), [])


@step
def a_chain_of_clones_is_cut_at_its_depth():
    cinder = driver(rbd_max_clone_depth=3)
    first, content = filled(cinder, 12)
    chain, contents = [first], [content]
    for depth in range(1, 6):
        made = volume(2 if depth == 2 else chain[-1].size)
        cinder.create_cloned_volume(made, chain[-1])
        content = content.with_parts(Content.seeded(20 + depth, (depth * 100 * MIB,)))
        volumes.write(made.name, content)
        chain.append(made)
        contents.append(content)
    parents = [volumes.parent(made.name) for made in chain]
    made_of = [parent and parent[1] for parent in parents]
    equal(made_of, [None, chain[0].name, chain[1].name, chain[2].name, None, chain[4].name])
    equal(volumes.snapshots(chain[3].name), {}, "what the flattened clone was made of")
    equal(volumes.snapshots(chain[4].name), {f"{chain[5].name}.clone_snap": True})
    for made, content in zip(chain, contents):
        volumes.holds(made.name, content, made.size * GIB)
    # Who has clones stays under another name until they are gone.
    cinder.delete_volume(chain[1])
    assert f"{chain[1].name}.deleted" in volumes.names(), volumes.names()
    cinder.delete_volume(chain[0])
    for made, content in zip(chain[2:], contents[2:]):
        volumes.holds(made.name, content, made.size * GIB)
    for made in reversed(chain[2:]):
        cinder.delete_volume(made)


@step
def a_copy_is_whole_where_clones_are_not_wanted():
    cinder = driver(rbd_max_clone_depth=0)
    made, content = filled(cinder, 13)
    copy = volume(2)
    cinder.create_cloned_volume(copy, made)
    equal((volumes.parent(copy.name), volumes.snapshots(made.name)), (None, {}))
    cinder.delete_volume(made)
    volumes.holds(copy.name, content, 2 * GIB)
    cinder.delete_volume(copy)
    equal(volumes.names(), [])


@step
def a_volume_goes_back_to_a_snapshot():
    cinder = driver()
    equal(cinder.snapshot_revert_use_temp_snapshot(), False)
    made, before = filled(cinder, 14)
    taken = snapshot(made)
    cinder.create_snapshot(taken)
    volumes.write(made.name, Content.seeded(15, (0, 5 * MIB, 700 * MIB)))
    cinder.extend_volume(made, 2)
    cinder.revert_to_snapshot(CONTEXT, made, taken)
    volumes.holds(made.name, before, GIB)
    equal(volumes.snapshots(made.name), {taken.name: True})
    cinder.delete_snapshot(taken)
    cinder.delete_volume(made)


@step
def a_volume_in_use_is_not_deleted():
    cinder = driver()
    made, content = filled(cinder, 16)
    with volumes.open(made.name, read_only=False) as image:
        equal(image.read(0, 4096), content.range(0, 4096))
        must_raise(exception.VolumeIsBusy, cinder.delete_volume, made)
        image.write(b"x" * 512, 0)
    equal(volumes.names(), [made.name])
    cinder.delete_volume(made)
    equal(volumes.names(), [])


@step
def a_volume_moves_to_another_pool():
    cinder = driver()
    made, content = filled(cinder, 17)
    stay = cinder.get_volume_stats(refresh=True)
    equal(cinder.migrate_volume(CONTEXT, made, {"capabilities": stay}), (True, None))
    equal(volumes.names(), [made.name])
    target = dict(stay, location_info=stay["location_info"].replace(volumes.name, others.name))
    equal(cinder.migrate_volume(CONTEXT, made, {"capabilities": target}), (True, None))
    equal((volumes.names(), others.names()), ([], [made.name]))
    others.holds(made.name, content, GIB)
    there = driver(others)
    renamed = volume()
    equal(there.update_migrated_volume(CONTEXT, renamed, made, "available"),
          {"_name_id": None, "provider_location": None})
    equal(others.names(), [renamed.name])
    there.delete_volume(renamed)
    equal(others.names(), [])


@step
def deferred_deletion_goes_through_the_trash():
    """The driver empties it by itself, every second here."""
    cinder = driver(others, enable_deferred_deletion=True, deferred_deletion_delay=2, deferred_deletion_purge_interval=1)
    made = volume()
    cinder.create_volume(made)
    content = Content.seeded(18)
    others.write(made.name, content)
    clone = volume()
    cinder.create_cloned_volume(clone, made)
    cinder.delete_volume(made)
    equal(others.names(), sorted([clone.name, f"{made.name}.deleted"]))
    others.holds(clone.name, content, GIB)
    cinder.check_for_setup_error()
    deleted_at_once = volume()
    cinder.create_volume(deleted_at_once)
    cinder.delete_volume(deleted_at_once)
    rbd.RBD().trash_move(others.io, clone.name, 2)
    equal(others.trash(), [clone.name])
    with eventlet.Timeout(20):
        while others.trash():
            eventlet.sleep(0.2)


if __name__ == "__main__":
    common.run()
