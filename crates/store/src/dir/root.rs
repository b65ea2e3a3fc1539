//! The directory itself: its parts, how it becomes a store, and how files in it come to be.
use super::clients::Clients;
use super::fault::{Fault, Outcome};
use super::files::{self, LockKind, NewFile, SyncedDir};
use super::format::{self, Kind, PRELUDE_LEN, Prelude};
use super::names;
use super::rescue;
use super::room::{Room, Urgency};
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

/// Blocks of the file system that are given up when nothing else is left.
const RESERVE: &str = "reserve";

pub(super) struct Root {
    path: PathBuf,
    /// The directory itself; its lock is held while a file is taken away from a client that was stopped.
    directory: File,
    objects: SyncedDir,
    advisory: SyncedDir,
    pub clients: Clients,
    pub room: Room,
    temporaries: AtomicU64,
}

impl Root {
    /// Opens a store. `create`: makes it first if it is not there. `NotFound`: the directory is no store, or (to be created)
    /// its parent is missing.
    pub fn open(path: &Path, create: bool) -> Outcome<Self> {
        if create {
            prepare(path)?;
        }
        // An absolute path, so that a later change of the working directory moves nothing.
        let path = fs::canonicalize(path)?;
        check_store(&path)?;
        let room = Room::open(&path, path.join(RESERVE))?;
        let clients = Clients::join(path.join(CLIENTS), path.join(TEMPORARY), &room)?;
        if create {
            room.refill();
        }
        Ok(Self {
            directory: File::open(&path)?,
            objects: SyncedDir::open(&path.join(OBJECTS))?,
            advisory: SyncedDir::open(&path.join(ADVISORY))?,
            clients,
            room,
            temporaries: AtomicU64::new(0),
            path,
        })
    }

    pub fn directory_file(&self) -> &File {
        &self.directory
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
    pub fn create(&self, path: &Path, pieces: &[&[u8]], urgency: Urgency) -> Outcome<()> {
        let temporary = self.temporary()?;
        let made = self.new_file(&temporary, pieces, urgency).and_then(|new| new.publish(path));
        self.unless_fenced(made)?;
        let synced = self.directory(path).sync();
        if synced.is_err() {
            // Nobody was told that it exists; whether it will, nobody knows.
            drop(fs::remove_file(path));
        }
        synced
    }

    /// Puts a new state in the place of the present one, which the caller has locked. The new file is locked before it
    /// has the name, so that nobody acts on it before it is durable.
    pub fn replace(&self, path: &Path, pieces: &[&[u8]], urgency: Urgency) -> Outcome<()> {
        let temporary = self.temporary()?;
        let new = self.unless_fenced(self.new_file(&temporary, pieces, urgency))?;
        let _held = files::lock(&new.file, LockKind::Exclusive)?;
        self.unless_fenced(new.replace(path))?;
        self.directory(path).sync()
    }

    /// Removes a file, whatever is in it, while nobody is changing it. `NotFound`.
    pub fn remove(&self, path: &Path) -> Outcome<()> {
        let away = self.temporary()?;
        let moved = rescue::with_locked(self, path, LockKind::Exclusive, |file| {
            self.unless_fenced(fs::rename(path, &away).map_err(Fault::from))?;
            Ok(file.try_clone()?)
        });
        let file = moved?.ok_or(StoreErrorKind::NotFound)?;
        // What cannot be removed now is removed with the folder.
        let removed = fs::remove_file(&away);
        self.directory(path).sync()?;
        if removed.is_ok() {
            // Others may have it open for long, and its space is wanted now. They see that it has no name any more.
            drop(file.set_len(0));
        }
        self.room.refill();
        Ok(())
    }

    fn new_file<'a>(&self, temporary: &'a Path, pieces: &[&[u8]], urgency: Urgency) -> Outcome<NewFile<'a>> {
        let len = pieces.iter().map(|piece| piece.len() as u64).sum();
        self.room.spend(len, urgency, || NewFile::write(temporary, pieces))
    }

    /// A step through this client's folder that found something missing: the folder, if the client was fenced off.
    fn unless_fenced<T>(&self, result: Outcome<T>) -> Outcome<T> {
        if result.as_ref().is_err_and(|fault| fault.kind == StoreErrorKind::NotFound) {
            self.clients.check()?;
        }
        result
    }

    /// Flushes the directory that `path` lies in.
    pub fn directory(&self, path: &Path) -> &SyncedDir {
        if path.parent().is_some_and(|parent| parent.ends_with(ADVISORY)) { &self.advisory } else { &self.objects }
    }

    fn temporary(&self) -> Outcome<PathBuf> {
        let number = self.temporaries.fetch_add(1, Ordering::Relaxed);
        Ok(self.clients.own_folder()?.join(number.to_string()))
    }
}

fn is_file(entry: &fs::DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_file())
}

/// True if the directory bears a store's marker, whatever state the store is in.
pub(super) fn is_store(path: &Path) -> bool {
    path.join(MARKER).symlink_metadata().is_ok_and(|marker| marker.is_file())
}

/// `AlreadyExists` is none: false then.
fn create_directory(path: &Path) -> Outcome<bool> {
    match fs::create_dir(path) {
        Ok(()) => flush_parent(path).map(|()| true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn flush_parent(path: &Path) -> Outcome<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(File::open(parent)?.sync_all()?)
}

/// Makes the directory a store if it is not one yet. The marker comes last, so a directory with a marker has all parts;
/// one without it has parts only from an attempt that was cut short, and then they are empty. Nobody waits for anybody: two
/// who do this at the same time do the same.
fn prepare(path: &Path) -> Outcome<()> {
    if is_store(path) {
        return Ok(());
    }
    check_not_inside(path)?;
    create_directory(path).map_err(|fault| match fault.kind {
        StoreErrorKind::NotFound => fault.while_doing("the folder for it does not exist"),
        _ => fault,
    })?;
    for part in [OBJECTS, ADVISORY, CLIENTS, TEMPORARY] {
        let part = path.join(part);
        create_directory(&part)?;
        if holds_foreign(&part)? && !is_store(path) {
            return Err(not_ours(&part.display().to_string(), "holds something"));
        }
    }
    // A store grows it and gives its blocks up, so it must not be anybody's.
    let reserve = path.join(RESERVE);
    if reserve.symlink_metadata().is_ok() && !is_store(path) {
        return Err(not_ours(&reserve.display().to_string(), "is there"));
    }
    let directory = File::open(path)?;
    directory.sync_all()?;
    let prelude = Prelude { kind: Kind::Store, data_offset: format::offset_of(Kind::Store), data_len: 0, data_crc: 0 };
    let temporary = path.join(TEMPORARY).join(format!("{MARKER}.{}", uuid::Uuid::new_v4()));
    NewFile::write(&temporary, &[&prelude.encode()])?.replace(&path.join(MARKER))?;
    Ok(directory.sync_all()?)
}

/// Clients take away what lies in these folders and has no living client, so nothing of others may be there. An attempt to make
/// a store that was cut short leaves a marker that has no name yet.
fn holds_foreign(part: &Path) -> Outcome<bool> {
    for entry in fs::read_dir(part)? {
        let name = entry?.file_name();
        let is_cut_short = part.ends_with(TEMPORARY) && name.to_string_lossy().starts_with(MARKER);
        if !is_cut_short {
            return Ok(true);
        }
    }
    Ok(false)
}

fn not_ours(what: &str, state: &str) -> Fault {
    Fault::new(StoreErrorKind::Invalid, format!("{what} {state}, but the directory has no {MARKER}"))
}

/// `Invalid`: a store in a store would hide an image of the outer one, or lie among its files.
fn check_not_inside(path: &Path) -> Outcome<()> {
    // The folder itself may not be there yet.
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(parent) = fs::canonicalize(parent) else { return Ok(()) };
    match parent.ancestors().find(|outer| is_store(outer)) {
        Some(outer) => {
            let detail = format!("it is inside the store {}", outer.display());
            Err(Fault::new(StoreErrorKind::Invalid, detail))
        }
        None => Ok(()),
    }
}

/// Says what is wrong with a directory that is to be a store.
fn check_store(path: &Path) -> Outcome<()> {
    let marked = match files::open(&path.join(MARKER)) {
        Ok(file) => check_marker(&file),
        Err(fault) if fault.kind == StoreErrorKind::NotFound => {
            let (kind, what) = match path.join(OBJECTS).is_dir() && path.join(ADVISORY).is_dir() {
                true => (
                    StoreErrorKind::Invalid,
                    format!("it has the parts of a store, but its marker {MARKER} is missing"),
                ),
                false if path.is_dir() => {
                    (StoreErrorKind::NotFound, format!("it is not a directory store: it has no {MARKER}"))
                }
                false => return Err(fault),
            };
            return Err(Fault::new(kind, what));
        }
        Err(fault) => Err(fault),
    };
    marked.map_err(|fault| fault.while_doing(MARKER))
}

fn check_marker(file: &File) -> Outcome<()> {
    match Prelude::decode(&files::read_up_to(file, 0, PRELUDE_LEN)?)?.kind {
        Kind::Store => Ok(()),
        other => Err(Fault::corrupt(format!("it marks no store but is an object ({other:?})"))),
    }
}
