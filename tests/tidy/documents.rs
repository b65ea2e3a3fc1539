//! Rules of the documents: what they name exists, and their lines are short.
use super::{read, report, root, tracked_files};
use std::path::{Path, PathBuf};

/// Columns of a line in a document.
const MAX_DOCUMENT_COLUMNS: usize = 100;

#[test]
fn documents_that_are_named_exist() {
    let mut offences = Vec::new();
    for name in tracked_files("*.md") {
        let text = read(&name);
        let folder = name.parent().unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            let external = link.is_empty() || link.contains("://");
            if !external && !root().join(folder).join(link).exists() {
                offences.push(format!("{} links to {link}", name.display()));
            }
        }
        for word in text.split(|c: char| c.is_whitespace() || "`(),;:\"'".contains(c)) {
            let word = word.trim_end_matches('.');
            if word.starts_with("docs/") && word.ends_with(".md") && !root().join(word).exists() {
                offences.push(format!("{} names {word}", name.display()));
            }
        }
    }
    report("documents that are named exist", offences);
}

/// Documents of today; records and decisions tell of the day on which they were written.
fn living_documents() -> Vec<PathBuf> {
    let is_record = |name: &PathBuf| name.starts_with("docs/lab") || name.starts_with("docs/adr");
    tracked_files("*.md").into_iter().filter(|name| !is_record(name)).collect()
}

fn plain_words(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| c.is_whitespace() || "`()[],;:\"'#|".contains(c));
    words.map(|word| word.trim_end_matches('.')).filter(|word| !word.is_empty()).collect()
}

/// NAME stands for something.
fn is_placeholder(word: &str) -> bool {
    word.split(['/', '.']).any(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_uppercase()))
        && !word.ends_with(".md")
}

/// Paths of the tree that a text names.
fn paths_named(text: &str) -> Vec<&str> {
    const FOLDERS: [&str; 6] = ["crates/", "tests/", "docs/", "src/", "vstart/", "ceph-conf/"];
    let is_path = |word: &&str| FOLDERS.iter().any(|folder| word.starts_with(folder)) && !is_placeholder(word);
    plain_words(text).into_iter().filter(is_path).collect()
}

/// What the cargo commands of a text are about: `--test`, `--example` or `-p`, and a name.
fn targets_named(text: &str) -> Vec<(&str, &str)> {
    let words = plain_words(text);
    let pairs = words.windows(2).map(|pair| (pair[0], pair[1]));
    pairs
        .filter(|(option, name)| match *option {
            "--test" | "--example" => !is_placeholder(name),
            "-p" => name.starts_with("lsd"),
            _ => false,
        })
        .collect()
}

/// Where a file of this target is, as patterns of `git ls-files`.
fn places_of(option: &str, name: &str) -> Vec<String> {
    let folder = match option {
        "--test" => "tests",
        "--example" => "examples",
        _ if name == "lsd" => return vec!["src/bin/lsd.rs".to_owned()],
        _ => return vec![format!("crates/{}/Cargo.toml", name.trim_start_matches("lsd-"))],
    };
    let files = [format!("{folder}/{name}.rs"), format!("{folder}/{name}/main.rs")];
    files.iter().flat_map(|file| [file.clone(), format!("crates/*/{file}")]).collect()
}

#[test]
fn files_and_targets_that_are_named_exist() {
    let mut offences = Vec::new();
    for name in living_documents() {
        let text = read(&name);
        // The README of a crate means its own folders.
        let folder = name.parent().unwrap();
        let exists = |path: &str| match path.contains('*') {
            true => !tracked_files(path).is_empty(),
            false => root().join(path).exists() || root().join(folder).join(path).exists(),
        };
        let paths = paths_named(&text).into_iter().filter(|path| !exists(path));
        offences.extend(paths.map(|path| format!("{} names {path}", name.display())));
        let targets = targets_named(&text).into_iter().filter(|(option, target)| {
            places_of(option, target).iter().all(|pattern| tracked_files(pattern).is_empty())
        });
        offences.extend(targets.map(|(option, target)| format!("{} names {option} {target}", name.display())));
    }
    report("files, tests, examples and packages that documents name exist", offences);
}

#[test]
fn paths_and_targets_are_found_in_a_text() {
    let text = "in `crates/a/src/`, tests/*.rs (see [b](docs/B.md#part)), `tests/NAME.rs`, https://docs/x.\n\n    cargo test -p\n    \
                lsd-core --test engine -p POOL --test NAME\n";
    assert_eq!(paths_named(text), ["crates/a/src/", "tests/*.rs", "docs/B.md"]);
    assert_eq!(targets_named(text), [("-p", "lsd-core"), ("--test", "engine")]);
}

/// The lines of a document that are too long, by number. Tables and code may be wider, and so may what cannot be broken: a link.
fn long_lines(text: &str) -> Vec<usize> {
    let (mut is_fenced, mut is_code, mut after_blank) = (false, false, true);
    let mut long = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let content = line.trim_start();
        if content.starts_with("```") {
            is_fenced = !is_fenced;
        }
        is_code = line.starts_with("    ") && (after_blank || is_code);
        after_blank = content.is_empty();
        let indent = line.len() - content.len();
        let is_link = |word: &str| word.contains("://") || word.contains("](");
        let is_unbreakable = content
            .split_whitespace()
            .any(|word| is_link(word) && indent + word.chars().count() > MAX_DOCUMENT_COLUMNS);
        let may_be_wide = is_fenced || is_code || content.starts_with('|') || is_unbreakable;
        if !may_be_wide && line.chars().count() > MAX_DOCUMENT_COLUMNS {
            long.push(index + 1);
        }
    }
    long
}

#[test]
fn documents_have_short_lines() {
    let mut offences = Vec::new();
    // Records are kept as they are.
    for name in tracked_files("*.md").into_iter().filter(|name| !name.starts_with("docs/lab")) {
        let long = long_lines(&read(&name));
        offences.extend(long.into_iter().map(|line| format!("{}:{line}", name.display())));
    }
    report("a line of a document has at most 100 columns", offences);
}

#[test]
fn only_what_can_be_broken_is_a_long_line() {
    let (word, fits) = ("x".repeat(101), "ü ".repeat(50));
    let spaced = "word ".repeat(25);
    assert_eq!(long_lines(&format!("{fits}\n{spaced}\n")), [2]);
    assert_eq!(long_lines(&format!("| {spaced} |\n\n    {spaced}\n    {spaced}\n```\n{spaced}\n```\n{spaced}")), [8]);
    assert_eq!(
        long_lines(&format!("text\n    {spaced}\n- [a](docs/{word})\n- https://{word}\n- {spaced}[a](b)\n")),
        [2, 5]
    );
}

/// `group.name` of each line `Counter = "group" "name",`.
fn counters_in(source: &str) -> Vec<String> {
    let quoted = |line: &str| {
        let words: Vec<&str> = line.split_once(" = \"")?.1.strip_suffix("\",")?.split("\" \"").collect();
        <[&str; 2]>::try_from(words).ok().map(|[group, name]| format!("{group}.{name}"))
    };
    source.lines().filter_map(quoted).collect()
}

#[test]
fn every_counter_is_explained() {
    let (source, text) = (read(Path::new("crates/engine/src/api/stats.rs")), read(Path::new("docs/OPERATING.md")));
    let counters = counters_in(&source);
    let explained =
        |counter: &String| text.lines().any(|line| line.starts_with('|') && line.contains(&format!("`{counter}`")));
    let offences = counters.iter().filter(|counter| !explained(counter)).cloned().collect();
    report("docs/OPERATING.md has every counter in its table", offences);
    assert!(counters.contains(&"io.reads".to_owned()), "{counters:?}");
}

#[test]
fn counters_are_found_in_the_table() {
    assert_eq!(counters_in("    /// About.\n    Reads = \"io\" \"reads\",\n    let x = \"a\",\n"), ["io.reads"]);
}
