//! Objects in files as bytes.
use crate::dir::fault::Outcome;
use crate::dir::format::{self, Kind, Prelude};
use crate::dir::object_file::ObjectFile;
use crate::dir::room::Urgency;
use crate::dir::{DIR_MAX_WRITE, DirStore, Shared, refused};
use crate::{Blobs, ObjectName, StoreErrorKind, StoreFuture};
use bytes::Bytes;

impl Blobs for DirStore {
    fn read(&self, name: &ObjectName, offset: u64, len: u64) -> StoreFuture<Bytes> {
        self.read_side("read", name, move |shared, name| {
            shared.open.with(&shared.root, name, |file| file.read(offset, len))
        })
    }

    fn put(&self, name: &ObjectName, data: Bytes) -> StoreFuture<()> {
        if data.len() as u64 > u64::from(DIR_MAX_WRITE) {
            return refused(StoreErrorKind::Invalid, "put", &name.0);
        }
        self.write("put", name, move |shared, name| put(shared, name, &data))
    }

    fn stat(&self, name: &ObjectName) -> StoreFuture<u64> {
        self.read_side("stat", name, |shared, name| shared.open.with(&shared.root, name, ObjectFile::data_len))
    }

    fn remove(&self, name: &ObjectName) -> StoreFuture<()> {
        self.write("remove", name, remove)
    }
}

fn put(shared: &Shared, name: &str, data: &[u8]) -> Outcome<()> {
    let path = shared.root.object(name)?;
    if path.exists() {
        return Err(StoreErrorKind::Exists.into());
    }
    let (data_offset, data_len) = (format::offset_of(Kind::Whole), data.len() as u64);
    let mut head = vec![0; data_offset as usize];
    let prelude = Prelude { kind: Kind::Whole, data_offset, data_len, data_crc: 0 }.encode();
    head[..prelude.len()].copy_from_slice(&prelude);
    shared.root.create(&path, &[&head, data], Urgency::Urgent)
}

fn remove(shared: &Shared, name: &str) -> Outcome<()> {
    shared.open.forget(name);
    shared.root.remove(&shared.root.object(name)?)?;
    shared.watching.object_removed(name);
    Ok(())
}
