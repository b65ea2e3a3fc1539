//! What sysfs tells of the driver and its devices.
use super::DeviceIndex;
use std::fs;
use std::path::{Path, PathBuf};

/// A device that has a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InUse {
    pub index: DeviceIndex,
    /// The thread that connected it; its process serves it as a rule.
    pub pid: u32,
    /// What the connecting side called its backend; kernels since 5.14.
    pub cookie: Option<String>,
}

pub fn driver_loaded() -> bool {
    Path::new("/sys/module/nbd").exists()
}

/// Every device with a connection, by index.
pub fn in_use() -> Vec<InUse> {
    in_use_below(Path::new("/sys/block"))
}

fn in_use_below(blocks: &Path) -> Vec<InUse> {
    let mut found: Vec<InUse> = indexes_below(blocks).into_iter().filter_map(|index| read(blocks, index)).collect();
    found.sort_by_key(|device| device.index);
    found
}

/// Every device there is, connected or not.
pub fn indexes() -> Vec<DeviceIndex> {
    indexes_below(Path::new("/sys/block"))
}

fn indexes_below(blocks: &Path) -> Vec<DeviceIndex> {
    let names = fs::read_dir(blocks).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let index = |name: std::ffi::OsString| DeviceIndex::from_path(&Path::new("/dev").join(name));
    let mut found: Vec<DeviceIndex> = names.filter_map(index).collect();
    found.sort();
    found
}

fn directory(blocks: &Path, index: DeviceIndex) -> PathBuf {
    blocks.join(format!("nbd{}", index.0))
}

/// The file `pid` exists while a device has a connection.
fn read(blocks: &Path, index: DeviceIndex) -> Option<InUse> {
    let directory = directory(blocks, index);
    let pid = fs::read_to_string(directory.join("pid")).ok()?.trim().parse().ok()?;
    Some(InUse { index, pid, cookie: cookie_in(&directory) })
}

/// What a device's connecting side called its backend.
pub fn cookie(index: DeviceIndex) -> Option<String> {
    cookie_in(&directory(Path::new("/sys/block"), index))
}

fn cookie_in(directory: &Path) -> Option<String> {
    let text = fs::read_to_string(directory.join("backend")).ok()?;
    Some(text.trim_end().to_owned()).filter(|text| !text.is_empty())
}

/// The device's present size, bytes; `None` if there is no such device.
pub fn size(index: DeviceIndex) -> Option<u64> {
    let sectors = fs::read_to_string(directory(Path::new("/sys/block"), index).join("size")).ok()?;
    // sysfs counts sectors of 512 bytes, whatever the block size.
    sectors.trim().parse::<u64>().ok()?.checked_mul(512)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_with_a_pid_are_in_use() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["nbd10", "nbd2", "nbd3", "nbd2p1", "sda"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("nbd10/pid"), "77\n").unwrap();
        fs::write(dir.path().join("nbd10/backend"), "cookie-1\n").unwrap();
        fs::write(dir.path().join("nbd2/pid"), "55\n").unwrap();
        fs::write(dir.path().join("sda/pid"), "1\n").unwrap();
        let wanted = [
            InUse { index: DeviceIndex(2), pid: 55, cookie: None },
            InUse { index: DeviceIndex(10), pid: 77, cookie: Some("cookie-1".into()) },
        ];
        assert_eq!(in_use_below(dir.path()), wanted);
        assert_eq!(indexes_below(dir.path()), [DeviceIndex(2), DeviceIndex(3), DeviceIndex(10)]);
        assert_eq!(in_use_below(&dir.path().join("none")), []);
    }
}
