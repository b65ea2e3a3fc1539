"""What the measuring scripts of this folder share: a client that uses one library on the cluster of one ceph.conf."""
import os
import subprocess
import sys
import time


class Client:
    def __init__(self, libdir, conf):
        self.env = dict(os.environ, LD_LIBRARY_PATH=os.path.abspath(libdir), CEPH_CONF=conf)
        self.conf = conf

    def run(self, *command):
        done = subprocess.run(command, env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}: {done.stderr or done.stdout}")
        return done.stdout

    def python(self, program, *arguments):
        return self.run("/usr/bin/python3", "-c", program, *arguments)

    def create(self, image, size):
        self.run("qemu-img", "create", "-q", "-f", "raw", f"rbd:rbd/{image}:conf={self.conf}", str(size))

    def wait_for_watch(self, headers):
        """Waits until nobody watches these objects; returns the seconds it took."""
        began = time.monotonic()
        while any(self.run("rados", "-p", "rbd", "listwatchers", header) for header in headers):
            time.sleep(0.2)
        return time.monotonic() - began

    def write_and_kill(self, fio, log_bytes, most):
        """Runs fio and kills it in the middle of writing, as soon as the log has its size; returns the seconds it took."""
        child = subprocess.Popen(fio, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.PIPE, text=True)
        began = time.monotonic()
        try:
            while log_bytes() < most:
                if child.poll() is not None:
                    sys.exit(f"fio ended by itself: {child.stderr.read()}")
                time.sleep(0.1)
        finally:
            child.kill()
            child.wait()
        return time.monotonic() - began


def segments(io):
    """Sizes of the segments in the pool, bytes."""
    return [io.stat(entry.key)[0] for entry in io.list_objects() if entry.key.startswith("lsd_data.")]


def headers(io):
    return {entry.key for entry in io.list_objects() if entry.key.startswith("lsd_header.")}
