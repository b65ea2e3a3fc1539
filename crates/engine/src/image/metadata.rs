//! The metadata of an open image: a part of its public face.
//!
//! Owns: the words of the calls. Does not own: how a change is made (`session/changes.rs`) or asked of the owner
//! (`session/requests.rs`).
use crate::session::Session;
use crate::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Made by [`crate::Image::metadata`]. Keys are in the order of their bytes.
#[derive(Clone, Copy, Debug)]
pub struct Metadata<'a> {
    session: &'a Arc<Session>,
}

impl<'a> Metadata<'a> {
    pub(super) fn of(session: &'a Arc<Session>) -> Self {
        Self { session }
    }

    /// `NotFound`.
    pub async fn get(self, key: &str) -> Result<String> {
        let found = self.session.described().metadata.get(key).cloned();
        found.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("no metadata {key:?}")))
    }

    /// `Invalid`: an override of an option (`conf_*`) with text that is not understood, or of no such option.
    pub async fn set(self, key: &str, value: &str) -> Result<()> {
        self.session.metadata_set(key, value).await
    }

    /// `NotFound`.
    pub async fn remove(self, key: &str) -> Result<()> {
        self.session.metadata_remove(key).await
    }

    pub async fn list(self) -> Result<BTreeMap<String, String>> {
        Ok(self.session.described().metadata.clone())
    }
}
