//! The exports of a server and what the handshake tells of them.
use super::failure_log::tell_line;
use crate::device::Device;
use crate::proto::wire::{self, transmission_flag as flag};
use crate::proto::{ExportInfo, ExportSummary, Exports};
use std::sync::Arc;

/// A device under a name.
pub struct Export {
    pub name: String,
    pub description: Option<String>,
    pub device: Arc<dyn Device>,
}

/// Why a set of exports cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    #[error("nothing to export")]
    Empty,
    #[error("two exports are named {0:?}")]
    Repeated(String),
    #[error("export name or description of {0} bytes is too long")]
    TooLong(usize),
    #[error("export name {0:?} contains a NUL")]
    Nul(String),
}

pub(super) struct ExportSet {
    exports: Vec<Export>,
}

impl ExportSet {
    pub fn new(exports: Vec<Export>) -> Result<Self, ExportError> {
        if exports.is_empty() {
            return Err(ExportError::Empty);
        }
        for (index, export) in exports.iter().enumerate() {
            let longest = export.name.len().max(export.description.as_ref().map_or(0, String::len));
            if longest > wire::MAX_STRING_BYTES {
                return Err(ExportError::TooLong(longest));
            }
            if export.name.contains('\0') {
                return Err(ExportError::Nul(export.name.clone()));
            }
            if exports[..index].iter().any(|earlier| earlier.name == export.name) {
                return Err(ExportError::Repeated(export.name.clone()));
            }
        }
        Ok(Self { exports })
    }

    /// The empty name is the first export, unless one has that very name.
    fn get(&self, name: &str) -> Option<&Export> {
        let default = || if name.is_empty() { self.exports.first() } else { None };
        self.exports.iter().find(|export| export.name == name).or_else(default)
    }

    pub fn device(&self, name: &str) -> Option<Arc<dyn Device>> {
        self.get(name).map(|export| export.device.clone())
    }

    /// Flushes every writable export; a failure is told, since nobody waits for it.
    pub async fn flush(&self) {
        for export in self.exports.iter().filter(|export| !export.device.read_only()) {
            if let Err(error) = export.device.flush().await {
                tell_line(&format!("nbd: flush of {:?}: {error}", export.name));
            }
        }
    }
}

impl Exports for ExportSet {
    fn find(&self, name: &str) -> Option<ExportInfo> {
        self.get(name).map(|export| ExportInfo {
            name: export.name.clone(),
            description: export.description.clone(),
            size: export.device.size(),
            flags: transmission_flags(&*export.device),
        })
    }

    fn list(&self) -> Vec<ExportSummary> {
        let summary =
            |export: &Export| ExportSummary { name: export.name.clone(), description: export.description.clone() };
        self.exports.iter().map(summary).collect()
    }
}

/// What a device of this server can do, as bits of [`transmission_flag`](crate::proto::wire::transmission_flag). Several connections are safe since a flush covers the whole device.
pub fn transmission_flags(device: &dyn Device) -> u16 {
    let common = flag::HAS_FLAGS | flag::SEND_FLUSH | flag::SEND_FUA | flag::CAN_MULTI_CONN | flag::SEND_CACHE;
    let write = flag::SEND_TRIM | flag::SEND_WRITE_ZEROES | flag::SEND_FAST_ZERO;
    common | if device.read_only() { flag::READ_ONLY } else { write }
}
