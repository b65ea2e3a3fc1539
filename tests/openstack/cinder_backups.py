"""Cinder's backup driver for Ceph: whole backups and increments, which go from pool to pool as `rbd export-diff` into `rbd
import-diff`. Each step says what must be there afterwards."""
import uuid

import world as common
from cinder_driver import CONF, CONTEXT, driver, exception, objects, volume, volumes
from world import GIB, MIB, Content, equal, must_raise, step, world

from cinder.backup.drivers import ceph

backups = world.pool("backups")
USER = world.user("cinder-backup", f"profile rbd pool={backups.name}")

CONF.set_override("backup_ceph_conf", world.conf)
CONF.set_override("backup_ceph_user", USER)
CONF.set_override("backup_ceph_pool", backups.name)


class Database:
    """Knows the volumes."""

    def __init__(self):
        self.volumes = {}

    def volume_get(self, _context, volume_id):
        return self.volumes[volume_id]


class Service:
    """cinder-backup: the driver, and how its manager gives it a volume."""

    def __init__(self):
        self.cinder = driver()
        self.driver = ceph.CephBackupDriver(CONTEXT)
        self.driver.db = self.db = Database()

    def volume(self, size=1):
        made = volume(size)
        self.cinder.create_volume(made)
        self.db.volumes[made.id] = made
        return made

    def backup(self, of, parent=None):
        made = objects.Backup(CONTEXT, id=str(uuid.uuid4()), volume_id=of.id, snapshot_id=None, container=backups.name,
                              parent_id=parent and parent.id, service_metadata=None, status="creating")
        made.parent = parent
        handle = self.cinder._get_rbd_handle(of)
        try:
            made.service_metadata = self.driver.backup(made, handle, backup_metadata=False)["service_metadata"]
        finally:
            handle.close()
        return made

    def restore(self, backup, size=1):
        made = self.volume(size)
        handle = self.cinder._get_rbd_handle(made)
        try:
            self.driver.restore(backup, made.id, handle, True)
        finally:
            handle.close()
        return made


@step
def a_volume_is_backed_up_in_increments():
    service = Service()
    made, content = service.volume(), Content.seeded(1)
    volumes.write(made.name, content)
    taken, contents = [service.backup(made)], [content]
    for number, place in ((2, 5 * MIB + 512), (3, 400 * MIB)):
        content = content.with_parts(Content.seeded(number, (place,)))
        volumes.write(made.name, content)
        if number == 3:
            with volumes.open(made.name, read_only=False) as image:
                image.discard(0, 64 * 1024)
            content = content.with_parts(Content({0: bytes(64 * 1024)}))
        taken.append(service.backup(made, taken[-1]))
        contents.append(content)
    [base] = backups.names()
    equal(base, f"volume-{made.id}.backup.{taken[0].id}")
    kept = sorted(backups.snapshots(base))
    equal([name.split(".")[1] for name in kept], sorted(backup.id for backup in taken))
    equal(sorted(volumes.snapshots(made.name)), kept)
    backups.holds_all(base, contents[-1], GIB)
    volumes.write(made.name, Content.seeded(9, (0, 400 * MIB)))
    for backup, content in zip(taken, contents):
        restored = service.restore(backup)
        volumes.holds(restored.name, content, GIB)
        service.cinder.delete_volume(restored)
    larger = service.restore(taken[1], 2)
    volumes.holds(larger.name, contents[1], 2 * GIB)
    service.driver.delete_backup(taken[2])
    service.driver.delete_backup(taken[1])
    equal([name.split(".")[1] for name in backups.snapshots(base)], [taken[0].id])
    volumes.holds(service.restore(taken[0]).name, contents[0], GIB)
    service.driver.delete_backup(taken[0])
    equal(backups.names(), [])
    service.cinder.delete_volume(made)


@step
def an_increment_of_what_is_gone_is_refused():
    service = Service()
    made = service.volume()
    volumes.write(made.name, Content.seeded(4))
    backup = service.backup(made)
    [base] = backups.names()
    with backups.open(base, read_only=False) as image:
        image.remove_snap(list(backups.snapshots(base))[0])
    must_raise(exception.BackupRBDOperationFailed, service.backup, made, backup)
    equal(len(volumes.snapshots(made.name)), 1)


if __name__ == "__main__":
    common.run()
