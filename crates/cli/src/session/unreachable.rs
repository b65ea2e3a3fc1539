//! Why a cluster could not be reached, in words that say what to put right.
//!
//! Owns: looking at the keys that librados would have taken. Does not own: the connection.
use crate::error::describe_errno;
use lsd_rados::conf_file::ConfFile;
use lsd_rados::{Cluster, ConnectOptions};
use nix::libc;
use std::fmt::Write;

/// What is known of a connection that failed with `errno`; blocks.
pub fn why(options: &ConnectOptions, errno: i32) -> String {
    let get = |key: &str| options_setting(options, key);
    let (entity, errno_words) = (options.client_name(), describe_errno(errno));
    let monitors = get("mon_host");
    if errno == libc::ETIMEDOUT {
        return format!("{errno_words}: no monitor answers (mon_host = {})", monitors.unwrap_or_default());
    }
    if errno == libc::ENOENT && monitors.is_none() {
        let without = "an image in a directory, without a cluster, is dir:PATH/IMAGE";
        return format!("{errno_words}: no monitors are known; ceph.conf (-c) or -m names them; {without}");
    }
    let key = match (get("key"), get("keyfile")) {
        (Some(_), _) => Ok("the setting 'key'".to_owned()),
        (None, Some(path)) => readable(&path).map(|_| path),
        (None, None) => in_keyring(&get("keyring").unwrap_or_default(), &entity),
    };
    match key {
        Err(why) => format!("{errno_words}: {why}"),
        Ok(source) => {
            format!("{errno_words}: the cluster does not know {entity}, or has another key for it than {source}")
        }
    }
}

fn options_setting(options: &ConnectOptions, key: &str) -> Option<String> {
    Cluster::configured(options, key).ok().flatten().filter(|value| !value.is_empty())
}

fn readable(path: &str) -> Result<String, String> {
    let why = |error: std::io::Error| {
        format!("{path} cannot be read: {}", describe_errno(error.raw_os_error().unwrap_or(libc::EIO)))
    };
    std::fs::read_to_string(path).map_err(why)
}

/// The first of the `keyrings` that is there has the key of `entity`: its path, or what is wrong. librados looks at no other.
fn in_keyring(keyrings: &str, entity: &str) -> Result<String, String> {
    let paths = || keyrings.split([',', ';', ' ']).map(str::trim).filter(|path| !path.is_empty());
    let Some(path) = paths().find(|path| std::fs::exists(path).unwrap_or(true)) else {
        let mut why = format!("there is no keyring with the key of {entity}");
        for (index, path) in paths().enumerate() {
            let _ = write!(why, "{} {path}", if index == 0 { ", neither" } else { ", nor" });
        }
        return Err(format!("{why}; -k and -K name others"));
    };
    let text = readable(path)?;
    // The section of another client, or of all of them, does not count.
    let of_entity = text.lines().any(|line| line.trim() == format!("[{entity}]"));
    match ConfFile::parse(&text).get(entity, "key") {
        Some(_) if of_entity => Ok(path.to_owned()),
        _ => Err(format!("the keyring {path} has no key of {entity}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyring_is_missing_unreadable_of_others_or_right() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let (one, two) = (path("one"), path("two"));
        let wanted =
            format!("there is no keyring with the key of client.a, neither {one}, nor {two}; -k and -K name others");
        assert_eq!(in_keyring(&format!("{one},{two}"), "client.a"), Err(wanted));
        std::fs::write(&two, "[client.b]\n\tkey = AQ==\n").unwrap();
        let both = format!("{one},{two}");
        assert_eq!(in_keyring(&both, "client.a"), Err(format!("the keyring {two} has no key of client.a")));
        assert_eq!(in_keyring(&both, "client.b"), Ok(two));
        // The first one that is there counts.
        std::fs::create_dir(&one).unwrap();
        assert_eq!(in_keyring(&both, "client.b"), Err(format!("{one} cannot be read: (21) Is a directory")));
    }
}
