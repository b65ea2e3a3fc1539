//! Counters of an image's clients as they are printed: as they stand, or by second.
//!
//! Owns: rates, the table, the tree for programs. Does not own: asking the clients.
use crate::output::format::Tree;
use crate::output::table::{Align, Table};
use lsd_engine::ClientStats;
use lsd_store::Watcher;
use std::fmt;
use std::time::Duration;

/// A counter, or how fast it grows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Figure {
    Count(u64),
    PerSecond(f64),
}

/// A handle to the image and its figures, each with its name (`io.reads`). `None`: it does not tell them.
#[derive(Clone, Debug, PartialEq)]
pub struct Client {
    watcher: Watcher,
    figures: Option<Vec<(String, Figure)>>,
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Figure::Count(count) => write!(f, "{count}"),
            Figure::PerSecond(rate) => write!(f, "{rate:.1}"),
        }
    }
}

impl From<Figure> for Tree {
    fn from(figure: Figure) -> Self {
        match figure {
            Figure::Count(count) => Tree::Number(count),
            Figure::PerSecond(rate) => Tree::Real(rate),
        }
    }
}

pub fn totals(stats: Vec<ClientStats>) -> Vec<Client> {
    let counted = |(name, value)| (name, Figure::Count(value));
    let client = |ClientStats { watcher, counters }: ClientStats| Client {
        watcher,
        figures: counters.map(|counters| counters.into_iter().map(counted).collect()),
    };
    stats.into_iter().map(client).collect()
}

/// How fast the counters of those who are there now have grown. Who was not there before, or was silent, has none this time.
pub fn rates(before: &[ClientStats], now: &[ClientStats], elapsed: Duration) -> Vec<Client> {
    let client =
        |stats: &ClientStats| Client { watcher: stats.watcher.clone(), figures: growth(before, stats, elapsed) };
    now.iter().map(client).collect()
}

fn growth(before: &[ClientStats], now: &ClientStats, elapsed: Duration) -> Option<Vec<(String, Figure)>> {
    // A handle's counters begin with the handle, and a cookie names one.
    let same =
        |stats: &&ClientStats| (stats.watcher.client, stats.watcher.cookie) == (now.watcher.client, now.watcher.cookie);
    let earlier = before.iter().find(same)?.counters.as_ref()?;
    let rate = |(name, value): &(String, u64)| {
        let old = earlier.iter().find(|(other, _)| other == name)?.1;
        Some((name.clone(), Figure::PerSecond(value.saturating_sub(old) as f64 / elapsed.as_secs_f64())))
    };
    now.counters.as_ref().map(|counters| counters.iter().filter_map(rate).collect())
}

/// `[{"client": .., "address": .., "cookie": .., "counters": {"io": {"reads": ..}}}]`, without `counters` where there are none.
pub fn tree(clients: &[Client]) -> Tree {
    let client = |Client { watcher, figures }: &Client| {
        let mut fields: Vec<(&'static str, Tree)> = vec![
            ("client", watcher.client.into()),
            ("address", watcher.addr.as_str().into()),
            ("cookie", watcher.cookie.into()),
        ];
        fields.extend(figures.as_ref().map(|figures| ("counters", groups(figures))));
        Tree::Object(fields)
    };
    Tree::List("watcher", clients.iter().map(client).collect())
}

fn groups(figures: &[(String, Figure)]) -> Tree {
    let mut groups: Vec<(String, Vec<(String, Tree)>)> = Vec::new();
    for (name, figure) in figures {
        let (group, name) = name.split_once('.').unwrap_or(("", name));
        let field = (name.to_owned(), Tree::from(*figure));
        match groups.iter_mut().find(|(known, _)| known == group) {
            Some((_, fields)) => fields.push(field),
            None => groups.push((group.to_owned(), vec![field])),
        }
    }
    Tree::Map(groups.into_iter().map(|(group, fields)| (group, Tree::Map(fields))).collect())
}

/// A column for each handle, a row for each counter, then who has none.
pub fn plain(clients: &[Client], heading: &str) -> String {
    if clients.is_empty() {
        return "No client has the image open for writing.\n".to_owned();
    }
    let telling: Vec<(&Watcher, &Vec<(String, Figure)>)> =
        clients.iter().filter_map(|client| Some((&client.watcher, client.figures.as_ref()?))).collect();
    let mut text = match telling.is_empty() {
        true => String::new(),
        false => table(&telling, heading).to_string(),
    };
    for Client { watcher, .. } in clients.iter().filter(|client| client.figures.is_none()) {
        text += &format!("client.{} at {}: no counters\n", watcher.client, watcher.addr);
    }
    text
}

fn table(clients: &[(&Watcher, &Vec<(String, Figure)>)], heading: &str) -> Table {
    let mut table = Table::default().column(heading, Align::Left, Align::Left);
    for (watcher, _) in clients {
        // A process with several handles to the image has one number.
        let handles = clients.iter().filter(|(other, _)| other.client == watcher.client).count();
        let name = match handles {
            1 => format!("client.{}", watcher.client),
            _ => format!("client.{}/{}", watcher.client, watcher.cookie),
        };
        table = table.column(&name, Align::Right, Align::Right);
    }
    // Clients of different versions may have different counters.
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in clients.iter().flat_map(|(_, figures)| figures.iter()) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    for name in names {
        let cell = |(_, figures): &(&Watcher, &Vec<(String, Figure)>)| {
            let found = figures.iter().find(|(known, _)| known == name);
            found.map_or_else(|| "-".to_owned(), |(_, figure)| figure.to_string())
        };
        table.row(std::iter::once(name.to_owned()).chain(clients.iter().map(cell)).collect());
    }
    table
}

#[cfg(test)]
mod tests;
