//! What every part of a store speaks of: the names of objects, and what an operation returns.
use crate::StoreError;
use futures::future::BoxFuture;
use std::fmt;

/// What every store operation returns. It owns its arguments, so dropping it is always safe; the operation may still
/// take effect.
pub type StoreFuture<T> = BoxFuture<'static, Result<T, StoreError>>;

/// The name of an object in a pool (and namespace).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName(pub String);

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for ObjectName {
    fn from(name: String) -> Self {
        Self(name)
    }
}

impl From<&str> for ObjectName {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}
