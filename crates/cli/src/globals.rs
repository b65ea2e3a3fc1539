//! Ceph's own options, which every tool takes anywhere on its command line: which configuration file, which client,
//! which monitors, which keys, and settings given as options.
//!
//! Owns: splitting them from a command's arguments, CEPH_ARGS and CEPH_CONF. Does not own: the commands' options.
use crate::error::{Failure, Result};
use std::path::PathBuf;

/// How to reach a cluster, from the command line and the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Globals {
    /// `-c`/`--conf`, else CEPH_CONF: one path or several separated by commas. `None`: the usual places.
    pub conf: Option<String>,
    /// `--cluster`; `None`: `ceph`.
    pub cluster: Option<String>,
    /// The client's whole name, such as `client.admin`; from `--name`, `--id` or `--user`.
    pub name: Option<String>,
    /// Settings for librados (`mon_host`, `keyring`, `keyfile` and any other) and of our own (`--log-level` is `lsd_log_level`), in
    /// the order given: the last one counts.
    pub overrides: Vec<(String, String)>,
    /// `--version` or `-v`.
    pub version: bool,
}

/// The prefixes of Ceph's and our own settings. An option that starts with one of them, and that the command does not
/// know itself, is a setting.
const SETTING_PREFIXES: [&str; 17] = [
    "lsd_",
    "rbd_",
    "rados_",
    "mon_",
    "ms_",
    "osd_",
    "objecter_",
    "client_",
    "debug_",
    "log_",
    "auth_",
    "cephx_",
    "crush_",
    "plugin_",
    "heartbeat_",
    "admin_socket",
    "err_to_",
];

/// Settings that stand alone, without one of the prefixes.
const SETTING_NAMES: [&str; 6] = ["keyring", "keyfile", "key", "mon_host", "fsid", "run_dir"];

/// Settings and options that take no value.
const SWITCHES: [(&str, &str, &str); 3] = [
    ("--no-config-file", "no_config_file", "true"),
    ("--no-mon-config", "no_mon_config", "true"),
    ("--log-to-stderr", "log_to_stderr", "true"),
];

impl Globals {
    /// Takes Ceph's options out of `args` (without the program's name) and of CEPH_ARGS, which counts as if it stood
    /// before them. What is left belongs to the command. Nothing is taken after `--`.
    pub fn split(args: Vec<String>, env: &dyn Fn(&str) -> Option<String>) -> Result<(Self, Vec<String>)> {
        let mut globals = Self { conf: env("CEPH_CONF").filter(|path| !path.is_empty()), ..Self::default() };
        let from_env = env("CEPH_ARGS").unwrap_or_default();
        let all = from_env.split_whitespace().map(str::to_owned).chain(args);
        let mut words = all.collect::<Vec<_>>().into_iter();
        let mut rest = Vec::new();
        while let Some(word) = words.next() {
            if word == "--" {
                rest.push(word);
                rest.extend(words.by_ref());
            } else if !globals.take(&word, &mut words)? {
                rest.push(word);
            }
        }
        Ok((globals, rest))
    }

    /// True if `word` (and its value from `words`) was one of Ceph's options.
    fn take(&mut self, word: &str, words: &mut dyn Iterator<Item = String>) -> Result<bool> {
        if let Some((_, key, value)) = SWITCHES.iter().find(|(option, _, _)| *option == word) {
            self.overrides.push(((*key).to_owned(), (*value).to_owned()));
            return Ok(true);
        }
        if word == "--version" || word == "-v" {
            self.version = true;
            return Ok(true);
        }
        let (option, inline) = match word.split_once('=') {
            Some((option, value)) if word.starts_with("--") => (option, Some(value.to_owned())),
            _ => (word, None),
        };
        let Some(target) = target_of(option) else { return Ok(false) };
        let value = inline.or_else(|| words.next());
        let value = value.ok_or_else(|| Failure::bare(1, format!("Option {option} requires an argument.")))?;
        match target {
            Target::Conf => self.conf = Some(value),
            Target::Cluster => self.cluster = Some(value),
            Target::Id => self.name = Some(format!("client.{value}")),
            Target::Name => self.name = Some(value),
            Target::Setting(key) => self.overrides.push((key, value)),
        }
        Ok(true)
    }

    /// The client's whole name.
    pub fn entity(&self) -> &str {
        self.name.as_deref().unwrap_or("client.admin")
    }

    /// The configuration files to try, first to last; the first that can be opened counts.
    pub fn conf_candidates(&self, home: Option<&str>) -> Vec<PathBuf> {
        if let Some(conf) = &self.conf {
            return conf.split([',', ';']).map(|path| PathBuf::from(path.trim())).collect();
        }
        let cluster = self.cluster.as_deref().unwrap_or("ceph");
        let mut paths = vec![PathBuf::from(format!("/etc/ceph/{cluster}.conf"))];
        paths.extend(home.map(|home| PathBuf::from(format!("{home}/.ceph/{cluster}.conf"))));
        paths.push(PathBuf::from(format!("{cluster}.conf")));
        paths
    }

    /// A command line that says the same, for a program that takes the same options.
    pub fn to_words(&self) -> Vec<String> {
        let named = [("conf", &self.conf), ("cluster", &self.cluster), ("name", &self.name)];
        let given = named.into_iter().filter_map(|(option, value)| Some((option, value.as_ref()?)));
        let mut words: Vec<String> = given.flat_map(|(option, value)| [format!("--{option}"), value.clone()]).collect();
        for (key, value) in &self.overrides {
            let switch = SWITCHES.iter().find(|(_, name, on)| name == key && on == value);
            words.push(switch.map_or_else(|| format!("--{key}={value}"), |(option, ..)| (*option).to_owned()));
        }
        words
    }

    /// The last value given for a setting.
    pub fn setting(&self, key: &str) -> Option<&str> {
        self.overrides.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

enum Target {
    Conf,
    Cluster,
    Id,
    Name,
    Setting(String),
}

fn target_of(option: &str) -> Option<Target> {
    let target = match option {
        "-c" | "--conf" => Target::Conf,
        "--cluster" => Target::Cluster,
        "--id" | "--user" => Target::Id,
        "-n" | "--name" => Target::Name,
        "-m" => Target::Setting("mon_host".into()),
        "-k" => Target::Setting("keyring".into()),
        "-K" => Target::Setting("keyfile".into()),
        _ => {
            let key = option.strip_prefix("--")?.replace('-', "_");
            if key == "log_level" {
                return Some(Target::Setting(lsd_log::LEVEL_OPTION.into()));
            }
            let known =
                SETTING_NAMES.contains(&key.as_str()) || SETTING_PREFIXES.iter().any(|prefix| key.starts_with(prefix));
            if !known {
                return None;
            }
            Target::Setting(key)
        }
    };
    Some(target)
}

#[cfg(test)]
mod tests;
