//! Plain tables in the layout of Ceph's tools: columns two spaces apart, every cell padded to its column's width.
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// Columns with a heading; headings align like their cells or to the left.
#[derive(Clone, Debug, Default)]
pub struct Table {
    columns: Vec<(String, Align, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    #[must_use]
    pub fn column(mut self, heading: &str, heading_align: Align, align: Align) -> Self {
        self.columns.push((heading.to_owned(), heading_align, align));
        self
    }

    /// One cell for each column.
    pub fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|index| {
                let cells = self.rows.iter().map(|row| row[index].chars().count());
                cells.chain([self.columns[index].0.chars().count()]).max().unwrap_or(0)
            })
            .collect();
        let headings: Vec<(&str, Align)> =
            self.columns.iter().map(|(text, align, _)| (text.as_str(), *align)).collect();
        write_line(f, &headings, &widths)?;
        for row in &self.rows {
            let cells: Vec<(&str, Align)> =
                row.iter().zip(&self.columns).map(|(text, (_, _, align))| (text.as_str(), *align)).collect();
            write_line(f, &cells, &widths)?;
        }
        Ok(())
    }
}

fn write_line(f: &mut fmt::Formatter<'_>, cells: &[(&str, Align)], widths: &[usize]) -> fmt::Result {
    for (index, ((text, align), width)) in cells.iter().zip(widths).enumerate() {
        if index > 0 {
            f.write_str("  ")?;
        }
        match align {
            Align::Left => write!(f, "{text:<width$}")?,
            Align::Right => write!(f, "{text:>width$}")?,
        }
    }
    writeln!(f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_padded_to_the_widest() {
        let mut table =
            Table::default().column("NAME", Align::Left, Align::Left).column("SIZE", Align::Left, Align::Right);
        table.row(vec!["foo".into(), "10 MiB".into()]);
        table.row(vec!["a-long-name".into(), "0 B".into()]);
        assert_eq!(table.to_string(), "NAME         SIZE  \nfoo          10 MiB\na-long-name     0 B\n");
    }
}
