//! `librbd.so.1`: nothing but the exports of `lsd-librbd`, since only a root package can name its cdylib. librbd's C++ classes are put
//! into it by `build.rs`.
use lsd_librbd as _;
