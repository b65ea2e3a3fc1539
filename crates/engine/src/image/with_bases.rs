//! What is done to an image that is not opened, where its base may be of a kind that the caller opens.
//!
//! Owns: nothing but these calls. Does not own: what they do (`lifecycle/`).
use super::Image;
use crate::compiled_here;
use crate::lifecycle::{self, remove};
use crate::{Bases, ErrorKind, ImageRef, Progress, Result};
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
        lifecycle::remove(store, image, bases, progress).await
    }

    /// As [`Image::remove_damaged`], in the same way.
    #[compiled_here]
    pub async fn remove_damaged_with(
        store: &Arc<dyn ObjectStore>,
        image: &ImageRef,
        bases: &Bases,
        progress: Progress<'async_recursion>,
    ) -> Result<()> {
        match lifecycle::remove(store, image, bases, progress).await {
            Err(error) if error.kind == ErrorKind::Corrupt => {
                remove::remove_by_walking(store, image, bases, progress).await
            }
            removed => removed,
        }
    }
}
