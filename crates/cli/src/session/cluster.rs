//! The stores themselves: pools of a cluster, and directories.
use crate::error::{Failure, Result};
use crate::globals::Globals;
use lsd_store::ObjectStore;
use nix::libc;
use std::path::Path;
use std::sync::Arc;

/// A connection to a cluster.
#[derive(Debug)]
pub struct Connection {}

impl Connection {
    pub async fn open(_globals: &Globals) -> Result<Self> {
        Err(Failure::errno("couldn't connect to the cluster!", libc::EOPNOTSUPP))
    }

    /// A setting that librados knows.
    pub fn setting(&self, _key: &str) -> Option<String> {
        None
    }

    pub async fn open_pool(&self, pool: &str, _namespace: &str) -> Result<Arc<dyn ObjectStore>> {
        Err(Failure::errno(&format!("error opening pool '{pool}'"), libc::EOPNOTSUPP))
    }
}

pub fn open_directory(path: &Path) -> Result<Arc<dyn ObjectStore>> {
    Err(Failure::errno(&format!("error opening directory '{}'", path.display()), libc::EOPNOTSUPP))
}
