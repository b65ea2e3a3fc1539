use super::*;

fn split(args: &[&str], env: &[(&str, &str)]) -> Result<(Globals, Vec<String>)> {
    let env: Vec<(String, String)> = env.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    Globals::split(args.iter().map(|arg| (*arg).to_owned()).collect(), &move |key| {
        env.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone())
    })
}

#[test]
fn options_are_taken_from_anywhere() {
    let (globals, rest) =
        split(&["-c", "/a", "info", "--id", "bob", "img", "--rbd-cache=false", "-m", "h", "--pool", "p"], &[]).unwrap();
    assert_eq!(globals.conf.as_deref(), Some("/a"));
    assert_eq!(globals.entity(), "client.bob");
    assert_eq!(globals.setting("rbd_cache"), Some("false"));
    assert_eq!(globals.setting("mon_host"), Some("h"));
    assert_eq!(rest, ["info", "img", "--pool", "p"]);
}

#[test]
fn nothing_is_taken_after_two_dashes() {
    let (globals, rest) = split(&["x", "--", "--id", "bob"], &[]).unwrap();
    assert_eq!(globals.entity(), "client.admin");
    assert_eq!(rest, ["x", "--", "--id", "bob"]);
}

#[test]
fn the_command_line_overrides_the_environment() {
    let env = [("CEPH_CONF", "/env"), ("CEPH_ARGS", "--id env --keyring /k")];
    let (globals, _) = split(&["ls"], &env).unwrap();
    assert_eq!((globals.conf.as_deref(), globals.entity()), (Some("/env"), "client.env"));
    let (globals, _) = split(&["ls", "-c", "/arg", "-n", "client.arg"], &env).unwrap();
    assert_eq!((globals.conf.as_deref(), globals.entity()), (Some("/arg"), "client.arg"));
    assert_eq!(globals.setting("keyring"), Some("/k"));
}

#[test]
fn a_missing_value_is_ceph_s_usage_error() {
    let failure = split(&["ls", "--id"], &[]).unwrap_err();
    assert_eq!((failure.code, failure.message.trim()), (1, "Option --id requires an argument."));
}

#[test]
fn options_of_commands_are_left_alone() {
    let args = ["bench", "--io-type", "write", "--journal-pool", "x", "--namespace=n", "--image", "i", "-p", "q"];
    let (globals, rest) = split(&args, &[]).unwrap();
    assert_eq!(rest, args);
    assert!(globals.overrides.is_empty());
}

#[test]
fn the_usual_places_follow_the_cluster_s_name() {
    let (globals, _) = split(&["--cluster", "west"], &[]).unwrap();
    let paths = globals.conf_candidates(Some("/root"));
    assert_eq!(paths, ["/etc/ceph/west.conf", "/root/.ceph/west.conf", "west.conf"].map(PathBuf::from));
}

/// librados knows `log_file` and no `log_level`.
#[test]
fn the_level_of_the_log_is_a_setting_of_our_own() {
    for line in [["--log-level", "info", "--log-file", "/l"], ["--log_level", "info", "--log_file", "/l"]] {
        let (globals, rest) = split(&line, &[]).unwrap();
        let settings = [("lsd_log_level", "info"), ("log_file", "/l")].map(|(key, text)| (key.into(), text.into()));
        assert_eq!((globals.overrides, rest), (settings.to_vec(), vec![]));
    }
}

#[test]
fn another_program_is_told_the_same() {
    let line = ["--id", "u", "-c", "/c", "-m", "1.2.3.4", "--keyfile=/k", "--no-mon-config", "--log-level", "info"];
    let (globals, _) = split(&line, &[]).unwrap();
    let words = globals.to_words();
    let wanted = "--conf /c --name client.u --mon_host=1.2.3.4 --keyfile=/k --no-mon-config --lsd_log_level=info";
    assert_eq!(words.join(" "), wanted);
    let again: Vec<&str> = words.iter().map(String::as_str).collect();
    assert_eq!(split(&again, &[]).unwrap().0, globals);
}
