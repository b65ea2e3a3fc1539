//! Where the stock library may be.
//!
//! Always a path from the root: a bare name would be looked up as `librbd.so.1`, and that is this library.
use std::path::PathBuf;

const FILE: &str = "librbd.so.1";

/// Where distributions put libraries of the machine's own kind; the first has the machine's name in it, as Debian's.
fn folders() -> [PathBuf; 5] {
    let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
    [
        PathBuf::from("/usr/lib").join(&triplet),
        PathBuf::from("/lib").join(&triplet),
        "/usr/lib64".into(),
        "/lib64".into(),
        "/usr/lib".into(),
    ]
}

/// The files to try, in this order: the one that was named, and no other, or those of the distribution that are there.
pub fn candidates(named: Option<&str>) -> Vec<PathBuf> {
    match named {
        Some(path) if !path.is_empty() => vec![path.into()],
        _ => folders().into_iter().map(|folder| folder.join(FILE)).filter(|path| path.exists()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_file_is_the_only_one() {
        assert_eq!(candidates(Some("/opt/ceph/librbd.so.1")), [PathBuf::from("/opt/ceph/librbd.so.1")]);
    }

    #[test]
    fn what_is_searched_is_never_a_bare_name() {
        assert!(candidates(None).iter().chain(&candidates(Some(""))).all(|path| path.is_absolute() && path.exists()));
        assert!(folders().iter().all(|folder| folder.is_absolute()));
    }
}
