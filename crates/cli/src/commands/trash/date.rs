//! Points in time as rbd takes them: whatever `/bin/date --date=TEXT` understands. A date of which a part is missing (a time of day)
//! means what it means there.
use crate::error::{Failure, Result};
use nix::libc;
use std::process::{Command, Stdio};

const PROGRAM: &str = "/bin/date";
const NS_PER_SECOND: i128 = 1_000_000_000;

/// Nanoseconds since 1970, less than 0 for earlier times. `EINVAL`: date does not know what it means, and says so itself.
pub fn parse(text: &str) -> Result<i128> {
    let failed = |errno| Failure::errno(&format!("error calling {PROGRAM}"), errno);
    let mut command = Command::new(PROGRAM);
    command.arg(format!("--date={text}")).arg("+%s %N").stdin(Stdio::null()).stderr(Stdio::inherit());
    let done = command.output().map_err(|error| failed(error.raw_os_error().unwrap_or(libc::EINVAL)))?;
    let time = done.status.success().then_some(()).and_then(|()| read(&String::from_utf8_lossy(&done.stdout)));
    time.ok_or_else(|| failed(libc::EINVAL))
}

/// Seconds since 1970, and the nanoseconds that belong to them.
fn read(output: &str) -> Option<i128> {
    let (seconds, nanoseconds) = output.trim_end().split_once(' ')?;
    let (seconds, nanoseconds): (i64, u32) = (seconds.parse().ok()?, nanoseconds.parse().ok()?);
    Some(i128::from(seconds) * NS_PER_SECOND + i128::from(nanoseconds))
}

/// The last nanosecond of that second: what is shown as expired then, which is in whole seconds, has expired by then.
pub fn to_the_second(ns: i128) -> u64 {
    let end = (ns.div_euclid(NS_PER_SECOND) + 1) * NS_PER_SECOND - 1;
    u64::try_from(end.max(0)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_date() {
        assert_eq!(parse("@2000000000").unwrap(), 2_000_000_000 * NS_PER_SECOND);
        assert_eq!(parse("2033-05-18 03:33:20 UTC").unwrap(), 2_000_000_000 * NS_PER_SECOND);
        assert_eq!(parse("1969-12-31 23:59:59 UTC").unwrap(), -NS_PER_SECOND);
        let whole = parse("2030-01-01 12:00").unwrap();
        assert_eq!(parse("2030-01-02 12:00").unwrap() - whole, 86400 * NS_PER_SECOND);
        for text in ["+3600", "garbage", "2030-13-01", "now; echo 1"] {
            let failure = parse(text).unwrap_err();
            let words = "error calling /bin/date: (22) Invalid argument";
            assert_eq!((failure.code, &*failure.message), (22, words), "{text}");
        }
    }

    #[test]
    fn a_second_has_an_end() {
        assert_eq!(to_the_second(5 * NS_PER_SECOND), 5_999_999_999);
        assert_eq!(to_the_second(5_999_999_999), 5_999_999_999);
        assert_eq!(to_the_second(-1), 0);
        assert_eq!(to_the_second(i128::from(u64::MAX) * 2), u64::MAX);
    }
}
