//! The directory itself: its parts, how it becomes a store, and how files in it come to be.
use super::clients::Clients;
use super::fault::{Fault, Outcome};
use super::files::{self, LockKind, NewFile, SyncedDir};
use super::format::{self, Kind, PRELUDE_LEN, Prelude};
use super::names;
use crate::StoreErrorKind;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The file that says that a directory is a store.
const MARKER: &str = "lsd-store";
const OBJECTS: &str = "objects";
const ADVISORY: &str = "advisory";
const CLIENTS: &str = "clients";
const TEMPORARY: &str = "tmp";

pub(super) struct Root {
    path: PathBuf,
    objects: SyncedDir,
    advisory: SyncedDir,
    pub clients: Clients,
    temporaries: AtomicU64,
}

impl Root {
    pub fn open(path: &Path) -> Outcome<Self> {
        create_directory(path)?;
        // An absolute path, so that a later change of the working directory moves nothing.
        let path = fs::canonicalize(path)?;
        prepare(&path)?;
        Ok(Self {
            objects: SyncedDir::open(&path.join(OBJECTS))?,
            advisory: SyncedDir::open(&path.join(ADVISORY))?,
            clients: Clients::join(path.join(CLIENTS), &path.join(TEMPORARY))?,
            temporaries: AtomicU64::new(0),
            path,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file of an object.
    pub fn object(&self, name: &str) -> Outcome<PathBuf> {
        Ok(self.path.join(OBJECTS).join(names::encode(name)?))
    }

    /// The file that says who locks and watches an object.
    pub fn advisory(&self, name: &str) -> Outcome<PathBuf> {
        Ok(self.path.join(ADVISORY).join(names::encode(name)?))
    }

    /// Names of all objects that start with `prefix`, sorted.
    pub fn list(&self, prefix: &str) -> Outcome<Vec<String>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.path.join(OBJECTS))? {
            // What is no file, or bears no object's name, is not ours and is left alone.
            let entry = entry?;
            let name = entry.file_name().to_str().and_then(names::decode).filter(|_| is_file(&entry));
            found.extend(name.filter(|name| name.starts_with(prefix)));
        }
        found.sort_unstable();
        Ok(found)
    }

    /// A new file is made whole and durable, then named, then its name made durable: at no moment does the name stand
    /// for less. `Exists` if the name is taken.
    pub fn create(&self, path: &Path, pieces: &[&[u8]]) -> Outcome<()> {
        let temporary = self.temporary();
        let new = NewFile::write(&temporary, pieces)?;
        new.publish(path)?;
        let synced = self.directory(path).sync();
        if synced.is_err() {
            // Nobody was told that it exists; whether it will, nobody knows.
            drop(fs::remove_file(path));
        }
        synced
    }

    /// Puts a new state in the place of the present one, which the caller has locked. The new file is locked before it
    /// has the name, so that nobody acts on it before it is durable.
    pub fn replace(&self, path: &Path, pieces: &[&[u8]]) -> Outcome<()> {
        let temporary = self.temporary();
        let new = NewFile::write(&temporary, pieces)?;
        let _held = files::lock(&new.file, LockKind::Exclusive)?;
        new.replace(path)?;
        self.directory(path).sync()
    }

    /// Removes a file, whatever is in it, while nobody is changing it. `NotFound`.
    pub fn remove(&self, path: &Path) -> Outcome<()> {
        let removed = files::with_locked(path, LockKind::Exclusive, |_| Ok(fs::remove_file(path)?))?;
        removed.ok_or(StoreErrorKind::NotFound)?;
        self.directory(path).sync()
    }

    /// Flushes the directory that `path` lies in.
    pub fn directory(&self, path: &Path) -> &SyncedDir {
        if path.parent().is_some_and(|parent| parent.ends_with(ADVISORY)) { &self.advisory } else { &self.objects }
    }

    fn temporary(&self) -> PathBuf {
        let number = self.temporaries.fetch_add(1, Ordering::Relaxed);
        self.path.join(TEMPORARY).join(format!("{}.{number}", self.clients.number()))
    }
}

fn is_file(entry: &fs::DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_file())
}

fn create_directory(path: &Path) -> Outcome<()> {
    match fs::create_dir(path) {
        Ok(()) => flush_parent(path),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            create_directory(parent.ok_or_else(|| Fault::from(error))?)?;
            create_directory(path)
        }
        Err(error) => Err(error.into()),
    }
}

fn flush_parent(path: &Path) -> Outcome<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(File::open(parent)?.sync_all()?)
}

/// Makes the directory a store if it is not one yet. The marker comes last, so a directory with a marker has all parts;
/// one without it has parts only from an attempt that was cut short, and then they are empty.
fn prepare(path: &Path) -> Outcome<()> {
    let directory = File::open(path)?;
    let _guard = files::lock(&directory, LockKind::Exclusive)?;
    let marker = path.join(MARKER);
    match files::open(&marker) {
        Ok(file) => return check_marker(&file).map_err(|fault| fault.while_doing(MARKER)),
        Err(fault) if fault.kind == StoreErrorKind::NotFound => {}
        Err(fault) => return Err(fault.while_doing(MARKER)),
    }
    for part in [OBJECTS, ADVISORY, CLIENTS, TEMPORARY] {
        let part = path.join(part);
        create_directory(&part)?;
        if part.ends_with(OBJECTS) && fs::read_dir(&part)?.next().is_some() {
            let detail = format!("{} holds something, but the directory is no store", part.display());
            return Err(Fault::new(StoreErrorKind::Invalid, detail));
        }
    }
    directory.sync_all()?;
    let prelude = Prelude { kind: Kind::Store, data_offset: format::offset_of(Kind::Store), data_len: 0, data_crc: 0 };
    let temporary = path.join(TEMPORARY).join(MARKER);
    drop(fs::remove_file(&temporary));
    NewFile::write(&temporary, &[&prelude.encode()])?.replace(&marker)?;
    Ok(directory.sync_all()?)
}

fn check_marker(file: &File) -> Outcome<()> {
    match Prelude::decode(&files::read_up_to(file, 0, PRELUDE_LEN)?)?.kind {
        Kind::Store => Ok(()),
        other => Err(Fault::corrupt(format!("it marks no store but is an object ({other:?})"))),
    }
}
