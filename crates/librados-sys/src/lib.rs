//! Raw bindings to librados, generated from the headers of Ceph 16.2.15.
//!
//! Owns: the declarations of the `rados_*` functions, types and `LIBRADOS_*` constants, and the link to
//! `librados.so.2`. Does not own: any safety or lifetime rule; the crate `lsd-rados` adds those. The generated file is
//! kept in the repository so that building needs no libclang; the test `bindings_are_current` regenerates and compares it.
//!
//! And of its own three things that librados' C API cannot do, in C++: appends and reads without copying (`append_op`, `read_data`), and who watches
//! an object (`watchers`).
#![no_std]

#[allow(non_camel_case_types, reason = "names are those of rados/librados.h")]
#[rustfmt::skip]
mod bindings;

#[allow(non_camel_case_types, reason = "as C has them")]
mod append_op;

#[allow(non_camel_case_types, reason = "as C has them")]
mod read_data;

#[allow(non_camel_case_types, reason = "as C has them")]
mod watchers;

pub use append_op::*;
pub use bindings::*;
pub use read_data::*;
pub use watchers::*;
