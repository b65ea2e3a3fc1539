//! Reading ceph.conf for settings that librados does not know (`lsd_*`): librados drops unknown keys when it reads
//! the file, so they are read from its text.
//!
//! Owns: the file's grammar (sections, keys, quotes, comments, continued lines). Does not own: where the file is,
//! `$variables`, and what the keys mean. Settings that librados knows are better asked from it.
use std::collections::BTreeMap;

/// A configuration file taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfFile {
    sections: BTreeMap<String, BTreeMap<String, String>>,
}

impl ConfFile {
    /// Reads what can be read: a line that is neither a section nor `key = value` is skipped, because librados, which
    /// reads the same file, is the one to complain.
    pub fn parse(text: &str) -> Self {
        let mut file = Self::default();
        let mut section = "global".to_owned();
        for line in logical_lines(text) {
            let line = strip_comment(&line);
            let line = line.trim();
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
                section = name.0.trim().to_owned();
            } else if let Some((key, value)) = line.split_once('=') {
                let values = file.sections.entry(section.clone()).or_default();
                values.insert(normalize_key(key), unquote(value.trim()));
            }
        }
        file
    }

    /// A setting as the client `entity` (such as `client.admin`) sees it: its own section counts more than its
    /// type's (`client`), and that more than `global`.
    pub fn get(&self, entity: &str, key: &str) -> Option<&str> {
        let key = normalize_key(key);
        let kind = entity.split('.').next().unwrap_or(entity);
        [entity, kind, "global"].iter().find_map(|section| self.sections.get(*section)?.get(&key)).map(String::as_str)
    }

    /// Every setting that the client `entity` sees.
    pub fn options(&self, entity: &str) -> BTreeMap<String, String> {
        let kind = entity.split('.').next().unwrap_or(entity);
        let sections = ["global", kind, entity];
        let all = sections.iter().filter_map(|section| self.sections.get(*section)).flatten();
        all.map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

/// Keys may be written with spaces, dashes or underscores.
fn normalize_key(key: &str) -> String {
    let words: Vec<&str> = key.split(|c: char| c.is_whitespace() || c == '_' || c == '-').collect();
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_")
}

/// Lines, where a backslash at the end continues a line with the next one.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut pending = String::new();
    for line in text.lines() {
        match line.strip_suffix('\\') {
            Some(start) => pending.push_str(start),
            None => lines.push(std::mem::take(&mut pending) + line),
        }
    }
    if !pending.is_empty() {
        lines.push(pending);
    }
    lines
}

/// What stands before `#` or `;`, unless these are escaped or in quotes.
fn strip_comment(line: &str) -> String {
    let mut kept = String::with_capacity(line.len());
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(next @ ('#' | ';')) => kept.push(next),
                Some(next) => kept.extend([c, next]),
                None => kept.push(c),
            },
            '#' | ';' if quote.is_none() => break,
            '"' | '\'' => {
                quote = match quote {
                    None => Some(c),
                    Some(open) if open == c => None,
                    open => open,
                };
                kept.push(c);
            }
            _ => kept.push(c),
        }
    }
    kept
}

fn unquote(value: &str) -> String {
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inner.to_owned();
        }
    }
    value.to_owned()
}

#[cfg(test)]
mod tests;
