//! What is done to an image that is not opened, where its base may be of a kind that the caller opens.
//!
//! Owns: nothing but these calls. Does not own: what they do (`lifecycle/`, `check/`).
use super::Image;
use crate::compiled_here;
use crate::lifecycle::{self, remove};
use crate::{Bases, CheckReport, ErrorKind, ImageRef, Progress, RepairOptions, RepairReport, Result, check};
use lsd_store::ObjectStore;
use std::sync::Arc;

impl Image {
    /// As [`Image::remove`]; `bases` let go of the image's base. Where that fails the removal can be taken up again.
    #[compiled_here]
    pub async fn remove_with(
        store: &Arc<dyn ObjectStore>,
        image: &ImageRef,
        bases: &Bases,
        progress: Progress<'async_recursion>,
    ) -> Result<()> {
        lifecycle::remove(store, image, None, bases, progress).await
    }

    /// As [`Image::remove_damaged`], in the same way.
    #[compiled_here]
    pub async fn remove_damaged_with(
        store: &Arc<dyn ObjectStore>,
        image: &ImageRef,
        bases: &Bases,
        progress: Progress<'async_recursion>,
    ) -> Result<()> {
        match lifecycle::remove(store, image, None, bases, progress).await {
            Err(error) if error.kind == ErrorKind::Corrupt => {
                remove::remove_by_walking(store, image, bases, progress).await
            }
            removed => removed,
        }
    }

    /// As [`Image::check`], which knows nothing of a base that is no file.
    #[compiled_here]
    pub async fn check_with(
        store: &Arc<dyn ObjectStore>,
        image: &ImageRef,
        bases: &Bases,
        progress: Progress<'async_recursion>,
    ) -> Result<CheckReport> {
        check::check(store, image, bases, progress).await
    }

    /// As [`Image::repair`], in the same way; a base that nothing keeps for the image is kept again.
    #[compiled_here]
    pub async fn repair_with(
        store: &Arc<dyn ObjectStore>,
        image: &ImageRef,
        options: RepairOptions,
        bases: &Bases,
        progress: Progress<'async_recursion>,
    ) -> Result<RepairReport> {
        check::repair(store, image, options, bases, progress).await
    }
}
