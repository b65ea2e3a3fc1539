//! Who opens the bases of images, and the images of other kinds that they come from.
//!
//! Owns: what such an opener must do, and the one that opens files. Does not own: what a base is (`base.rs`), what an image of another
//! kind is (`foreign.rs`).
use crate::base::{Base, BaseSpec, FILE_BASE, FileBase};
use crate::foreign::{ForeignFound, ForeignImage, ForeignPlace, unsupported};
use crate::{PoolId, StoreError, StoreErrorKind, StoreFuture};
use std::fmt;
use std::sync::Arc;

/// Who opens bases.
pub trait OpenBases: Send + Sync + fmt::Debug {
    /// `Unsupported`: not of this kind; `Stale`: it is another one than it was; whatever the source itself says else.
    fn open(&self, spec: &BaseSpec) -> StoreFuture<Arc<dyn Base>>;

    /// The image of this id needs it no more: what was done to keep it as it is for that image alone is undone. What is undone already is
    /// right. `Unsupported`: not of this kind.
    fn let_go(&self, spec: &BaseSpec, image: &str) -> StoreFuture<()>;

    /// Whether what has to be done to keep it for the image is done; always, where there is nothing to do. `Unsupported`.
    fn is_kept(&self, spec: &BaseSpec, image: &str) -> StoreFuture<bool>;

    /// Keeps it for the image from here on. `Stale`, `NotFound`: it is gone; `Unsupported`.
    fn keep(&self, spec: &BaseSpec, image: &str) -> StoreFuture<()>;

    /// An image of another kind, whether it is there or not. `Unsupported`: nobody here knows any of this kind.
    fn foreign(&self, place: &ForeignPlace) -> StoreFuture<Arc<dyn ForeignImage>> {
        unsupported(&place.kind)
    }

    /// Images of other kinds in this pool and namespace that are called so, or were when they were set aside.
    fn find_foreign(&self, _place: (PoolId, &str), _name: &str) -> StoreFuture<Vec<ForeignFound>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// Opens files, and no other kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileBases;

impl OpenBases for FileBases {
    fn open(&self, spec: &BaseSpec) -> StoreFuture<Arc<dyn Base>> {
        let spec = spec.clone();
        Box::pin(async move {
            check_is_file(&spec, "open base")?;
            let base: Arc<dyn Base> = Arc::new(FileBase::open(&spec).await?);
            Ok(base)
        })
    }

    /// Nobody keeps a file.
    fn let_go(&self, spec: &BaseSpec, _image: &str) -> StoreFuture<()> {
        let checked = check_is_file(spec, "let go of base");
        Box::pin(async { checked })
    }

    fn is_kept(&self, spec: &BaseSpec, _image: &str) -> StoreFuture<bool> {
        let checked = check_is_file(spec, "look at base");
        Box::pin(async { checked.map(|()| true) })
    }

    fn keep(&self, spec: &BaseSpec, _image: &str) -> StoreFuture<()> {
        let checked = check_is_file(spec, "keep base");
        Box::pin(async { checked })
    }
}

fn check_is_file(spec: &BaseSpec, op: &'static str) -> Result<(), StoreError> {
    if spec.kind == FILE_BASE {
        return Ok(());
    }
    let reason = format!("this program opens no base of kind {:?}", spec.kind);
    Err(StoreError::new(StoreErrorKind::Unsupported, op, spec.spec.clone()).with_detail(reason))
}
