//! Which devices are mapped, by whom and what: sysfs knows the process, the process's command line the image.
//!
//! A device that was attached again goes on naming its first process in sysfs. Then the processes are looked through for one whose
//! command line attaches this device.
use super::args::{self, Options};
use crate::error::{Failure, Result};
use crate::session::Location;
use crate::spec::Place;
use lsd_nbd::kernel::{DeviceIndex, sysfs};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// An image as text that tells it from any other: the default pool filled in, a directory without detours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageName {
    /// `dir:PATH` for a directory.
    pub pool: String,
    pub namespace: String,
    pub image: String,
    /// Empty: the image itself. `@ID`: a snapshot by its id.
    pub snap: String,
}

impl ImageName {
    /// `base` is where a relative directory starts.
    pub fn new(location: &Location, snap_id: Option<u64>, default_pool: &str, base: Option<&Path>) -> Self {
        let (pool, namespace) = match &location.place {
            Place::Pool { pool, namespace } => (pool.as_deref().unwrap_or(default_pool).to_owned(), namespace.clone()),
            Place::Directory(path) => {
                let path = base.map_or_else(|| path.clone(), |base| base.join(path));
                let path = path.canonicalize().unwrap_or(path);
                (format!("dir:{}", path.display()), String::new())
            }
        };
        let by_id = snap_id.map(|id| format!("@{id}"));
        let snap = by_id.or_else(|| location.snap.clone()).unwrap_or_default();
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

/// The device that the image of `spec` is mapped to; with `--device`, only that one counts.
pub(crate) fn of_spec(options: &Options, spec: &str, default_pool: &str) -> Result<Mapped> {
    let here = std::env::current_dir().ok();
    let name = ImageName::new(&options.location(spec)?, options.snap_id, default_pool, here.as_deref());
    let fits = |mapped: &Mapped| mapped.name == name && options.device.is_none_or(|device| device == mapped.device);
    all(default_pool).into_iter().find(fits).ok_or_else(|| not_mapped(&name.to_string()))
}

/// In the words that ceph-csi looks for.
pub(crate) fn not_mapped(what: &str) -> Failure {
    Failure::new(1, format!("{what} is not mapped"))
}

fn owner(device: &sysfs::InUse, default_pool: &str) -> Owner {
    let ours = |pid, name| {
        let cookie = device.cookie.clone().unwrap_or_default();
        Owner::Ours(Mapped { pid, device: device.index, name, cookie })
    };
    let serves =
        |pid: u32| served(pid, default_pool).filter(|served| served.device.is_none_or(|it| it == device.index));
    // With ioctl it is a thread of the process that sysfs names.
    let first = thread_group(&process(device.pid)).filter(|pid| alive(*pid));
    if let Some((pid, served)) = first.and_then(|pid| Some((pid, serves(pid)?))) {
        return ours(pid, served.name);
    }
    match (attached_again(device.index, default_pool), first) {
        (Some((pid, name)), _) => ours(pid, name),
        (None, Some(_)) => Owner::Other,
        (None, None) => Owner::Gone,
    }
}

/// The process that attached a device, other than this one.
fn attached_again(index: DeviceIndex, default_pool: &str) -> Option<(u32, ImageName)> {
    let own = std::process::id();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(|pid| *pid != own);
    let attaches = |pid: u32| {
        let served = served(pid, default_pool)?;
        (served.attached && served.device == Some(index) && alive(pid)).then_some((pid, served.name))
    };
    let found: Vec<(u32, ImageName)> = pids.filter_map(attaches).collect();
    // The command that starts a daemon has the daemon's command line.
    let parents: Vec<u32> = found.iter().filter_map(|(pid, _)| number_of(&process(*pid), "PPid")).collect();
    found.into_iter().find(|(pid, _)| !parents.contains(pid))
}

fn process(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}"))
}

fn status_field(process: &Path, field: &str) -> Option<String> {
    let status = std::fs::read_to_string(process.join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.map(|value| value.trim().to_owned())
}

fn number_of(process: &Path, field: &str) -> Option<u32> {
    status_field(process, field)?.parse().ok()
}

fn thread_group(process: &Path) -> Option<u32> {
    number_of(process, "Tgid")
}

/// False for a process that ended, even if nobody has collected it yet.
pub(crate) fn alive(pid: u32) -> bool {
    status_field(&process(pid), "State").is_some_and(|state| !state.starts_with('Z') && !state.starts_with('X'))
}

const PAUSE: Duration = Duration::from_millis(20);

/// Waits until a daemon is gone: only then its image is flushed and closed.
pub(crate) fn wait_for_end(pid: u32, limit: Duration) -> Result<()> {
    let until = Instant::now() + limit;
    while alive(pid) {
        if Instant::now() >= until {
            return Err(Failure::new(
                1,
                format!("waiting for process exit timed out: {pid} is still closing the image"),
            ));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// What a process's command line says of the device it serves.
struct Served {
    name: ImageName,
    /// `None`: any that was free.
    device: Option<DeviceIndex>,
    /// It took over a device that was there.
    attached: bool,
}

/// `None` for a process that is none of this program's daemons.
fn served(pid: u32, default_pool: &str) -> Option<Served> {
    let directory = process(pid);
    if !is_this_program(&directory) {
        return None;
    }
    let line = std::fs::read(directory.join("cmdline")).ok()?;
    let base = std::fs::read_link(directory.join("cwd")).ok();
    served_by(&line, default_pool, base.as_deref())
}

/// By its name; under the name that it takes the place of, by its file: rbd-nbd's own processes have that name, too. The file is
/// `lsd-nbd` behind a link, or this program's, which was copied to that name.
fn is_this_program(process: &Path) -> bool {
    let name = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
    match name.trim_end() {
        "lsd-nbd" => true,
        "rbd-nbd" => file_of(process).is_some_and(|file| {
            file.rsplit('/').next().is_some_and(|name| name.starts_with("lsd-nbd"))
                || file_of(Path::new("/proc/self")) == Some(file)
        }),
        _ => false,
    }
}

/// The program that a process runs, also where that was replaced since.
fn file_of(process: &Path) -> Option<String> {
    let file = std::fs::read_link(process.join("exe")).ok()?.to_string_lossy().into_owned();
    Some(file.strip_suffix(" (deleted)").map_or(file.clone(), str::to_owned))
}

/// `line`: words that each end in a NUL.
fn served_by(line: &[u8], default_pool: &str, base: Option<&Path>) -> Option<Served> {
    let mut words: Vec<String> =
        line.split(|byte| *byte == 0).skip(1).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    words.pop();
    let (_, options) = args::parse(words, &|_| None).ok()?;
    let attached = match options.command.as_deref() {
        Some("map") => false,
        Some("attach") => true,
        _ => return None,
    };
    let location = options.location(options.arguments.first()?).ok()?;
    let name = ImageName::new(&location, options.snap_id, default_pool, base);
    Some(Served { name, device: options.device, attached })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_whole() {
        let name = |spec: &str, id| {
            ImageName::new(&Location::parse(spec).unwrap(), id, "rbd", Some(Path::new("/"))).to_string()
        };
        assert_eq!(name("a", None), "rbd/a");
        assert_eq!(name("p/n/a@s", None), "p/n/a@s");
        assert_eq!(name("p/a", Some(4)), "p/a@@4");
        assert_eq!(name("dir:/usr/../usr/a", None), "dir:/usr/a");
        assert_eq!(name("dir:usr/a", None), "dir:/usr/a");
    }

    #[test]
    fn a_command_line_says_what_is_served() {
        let served = |line: &str| {
            let bytes: String = line.split(' ').map(|word| format!("{word}\0")).collect();
            served_by(bytes.as_bytes(), "rbd", None)
        };
        let found = served("rbd-nbd --id u map p/a --timeout 3").unwrap();
        assert_eq!((found.name.to_string().as_str(), found.device, found.attached), ("p/a", None, false));
        let found = served("/usr/bin/rbd-nbd attach a@s --device /dev/nbd4 --cookie c").unwrap();
        assert_eq!((found.name.to_string().as_str(), found.attached), ("rbd/a@s", true));
        assert_eq!(found.device, Some(DeviceIndex(4)));
        for other in ["lsd-nbd list-mapped", "lsd-nbd serve --socket /s a", "lsd-nbd map", "lsd-nbd map a --frob"] {
            assert!(served(other).is_none(), "{other}");
        }
    }

    #[test]
    fn this_process_lives_and_serves_nothing() {
        let pid = std::process::id();
        assert!(alive(pid));
        assert_eq!(thread_group(&process(pid)), Some(pid));
        assert!(served(pid, "rbd").is_none());
        assert!(attached_again(DeviceIndex(0), "rbd").is_none());
        let failure = wait_for_end(pid, Duration::ZERO).unwrap_err();
        assert!(failure.message.starts_with("waiting for process exit timed out"));
    }
}
