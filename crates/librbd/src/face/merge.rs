//! Lists that both libraries have a part of.
//!
//! Owns: getting all of what a listing function has, and giving the sum to a caller by librbd's rules. Does not own: which lists.
use crate::ffi::caller::{fetch, put_texts};
use crate::ffi::errno::{Errno, Outcome};
use nix::libc;
use std::ffi::{c_char, c_int};

/// Places that a list gets at first.
const FIRST_PLACES: usize = 256;
/// Bytes that keys and values get at first, each.
const FIRST_BYTES: usize = 16 << 10;
/// A list that grows while it is asked for is asked for so often.
const ATTEMPTS: u32 = 16;

/// Everything that a function lists into an array: given the array and its places, it gives the entries there are.
pub fn all<T>(mut list: impl FnMut(*mut T, *mut usize) -> c_int) -> Outcome<Vec<T>> {
    let mut places = FIRST_PLACES;
    for _ in 0..ATTEMPTS {
        let mut entries = Vec::<T>::with_capacity(places);
        let mut count = places;
        let code = list(entries.as_mut_ptr(), &mut count);
        if code == -libc::ERANGE && count > places {
            places = count;
            continue;
        }
        if code < 0 {
            return Err(Errno(-code));
        }
        // SAFETY: the function has filled so many, and there are no more places.
        unsafe { entries.set_len(count.min(places)) };
        return Ok(entries);
    }
    Err(Errno::ERANGE)
}

/// The entries of both libraries, ours first. `give_back` takes them if the other list failed.
pub fn both<T>(mut ours: Vec<T>, theirs: Outcome<Vec<T>>, give_back: impl FnOnce(*mut T, usize)) -> Outcome<Vec<T>> {
    match theirs {
        Ok(theirs) => {
            ours.extend(theirs);
            Ok(ours)
        }
        Err(error) => {
            give_back(ours.as_mut_ptr(), ours.len());
            Err(error)
        }
    }
}

/// The same of texts one after another, each with its zero: the function gives the bytes that it wrote.
pub fn all_texts(mut list: impl FnMut(*mut c_char, *mut usize) -> c_int) -> Outcome<Vec<String>> {
    let mut written = 0;
    let mut buffer = all::<c_char>(|texts, size| {
        let code = list(texts, size);
        written = usize::try_from(code).unwrap_or(0);
        code
    })?;
    buffer.truncate(written);
    let bytes: Vec<u8> = buffer.into_iter().map(|byte| byte as u8).collect();
    let texts = bytes.split(|byte| *byte == 0).filter(|text| !text.is_empty());
    Ok(texts.map(|text| String::from_utf8_lossy(text).into_owned()).collect())
}

/// The same of keys and values in two buffers.
pub fn pairs(
    mut list: impl FnMut(*mut c_char, *mut usize, *mut c_char, *mut usize) -> c_int,
) -> Outcome<Vec<(String, String)>> {
    let mut sizes = (FIRST_BYTES, FIRST_BYTES);
    for _ in 0..ATTEMPTS {
        let (mut keys, mut values) = (vec![0 as c_char; sizes.0], vec![0 as c_char; sizes.1]);
        let mut filled = sizes;
        let code = list(keys.as_mut_ptr(), &mut filled.0, values.as_mut_ptr(), &mut filled.1);
        if code == -libc::ERANGE && (filled.0 > sizes.0 || filled.1 > sizes.1) {
            sizes = (filled.0.max(sizes.0), filled.1.max(sizes.1));
            continue;
        }
        if code < 0 {
            return Err(Errno(-code));
        }
        let texts = |mut buffer: Vec<c_char>, filled: usize| {
            buffer.truncate(filled);
            let bytes: Vec<u8> = buffer.into_iter().map(|byte| byte as u8).collect();
            // A value may be empty, so each zero ends a text.
            let mut texts: Vec<String> =
                bytes.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned()).collect();
            texts.pop();
            texts
        };
        return Ok(texts(keys, filled.0).into_iter().zip(texts(values, filled.1)).collect());
    }
    Err(Errno::ERANGE)
}

/// Gives entries to a caller: ERANGE with their number if there are not so many places. Gives their number.
///
/// # Safety
/// `places`: null, or as many as `count` says, which is null or a number. `give_back` takes entries that nobody gets.
pub unsafe fn give<T>(
    mut entries: Vec<T>,
    places: *mut T,
    count: *mut usize,
    give_back: impl FnOnce(*mut T, usize),
) -> Outcome<c_int> {
    let given = || {
        // SAFETY: the same contract.
        let had = unsafe { fetch(count) }?;
        // SAFETY: `fetch` found it not null.
        unsafe { count.write(entries.len()) };
        if had < entries.len() {
            return Err(Errno::ERANGE);
        }
        if places.is_null() && !entries.is_empty() {
            return Err(Errno::EINVAL);
        }
        if !entries.is_empty() {
            // SAFETY: not null, and at least as many places as entries, which the caller owns from here on.
            unsafe { places.copy_from_nonoverlapping(entries.as_ptr(), entries.len()) };
        }
        c_int::try_from(entries.len()).map_err(|_| Errno::ERANGE)
    };
    let given = given();
    if given.is_err() {
        give_back(entries.as_mut_ptr(), entries.len());
    }
    given
}

/// Gives the names of both to a caller, sorted, each once.
///
/// # Safety
/// As [`put_texts`].
pub unsafe fn give_names(
    mut names: Vec<String>,
    more: Vec<String>,
    buffer: *mut c_char,
    size: *mut usize,
) -> Outcome<c_int> {
    names.extend(more);
    names.sort();
    names.dedup();
    // SAFETY: the same contract.
    unsafe { put_texts(buffer, size, names.iter().map(String::as_str)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A listing function as librbd has it, with `total` entries.
    fn numbers(total: usize) -> impl FnMut(*mut u32, *mut usize) -> c_int {
        move |places, count| {
            // SAFETY: a number and so many places, by the caller below.
            unsafe {
                let had = count.replace(total);
                if had < total {
                    return -libc::ERANGE;
                }
                (0..total).for_each(|at| places.add(at).write(at as u32));
            }
            0
        }
    }

    #[test]
    fn a_list_longer_than_the_first_try_is_whole() {
        let all = all(numbers(1000)).unwrap();
        assert!(all.len() == 1000 && all[999] == 999);
        assert_eq!(super::all(numbers(0)), Ok(Vec::new()));
        assert_eq!(super::all::<u32>(|_, _| -libc::EIO), Err(Errno::EIO));
    }

    #[test]
    fn a_list_that_does_not_fit_is_given_back_and_its_length_told() {
        let (mut places, mut count, mut back) = ([0_u32; 3], 2, 0);
        // SAFETY: as many places as the count says.
        let given = unsafe { give(vec![7, 8, 9], places.as_mut_ptr(), &mut count, |_, len| back = len) };
        assert_eq!((given, count, back, places), (Err(Errno::ERANGE), 3, 3, [0; 3]));
        // SAFETY: as above.
        let given = unsafe { give(vec![7, 8, 9], places.as_mut_ptr(), &mut count, |_, _| panic!("they are given")) };
        assert_eq!((given, count, places), (Ok(3), 3, [7, 8, 9]));
    }

    #[test]
    fn names_of_both_are_sorted_and_told_once() {
        let list = |names: &'static [&str]| {
            all_texts(move |buffer, size| {
                // SAFETY: a buffer of that size, from `all`.
                unsafe { put_texts(buffer, size, names.iter().copied()) }.unwrap()
            })
            .unwrap()
        };
        let (mut buffer, mut size) = ([b'x' as c_char; 16], 16);
        // SAFETY: a buffer of that size.
        let given = unsafe { give_names(list(&["b", "d"]), list(&["a", "b"]), buffer.as_mut_ptr(), &mut size) };
        assert_eq!(given, Ok(6));
        assert_eq!(buffer.map(|byte| byte as u8)[..6], *b"a\0b\0d\0");
    }
}
