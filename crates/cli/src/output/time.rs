//! Times as the C library's ctime prints them, in the local time zone.
use chrono::{DateTime, Local};

/// `Sat Nov 21 03:01:49 2026` for nanoseconds since 1970; empty if the calendar has no such time.
pub fn ctime(nanoseconds: u64) -> String {
    let seconds = (nanoseconds / 1_000_000_000) as i64;
    let Some(utc) = DateTime::from_timestamp(seconds, 0) else { return String::new() };
    utc.with_timezone(&Local).format("%a %b %e %H:%M:%S %Y").to_string()
}
