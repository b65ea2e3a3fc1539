//! The `lsd-nbd` command: rbd-nbd's words over lsd images, and a server for NBD clients. Called as `rbd-nbd`,
//! by a symbolic link, it takes that program's place.
//!
//! Owns: its command line, the daemon behind a mapped device, finding such daemons again. Does not own: the NBD
//! protocol and the driver (crate `lsd-nbd`), specifications and opening images.
use crate::error::Failure;
use crate::globals::Globals;
use crate::output::print;
use crate::session::Session;
use args::Options;
use lsd_log::LEVEL_OPTION;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

mod args;
mod connections;
mod daemon;
mod driver;
mod list;
mod map;
mod mapped;
mod presence;
mod quiesce;
mod serve;
mod unmap;
mod usage;

/// What `lsd-nbd --help` prints.
pub(crate) fn usage_text() -> String {
    usage::text("lsd-nbd")
}

/// How rbd-nbd exits on any failure.
const EXIT_FAILURE: u8 = 1;
/// What goes into a log file that was named without a level.
const FILE_LEVEL: &str = "info";

/// Everything a command of `lsd-nbd` works with.
pub(crate) struct Invocation {
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
        return print(&usage::text(&program));
    }
    if globals.version {
        return print(&format!("lsd version {}\n", crate::version()));
    }
    options.warnings.iter().for_each(|warning| crate::output::warn_named(warning));
    let invocation = Invocation { words, globals, options };
    match invocation.options.command.as_deref() {
        Some("map") => map::run(invocation),
        Some("attach") => map::attach(invocation),
        Some("unmap") => unmap::run(invocation),
        Some("detach") => unmap::detach(invocation),
        Some("list-mapped") => list::run(invocation),
        Some("serve") => serve::run(invocation),
        Some(unknown) => Err(Failure::usage(format!("unknown command: {unknown}"))),
        None => Err(Failure::usage("must specify command")),
    }
}

impl Invocation {
    /// Begins the log, too: where there is a session, this is the process that stays.
    fn session(&self) -> crate::error::Result<Session> {
        let session = Session::new(self.globals.clone())?;
        session.start_log(&|key| std::env::var(key).ok())?;
        self.log_into_file();
        Ok(session)
    }

    /// Whoever names a file, and no level, wants to find something in it: rbd-nbd's callers know no level of ours.
    fn log_into_file(&self) {
        let file = self.globals.setting("log_file").filter(|file| !file.is_empty());
        if let Some(file) = file.filter(|_| !lsd_log::is_on() && self.globals.setting(LEVEL_OPTION).is_none()) {
            // The level is a known one.
            let _ = lsd_log::start(FILE_LEVEL, Some(Path::new(file)));
        }
    }

    /// The cluster is not asked, and its configuration only for this.
    fn default_pool(&self) -> String {
        Session::new(self.globals.clone()).map_or_else(|_| "rbd".to_owned(), |session| session.default_pool())
    }
}
