//! The command line of `lsd-nbd`: options may stand anywhere, as in rbd-nbd.
//!
//! Owns: which options there are, what their values may be, the words for what is wrong with them. Does not own: which command
//! takes which (the commands).
use crate::error::{Failure, Result};
use crate::globals::Globals;
use crate::output::format::Format;
use crate::session::Location;
use crate::spec::Place;
use lsd_nbd::kernel::DeviceIndex;
use std::path::{Path, PathBuf};

/// What was asked for. Values are checked; which command takes them is not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub command: Option<String>,
    /// What stands after the command.
    pub arguments: Vec<String>,
    pub help: bool,
    pub device: Option<DeviceIndex>,
    pub read_only: bool,
    /// Be the image's writer from the start, not from the first write on.
    pub exclusive: bool,
    /// The device takes no discards.
    pub no_trim: bool,
    /// Acknowledge writes as the image's settings say, and not when they are durable.
    pub writeback: bool,
    /// Do not wait for udev.
    pub no_udev: bool,
    /// Seconds.
    pub io_timeout: Option<u64>,
    /// Seconds.
    pub reattach_timeout: Option<u64>,
    pub nbds_max: Option<u32>,
    pub max_part: Option<u32>,
    /// How many sockets the driver gets.
    pub connections: Option<u32>,
    /// What is on the device becomes quiet before snapshots.
    pub quiesce: bool,
    /// Says nothing without `quiesce`.
    pub quiesce_hook: Option<String>,
    pub cookie: Option<String>,
    pub show_cookie: bool,
    pub snap_id: Option<u64>,
    pub foreground: bool,
    pub pid_file: Option<PathBuf>,
    /// Unmap a device that is in use, or that seems to be another program's.
    pub force: bool,
    pub format: Option<String>,
    pub pretty_format: bool,
    pub socket: Option<PathBuf>,
    pub listen: Option<String>,
    pub pool: Option<String>,
    pub namespace: Option<String>,
    /// To be said before the command begins.
    pub warnings: Vec<String>,
}

/// Options of rbd-nbd that a later version will have.
const LATER: [&str; 3] = ["encryption-passphrase-file", "setuser", "setgroup"];
const ENCRYPTION_FORMATS: [&str; 3] = ["luks", "luks1", "luks2"];

/// Largest number of partitions the driver can be told, as in rbd-nbd.
const MAX_PARTITIONS: u32 = 255;
/// Each connection has a thread of the kernel.
const MAX_CONNECTIONS: u32 = 64;

/// Takes a command line (without the program's name) apart.
pub(crate) fn parse(words: Vec<String>, env: &dyn Fn(&str) -> Option<String>) -> Result<(Globals, Options)> {
    // rbd-nbd knows a short form that the other tools do not have.
    let words = words.into_iter().map(|word| if word == "-i" { "--id".to_owned() } else { word }).collect();
    let (globals, rest) = Globals::split(words, env)?;
    let mut options = Options::default();
    let mut words = rest.into_iter();
    while let Some(word) = words.next() {
        if word == "--" {
            words.by_ref().for_each(|word| options.positional(word));
        } else if word.len() > 1 && word.starts_with('-') {
            options.take(&word, &mut words)?;
        } else {
            options.positional(word);
        }
    }
    Ok((globals, options))
}

impl Options {
    fn positional(&mut self, word: String) {
        if self.command.is_none() {
            self.command = Some(word);
        } else {
            self.arguments.push(word);
        }
    }

    fn take(&mut self, word: &str, words: &mut dyn Iterator<Item = String>) -> Result<()> {
        let (option, inline) = match word.split_once('=') {
            Some((option, value)) => (option, Some(value.to_owned())),
            None => (word, None),
        };
        // Ceph's options may be written with either sign.
        let name = match option.strip_prefix("--") {
            Some(name) => name.replace('_', "-"),
            None => option.to_owned(),
        };
        if self.switch(&name) {
            return if inline.is_some() {
                Err(Failure::usage(format!("option {option} takes no value")))
            } else {
                Ok(())
            };
        }
        if LATER.contains(&name.as_str()) {
            return Err(not_supported(option));
        }
        let mut value = || {
            let given = inline.clone().or_else(|| words.next());
            given.ok_or_else(|| Failure::bare(1, format!("Option {option} requires an argument.")))
        };
        match name.as_str() {
            "device" => self.device = Some(device(&value()?)?),
            "io-timeout" => self.io_timeout = Some(number(&value()?, "io-timeout")?),
            "timeout" => {
                self.io_timeout = Some(number(&value()?, "timeout")?);
                self.warnings.push("--timeout is deprecated (use --io-timeout)".to_owned());
            }
            "reattach-timeout" => self.reattach_timeout = Some(number(&value()?, "reattach-timeout")?),
            // 0: what the driver takes by itself.
            "nbds-max" => self.nbds_max = Some(limited(&value()?, "nbds_max", u32::MAX)?).filter(|limit| *limit > 0),
            "max-part" => self.max_part = Some(limited(&value()?, "max_part(0~255)", MAX_PARTITIONS)?),
            "connections" => {
                let name = format!("connections(1~{MAX_CONNECTIONS})");
                let count = limited(&value()?, &name, MAX_CONNECTIONS)?;
                self.connections = Some(count).filter(|count| *count > 0);
                self.connections.ok_or_else(|| invalid(&name))?;
            }
            "cookie" => self.cookie = Some(value()?),
            "snap-id" => self.snap_id = Some(number(&value()?, "snap-id")?),
            "encryption-format" => {
                let known = ENCRYPTION_FORMATS.contains(&value()?.as_str());
                return Err(if known { not_supported(option) } else { Failure::usage("Invalid encryption format") });
            }
            "quiesce-hook" => self.quiesce_hook = Some(value()?),
            "format" => self.format = Some(value()?),
            "pid-file" => self.pid_file = Some(value()?.into()),
            "socket" => self.socket = Some(value()?.into()),
            "listen" => self.listen = Some(value()?),
            "pool" | "-p" => self.pool = Some(value()?),
            "namespace" => self.namespace = Some(value()?),
            "image" => {
                let spec = value()?;
                self.arguments.insert(0, spec);
            }
            _ => return Err(Failure::usage(format!("unknown option {option}"))),
        }
        Ok(())
    }

    /// True if `name` is an option without a value, which then is set.
    fn switch(&mut self, name: &str) -> bool {
        match name {
            "help" | "-h" => self.help = true,
            "read-only" => self.read_only = true,
            "exclusive" => self.exclusive = true,
            "notrim" => self.no_trim = true,
            "writeback" => self.writeback = true,
            "quiesce" => self.quiesce = true,
            "noudev" => self.no_udev = true,
            "show-cookie" => self.show_cookie = true,
            "pretty-format" => self.pretty_format = true,
            // Netlink comes first anyway.
            "try-netlink" => {}
            "force" => self.force = true,
            "foreground" | "-f" | "-d" => self.foreground = true,
            _ => return false,
        }
        true
    }

    /// The image a specification names; `--pool` and `--namespace` fill in what it leaves out.
    pub fn location(&self, spec: &str) -> Result<Location> {
        let mut location = Location::parse(spec)?;
        if let Place::Pool { pool: pool @ None, namespace } = &mut location.place {
            *pool = self.pool.clone();
            if namespace.is_empty() {
                *namespace = self.namespace.clone().unwrap_or_default();
            }
        }
        if self.snap_id.is_some() && location.snap.is_some() {
            return Err(Failure::usage("use either snapname or snapid, not both"));
        }
        Ok(location)
    }

    /// The one argument of a command; `missing` is what has to be specified.
    pub fn only_argument(&self, missing: &str) -> Result<&str> {
        match self.arguments.as_slice() {
            [] => Err(Failure::usage(format!("must specify {missing}"))),
            [only] => Ok(only),
            [_, extra, ..] => Err(Failure::usage(format!("unknown args: {extra}"))),
        }
    }

    pub fn no_arguments(&self) -> Result<()> {
        match self.arguments.first() {
            None => Ok(()),
            Some(extra) => Err(Failure::usage(format!("unknown args: {extra}"))),
        }
    }

    pub fn output_format(&self) -> Result<Format> {
        let pretty = self.pretty_format;
        match self.format.as_deref() {
            None | Some("" | "plain") => Ok(Format::Plain),
            Some("json") => Ok(Format::Json { pretty }),
            Some("xml") => Ok(Format::Xml { pretty }),
            Some(other) => Err(Failure::usage(format!("invalid output format: {other}"))),
        }
    }
}

fn not_supported(option: &str) -> Failure {
    Failure::errno(&format!("option {option} is not supported yet"), nix::libc::EOPNOTSUPP)
}

/// The device of a path, in rbd-nbd's words where it is none.
pub(super) fn device(text: &str) -> Result<DeviceIndex> {
    let wrong = || Failure::usage(format!("invalid device path: {text} (expected /dev/nbd{{num}})"));
    DeviceIndex::from_path(Path::new(text)).ok_or_else(wrong)
}

fn invalid(name: &str) -> Failure {
    Failure::usage(format!("Invalid argument for {name}!"))
}

fn number(text: &str, name: &str) -> Result<u64> {
    let number: i64 = text.parse().map_err(|_| Failure::usage(format!("The option value '{text}' is invalid")))?;
    u64::try_from(number).map_err(|_| invalid(name))
}

fn limited(text: &str, name: &str, max: u32) -> Result<u32> {
    let number = number(text, name)?;
    u32::try_from(number).ok().filter(|number| *number <= max).ok_or_else(|| invalid(name))
}

#[cfg(test)]
mod tests;
