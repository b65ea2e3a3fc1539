use super::*;
use crate::commands;

#[test]
fn clap_takes_both_programs_and_has_every_command() {
    let mut lsd = lsd::tree();
    lsd.clone().debug_assert();
    let usage = usage::parse(&crate::nbd_cmd::usage_text());
    usage.tree().debug_assert();
    let pages = manual::of_tree(&mut lsd).unwrap();
    for spec in commands::listed() {
        let name = format!("lsd-{}.8", spec.words.join("-"));
        let (_, page) = pages.iter().find(|(page, _)| *page == name).unwrap_or_else(|| panic!("no {name}"));
        for option in spec.all_options().filter(|option| !option.hidden) {
            let written = option.long.replace('-', "\\-");
            assert!(page.contains(&written), "{name} does not tell of {written}");
        }
        if spec.alias.len() == spec.words.len() {
            let before = spec.words.len() - 1;
            assert_eq!(spec.alias[..before], spec.words[..before], "{:?} is not beside {:?}", spec.alias, spec.words);
        } else if !spec.alias.is_empty() {
            let name = format!("lsd-{}.8", spec.alias.join("-"));
            assert!(pages.iter().any(|(page, _)| *page == name), "no {name}");
        }
    }
}

#[test]
fn every_command_and_option_of_the_usage_text_is_found() {
    let text = crate::nbd_cmd::usage_text();
    let usage = usage::parse(&text);
    let names: Vec<&str> = usage.commands.iter().map(|command| command.name.as_str()).collect();
    for name in ["map", "unmap", "list-mapped", "serve"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    let written: String = usage.options.iter().map(|option| format!("{} ", option.written)).collect();
    let lines = text.lines().filter(|line| line.trim_start().starts_with('-'));
    for line in lines {
        let option = line.trim().split([' ', '/', ',']).next().unwrap();
        assert!(written.contains(option), "{option} of {line:?} is not in {written}");
    }
    assert!(usage.options.iter().all(|option| !option.help.is_empty()), "{:?}", usage.options);
    assert!(usage.commands.iter().all(|command| !command.help.is_empty()), "{:?}", usage.commands);
    let sections = usage.options.iter().filter(|option| option.written.starts_with("--socket"));
    assert!(sections.map(|option| option.section.as_str()).eq(["Serve options"]));
}

#[test]
fn a_folder_gets_pages_and_scripts() {
    let folder = tempfile::tempdir().unwrap();
    write_all(folder.path()).unwrap();
    for (file, word) in [
        ("man/lsd.8", "lsd\\-nbd"),
        ("man/lsd-snap-create.8", "lsd\\-snap\\-create"),
        ("man/lsd-nbd.8", "LIST OPTIONS"),
        ("bash/lsd", "image-meta"),
        ("bash/lsd-nbd", "list-mapped"),
        ("zsh/_lsd", "image-meta"),
        ("zsh/_lsd-nbd", "list-mapped"),
        ("fish/lsd.fish", "image-meta"),
        ("fish/lsd-nbd.fish", "list-mapped"),
    ] {
        let text = std::fs::read_to_string(folder.path().join(file)).unwrap();
        assert!(text.contains(word), "{word} is not in {file}");
    }
}
