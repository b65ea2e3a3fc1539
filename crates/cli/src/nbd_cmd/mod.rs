//! The `lsd-nbd` command: rbd-nbd's words over lsd images, and a server for NBD clients.
//!
//! Owns: its command line, the daemon behind a mapped device, finding such daemons again. Does not own: the NBD
//! protocol and the driver (crate `lsd-nbd`), specifications and opening images.
use crate::error::Failure;
use crate::globals::Globals;
use crate::output::print;
use crate::session::Session;
use args::Options;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

mod args;
mod daemon;
mod list;
mod map;
mod mapped;
mod serve;
mod unmap;

pub(crate) const USAGE: &str = "\
Usage: lsd-nbd [options] map <image-or-snap-spec>    Map image to nbd device
               unmap <device|image-or-snap-spec>     Unmap nbd device
               [options] list-mapped                 List mapped nbd devices
               [options] serve [<name>=]<image-or-snap-spec> ...
                                                     Serve images to NBD clients

A spec is [<pool>/[<namespace>/]]<image>[@<snap>], or dir:<path>/<image> for an image in a directory.

Map options:
  --device <device path>        Specify nbd device path (/dev/nbd{num})
  --exclusive                   Forbid writes by other clients
  --io-timeout <sec>            Set nbd IO timeout
  --max_part <limit>            Override for module param max_part
  --nbds_max <limit>            Override for module param nbds_max
  --read-only                   Map read-only
  --reattach-timeout <sec>      Set how long IO waits once the serving process is gone
  --try-netlink                 Use the nbd netlink interface (the default where it is there)
  --show-cookie                 Show device cookie
  --cookie                      Specify device cookie

Unmap options:
  --force                       Unmap a device that is mounted or otherwise in use
  --reattach-timeout <sec>      Set how long to wait for the serving process to end (default: 30)

List options:
  --format plain|json|xml       Output format (default: plain)
  --pretty-format               Pretty formatting (json and xml)

Serve options:
  --socket <path>               Listen on a Unix socket
  --listen <host:port>          Listen on TCP
  --read-only                   Export read-only
  --exclusive                   Forbid writes by other clients

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
  --log-file FILE   write that, and librados' log, to a file (default: standard error)
  --version         show version and quit

  -d, -f            run in foreground
";

/// How rbd-nbd exits on any failure.
const EXIT_FAILURE: u8 = 1;

/// Everything a command of `lsd-nbd` works with.
pub(crate) struct Invocation {
    /// The name the program was called by, for messages.
    pub program: String,
    /// The whole command line as it was given, the program's name first.
    pub words: Vec<OsString>,
    pub globals: Globals,
    pub options: Options,
}

/// Runs `lsd-nbd` with a command line that begins with the program's name.
pub fn lsd_nbd_main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let words: Vec<OsString> = args.collect();
    let program = words.first().and_then(|word| Path::new(word).file_name()).unwrap_or("lsd-nbd".as_ref());
    let program = program.to_string_lossy().into_owned();
    crate::output::set_program(&program);
    match run(program, words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            crate::report(&failure);
            ExitCode::from(EXIT_FAILURE)
        }
    }
}

fn run(program: String, words: Vec<OsString>) -> crate::error::Result<()> {
    let text = |word: &OsString| {
        word.to_str().map(str::to_owned).ok_or_else(|| Failure::usage(format!("{} is not UTF-8", word.display())))
    };
    let arguments = words.iter().skip(1).map(text).collect::<Result<Vec<_>, _>>()?;
    let (globals, options) = args::parse(arguments, &|key| std::env::var(key).ok())?;
    if options.help {
        return print(USAGE);
    }
    if globals.version {
        return print(&format!("lsd version {}\n", crate::version()));
    }
    let invocation = Invocation { program, words, globals, options };
    match invocation.options.command.as_deref() {
        Some("map") => map::run(invocation),
        Some("unmap") => unmap::run(invocation),
        Some("list-mapped") => list::run(invocation),
        Some("serve") => serve::run(invocation),
        Some(later @ ("attach" | "detach")) => {
            Err(Failure::errno(&format!("{later} is not supported yet"), nix::libc::EOPNOTSUPP))
        }
        Some(unknown) => Err(Failure::usage(format!("unknown command: {unknown}"))),
        None => Err(Failure::usage("must specify command")),
    }
}

impl Invocation {
    /// Begins the log, too: where there is a session, this is the process that stays.
    fn session(&self) -> crate::error::Result<Session> {
        let session = Session::new(self.globals.clone())?;
        session.start_log(&|key| std::env::var(key).ok())?;
        Ok(session)
    }
}
