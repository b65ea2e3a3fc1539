//! What `lsd-nbd --help` prints.

const TEXT: &str = "\
Usage: PROGRAM [options] map <image-or-snap-spec>     Map image to nbd device
               detach <device|image-or-snap-spec>     Detach image from nbd device
               [options] attach <image-or-snap-spec>  Attach image to nbd device
               unmap <device|image-or-snap-spec>      Unmap nbd device
               [options] list-mapped                  List mapped nbd devices
               [options] serve [<name>=]<image-or-snap-spec> ...
                                                      Serve images to NBD clients

A spec is [<pool>/[<namespace>/]]<image>[@<snap>], or dir:<path>/<image> for an image in a directory.

Map and attach options:
  --device <device path>        Specify nbd device path (/dev/nbd{num})
  --exclusive                   Forbid writes by other clients
  --notrim                      Turn off trim/discard
  --io-timeout <sec>            Set nbd IO timeout
  --max_part <limit>            Override for module param max_part
  --nbds_max <limit>            Override for module param nbds_max
  --quiesce                     Use quiesce callbacks
  --quiesce-hook <path>         Specify quiesce hook path
                                (default: /usr/libexec/rbd-nbd/rbd-nbd_quiesce, or the same in
                                /usr/lib where it is only there)
  --read-only                   Map read-only
  --reattach-timeout <sec>      Set how long IO waits once the serving process is gone
                                (default: 30)
  --try-netlink                 Use the nbd netlink interface (the default where it is there)
  --show-cookie                 Show device cookie
  --cookie                      Specify device cookie
  --snap-id <snap-id>           Specify snapshot by ID instead of by name
  --connections <count>         Give the driver several connections (default: 1)
  --writeback                   Acknowledge writes as the image's cache settings say; what was not
                                flushed is lost if the serving process dies (default: writes are
                                durable when they are acknowledged)
  --noudev                      Do not wait for udev
  --pid-file <path>             Write the serving process's ID into a file

SIGTERM or SIGINT detaches: the process ends once the requests it has are answered and the image
is closed, and the device waits for another one to be attached.

Unmap and detach options:
  --device <device path>        Specify nbd device path (/dev/nbd{num})
  --snap-id <snap-id>           Specify snapshot by ID instead of by name
  --force                       Unmap a device that is mounted or otherwise in use, or that seems
                                to be another program's
  --reattach-timeout <sec>      Set how long to wait for the serving process to end (default: 30)

List options:
  --format plain|json|xml       Output format (default: plain)
  --pretty-format               Pretty formatting (json and xml)

Serve options:
  --socket <path>               Listen on a Unix socket
  --listen <host:port>          Listen on TCP
  --read-only                   Export read-only
  --exclusive                   Forbid writes by other clients
  --pid-file <path>             Write the process's ID into a file once it listens

SIGTERM or SIGINT ends a server once the requests it has are answered and the images are closed;
a second one ends it at once, and what was not flushed may be lost. SIGUSR1 makes it tell on
standard error who is connected. It serves up to 256 connections, with up to 512 MiB of
requests. Only when they are all taken and another client comes, one that was silent for five
minutes loses its connection.

  --conf/-c FILE    read configuration from the given configuration file
  --id/-i ID        set ID portion of my name
  --name/-n TYPE.ID set name
  --cluster NAME    set cluster name (default: ceph)
  --keyring/-k FILE, --keyfile/-K FILE
                    read keys, or the one key, from a file
  -m HOST           monitors to connect to
  --pool/-p POOL    pool of a spec that names none
  --namespace NAME  namespace of a spec that names no pool
  --log-level LEVEL tell what happens: error, warn, info, debug or trace
  --log-file FILE   write that (level info if none is given), and librados' log, to a file
  --version         show version and quit

  -d, -f            run in foreground
";

/// The text for a program that was called by this name.
pub(super) fn text(program: &str) -> String {
    TEXT.replacen("PROGRAM", program, 1)
}
