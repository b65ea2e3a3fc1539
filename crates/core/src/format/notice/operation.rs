//! What an owner is asked to change.
//!
//! Owns: the bytes of operations. Does not own: the notice around one (`notice.rs`).
use super::{NOTICE, take_flag};
use crate::format::codec::{Put, Take};
use crate::format::header::SnapNamespace;
use crate::format::{FormatError, FormatResult, Refusal};
use crate::units::SnapId;

/// A change that the owner makes for somebody else. Each says what it starts from, so that whoever carries it out
/// after a predecessor that may have done so can tell whether it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Bytes.
    Resize {
        from: u64,
        to: u64,
        allow_shrink: bool,
    },
    /// `None`: the key is not there.
    SetMetadata {
        key: String,
        from: Option<String>,
        to: Option<String>,
    },
    /// Feature bits: those in `mask` become as in `to`.
    SetFeatures {
        mask: u64,
        from: u64,
        to: u64,
    },
    Snap(SnapOperation),
    /// Of a clone.
    Flatten,
    /// What is stored of blocks that are all zeroes is given back.
    Sparsify {
        /// Bytes.
        block: u64,
    },
    /// Of the destination of a migration: what lies in the source is copied.
    Migrate,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapOperation {
    /// `after`: the last id that was given out.
    Create {
        name: String,
        namespace: SnapNamespace,
        flags: u64,
        after: SnapId,
    },
    Remove {
        id: SnapId,
    },
    Rename {
        id: SnapId,
        from: String,
        to: String,
    },
    Protect {
        id: SnapId,
        protect: bool,
    },
    /// `None`: there is none.
    Limit {
        limit: Option<u64>,
    },
}

pub(super) fn put(out: &mut Vec<u8>, operation: &Operation) {
    match operation {
        Operation::Resize { from, to, allow_shrink } => {
            out.put_u8(1);
            out.put_u64(*from);
            out.put_u64(*to);
            out.put_u8(u8::from(*allow_shrink));
        }
        Operation::SetMetadata { key, from, to } => {
            out.put_u8(2);
            out.put_text(key);
            put_option(out, from.as_deref());
            put_option(out, to.as_deref());
        }
        Operation::SetFeatures { mask, from, to } => {
            out.put_u8(3);
            out.put_u64(*mask);
            out.put_u64(*from);
            out.put_u64(*to);
        }
        Operation::Snap(operation) => put_snap(out, operation),
        Operation::Flatten => out.put_u8(9),
        Operation::Sparsify { block } => {
            out.put_u8(10);
            out.put_u64(*block);
        }
        Operation::Migrate => out.put_u8(11),
    }
}

fn put_snap(out: &mut Vec<u8>, operation: &SnapOperation) {
    match operation {
        SnapOperation::Create { name, namespace, flags, after } => {
            out.put_u8(4);
            out.put_text(name);
            namespace.put(out);
            out.put_u64(*flags);
            out.put_u64(after.0);
        }
        SnapOperation::Remove { id } => {
            out.put_u8(5);
            out.put_u64(id.0);
        }
        SnapOperation::Rename { id, from, to } => {
            out.put_u8(6);
            out.put_u64(id.0);
            out.put_text(from);
            out.put_text(to);
        }
        SnapOperation::Protect { id, protect } => {
            out.put_u8(7);
            out.put_u64(id.0);
            out.put_u8(u8::from(*protect));
        }
        SnapOperation::Limit { limit } => {
            out.put_u8(8);
            out.put_u8(u8::from(limit.is_some()));
            out.put_u64(limit.unwrap_or_default());
        }
    }
}

pub(super) fn take(take: &mut Take<'_>) -> FormatResult<Operation> {
    let operation = match take.u8()? {
        1 => Operation::Resize { from: take.u64()?, to: take.u64()?, allow_shrink: take_flag(take, NOTICE)? },
        2 => Operation::SetMetadata { key: take.text()?, from: take_option(take)?, to: take_option(take)? },
        3 => Operation::SetFeatures { mask: take.u64()?, from: take.u64()?, to: take.u64()? },
        4 => Operation::Snap(SnapOperation::Create {
            name: take.text()?,
            namespace: SnapNamespace::take(take, NOTICE)?,
            flags: take.u64()?,
            after: SnapId(take.u64()?),
        }),
        5 => Operation::Snap(SnapOperation::Remove { id: SnapId(take.u64()?) }),
        6 => Operation::Snap(SnapOperation::Rename { id: SnapId(take.u64()?), from: take.text()?, to: take.text()? }),
        7 => Operation::Snap(SnapOperation::Protect { id: SnapId(take.u64()?), protect: take_flag(take, NOTICE)? }),
        8 => {
            let (is_some, limit) = (take_flag(take, NOTICE)?, take.u64()?);
            Operation::Snap(SnapOperation::Limit { limit: is_some.then_some(limit) })
        }
        9 => Operation::Flatten,
        10 => Operation::Sparsify { block: take.u64()? },
        11 => Operation::Migrate,
        _ => return Err(FormatError::new(NOTICE, Refusal::Value("operation"))),
    };
    Ok(operation)
}

fn put_option(out: &mut Vec<u8>, text: Option<&str>) {
    out.put_u8(u8::from(text.is_some()));
    if let Some(text) = text {
        out.put_text(text);
    }
}

fn take_option(take: &mut Take<'_>) -> FormatResult<Option<String>> {
    Ok(if take_flag(take, NOTICE)? { Some(take.text()?) } else { None })
}
