//! `lsd device`, and `lsd map`, `unmap`, `showmapped`: block devices of this host.
//!
//! Owns: rbd's words and options for them. Does not own: the devices. As rbd calls rbd-nbd, the program beside this one is called,
//! by this one's name with `-nbd` behind it.
use crate::command::image_args::{Role, Snap, image_location};
use crate::command::options::{FORMAT, IMAGE_OR_SNAP, IMAGE_OR_SNAP_SPEC};
use crate::command::{CommandSpec, OptionSpec, Parsed, Positional, parsed::invalid_value};
use crate::error::{Failure, Result};
use crate::output::{program, warn_named};
use crate::session::{Location, Session};
use crate::spec::{Place, Strictness};
use nix::libc;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Command;

const TYPE: &[OptionSpec] = &[OptionSpec::value("device-type", "device type [nbd (default)]").short('t')];
const DEVICE: &[OptionSpec] = &[OptionSpec::value("device", "specify device path").required()];
const COOKIE: &[OptionSpec] =
    &[OptionSpec::switch("show-cookie", "show device cookie"), OptionSpec::value("cookie", "specify device cookie")];
const SNAP_ID: &[OptionSpec] = &[crate::command::options::SNAP_ID];
const MAP: &[OptionSpec] = &[OptionSpec::switch("read-only", "map read-only")];
const ATTACH: &[OptionSpec] =
    &[OptionSpec::switch("read-only", "attach read-only"), OptionSpec::switch("force", "force attach")];
const LOCK: &[OptionSpec] = &[
    OptionSpec::switch("exclusive", "disable automatic exclusive lock transitions"),
    OptionSpec::switch("quiesce", "use quiesce hooks"),
    OptionSpec::value("quiesce-hook", "quiesce hook path"),
];
const MORE: &[OptionSpec] = &[OptionSpec::values("options", "device specific options").short('o')];
const ANY_SPEC: Positional = Positional {
    name: "image-or-snap-or-device-spec",
    help: "image, snapshot, or device specification\n\
           [<pool-name>/[<namespace>/]]<image-name>[@<snap-name>],\n\
           dir:<path>/<image-name>[@<snap-name>] or <device-path>",
};

pub const ATTACH_SPEC: CommandSpec = CommandSpec {
    words: &["device", "attach"],
    alias: &[],
    summary: "Attach image to device.",
    epilogue: "",
    positionals: &[IMAGE_OR_SNAP_SPEC],
    options: &[TYPE, IMAGE_OR_SNAP, DEVICE, COOKIE, SNAP_ID, ATTACH, LOCK, MORE],
    run: |session, parsed| Box::pin(async move { attach(session, parsed) }),
};

pub const DETACH_SPEC: CommandSpec = CommandSpec {
    words: &["device", "detach"],
    alias: &[],
    summary: "Detach image from device.",
    epilogue: "",
    positionals: &[ANY_SPEC],
    options: &[TYPE, IMAGE_OR_SNAP, SNAP_ID, MORE],
    run: |session, parsed| Box::pin(async move { take_off(session, parsed, "detach") }),
};

pub const LIST_SPEC: CommandSpec = CommandSpec {
    words: &["device", "list"],
    alias: &["showmapped"],
    summary: "List mapped images.",
    epilogue: "",
    positionals: &[],
    options: &[TYPE, FORMAT],
    run: |session, parsed| Box::pin(async move { list(session, parsed) }),
};

pub const MAP_SPEC: CommandSpec = CommandSpec {
    words: &["device", "map"],
    alias: &["map"],
    summary: "Map an image to a block device.",
    epilogue: "",
    positionals: &[IMAGE_OR_SNAP_SPEC],
    options: &[TYPE, IMAGE_OR_SNAP, COOKIE, SNAP_ID, MAP, LOCK, MORE],
    run: |session, parsed| Box::pin(async move { map(session, parsed) }),
};

pub const UNMAP_SPEC: CommandSpec = CommandSpec {
    words: &["device", "unmap"],
    alias: &["unmap"],
    summary: "Unmap a mapped image.",
    epilogue: "",
    positionals: &[ANY_SPEC],
    options: &[TYPE, IMAGE_OR_SNAP, SNAP_ID, MORE],
    run: |session, parsed| Box::pin(async move { take_off(session, parsed, "unmap") }),
};

fn map(session: &Session, parsed: &Parsed) -> Result<()> {
    check_type(parsed)?;
    let mut words = vec!["map".to_owned(), image_of(session, parsed)?];
    words.extend(device_words(parsed));
    call(session, &words)
}

/// rbd wants one of two signs that the image is the right one.
fn attach(session: &Session, parsed: &Parsed) -> Result<()> {
    check_type(parsed)?;
    let device = parsed.get("device").ok_or_else(|| Failure::invalid("device was not specified"))?;
    let image = image_of(session, parsed)?;
    if parsed.get("cookie").is_none() && !parsed.has("force") {
        warn_named("could not validate attach request");
        warn_named("mismatching the image and the device may lead to data corruption");
        return Err(Failure::invalid("must specify --cookie <arg> or --force to proceed"));
    }
    let mut words = vec!["attach".to_owned(), image, "--device".to_owned(), device.to_owned()];
    words.extend(device_words(parsed));
    call(session, &words)
}

/// `unmap` and `detach`.
fn take_off(session: &Session, parsed: &Parsed, command: &str) -> Result<()> {
    check_type(parsed)?;
    let what = match parsed.peek_positional().filter(|text| text.starts_with("/dev/")) {
        Some(device) => device.to_owned(),
        None => image_of(session, parsed)?,
    };
    let mut words = vec![command.to_owned(), what];
    words.extend(valued(parsed, "snap-id"));
    words.extend(more_words(&parsed.get_all("options")));
    call(session, &words)
}

fn list(session: &Session, parsed: &Parsed) -> Result<()> {
    check_type(parsed)?;
    let format = parsed.get_with("format", |text| ["plain", "json", "xml"].contains(&text).then(|| text.to_owned()))?;
    let mut words = vec!["list-mapped".to_owned()];
    words.extend(format.into_iter().flat_map(|format| ["--format".to_owned(), format]));
    words.extend(switch(parsed, "pretty-format"));
    call(session, &words)
}

/// rbd's default is the kernel's own driver, which cannot read these images.
fn check_type(parsed: &Parsed) -> Result<()> {
    match parsed.get("device-type") {
        None | Some("nbd") => Ok(()),
        Some("krbd") => {
            Err(Failure::errno("the kernel's rbd driver cannot read lsd images: use nbd", libc::EOPNOTSUPP))
        }
        Some("ggate") => Err(Failure::new(libc::EOPNOTSUPP, "ggate is only supported on FreeBSD")),
        Some(_) => Err(invalid_value("device-type")),
    }
}

fn image_of(session: &Session, parsed: &Parsed) -> Result<String> {
    let location = image_location(parsed, Role::Only, Strictness::Lenient, Snap::Permitted)?;
    Ok(whole_spec(&location, || session.default_pool()))
}

fn whole_spec(location: &Location, default_pool: impl FnOnce() -> String) -> String {
    let place = match &location.place {
        Place::Directory(path) => format!("dir:{}", path.display()),
        Place::Pool { pool, namespace } => {
            let pool = pool.clone().unwrap_or_else(default_pool);
            if namespace.is_empty() { pool } else { format!("{pool}/{namespace}") }
        }
    };
    let snap = location.snap.as_ref().map(|snap| format!("@{snap}")).unwrap_or_default();
    format!("{place}/{}{snap}", location.image)
}

/// In rbd's order.
fn device_words(parsed: &Parsed) -> Vec<String> {
    let mut words = switch(parsed, "quiesce");
    words.extend(switch(parsed, "show-cookie"));
    words.extend(valued(parsed, "cookie"));
    words.extend(valued(parsed, "snap-id"));
    words.extend(switch(parsed, "read-only"));
    words.extend(switch(parsed, "exclusive"));
    words.extend(valued(parsed, "quiesce-hook"));
    words.extend(more_words(&parsed.get_all("options")));
    words
}

fn switch(parsed: &Parsed, name: &str) -> Vec<String> {
    if parsed.has(name) { vec![format!("--{name}")] } else { Vec::new() }
}

fn valued(parsed: &Parsed, name: &str) -> Vec<String> {
    parsed.get(name).map(|value| vec![format!("--{name}"), value.to_owned()]).unwrap_or_default()
}

/// `-o io-timeout=3,notrim` is `--io-timeout=3 --notrim`.
fn more_words(options: &[&str]) -> Vec<String> {
    let each = options.iter().flat_map(|options| options.split(','));
    each.filter(|option| !option.is_empty()).map(|option| format!("--{option}")).collect()
}

/// Runs the other program to its end, on this one's streams.
fn call(session: &Session, words: &[String]) -> Result<()> {
    let name = format!("{}-nbd", program());
    let failed = |error| Failure::invalid(format!("failed to run {name}: {error}"));
    let mut path = std::env::current_exe().map_err(failed)?.into_os_string();
    path.push("-nbd");
    let mut command = Command::new(&path);
    // It says its words under the name that this one is called by.
    // What was read once is kept in this process, which waits.
    let own = format!("/proc/{}/fd/", std::process::id());
    let globals = session.globals().to_words().into_iter().map(|word| word.replace("/proc/self/fd/", &own));
    command.arg0(&name).args(globals).args(words);
    let status = command.status().map_err(failed)?;
    let path = path.display();
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(Failure::invalid(format!("{name} failed with error: {path}: exit status: {code}"))),
        (None, signal) => {
            let signal = signal.unwrap_or_default();
            Err(Failure::invalid(format!("{name} failed with error: {path}: got signal: {signal}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(spec: &CommandSpec, line: &str) -> Parsed {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Parsed::parse(spec, &words).unwrap()
    }

    #[test]
    fn options_are_handed_on_as_rbd_does() {
        let line =
            "rbd/a -t nbd -o io-timeout=3,notrim --options reattach-timeout=9 --cookie c --read-only --snap-id 4";
        let parsed = parsed(&MAP_SPEC, line);
        let wanted = "--cookie c --snap-id 4 --read-only --io-timeout=3 --notrim --reattach-timeout=9";
        assert_eq!(device_words(&parsed).join(" "), wanted);
        assert!(check_type(&parsed).is_ok());
    }

    #[test]
    fn a_specification_is_handed_on_whole() {
        let whole = |spec: &str| whole_spec(&Location::parse(spec).unwrap(), || "default".to_owned());
        assert_eq!(whole("a"), "default/a");
        assert_eq!(whole("p/n/a@s"), "p/n/a@s");
        assert_eq!(whole("dir:/d/a@s"), "dir:/d/a@s");
    }

    #[test]
    fn other_kinds_of_devices_are_refused() {
        let of = |kind: &str| check_type(&parsed(&LIST_SPEC, &format!("-t {kind}"))).unwrap_err();
        assert_eq!((of("krbd").code, of("ggate").code, of("foo").code), (libc::EOPNOTSUPP, libc::EOPNOTSUPP, 1));
        assert_eq!(of("foo").message, "the argument for option '--device-type' is invalid");
    }
}
