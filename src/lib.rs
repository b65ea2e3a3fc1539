//! `librbd.so.1`: nothing but the exports of `lsd-librbd`, since only a root package can name its cdylib.
use lsd_librbd as _;
