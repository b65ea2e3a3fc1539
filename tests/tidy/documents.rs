//! Rules of the documents: what they name exists, and their lines are short.
use super::{read, report, root, tracked_files};

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
