//! Raw bindings to librados, generated from the headers of Ceph 16.2.15.
//!
//! Owns: the declarations of the `rados_*` functions, types and `LIBRADOS_*` constants, and the link to
//! `librados.so.2`. Does not own: any safety or lifetime rule; the crate `lsd-rados` adds those. The generated file is
//! kept in the repository so that building needs no libclang; the test `bindings_are_current` regenerates and compares it.
#![no_std]

#[allow(non_camel_case_types, reason = "names are those of rados/librados.h")]
#[rustfmt::skip]
mod bindings;

pub use bindings::*;
