//! The command line of `lsd-nbd`: options may stand anywhere, as in rbd-nbd.
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
    /// Seconds.
    pub io_timeout: Option<u64>,
    /// Seconds.
    pub reattach_timeout: Option<u64>,
    pub nbds_max: Option<u32>,
    pub max_part: Option<u32>,
    pub cookie: Option<String>,
    pub show_cookie: bool,
    pub foreground: bool,
    /// Unmap a device that is in use.
    pub force: bool,
    pub format: Option<String>,
    pub pretty_format: bool,
    pub socket: Option<PathBuf>,
    pub listen: Option<String>,
    pub pool: Option<String>,
    pub namespace: Option<String>,
}

/// Options of rbd-nbd that a later version will have.
const LATER: [&str; 5] = ["encryption-format", "encryption-passphrase-file", "quiesce", "quiesce-hook", "snap-id"];

/// Largest number of partitions the driver can be told, as in rbd-nbd.
const MAX_PARTITIONS: u32 = 255;

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
            return Err(Failure::errno(&format!("option {option} is not supported yet"), nix::libc::EOPNOTSUPP));
        }
        let mut value = || {
            let given = inline.clone().or_else(|| words.next());
            given.ok_or_else(|| Failure::bare(1, format!("Option {option} requires an argument.")))
        };
        match name.as_str() {
            "device" => self.device = Some(device(&value()?)?),
            "io-timeout" => self.io_timeout = Some(number(&value()?)?),
            "timeout" => {
                eprintln!("warning: --timeout is deprecated, use --io-timeout");
                self.io_timeout = Some(number(&value()?)?);
            }
            "reattach-timeout" => self.reattach_timeout = Some(number(&value()?)?),
            "nbds-max" => self.nbds_max = Some(limited(&value()?, "nbds_max", 1, u32::MAX)?),
            "max-part" => self.max_part = Some(limited(&value()?, "max_part", 0, MAX_PARTITIONS)?),
            "cookie" => self.cookie = Some(value()?),
            "format" => self.format = Some(value()?),
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

fn device(text: &str) -> Result<DeviceIndex> {
    let wrong = || Failure::usage(format!("invalid device path: {text} (expected /dev/nbd{{num}})"));
    DeviceIndex::from_path(Path::new(text)).ok_or_else(wrong)
}

fn number(text: &str) -> Result<u64> {
    text.parse().map_err(|_| Failure::usage(format!("The option value '{text}' is invalid")))
}

fn limited(text: &str, name: &str, min: u32, max: u32) -> Result<u32> {
    let number = number(text)?;
    let fits = u32::try_from(number).ok().filter(|number| (min..=max).contains(number));
    fits.ok_or_else(|| Failure::usage(format!("Invalid argument for {name}({text}): out of range")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<(Globals, Options)> {
        parse(line.split_whitespace().map(str::to_owned).collect(), &|_| None)
    }

    #[test]
    fn options_stand_anywhere_and_take_either_form() {
        let line = "--id u -m 1.2.3.4 --keyfile=/k --log-file /l map rbd/a --try-netlink --reattach-timeout=300 \
                    --io-timeout=0 --cookie=vol --device /dev/nbd3 --max_part 0 --nbds-max=4 --read-only";
        let (globals, options) = parsed(line).unwrap();
        assert_eq!(globals.entity(), "client.u");
        assert_eq!((options.command.as_deref(), &options.arguments[..]), (Some("map"), &["rbd/a".to_owned()][..]));
        assert_eq!((options.io_timeout, options.reattach_timeout), (Some(0), Some(300)));
        assert_eq!((options.max_part, options.nbds_max), (Some(0), Some(4)));
        assert_eq!((options.device, options.cookie.as_deref()), (Some(DeviceIndex(3)), Some("vol")));
        assert!(options.read_only && !options.exclusive);
        let (globals, _) = parsed("-i other list-mapped").unwrap();
        assert_eq!(globals.entity(), "client.other");
    }

    #[test]
    fn wrong_options_say_what_is_wrong() {
        for (line, wanted) in [
            ("map --device /dev/sda a", "invalid device path: /dev/sda (expected /dev/nbd{num})"),
            ("map --device", "Option --device requires an argument."),
            ("map --io-timeout x a", "The option value 'x' is invalid"),
            ("map --max_part 256 a", "Invalid argument for max_part(256): out of range"),
            ("map --nbds_max 0 a", "Invalid argument for nbds_max(0): out of range"),
            ("map --frob a", "unknown option --frob"),
            ("map --read-only=yes a", "option --read-only takes no value"),
            ("map --snap-id 4 a", "option --snap-id is not supported yet: (95) Operation not supported"),
        ] {
            assert_eq!(parsed(line).unwrap_err().message, wanted, "{line}");
        }
    }

    #[test]
    fn pool_and_namespace_fill_in() {
        let (_, options) = parsed("map -p p --namespace n a").unwrap();
        let place = |spec: &str| options.location(spec).unwrap().place;
        assert_eq!(place("a"), Place::Pool { pool: Some("p".into()), namespace: "n".into() });
        assert_eq!(place("q/a"), Place::Pool { pool: Some("q".into()), namespace: String::new() });
        assert_eq!(place("dir:/d/a"), Place::Directory("/d".into()));
    }
}
