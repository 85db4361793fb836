//! The rows of a request, as its dialect gave them, before they are fitted to a model.

use std::borrow::Cow;

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell<'a> {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    /// Text that is text.
    Text(Cow<'a, str>),
    /// Text that is read as the type of its column, as a cell of a CSV file.
    Raw(Cow<'a, str>),
}

/// Rows and columns, row by row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table<'a> {
    /// `None`: columns have no names, and come in the model's order.
    pub names: Option<Vec<Cow<'a, str>>>,
    /// Columns of each row.
    pub width: usize,
    pub rows: usize,
    /// `rows x width`.
    pub cells: Vec<Cell<'a>>,
}

impl<'a> Table<'a> {
    /// The cells of one row.
    pub fn row(&self, row: usize) -> &[Cell<'a>] {
        self.cells.get(row * self.width..(row + 1) * self.width).unwrap_or_default()
    }
}
