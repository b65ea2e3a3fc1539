use super::*;
use crate::commands;

fn parse(command: &str, args: &[&str]) -> Result<Parsed> {
    let spec = commands::all().find(|spec| spec.words.join(" ") == command).unwrap();
    Parsed::parse(spec, &args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>())
}

fn words(command: &str, args: &[&str]) -> (i32, String) {
    let failure = parse(command, args).unwrap_err();
    (failure.code, failure.message)
}

#[test]
fn options_and_arguments_may_be_mixed() {
    let parsed = parse("create", &["img", "-s", "10", "--pool=p", "--image-shared"]).unwrap();
    assert_eq!((parsed.get("size"), parsed.get("pool")), (Some("10"), Some("p")));
    assert!(parsed.has("image-shared") && !parsed.has("thick-provision"));
    assert_eq!((parsed.next_positional(), parsed.next_positional()), (Some("img"), None));
    let parsed = parse("list", &["-lp", "p"]).unwrap();
    assert!(parsed.has("long") && parsed.get("pool") == Some("p"));
    let parsed = parse("import", &["-", "img"]).unwrap();
    assert_eq!((parsed.next_positional(), parsed.next_positional()), (Some("-"), Some("img")));
}

#[test]
fn wrong_usage_is_worded_as_rbd_words_it() {
    assert_eq!(words("info", &["a", "b"]), (1, "too many arguments".into()));
    assert_eq!(words("info", &["a", "--bogus"]), (1, "unrecognised option '--bogus'".into()));
    assert_eq!(words("info", &["a", "-Z"]), (1, "unrecognised option '-Z'".into()));
    assert_eq!(words("create", &["a", "--size"]), (1, "the required argument for option '--size' is missing".into()));
    let twice = "option '--size' cannot be specified more than once";
    assert_eq!(words("create", &["a", "-s", "10", "-s", "20"]), (1, twice.into()));
    assert_eq!(words("list", &["--long=3"]), (1, "option '--long' does not take any arguments".into()));
}

#[test]
fn every_command_can_be_parsed_and_has_help() {
    for spec in commands::all() {
        parse(&spec.words.join(" "), &[]).unwrap();
        let text = help::command(spec, spec.words);
        assert!(text.starts_with(&format!("usage: lsd {} ", spec.words.join(" "))), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
