//! Settings named `lsd_*`, which librados does not know and therefore does not give back.
//!
//! Owns: finding the configuration file that librados reads, and what was set beside it. Does not own: the file's
//! grammar (`conf_file`), every other setting (librados). A file that cannot be read has no settings.
use crate::conf_file::ConfFile;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// lsd's own settings as one client sees them.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnSettings {
    file: ConfFile,
    entity: String,
    set: BTreeMap<String, String>,
}

/// True for lsd's own settings. Ceph takes spaces, dashes and underscores in a key for the same.
pub(crate) fn is_own(key: &str) -> bool {
    normal_key(key).starts_with("lsd_")
}

fn normal_key(key: &str) -> String {
    key.trim().replace([' ', '-'], "_")
}

impl OwnSettings {
    /// From the file that the client `entity` (as `client.admin`) of a cluster reads: the one given, or the first
    /// that exists of librados' search list.
    pub fn load(conf_file: Option<&Path>, cluster: &str, entity: &str) -> Self {
        let text = match conf_file {
            Some(path) => fs::read_to_string(path).ok(),
            None => search_list(cluster).iter().find_map(|path| fs::read_to_string(path).ok()),
        };
        let file = text.map(|text| ConfFile::parse(&text)).unwrap_or_default();
        Self { file, entity: entity.to_owned(), set: BTreeMap::new() }
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.set.get(&normal_key(key)).map(String::as_str).or_else(|| self.file.get(&self.entity, key))
    }

    /// The names of those that are set, known or not.
    pub fn names(&self) -> Vec<String> {
        let file = self.file.options(&self.entity).into_keys().filter(|key| is_own(key));
        self.set.keys().cloned().chain(file).collect()
    }

    /// Sets what the file does not say; it wins over the file.
    pub fn set(&mut self, key: &str, value: &str) {
        self.set.insert(normal_key(key), value.to_owned());
    }
}

/// Where librados looks when no file is named.
fn search_list(cluster: &str) -> Vec<PathBuf> {
    if let Some(named) = std::env::var_os("CEPH_CONF") {
        return std::env::split_paths(&named).collect();
    }
    let file = format!("{cluster}.conf");
    let mut list = vec![Path::new("/etc/ceph").join(&file)];
    if let Some(home) = std::env::var_os("HOME") {
        list.push(Path::new(&home).join(".ceph").join(&file));
    }
    list.push(PathBuf::from(file));
    list
}
