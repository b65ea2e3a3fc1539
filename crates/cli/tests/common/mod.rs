//! Commands run in this process on a directory store of the test's own, and what they left behind read through the engine.
#![allow(dead_code, reason = "every program uses a part of it")]

use lsd_cli::error::Result;
use lsd_engine::{Catalog, Image, ImageInfo, ImageRef, OpenOptions};
use lsd_store::{DirStore, ObjectStore};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

pub const MIB: u64 = 1 << 20;

pub struct Bench {
    pub dir: TempDir,
}

impl Bench {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn spec(&self, image: &str) -> String {
        format!("dir:{}/{image}", self.path("store").display())
    }

    pub async fn lsd(&self, args: &[&str]) -> Result<()> {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        lsd_cli::command::dispatch::run(args).await
    }

    /// The exit code and words of a command that must fail.
    pub async fn fails(&self, args: &[&str]) -> (i32, String) {
        let failure = self.lsd(args).await.expect_err(&format!("{args:?} must fail"));
        (failure.code, failure.message)
    }

    pub fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::new(DirStore::open(&self.path("store")).unwrap())
    }

    pub async fn names(&self) -> Vec<String> {
        Catalog::new(self.store()).list().await.unwrap().into_iter().map(|entry| entry.name).collect()
    }

    pub async fn open(&self, image: &str) -> Image {
        let options = OpenOptions { read_only: true, ..OpenOptions::default() };
        Image::open(&self.store(), &ImageRef::Name(image.to_owned()), &options).await.unwrap()
    }

    pub async fn info(&self, image: &str) -> ImageInfo {
        let image = self.open(image).await;
        let info = image.info();
        image.close().await.unwrap();
        info
    }

    pub async fn write(&self, image: &str, offset: u64, bytes: &'static [u8]) {
        let image =
            Image::open(&self.store(), &ImageRef::Name(image.to_owned()), &OpenOptions::default()).await.unwrap();
        image.write(offset, bytes::Bytes::from_static(bytes), false).await.unwrap();
        image.close().await.unwrap();
    }

    pub async fn content(&self, image: &str) -> Vec<u8> {
        let image = self.open(image).await;
        let bytes = image.read(0, image.size()).await.unwrap().to_bytes().to_vec();
        image.close().await.unwrap();
        bytes
    }
}

/// A file with data at both ends of a hole, some of it zeroes, of a size that is no multiple of anything.
pub fn holey_file(path: &Path) -> Vec<u8> {
    let size = 23 * MIB + 777;
    let mut bytes = vec![0; size as usize];
    let mut fill = |from: u64, to: u64| {
        for index in from..to {
            bytes[index as usize] = (index % 251) as u8 + 1;
        }
    };
    fill(0, 70_000);
    fill(5 * MIB + 123, 5 * MIB + 200_000);
    fill(21 * MIB, size);
    let mut file = std::fs::File::create(path).unwrap();
    file.set_len(size).unwrap();
    for (from, to) in [(0, 8 * MIB), (21 * MIB, size)] {
        file.seek(SeekFrom::Start(from)).unwrap();
        file.write_all(&bytes[from as usize..to as usize]).unwrap();
    }
    bytes
}
