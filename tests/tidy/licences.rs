//! Rules of the dependencies: their licences are allowed and listed in `docs/LICENSES.md`, none is there twice, all come from the
//! registry. What is allowed is in `deny.toml`.
//!
//! `LSD_WRITE_LICENSES=1 cargo test -p lsd-tidy licences` writes the list.
use super::{metadata, read, report, root};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

const LIST: &str = "docs/LICENSES.md";
const HEAD: &str = "\
# LICENSES of what lsd is made with

lsd is under LGPL-2.1-or-later ([LICENSE](../LICENSE)). This lists every crate that a build for
x86_64 Linux uses, as `cargo metadata` has it. A test compares (`tests/tidy/licences.rs`), so the
list is that of `Cargo.lock`. Which licences are allowed is in `deny.toml`.

Not in the list: Rust's standard library (MIT or Apache-2.0), which is linked too, and librados and
the C library, which are loaded when a program starts.
";

/// A crate.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    version: String,
    license: String,
    source: String,
    /// It runs in the compiler.
    is_macro: bool,
}

struct Graph {
    packages: BTreeMap<String, Package>,
    /// From a package to those that it links, and to those that its build runs.
    links: BTreeMap<String, Vec<String>>,
    builds_with: BTreeMap<String, Vec<String>>,
    ours: BTreeSet<String>,
    /// The package that makes the library and the commands.
    product: String,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl Graph {
    fn of(metadata: &Value) -> Self {
        let array = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let has_kind = |target: &Value, kind: &str| array(&target["kind"]).iter().any(|found| found == kind);
        let package = |value: &Value| Package {
            name: text(&value["name"]),
            version: text(&value["version"]),
            license: text(&value["license"]),
            source: text(&value["source"]),
            is_macro: array(&value["targets"]).iter().any(|target| has_kind(target, "proc-macro")),
        };
        let known: BTreeMap<String, Package> =
            array(&metadata["packages"]).iter().map(|value| (text(&value["id"]), package(value))).collect();
        let ours: BTreeSet<String> = array(&metadata["workspace_members"]).iter().map(text).collect();
        let (mut links, mut builds_with, mut used) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        for node in array(&metadata["resolve"]["nodes"]) {
            let needed_as = |kind: Option<&str>| -> Vec<String> {
                let deps = array(&node["deps"]).into_iter();
                let of_kind = |dep: &Value| array(&dep["dep_kinds"]).iter().any(|found| found["kind"].as_str() == kind);
                deps.filter(of_kind).map(|dep| text(&dep["pkg"])).collect()
            };
            links.insert(text(&node["id"]), needed_as(None));
            builds_with.insert(text(&node["id"]), needed_as(Some("build")));
            used.insert(text(&node["id"]));
        }
        let product = text(&metadata["resolve"]["root"]);
        let packages = known.into_iter().filter(|(id, _)| used.contains(id)).collect();
        Self { packages, links, builds_with, ours, product }
    }

    /// What the product links; macros run in the compiler.
    fn linked(&self) -> BTreeSet<&str> {
        self.reached([self.product.as_str()], |id| {
            let links = self.links[id].iter().map(String::as_str);
            links.filter(|to| !self.packages[*to].is_macro).collect()
        })
    }

    /// `linked`, and what it is built with.
    fn built(&self) -> BTreeSet<&str> {
        self.reached(self.linked(), |id| {
            self.links[id].iter().chain(&self.builds_with[id]).map(String::as_str).collect()
        })
    }

    fn reached<'a>(
        &'a self,
        from: impl IntoIterator<Item = &'a str>,
        next: impl Fn(&str) -> Vec<&'a str>,
    ) -> BTreeSet<&'a str> {
        let mut found: BTreeSet<&str> = BTreeSet::new();
        let mut waiting: Vec<&str> = from.into_iter().collect();
        while let Some(id) = waiting.pop() {
            if found.insert(id) {
                waiting.extend(next(id));
            }
        }
        found
    }

    /// Of others, with their ids.
    fn foreign(&self) -> impl Iterator<Item = (&str, &Package)> {
        let all = self.packages.iter().map(|(id, package)| (id.as_str(), package));
        all.filter(|(id, _)| !self.ours.contains(*id))
    }
}

fn graph() -> Graph {
    Graph::of(&metadata(&["--filter-platform", "x86_64-unknown-linux-gnu"]))
}

/// The text of the list.
fn list(graph: &Graph) -> String {
    let (linked, built) = (graph.linked(), graph.built());
    let mut text = HEAD.to_owned();
    let mut table = |title: &str, is_in: &dyn Fn(&str) -> bool| {
        let _ = write!(text, "\n## {title}\n\n| crate | version | licence |\n|---|---|---|\n");
        let rows: BTreeSet<&Package> =
            graph.foreign().filter(|(id, _)| is_in(id)).map(|(_, package)| package).collect();
        for Package { name, version, license, .. } in rows {
            let _ = writeln!(text, "| {name} | {version} | {license} |");
        }
    };
    table("Linked into `librbd.so.1`, `lsd` or `lsd-nbd`", &|id| linked.contains(id));
    table("Used while they are built", &|id| built.contains(id) && !linked.contains(id));
    table("Only in tests and measurements", &|id| !built.contains(id));
    text
}

#[test]
fn licences_are_listed() {
    let (fresh, path) = (list(&graph()), root().join(LIST));
    if std::env::var_os("LSD_WRITE_LICENSES").is_some() {
        std::fs::write(path, fresh).unwrap();
        return;
    }
    let listed = read(Path::new(LIST));
    let wrong =
        fresh.lines().filter(|line| !listed.lines().any(|old| old == *line)).map(|line| format!("not listed: {line}"));
    let gone =
        listed.lines().filter(|line| !fresh.lines().any(|new| new == *line)).map(|line| format!("not there: {line}"));
    report("docs/LICENSES.md lists every crate (LSD_WRITE_LICENSES=1 writes it)", wrong.chain(gone).collect());
    assert_eq!(fresh, listed);
}

#[test]
fn licences_are_allowed_and_crates_are_there_once_from_the_registry() {
    let (graph, rules) = (graph(), read(Path::new("deny.toml")));
    let (allowed, skipped) = (quoted(&rules, "allow"), quoted(&rules, "skip"));
    assert!(!allowed.is_empty(), "deny.toml allows nothing: can it still be read?");
    let (mut offences, mut versions) = (Vec::new(), BTreeMap::<&str, Vec<&str>>::new());
    for (id, package) in graph.packages.iter() {
        let Package { name, version, license, source, .. } = package;
        if !may_be_used(license, &allowed) {
            offences.push(format!("{name} {version}: licence {license:?}"));
        }
        if !source.starts_with("registry+") && !graph.ours.contains(id) {
            offences.push(format!("{name} {version}: comes from {source:?}"));
        }
        let is_skipped = skipped.iter().any(|skip| is_version_of(skip, name, version));
        if !is_skipped {
            versions.entry(name).or_default().push(version);
        }
    }
    let twice = versions.iter().filter(|(_, found)| found.len() > 1);
    offences.extend(twice.map(|(name, found)| format!("{name} is there in versions {}", found.join(" and "))));
    for skip in skipped {
        if !graph.packages.values().any(|package| is_version_of(&skip, &package.name, &package.version)) {
            offences.push(format!("deny.toml skips {skip}, which is not there any more"));
        }
    }
    report("dependencies are as deny.toml wants them", offences);
}

/// The first text in quotes of each line of a list in deny.toml.
fn quoted(rules: &str, list: &str) -> Vec<String> {
    let begin = format!("{list} = [");
    let lines = rules.lines().skip_while(|line| *line != begin).skip(1).take_while(|line| *line != "]");
    lines.filter_map(|line| line.split('"').nth(1).map(str::to_owned)).collect()
}

/// `syn@2` means 2.0.119, too.
fn is_version_of(skip: &str, name: &str, version: &str) -> bool {
    skip.split_once('@')
        .is_some_and(|(skipped, begin)| skipped == name && format!("{version}.").starts_with(&format!("{begin}.")))
}

/// Whether an SPDX expression can be met with the licences that are allowed. A slash is an old way to write OR.
fn may_be_used(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let (met, rest) = either(&words, allowed);
    met && rest.is_empty()
}

/// Whether the alternatives that `words` begin with are met by one of them, and the words behind them. OR binds less than AND.
fn either<'a>(words: &'a [&'a str], allowed: &[String]) -> (bool, &'a [&'a str]) {
    let (mut met, mut rest) = all(words, allowed);
    while let ["OR", more @ ..] = rest {
        let (also, behind) = all(more, allowed);
        (met, rest) = (met || also, behind);
    }
    (met, rest)
}

fn all<'a>(words: &'a [&'a str], allowed: &[String]) -> (bool, &'a [&'a str]) {
    let (mut met, mut rest) = one(words, allowed);
    while let ["AND", more @ ..] = rest {
        let (also, behind) = one(more, allowed);
        (met, rest) = (met && also, behind);
    }
    (met, rest)
}

fn one<'a>(words: &'a [&'a str], allowed: &[String]) -> (bool, &'a [&'a str]) {
    match words {
        ["(", inner @ ..] => match either(inner, allowed) {
            (met, [")", behind @ ..]) => (met, behind),
            (_, behind) => (false, behind),
        },
        [name, "WITH", exception, behind @ ..] => (allowed.contains(&format!("{name} WITH {exception}")), behind),
        [name, behind @ ..] => (allowed.iter().any(|allowed| allowed == name), behind),
        [] => (false, words),
    }
}

#[test]
fn expressions_of_licences_are_understood() {
    let allowed = ["MIT", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned);
    let met = |expression: &str| may_be_used(expression, &allowed);
    for good in [
        "MIT",
        "MIT/Apache-2.0",
        "GPL-3.0 OR MIT",
        "(MIT OR GPL-3.0) AND Unicode-3.0",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(met(good), "{good}");
    }
    for bad in
        ["", "GPL-3.0", "MIT AND GPL-3.0", "GPL-3.0 OR MIT AND GPL-3.0", "Apache-2.0 OR GPL-3.0", "(MIT", "MIT MIT"]
    {
        assert!(!met(bad), "{bad}");
    }
    assert!(is_version_of("syn@2", "syn", "2.0.119") && !is_version_of("syn@2", "syn", "21.0.0"));
    assert_eq!(
        quoted("a = [\n    \"x\", # y\n    { crate = \"z@1\", reason = \"r\" },\n]\nb = [\n    \"c\",\n]\n", "a"),
        ["x", "z@1"]
    );
}
