//! That a stock snapshot stays as long as an image of lsd needs it.
//!
//! Owns: its entry in `rbd_children`, where RBD keeps the clones of protected snapshots (format 1 of clones): with it nobody can take
//! the protection away, and so not remove the snapshot; and whether it has that protection. Does not own: when it is made and taken away (who makes and flattens images).
//!
//! RBD looks for children in the object of every pool, in the parent's namespace. The entry is in the parent's own pool: a child may be
//! anywhere.
use super::records::{header, put, take_text, take_u32};
use crate::error::{RadosError, RadosResult};
use crate::ioctx::IoCtx;
use nix::libc;
use std::collections::BTreeSet;

const CHILDREN: &str = "rbd_children";

/// Parent and child as the methods of the class `rbd` take them (cls_rbd.cc, `add_child`).
fn encode(pool: i64, image: &str, snapshot: u64, child: &str) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(pool.to_le_bytes());
    put(&mut out, image);
    out.extend(snapshot.to_le_bytes());
    put(&mut out, child);
    out
}

/// Parent as `get_children` takes it, which is all of the above but the child.
fn encode_parent(pool: i64, image: &str, snapshot: u64) -> Vec<u8> {
    let mut out = encode(pool, image, snapshot, "");
    out.truncate(out.len() - size_of::<u32>());
    out
}

/// The children that `get_children` gives. `None`: not what it gives.
fn decode_children(bytes: &[u8]) -> Option<BTreeSet<String>> {
    let mut rest = bytes;
    let number = take_u32(&mut rest)?;
    (0..number).map(|_| take_text(&mut rest)).collect()
}

/// Who keeps a snapshot. `io`: the parent's pool and namespace.
pub(super) async fn children(io: &IoCtx, image: &str, snapshot: u64) -> RadosResult<BTreeSet<String>> {
    let asked = io.exec(CHILDREN, "rbd", "get_children", &encode_parent(io.pool_id().0, image, snapshot)).await;
    match asked {
        Ok(bytes) => decode_children(&bytes).ok_or_else(|| RadosError::new(libc::EIO, "get_children", CHILDREN)),
        Err(error) if error.errno == libc::ENOENT => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}

/// `io`: the parent's pool and namespace. One that is there is right.
pub(super) async fn hold(io: &IoCtx, image: &str, snapshot: u64, child: &str) -> RadosResult<()> {
    call(io, "add_child", libc::EEXIST, &encode(io.pool_id().0, image, snapshot, child)).await
}

/// One that is gone is right.
pub(super) async fn release(io: &IoCtx, image: &str, snapshot: u64, child: &str) -> RadosResult<()> {
    call(io, "remove_child", libc::ENOENT, &encode(io.pool_id().0, image, snapshot, child)).await
}

/// What keeps RBD from removing a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protection {
    /// It can be removed, or is gone.
    None,
    /// Somebody takes it away, and may have looked for children already. Until then the snapshot is there.
    Going,
    /// Nobody takes it away without looking for children first.
    Whole,
}

pub(super) async fn protection(io: &IoCtx, image: &str, snapshot: u64) -> RadosResult<Protection> {
    match io.exec(&header(image), "rbd", "get_protection_status", &snapshot.to_le_bytes()).await {
        Ok(status) => Ok(match status.first() {
            None | Some(0) => Protection::None,
            Some(1) => Protection::Going,
            Some(_) => Protection::Whole,
        }),
        Err(error) if error.errno == libc::ENOENT => Ok(Protection::None),
        Err(error) => Err(error),
    }
}

async fn call(io: &IoCtx, method: &str, as_well: i32, input: &[u8]) -> RadosResult<()> {
    match io.exec(CHILDREN, "rbd", method, input).await {
        Ok(_) => Ok(()),
        Err(error) if error.errno == as_well => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::{decode_children, encode, encode_parent};

    #[test]
    fn numbers_are_little_endian_and_texts_have_their_length_before_them() {
        let bytes = encode(3, "ab", 5, "c");
        assert_eq!(bytes, [3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, b'a', b'b', 5, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, b'c']);
        assert_eq!(encode_parent(3, "ab", 5), bytes[..bytes.len() - 5]);
    }

    #[test]
    fn children_are_texts_with_their_number_before_them() {
        let bytes = [2, 0, 0, 0, 1, 0, 0, 0, b'a', 2, 0, 0, 0, b'b', b'c'];
        assert_eq!(decode_children(&bytes).unwrap().into_iter().collect::<Vec<_>>(), ["a", "bc"]);
        for short in 0..bytes.len() {
            assert_eq!(decode_children(&bytes[..short]), None, "{short}");
        }
    }
}
