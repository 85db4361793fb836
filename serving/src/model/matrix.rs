//! Encoded rows: what a model's parameters are applied to.

use shardmill_common::model::{Encoder, Encoding};

/// A code that stands for no category.
pub const NO_CODE: u32 = u32::MAX;

/// A one-hot column: of each row the category's number.
#[derive(Clone, Debug, PartialEq)]
pub struct Codes {
    /// The encoded column of category 0.
    pub first: u32,
    pub categories: u32,
    /// Of each row; `NO_CODE` where all of its columns are 0.
    pub codes: Vec<u32>,
}

/// Encoded rows: dense columns as numbers, one-hot columns as codes.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    pub rows: usize,
    /// Encoded columns, one-hot ones counted one by one.
    pub width: usize,
    /// Of each dense column its place among the encoded columns.
    pub dense: Vec<u32>,
    /// Row by row, `rows x dense.len()`.
    pub values: Vec<f64>,
    pub codes: Vec<Codes>,
}

/// Which encoded columns are dense and which are one-hot: all that a model's parameters need to know of a matrix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    pub width: usize,
    /// Of each dense column its place among the encoded columns.
    pub dense: Vec<u32>,
    /// Of each one-hot column its first place and its number of categories.
    pub codes: Vec<(u32, u32)>,
}

impl Layout {
    pub fn of(encoder: &Encoder) -> Self {
        let mut layout = Layout::default();
        for feature in &encoder.features {
            let place = layout.width as u32;
            match &feature.encoding {
                Encoding::Numeric { .. } => layout.dense.push(place),
                Encoding::OneHot { categories, .. } => layout.codes.push((place, categories.len() as u32)),
            }
            layout.width += feature.width();
            if feature.indicator {
                layout.dense.push(layout.width as u32 - 1);
            }
        }
        layout
    }
}

impl Matrix {
    pub fn layout(&self) -> Layout {
        Layout {
            width: self.width,
            dense: self.dense.clone(),
            codes: self.codes.iter().map(|c| (c.first, c.categories)).collect(),
        }
    }

    /// Writes a row at full width, one-hot columns as 0 and 1.
    pub fn expand(&self, row: usize, out: &mut [f64]) {
        out.fill(0.0);
        let values = self.values.get(row * self.dense.len()..).unwrap_or_default();
        for (place, value) in self.dense.iter().zip(values) {
            if let Some(slot) = out.get_mut(*place as usize) {
                *slot = *value;
            }
        }
        for column in &self.codes {
            let code = column.codes.get(row).copied().filter(|code| *code < column.categories);
            if let Some(slot) = code.and_then(|code| out.get_mut((column.first + code) as usize)) {
                *slot = 1.0;
            }
        }
    }
}

/// Why a row cannot be encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    Missing,
    Infinite,
    /// A category training did not see, where the encoder says to refuse it.
    Unknown(String),
}

/// A row that cannot be encoded, with the feature that is to blame: the first that is missing, else the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// Row of the frame.
    pub row: u32,
    pub column: String,
    pub reason: Reason,
}
