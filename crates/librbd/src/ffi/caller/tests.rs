use super::*;
use lsd_engine::ReadTarget;

#[test]
fn texts_need_a_place_for_their_zero() {
    let mut buffer = [b'x' as c_char; 8];
    // SAFETY: the buffer has the sizes given.
    unsafe {
        assert_eq!(put_text(buffer.as_mut_ptr(), 4, "abcd"), Err(Errno::ERANGE));
        assert_eq!(put_text(buffer.as_mut_ptr(), 5, "abcd"), Ok(()));
        assert_eq!(put_text(std::ptr::null_mut(), 5, "abcd"), Err(Errno::EINVAL));
    }
    assert_eq!(&buffer[..6], &[b'a', b'b', b'c', b'd', 0, b'x'].map(|byte| byte as c_char));
}

#[test]
fn sized_texts_tell_what_they_need() {
    let mut buffer = [0 as c_char; 8];
    let mut size = 4_usize;
    // SAFETY: the buffer has at least the size given.
    unsafe {
        assert_eq!(put_sized_text(buffer.as_mut_ptr(), &mut size, "abcd"), Err(Errno::ERANGE));
        assert_eq!(size, 5);
        assert_eq!(put_sized_text(buffer.as_mut_ptr(), &mut size, "abcd"), Ok(0));
        assert_eq!(put_sized_text(buffer.as_mut_ptr(), std::ptr::null_mut(), "abcd"), Err(Errno::EINVAL));
    }
}

#[test]
fn lists_are_written_whole_or_not_at_all() {
    let texts = ["one", "two"];
    let mut buffer = [b'x' as c_char; 9];
    let mut size = 7_usize;
    // SAFETY: the buffer has at least the size given.
    unsafe {
        assert_eq!(put_texts(buffer.as_mut_ptr(), &mut size, texts.into_iter()), Err(Errno::ERANGE));
        assert_eq!((size, buffer[0]), (8, b'x' as c_char));
        assert_eq!(put_texts(buffer.as_mut_ptr(), &mut size, texts.into_iter()), Ok(8));
    }
    assert_eq!(buffer.map(|byte| byte as u8), *b"one\0two\0x");
}

#[test]
fn duplicates_go_back_to_free_once() {
    let mut copy = duplicate("name");
    // SAFETY: `copy` is zero-terminated and from `duplicate`.
    unsafe {
        assert_eq!(CStr::from_ptr(copy).to_str(), Ok("name"));
        release(&mut copy);
        assert!(copy.is_null());
        release(&mut copy);
    }
}

fn iovec(bytes: &mut [u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() }
}

#[test]
fn iovecs_are_gathered_and_scattered_in_order() {
    let (mut one, mut two) = (*b"abc", *b"defgh");
    let vectors = [iovec(&mut one), iovec(&mut []), iovec(&mut two)];
    // SAFETY: three iovecs whose memory outlives the use.
    let memory = unsafe { CallerMemory::iovecs(vectors.as_ptr(), 3) }.ok().unwrap();
    assert_eq!(memory.len(), 8);
    assert_eq!(memory.copy_out(8), "abcdefgh");
    assert_eq!(memory.copy_out(4), "abcd");
    let mut target = memory.target();
    target.data(b"01");
    target.zeroes(3);
    target.data(b"56");
    assert_eq!((one, two), (*b"01\0", *b"\0\x0056h"));
}

#[test]
fn bad_vectors_are_refused() {
    let mut one = *b"abc";
    let good = iovec(&mut one);
    let null = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 1 };
    let huge = libc::iovec { iov_len: usize::MAX, ..good };
    // SAFETY: as many iovecs as the counts say; none is read from.
    unsafe {
        assert!(CallerMemory::iovecs(std::ptr::null(), 1).is_err());
        assert!(CallerMemory::iovecs(&good, 0).is_err());
        assert!(CallerMemory::iovecs(&good, -1).is_err());
        assert!(CallerMemory::iovecs([good, null].as_ptr(), 2).is_err());
        assert!(CallerMemory::iovecs([good, huge].as_ptr(), 2).is_err());
    }
    assert!(CallerMemory::buffer(std::ptr::null(), 1).is_err());
    assert!(CallerMemory::buffer(std::ptr::null(), 0).is_ok());
}
