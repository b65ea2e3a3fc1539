"""Cinder's own RBD driver, made as cinder-volume makes it, and the objects that it is given.

Owns: its configuration (ceph-conf/cinder.conf with what differs in a test), volumes, snapshots, types, and the stand-ins for
what is neither Cinder's driver nor Ceph: the database, Glance, and the daemon that runs commands as root. Does not own: steps.
"""
import pathlib
import uuid

from oslo_config import cfg

from cinder import context, exception, objects, privsep  # noqa: F401  `exception` for the steps
from cinder.image import image_utils
from cinder.volume import configuration, driver as base, qos_specs
from cinder.volume.drivers import rbd as cinder_rbd
from os_brick import privileged as brick_privileged

from world import Content, world

CONF = cfg.CONF
BACKEND = "lsd"
SETTINGS = pathlib.Path(__file__).parents[2] / "ceph-conf/cinder.conf"

objects.register_all()
CONF([], project="cinder", default_config_files=[str(SETTINGS)])
CONF.set_override("state_path", str(world.dir))
CONF.set_override("image_conversion_dir", str(world.dir / "conversion"))
CONF.set_override("lock_path", str(world.dir), "oslo_concurrency")
# As root, in this process, instead of a daemon that sudo starts.
privsep.sys_admin_pctxt.set_client_mode(False)
brick_privileged.default.set_client_mode(False)

CONTEXT = context.get_admin_context()

volumes = world.pool("volumes")
others = world.pool("others")
images = world.pool("images")
# As ceph-conf/capabilities.md gives it: Glance's images are read, and told of their clones.
USER = world.user("cinder", f"profile rbd pool={volumes.name}, profile rbd pool={others.name}, "
                            f"profile rbd-read-only pool={images.name}, "
                            f"allow rwx pool={images.name} object_prefix lsd_header.")


def driver(pool=volumes, **settings):
    """A driver of its own; `settings` count until the next one is made."""
    values = {
        "rbd_pool": pool.name, "rbd_ceph_conf": world.conf, "rbd_user": USER, "rbd_max_clone_depth": 3,
        "rbd_flatten_volume_from_snapshot": False, "rados_connection_interval": 0, "enable_deferred_deletion": False,
        "rbd_secret_uuid": None, **settings,
    }
    config = configuration.Configuration(base.volume_opts, config_group=BACKEND)
    config.append_config_values(cinder_rbd.RBD_OPTS)
    for name, value in values.items():
        CONF.set_override(name, value, BACKEND)
    # As cinderlib gives it; an installation has it in /etc/ceph.
    config.rbd_keyring_conf = str(world.dir / f"client.{USER}.keyring")
    made = cinder_rbd.RBDDriver(configuration=config, host=f"host@{BACKEND}", db=None)
    made.do_setup(CONTEXT)
    return made


def volume_type(qos=None, **extra_specs):
    made = objects.VolumeType(CONTEXT, id=str(uuid.uuid4()), name="a type", extra_specs=extra_specs, qos_specs_id=None)
    if qos is not None:
        made.qos_specs_id = str(uuid.uuid4())
        QOS[made.qos_specs_id] = {"consumer": "back-end", "specs": qos}
    return made


# By id. The database has them in an installation.
QOS = {}
qos_specs.get_qos_specs = lambda _context, qos_id: QOS[qos_id]


def volume(size=1, kind=None, **more):
    return objects.Volume(
        CONTEXT, id=str(uuid.uuid4()), size=size, status="available", use_quota=True, encryption_key_id=None,
        provider_location=None, volume_type=kind or volume_type(), volume_type_id=None, glance_metadata={},
        _name_id=None, **more)


def snapshot(of):
    return objects.Snapshot(
        CONTEXT, id=str(uuid.uuid4()), volume_id=of.id, volume=of, volume_size=of.size, status="available",
        encryption_key_id=None)


def filled(cinder, seed, size=1, **more):
    """A volume with content."""
    made, content = volume(size, **more), Content.seeded(seed)
    cinder.create_volume(made)
    volumes.write(made.name, content)
    return made, content


class Glance:
    """Stands for Glance: one image, in a file."""

    def __init__(self, path, disk_format="raw"):
        self.path, self.disk_format = pathlib.Path(path), disk_format
        self.temp_images = image_utils.TemporaryImages(self)

    def meta(self):
        return {"id": "an-image", "disk_format": self.disk_format, "container_format": "bare", "name": "an image",
                "size": self.path.stat().st_size if self.path.exists() else 0, "status": "active", "properties": {}}

    def show(self, _context, _image_id):
        return self.meta()

    def download(self, _context, _image_id, data):
        data.write(self.path.read_bytes())

    def update(self, _context, _image_id, _meta, data, **_more):
        with open(self.path, "wb") as file:
            while chunk := data.read(4 << 20):
                file.write(chunk)
