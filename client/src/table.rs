//! Tables for people: escaped cells, numbers to the right.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Attribute, Cell, CellAlignment, ContentArrangement};

use shardmill_flows::text::{escape, wrap};

/// Long values get lines of so many characters.
const WIDTH: usize = 70;

/// A table under construction.
pub struct Table {
    inner: comfy_table::Table,
    right: Vec<bool>,
}

impl Table {
    /// A header that begins with `>` makes a column of numbers, aligned to the right.
    pub fn new(headers: &[&str]) -> Self {
        let mut table = Self::empty(headers.iter().map(|h| h.starts_with('>')).collect());
        let names = headers.iter().map(|h| h.strip_prefix('>').unwrap_or(h));
        table.set_header(names.map(str::to_owned).collect());
        table
    }

    /// For columns that are known only at run time: names as they are, and which are numbers.
    pub fn of_columns(names: Vec<String>, right: Vec<bool>) -> Self {
        let mut table = Self::empty(right);
        table.set_header(names);
        table
    }

    /// Two columns without a header: names and values.
    pub fn pairs() -> Self {
        Self::empty(vec![false, false])
    }

    fn empty(right: Vec<bool>) -> Self {
        let mut inner = comfy_table::Table::new();
        inner.load_preset(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
        Self { inner, right }
    }

    fn set_header(&mut self, names: Vec<String>) {
        let cells: Vec<Cell> =
            names.iter().enumerate().map(|(i, n)| self.cell(i, n).add_attribute(Attribute::Bold)).collect();
        self.inner.set_header(cells);
    }

    fn cell(&self, column: usize, text: &str) -> Cell {
        // A line break between escaped parts (name and type in a header) is layout, not data.
        let lines: Vec<String> = text.split(LINE_BREAK).map(escape).collect();
        let align = if self.right.get(column) == Some(&true) { CellAlignment::Right } else { CellAlignment::Left };
        Cell::new(lines.join("\n")).set_alignment(align)
    }

    pub fn row<I>(&mut self, cells: I)
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let cells: Vec<Cell> = cells.into_iter().enumerate().map(|(i, c)| self.cell(i, c.as_ref())).collect();
        self.inner.add_row(cells);
    }

    pub fn pair(&mut self, name: &str, value: impl AsRef<str>) {
        self.row([name, value.as_ref()]);
    }

    /// A pair whose value may be long.
    pub fn wrapped_pair(&mut self, name: &str, value: &str) {
        // What the value holds of that character is data and would break lines where none is meant.
        let lines = wrap(&value.replace(LINE_BREAK, " "), WIDTH);
        self.pair(name, lines.join(&LINE_BREAK.to_string()));
    }

    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }
}

/// Stands for a line break that is meant; a private-use character, so that data is never mistaken for it by accident.
pub const LINE_BREAK: char = '\u{f8ff}';

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_escaped_and_numbers_go_right() {
        let mut table = Table::new(&["name", ">rows"]);
        table.row(["a\x1b", "1"]);
        table.row(["b", "1,000"]);
        let text = table.to_string();
        assert!(text.contains("a\\u{1b}"), "{text}");
        assert!(text.contains("    1 │"), "{text}");
    }

    #[test]
    fn long_values_are_wrapped() {
        let mut table = Table::pairs();
        table.wrapped_pair("classes", &format!("{}{LINE_BREAK}", "word ".repeat(40)));
        let text = table.to_string();
        assert!(text.lines().count() > 3 && text.lines().all(|l| l.chars().count() < 90), "{text}");
    }
}
