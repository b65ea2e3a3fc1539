//! `lsd-nbd list-mapped`.
use super::{Invocation, mapped};
use crate::error::{Failure, Result};
use crate::output::format::Tree;
use crate::output::table::{Align, Table};
use std::io::Write;

const COLUMNS: [&str; 7] = ["id", "pool", "namespace", "image", "snap", "device", "cookie"];
/// Where the snapshot stands among the columns behind the first.
const SNAP: usize = 3;

pub(super) fn run(invocation: Invocation) -> Result<()> {
    invocation.options.no_arguments()?;
    let format = invocation.options.output_format()?;
    let devices = mapped::all(&invocation.default_pool());
    let row = |device: &mapped::Mapped| {
        let name = device.name.clone();
        let path = device.device.to_string();
        [name.pool, name.namespace, name.image, name.snap, path, device.cookie.clone()]
    };
    let item = |device: &mapped::Mapped| {
        let id = std::iter::once(("id", Tree::from(u64::from(device.pid))));
        Tree::Object(id.chain(COLUMNS.into_iter().skip(1).zip(row(device).map(Tree::from))).collect())
    };
    let tree = Tree::List("device", devices.iter().map(item).collect());
    let text = format.render("devices", &tree).unwrap_or_else(|| {
        let start = Table::default();
        let mut table = COLUMNS.iter().fold(start, |table, name| table.column(name, Align::Left, Align::Left));
        for device in &devices {
            let mut cells = row(device);
            // Only this one has a sign for nothing in rbd-nbd.
            if cells[SNAP].is_empty() {
                "-".clone_into(&mut cells[SNAP]);
            }
            table.row(std::iter::once(device.pid.to_string()).chain(cells).collect());
        }
        // rbd-nbd prints no headings over nothing.
        if devices.is_empty() { String::new() } else { table.to_string() }
    });
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::output(&error))
}
