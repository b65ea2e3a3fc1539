//! Names and ids of a pool's images.
use crate::{Error, ErrorKind, ImageId, Result};
use lsd_store::ObjectStore;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogEntry {
    pub name: String,
    pub id: ImageId,
}

/// The directory of one pool and namespace.
#[derive(Clone, Debug)]
pub struct Catalog {
    store: Arc<dyn ObjectStore>,
}

impl Catalog {
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store }
    }

    /// Every image, sorted by name.
    pub async fn list(&self) -> Result<Vec<CatalogEntry>> {
        Err(stub())
    }

    /// `NotFound`.
    pub async fn id_of(&self, _name: &str) -> Result<ImageId> {
        let _ = &self.store;
        Err(stub())
    }

    /// `NotFound`.
    pub async fn name_of(&self, _id: &ImageId) -> Result<String> {
        Err(stub())
    }

    /// `NotFound`, `Exists`.
    pub async fn rename(&self, _from: &str, _to: &str) -> Result<()> {
        Err(stub())
    }
}

pub(crate) fn stub() -> Error {
    Error::new(ErrorKind::Unsupported, "stub")
}
