//! Which devices are mapped, by whom and what: sysfs knows the process, the process's command line the image.
use super::args;
use crate::session::Location;
use crate::spec::Place;
use lsd_nbd::kernel::{DeviceIndex, sysfs};
use std::path::{Path, PathBuf};

/// An image as text that tells it from any other: the default pool filled in, a directory without detours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageName {
    /// `dir:PATH` for a directory.
    pub pool: String,
    pub namespace: String,
    pub image: String,
    /// Empty: the image itself.
    pub snap: String,
}

impl ImageName {
    /// `base` is where a relative directory starts.
    pub fn new(location: &Location, default_pool: &str, base: Option<&Path>) -> Self {
        let (pool, namespace) = match &location.place {
            Place::Pool { pool, namespace } => (pool.as_deref().unwrap_or(default_pool).to_owned(), namespace.clone()),
            Place::Directory(path) => {
                let path = base.map_or_else(|| path.clone(), |base| base.join(path));
                let path = path.canonicalize().unwrap_or(path);
                (format!("dir:{}", path.display()), String::new())
            }
        };
        let snap = location.snap.clone().unwrap_or_default();
        Self { pool, namespace, image: location.image.clone(), snap }
    }
}

impl std::fmt::Display for ImageName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { pool, namespace, image, snap } = self;
        write!(f, "{pool}/")?;
        if !namespace.is_empty() {
            write!(f, "{namespace}/")?;
        }
        f.write_str(image)?;
        if snap.is_empty() { Ok(()) } else { write!(f, "@{snap}") }
    }
}

/// A device that a process of this program serves.
#[derive(Clone, Debug)]
pub(crate) struct Mapped {
    pub pid: u32,
    pub device: DeviceIndex,
    pub name: ImageName,
    pub cookie: String,
}

/// What stands behind a device in use.
pub(crate) enum Owner {
    Ours(Mapped),
    /// The process is gone, the device is left over.
    Gone,
    /// Another program's.
    Other,
}

pub(crate) fn all(default_pool: &str) -> Vec<Mapped> {
    let owners = sysfs::in_use().into_iter().map(|device| owner(&device, default_pool));
    owners.filter_map(|owner| if let Owner::Ours(mapped) = owner { Some(mapped) } else { None }).collect()
}

/// `None` if the device is not in use.
pub(crate) fn of_device(index: DeviceIndex, default_pool: &str) -> Option<Owner> {
    let device = sysfs::in_use().into_iter().find(|device| device.index == index)?;
    Some(owner(&device, default_pool))
}

fn owner(device: &sysfs::InUse, default_pool: &str) -> Owner {
    let thread = process(device.pid);
    // With ioctl it is a thread of the process that sysfs names.
    let Some(pid) = thread_group(&thread) else { return Owner::Gone };
    if !alive(pid) {
        return Owner::Gone;
    }
    match served_image(pid, default_pool) {
        Some(name) => {
            let cookie = device.cookie.clone().unwrap_or_default();
            Owner::Ours(Mapped { pid, device: device.index, name, cookie })
        }
        None => Owner::Other,
    }
}

fn process(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}"))
}

fn status_field(process: &Path, field: &str) -> Option<String> {
    let status = std::fs::read_to_string(process.join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.map(|value| value.trim().to_owned())
}

fn thread_group(process: &Path) -> Option<u32> {
    status_field(process, "Tgid")?.parse().ok()
}

/// False for a process that ended, even if nobody has collected it yet.
pub(crate) fn alive(pid: u32) -> bool {
    status_field(&process(pid), "State").is_some_and(|state| !state.starts_with('Z') && !state.starts_with('X'))
}

/// The image that a process serves a device with; `None` for any other process.
fn served_image(pid: u32, default_pool: &str) -> Option<ImageName> {
    let directory = process(pid);
    let own_name = std::fs::read("/proc/self/comm").ok()?;
    let name = std::fs::read(directory.join("comm")).ok()?;
    if name != own_name && name != b"lsd-nbd\n" {
        return None;
    }
    let line = std::fs::read(directory.join("cmdline")).ok()?;
    let mut words = line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    words.next()?;
    // The last word ends in a NUL too.
    let mut words: Vec<String> = words.collect();
    words.pop();
    let (_, options) = args::parse(words, &|_| None).ok()?;
    if options.command.as_deref() != Some("map") {
        return None;
    }
    let location = options.location(options.arguments.first()?).ok()?;
    let base = std::fs::read_link(directory.join("cwd")).ok();
    Some(ImageName::new(&location, default_pool, base.as_deref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_whole() {
        let name =
            |spec: &str| ImageName::new(&Location::parse(spec).unwrap(), "rbd", Some(Path::new("/"))).to_string();
        assert_eq!(name("a"), "rbd/a");
        assert_eq!(name("p/n/a@s"), "p/n/a@s");
        assert_eq!(name("dir:/usr/../usr/a"), "dir:/usr/a");
        assert_eq!(name("dir:usr/a"), "dir:/usr/a");
    }

    #[test]
    fn this_process_lives_and_serves_nothing() {
        let pid = std::process::id();
        assert!(alive(pid));
        assert_eq!(thread_group(&process(pid)), Some(pid));
        assert_eq!(served_image(pid, "rbd"), None);
    }
}
