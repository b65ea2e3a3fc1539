//! An open image.
use crate::catalog::stub;
use crate::{
    CreateOptions, Extent, ImageId, ImageInfo, ImageRef, OpenOptions, Progress, ReadData, Result, UpdateEvent,
};
use bytes::Bytes;
use lsd_store::{ObjectStore, Watcher};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A handle to an open image; clones are the same handle.
#[derive(Clone, Debug)]
pub struct Image {}

impl Image {
    /// `Exists`, `Domain` (order), `Invalid` (name, striping), `NotFound` (data pool).
    pub async fn create(_store: &Arc<dyn ObjectStore>, _name: &str, _options: &CreateOptions) -> Result<ImageId> {
        Err(stub())
    }

    /// `NotFound`, `Corrupt`.
    pub async fn open(_store: &Arc<dyn ObjectStore>, _image: &ImageRef, _options: &OpenOptions) -> Result<Image> {
        Err(stub())
    }

    /// `NotFound`, `Busy` (watched or locked by a live client).
    pub async fn remove(_store: &Arc<dyn ObjectStore>, _image: &ImageRef, _progress: Progress<'_>) -> Result<()> {
        Err(stub())
    }

    pub fn info(&self) -> ImageInfo {
        panic!("stub")
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        0
    }

    pub fn read_only(&self) -> bool {
        false
    }

    /// `Invalid` outside the image (the whole range must lie inside it).
    pub async fn read(&self, _offset: u64, _len: u64) -> Result<ReadData> {
        Err(stub())
    }

    /// `fua`: durable when it returns, whatever the acknowledgement mode.
    pub async fn write(&self, _offset: u64, _data: Bytes, _fua: bool) -> Result<()> {
        Err(stub())
    }

    /// The range reads as zeroes afterwards and its space is given back.
    pub async fn discard(&self, _offset: u64, _len: u64, _fua: bool) -> Result<()> {
        Err(stub())
    }

    /// The range reads as zeroes; `thick`: space stays allocated.
    pub async fn write_zeroes(&self, _offset: u64, _len: u64, _thick: bool, _fua: bool) -> Result<()> {
        Err(stub())
    }

    /// Writes `pattern` over and over; `len` is a multiple of its length, else `Invalid`.
    pub async fn write_same(&self, _offset: u64, _len: u64, _pattern: Bytes) -> Result<()> {
        Err(stub())
    }

    /// Writes only if the present content equals `compare` (same length as `data`): else `Mismatch`.
    pub async fn compare_and_write(&self, _offset: u64, _compare: Bytes, _data: Bytes) -> Result<()> {
        Err(stub())
    }

    /// Everything acknowledged before the call is durable when it returns.
    pub async fn flush(&self) -> Result<()> {
        Err(stub())
    }

    /// `Invalid` when it would shrink and `allow_shrink` is false.
    pub async fn resize(&self, _size: u64, _allow_shrink: bool, _progress: Progress<'_>) -> Result<()> {
        Err(stub())
    }

    /// Drops clean cached data; a read-only handle also takes up the latest durable state.
    pub async fn invalidate_cache(&self) -> Result<()> {
        Err(stub())
    }

    /// Consecutive extents that cover the range exactly; data and hole alternate.
    pub async fn extents(&self, _offset: u64, _len: u64) -> Result<Vec<Extent>> {
        Err(stub())
    }

    /// `NotFound`.
    pub async fn metadata_get(&self, _key: &str) -> Result<String> {
        Err(stub())
    }

    pub async fn metadata_set(&self, _key: &str, _value: &str) -> Result<()> {
        Err(stub())
    }

    /// `NotFound`.
    pub async fn metadata_remove(&self, _key: &str) -> Result<()> {
        Err(stub())
    }

    pub async fn metadata_list(&self) -> Result<BTreeMap<String, String>> {
        Err(stub())
    }

    /// Who has the image open, this handle included.
    pub async fn watchers(&self) -> Result<Vec<Watcher>> {
        Err(stub())
    }

    /// Calls `listener` after each change of the header until it is dropped from the image with the returned number.
    pub fn add_update_listener(&self, _listener: Arc<dyn Fn(UpdateEvent) + Send + Sync>) -> u64 {
        0
    }

    pub fn remove_update_listener(&self, _listener: u64) {}

    /// Flushes, writes a checkpoint and gives the lock back. Idempotent; later calls on the handle give `Closed`.
    pub async fn close(&self) -> Result<()> {
        Err(stub())
    }
}
