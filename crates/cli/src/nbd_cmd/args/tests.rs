use super::*;

fn parsed(line: &str) -> Result<(Globals, Options)> {
    parse(line.split_whitespace().map(str::to_owned).collect(), &|_| None)
}

/// The call of ceph-csi.
#[test]
fn options_stand_anywhere_and_take_either_form() {
    let line = "--id u -m 1.2.3.4 --keyfile=/k --log-file /l map rbd/a --try-netlink --reattach-timeout=300 \
                --io-timeout=0 --cookie=vol --device /dev/nbd3 --max_part 0 --nbds-max=4 --read-only";
    let (globals, options) = parsed(line).unwrap();
    assert_eq!(globals.entity(), "client.u");
    assert_eq!((options.command.as_deref(), &options.arguments[..]), (Some("map"), &["rbd/a".to_owned()][..]));
    assert_eq!((options.io_timeout, options.reattach_timeout), (Some(0), Some(300)));
    assert_eq!((options.max_part, options.nbds_max), (Some(0), Some(4)));
    assert_eq!((options.device, options.cookie.as_deref()), (Some(DeviceIndex(3)), Some("vol")));
    assert!(options.read_only && !options.exclusive && !options.no_trim);
    let (globals, _) = parsed("-i other list-mapped").unwrap();
    assert_eq!(globals.entity(), "client.other");
}

#[test]
fn what_newer_versions_and_this_one_have() {
    let line = "map a --notrim --snap-id 7 --connections 4 --pid-file /run/p --writeback --noudev --quiesce-hook /h";
    let (_, options) = parsed(line).unwrap();
    assert!(options.no_trim && options.writeback && options.no_udev);
    assert_eq!((options.snap_id, options.connections), (Some(7), Some(4)));
    assert_eq!(options.pid_file.as_deref(), Some(Path::new("/run/p")));
    assert_eq!(parsed("map --nbds_max 0 a").unwrap().1.nbds_max, None);
    // Said where the command runs, not where another process's command line is read.
    let (_, options) = parsed("map a --timeout 9").unwrap();
    assert_eq!((options.io_timeout, options.warnings.len()), (Some(9), 1));
}

#[test]
fn wrong_options_say_what_is_wrong() {
    for (line, wanted) in [
        ("map --device /dev/sda a", "invalid device path: /dev/sda (expected /dev/nbd{num})"),
        ("map --device", "Option --device requires an argument."),
        ("map --io-timeout x a", "The option value 'x' is invalid"),
        ("map --io-timeout -1 a", "Invalid argument for io-timeout!"),
        ("map --timeout -1 a", "Invalid argument for timeout!"),
        ("map --reattach-timeout -3 a", "Invalid argument for reattach-timeout!"),
        ("map --snap-id -3 a", "Invalid argument for snap-id!"),
        ("map --max_part 256 a", "Invalid argument for max_part(0~255)!"),
        ("map --nbds_max -1 a", "Invalid argument for nbds_max!"),
        ("map --connections 0 a", "Invalid argument for connections(1~64)!"),
        ("map --connections 65 a", "Invalid argument for connections(1~64)!"),
        ("map --frob a", "unknown option --frob"),
        ("map --read-only=yes a", "option --read-only takes no value"),
        ("map --encryption-format aes a", "Invalid encryption format"),
        (
            "map --encryption-format luks2 a",
            "option --encryption-format is not supported yet: (95) Operation not supported",
        ),
    ] {
        assert_eq!(parsed(line).unwrap_err().message, wanted, "{line}");
    }
}

#[test]
fn pool_and_namespace_fill_in() {
    let (_, options) = parsed("map -p p --namespace n a").unwrap();
    let place = |spec: &str| options.location(spec).unwrap().place;
    assert_eq!(place("a"), Place::Pool { pool: Some("p".into()), namespace: "n".into() });
    assert_eq!(place("q/a"), Place::Pool { pool: Some("q".into()), namespace: String::new() });
    assert_eq!(place("dir:/d/a"), Place::Directory("/d".into()));
    let (_, options) = parsed("map --snap-id 4 a@b").unwrap();
    assert_eq!(options.location("a@b").unwrap_err().message, "use either snapname or snapid, not both");
}
