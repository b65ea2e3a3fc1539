//! That a stock snapshot stays as long as an image of lsd needs it.
//!
//! Owns: its entry in `rbd_children`, where RBD keeps the clones of protected snapshots (format 1 of clones): with it nobody can take
//! the protection away, and so not remove the snapshot. Does not own: when it is made and taken away (who makes and flattens images).
//!
//! RBD looks for children in the object of every pool, in the parent's namespace. The entry is in the parent's own pool: a child may be
//! anywhere.
use crate::error::RadosResult;
use crate::ioctx::IoCtx;
use nix::libc;

const CHILDREN: &str = "rbd_children";

/// Parent and child as the methods of the class `rbd` take them (cls_rbd.cc, `add_child`).
fn encode(pool: i64, image: &str, snapshot: u64, child: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let text = |out: &mut Vec<u8>, text: &str| {
        out.extend((text.len() as u32).to_le_bytes());
        out.extend(text.as_bytes());
    };
    out.extend(pool.to_le_bytes());
    text(&mut out, image);
    out.extend(snapshot.to_le_bytes());
    text(&mut out, child);
    out
}

/// `io`: the parent's pool and namespace. One that is there is right.
pub(super) async fn hold(io: &IoCtx, image: &str, snapshot: u64, child: &str) -> RadosResult<()> {
    call(io, "add_child", libc::EEXIST, &encode(io.pool_id().0, image, snapshot, child)).await
}

/// One that is gone is right.
pub(super) async fn release(io: &IoCtx, image: &str, snapshot: u64, child: &str) -> RadosResult<()> {
    call(io, "remove_child", libc::ENOENT, &encode(io.pool_id().0, image, snapshot, child)).await
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
    use super::encode;

    #[test]
    fn numbers_are_little_endian_and_texts_have_their_length_before_them() {
        let bytes = encode(3, "ab", 5, "c");
        assert_eq!(bytes, [3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, b'a', b'b', 5, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, b'c']);
    }
}
