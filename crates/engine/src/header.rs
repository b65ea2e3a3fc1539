//! The image header as read from its keyed object.
use crate::error::corrupt;
use crate::objects::Objects;
use crate::{ErrorKind, Result};
use lsd_core::format::header::{ImageRecord, LogRecord, StateRecord, decode_epoch, decode_text, key};
use lsd_core::format::{FormatError, FormatResult};
use lsd_core::units::Epoch;
use lsd_store::{KvMap, ObjectName};
use std::collections::BTreeMap;

/// Every value of a header, decoded.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) image: ImageRecord,
    pub(crate) state: StateRecord,
    pub(crate) epoch: Epoch,
    pub(crate) log: LogRecord,
    pub(crate) name: String,
    pub(crate) metadata: BTreeMap<String, String>,
}

impl Header {
    /// Reads the header as it is now. `NotFound`; `Corrupt`.
    pub(crate) async fn read(objects: &Objects) -> Result<Self> {
        Self::decode(&objects.header(), &objects.read_header().await?)
    }

    /// `Corrupt`: a value is missing or does not verify.
    pub(crate) fn decode(object: &ObjectName, values: &KvMap) -> Result<Self> {
        let get = |key: &str| match values.get(key) {
            Some(value) => Ok(value.as_ref()),
            None => Err(crate::Error::new(ErrorKind::Corrupt, format!("{object}: no value {key:?}"))),
        };
        let bad = |error: FormatError| corrupt(object, error);
        let metadata = values
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix(key::META)?.to_owned(), decode_text(value))))
            .map(|(name, value)| Ok((name, value?)))
            .collect::<FormatResult<_>>()
            .map_err(bad)?;
        Ok(Self {
            image: ImageRecord::decode(get(key::IMAGE)?).map_err(bad)?,
            state: StateRecord::decode(get(key::STATE)?).map_err(bad)?,
            epoch: decode_epoch(get(key::EPOCH)?).map_err(bad)?,
            log: LogRecord::decode(get(key::LOG)?).map_err(bad)?,
            name: decode_text(get(key::NAME)?).map_err(bad)?,
            metadata,
        })
    }
}
