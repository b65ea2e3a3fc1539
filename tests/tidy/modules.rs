//! Which module of a crate names which, as far as its text says so, and whether that goes round in a circle.
//!
//! Owns: the module of a file, `crate::` and `super::` paths in it, leaving out what is compiled for tests only. Does not own:
//! which crates are looked at (`rooms.rs`). Macros are not expanded, and an inline module counts as its file.
use super::code_of;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Names from the root of the crate down, or as a path has them.
type Names = Vec<String>;

/// The rooms that a room names, each with a place where it does.
pub type Arrows = BTreeMap<String, BTreeMap<String, String>>;

/// A path of a `use` or of an expression, and what it is called afterwards.
struct Leaf {
    path: Names,
    alias: String,
}

/// A source file without what is compiled for tests only.
struct Source<'a> {
    name: &'a str,
    module: Names,
    tokens: Vec<&'a str>,
    /// Modules of it that are for tests.
    test_modules: Vec<&'a str>,
}

/// Which room names which; a room is a module at `depth`, and all below it. `files`: path below `src`, and text.
pub fn arrows(files: &[(String, String)], depth: usize) -> Arrows {
    let codes: Vec<(&str, String)> = files.iter().map(|(name, text)| (name.as_str(), code_of(text))).collect();
    let mut sources: Vec<Source> = codes.iter().map(|(name, code)| source(name, code)).collect();
    let for_tests: Vec<Names> =
        sources.iter().flat_map(|source| source.test_modules.iter().map(|name| below(&source.module, name))).collect();
    sources.retain(|source| !for_tests.iter().any(|module| source.module.starts_with(module)));
    let modules: BTreeSet<Names> = sources.iter().map(|source| source.module.clone()).collect();
    let roots = sources.iter().filter(|source| source.module.is_empty());
    // What the root takes in, it offers to the whole crate under a name of its own.
    let exports: BTreeMap<String, Names> = roots
        .flat_map(|root| uses(&root.tokens))
        .filter_map(|leaf| Some((leaf.alias, module_of(&leaf.path, &[], &modules, &BTreeMap::new())?)))
        .collect();
    let room = |module: &[String]| module[..module.len().min(depth)].to_vec();
    let mut arrows = Arrows::new();
    for source in sources.iter().filter(|source| !source.module.is_empty()) {
        let from = room(&source.module);
        for path in paths(&source.tokens) {
            let Some(to) = module_of(&path, &source.module, &modules, &exports) else { continue };
            let to = room(&to);
            // A module and what is inside it are one thing.
            if from.starts_with(&to) || to.starts_with(&from) {
                continue;
            }
            let place = format!("{}: {}", source.name, path.join("::"));
            arrows.entry(from.join("::")).or_default().entry(to.join("::")).or_insert(place);
        }
    }
    arrows
}

/// A shortest circle, one line an arrow; empty if there is none.
pub fn circle(arrows: &Arrows) -> Vec<String> {
    let circles = arrows.keys().filter_map(|start| shortest_way(arrows, start));
    let Some(rooms) = circles.min_by_key(Vec::len) else { return Vec::new() };
    let pairs = rooms.iter().zip(rooms.iter().cycle().skip(1));
    pairs.map(|(from, to)| format!("{from} names {to} ({})", arrows[*from][*to])).collect()
}

/// The rooms on a shortest way from `start` back to it.
fn shortest_way<'a>(arrows: &'a Arrows, start: &'a str) -> Option<Vec<&'a str>> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut next = VecDeque::from([start]);
    while let Some(from) = next.pop_front() {
        for to in arrows.get(from).into_iter().flat_map(BTreeMap::keys) {
            if to == start {
                let mut way = vec![from];
                while let Some(before) = came_from.get(way[way.len() - 1]) {
                    way.push(*before);
                }
                way.reverse();
                return Some(way);
            }
            if !came_from.contains_key(to.as_str()) {
                came_from.insert(to, from);
                next.push_back(to);
            }
        }
    }
    None
}

fn below(module: &[String], name: &str) -> Names {
    module.iter().cloned().chain([name.to_owned()]).collect()
}

fn source<'a>(name: &'a str, code: &'a str) -> Source<'a> {
    let path = name.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    let is_root = matches!(path, "lib" | "main");
    let module = if is_root { Names::new() } else { path.split('/').map(str::to_owned).collect() };
    let (tokens, test_modules) = without_tests(&tokens(code));
    Source { name, module, tokens, test_modules }
}

/// The module that a path of the module `here` leads to or into. `None`: what it names is in no module, or in another crate.
fn module_of(
    path: &[String],
    here: &[String],
    modules: &BTreeSet<Names>,
    exports: &BTreeMap<String, Names>,
) -> Option<Names> {
    let mut base = here.to_vec();
    let mut names = path;
    match names.first().map(String::as_str) {
        Some("crate") => (base, names) = (Names::new(), &names[1..]),
        _ => {
            while names.first().is_some_and(|name| name == "super") {
                base.pop();
                names = &names[1..];
            }
        }
    }
    let full: Names = base.iter().chain(names).cloned().collect();
    let known = (1..=full.len()).rev().map(|len| &full[..len]).find(|module| modules.contains(*module));
    known.map(<[String]>::to_vec).or_else(|| exports.get(full.first()?).cloned())
}

/// Every path that begins with `crate` or `super`.
fn paths(tokens: &[&str]) -> Vec<Names> {
    let begins = |at: &usize| {
        let is_first = *at == 0 || tokens[at - 1] != "::";
        matches!(tokens[*at], "crate" | "super") && is_first && tokens.get(at + 1) == Some(&"::")
    };
    let mut leaves = Vec::new();
    for at in (0..tokens.len()).filter(begins) {
        read_paths(&tokens[at..], &[], &mut leaves);
    }
    leaves.into_iter().map(|leaf| leaf.path).collect()
}

/// Every path of a `use`.
fn uses(tokens: &[&str]) -> Vec<Leaf> {
    let mut leaves = Vec::new();
    for at in (0..tokens.len()).filter(|at| tokens[*at] == "use") {
        read_paths(&tokens[at + 1..], &[], &mut leaves);
    }
    leaves
}

/// Reads `a::b::{c, d::{self, e as f}}`; returns how many tokens that were.
fn read_paths(tokens: &[&str], before: &[String], leaves: &mut Vec<Leaf>) -> usize {
    let mut path = before.to_vec();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if *token == "{" {
            at += 1;
            while tokens.get(at).is_some_and(|token| *token != "}") {
                at += if tokens[at] == "," { 1 } else { read_paths(&tokens[at..], &path, leaves) };
            }
            return at + 1;
        }
        at += 1;
        if !token.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            break; // `*`, or the type of a generic function
        }
        if *token != "self" {
            path.push((*token).to_owned());
        }
        if tokens.get(at) != Some(&"::") {
            break;
        }
        at += 1;
    }
    let mut alias = path.last().cloned().unwrap_or_default();
    if let (Some(&"as"), Some(name)) = (tokens.get(at), tokens.get(at + 1)) {
        alias = (*name).to_owned();
        at += 2;
    }
    leaves.push(Leaf { path, alias });
    at
}

/// The tokens without items that are marked `#[cfg(test)]`, and the modules among those that are in files of their own.
fn without_tests<'a>(tokens: &[&'a str]) -> (Vec<&'a str>, Vec<&'a str>) {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut modules) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        if !tokens[at..].starts_with(&MARK) {
            kept.push(tokens[at]);
            at += 1;
            continue;
        }
        let item = at + MARK.len();
        at = item + end_of_item(&tokens[item..]);
        if let [.., "mod", name, ";"] = tokens[item..at] {
            modules.push(name);
        }
    }
    (kept, modules)
}

/// How many tokens the item has that `tokens` begin with: up to its semicolon, or to the end of its braces.
fn end_of_item(tokens: &[&str]) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match *token {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" => depth -= 1,
            "}" => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// Words, `::`, and every other character by itself; characters in quotes are left out.
fn tokens(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let len = if is_word(first) {
            rest.find(|c: char| !is_word(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            quoted_len(rest).unwrap_or(first.len_utf8())
        };
        if !first.is_whitespace() && first != '\'' {
            found.push(&rest[..len]);
        }
        rest = &rest[len..];
    }
    found
}

/// The length of a character in quotes. `None` for a lifetime and for anything else.
fn quoted_len(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('\'')?;
    let first = inside.chars().next()?;
    let content = if first == '\\' { 1 + inside[1..].chars().next()?.len_utf8() } else { first.len_utf8() };
    let end = inside[content..].find('\'')?;
    // `'\u{1f}'` is longer; a lifetime has no quote right behind its first letter.
    (end == 0 || first == '\\').then_some(1 + content + end + 1)
}
