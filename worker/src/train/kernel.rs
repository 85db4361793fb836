//! Sums over blocks of encoded rows: `X w`, `X' r` and `X' D X`.
//!
//! **The same bits everywhere.** Every sum has one order of additions: rows in order within a block of `BLOCK` rows, blocks in
//! order within the shard. Vector lanes run over columns, never over rows, except in `total`, `least` and `most`, which
//! always use eight lanes. Compiling this code for AVX2 as well changes the speed alone: Rust never contracts a
//! multiplication and an addition into one rounding, and lane-wise operations round as scalar ones do.

/// Rows that are summed at a time: a block of some twenty columns fits the first-level cache.
pub const BLOCK: usize = 128;
/// Columns of a panel.
pub const WIDE: usize = 8;
/// Stands for no category in a block.
pub const NONE: u32 = u32::MAX;

/// A number of each row of a block.
pub type Lane = [f64; BLOCK];
/// Eight columns of a block.
pub type Panel = [[f64; WIDE]; BLOCK];

/// A one-hot column: of each row its category or `NONE`.
pub struct CodeColumn<'a> {
    /// Categories of the code columns before it.
    pub offset: u32,
    pub codes: &'a [u32],
}

/// Rows to sum over: dense columns row by row, an intercept as one more dense column of ones, and one-hot columns as codes.
pub struct Rows<'a> {
    pub rows: usize,
    pub dense: usize,
    pub values: &'a [f64],
    pub intercept: bool,
    pub codes: Vec<CodeColumn<'a>>,
    /// Categories of all code columns.
    pub categories: usize,
}

impl Rows<'_> {
    /// Dense columns with the intercept.
    pub fn columns(&self) -> usize {
        self.dense + usize::from(self.intercept)
    }

    pub fn panels(&self) -> usize {
        self.columns().div_ceil(WIDE)
    }
}

/// A block of rows by panels of eight columns, padded with zeros to whole panels and whole blocks.
pub struct Block {
    pub panels: Vec<Panel>,
    /// Of each code column the category among all categories, or `NONE`.
    pub codes: Vec<[u32; BLOCK]>,
    /// Panels are zero from this row on.
    filled: usize,
    scaled: Box<Panel>,
    partial: Box<Panel>,
}

impl Block {
    pub fn new(rows: &Rows<'_>) -> Self {
        let zero = [[0.0; WIDE]; BLOCK];
        Self {
            panels: vec![zero; rows.panels()],
            codes: vec![[NONE; BLOCK]; rows.codes.len()],
            filled: 0,
            scaled: Box::new(zero),
            partial: Box::new(zero),
        }
    }

    /// Takes the rows from `at` on, `BLOCK` of them or as many as there are; returns how many.
    #[inline(always)]
    pub fn fill(&mut self, rows: &Rows<'_>, at: usize) -> usize {
        let count = BLOCK.min(rows.rows - at);
        let whole = rows.dense / WIDE;
        for row in 0..count {
            let values = &rows.values[(at + row) * rows.dense..][..rows.dense];
            let (chunks, rest) = values.as_chunks::<WIDE>();
            for (panel, chunk) in self.panels.iter_mut().zip(chunks) {
                panel[row] = *chunk;
            }
            if let Some(panel) = self.panels.get_mut(whole) {
                let mut last = [0.0; WIDE];
                for (slot, value) in last.iter_mut().zip(rest) {
                    *slot = *value;
                }
                if rows.intercept {
                    last[rows.dense % WIDE] = 1.0;
                }
                panel[row] = last;
            }
        }
        for panel in &mut self.panels {
            for row in &mut panel[count..self.filled.max(count)] {
                *row = [0.0; WIDE];
            }
        }
        self.filled = count;
        for (block, column) in self.codes.iter_mut().zip(&rows.codes) {
            *block = [NONE; BLOCK];
            for (slot, code) in block.iter_mut().zip(&column.codes[at..at + count]) {
                *slot = if *code == NONE { NONE } else { column.offset + *code };
            }
        }
        count
    }

    /// `z = X w`, `w` being panels of dense coefficients and the coefficients of all categories.
    #[inline(always)]
    pub fn linear(&mut self, dense: &[[f64; WIDE]], categories: &[f64], z: &mut Lane) {
        let partial = &mut *self.partial;
        *partial = [[0.0; WIDE]; BLOCK];
        for (panel, w) in self.panels.iter().zip(dense) {
            for (sums, x) in partial.iter_mut().zip(panel) {
                for k in 0..WIDE {
                    sums[k] += x[k] * w[k];
                }
            }
        }
        for (z, s) in z.iter_mut().zip(partial.iter()) {
            *z = ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
        }
        for codes in &self.codes {
            for (z, code) in z.iter_mut().zip(codes) {
                if let Some(w) = categories.get(*code as usize) {
                    *z += w;
                }
            }
        }
    }

    /// Adds `X' r` of this block.
    #[inline(always)]
    pub fn add_transposed(&self, r: &Lane, dense: &mut [[f64; WIDE]], categories: &mut [f64]) {
        for (panel, out) in self.panels.iter().zip(dense) {
            let mut sums = [0.0; WIDE];
            for (x, r) in panel.iter().zip(r) {
                for k in 0..WIDE {
                    sums[k] += x[k] * r;
                }
            }
            for k in 0..WIDE {
                out[k] += sums[k];
            }
        }
        for codes in &self.codes {
            for (code, r) in codes.iter().zip(r) {
                if let Some(sum) = categories.get_mut(*code as usize) {
                    *sum += r;
                }
            }
        }
    }

    /// Adds `X' D X` of this block.
    #[inline(always)]
    pub fn add_gram(&mut self, d: &Lane, columns: usize, gram: &mut Gram) {
        let scaled = &mut *self.scaled;
        for (i, panel) in self.panels.iter().enumerate() {
            for ((out, x), d) in scaled.iter_mut().zip(panel).zip(d) {
                for k in 0..WIDE {
                    out[k] = x[k] * d;
                }
            }
            for (k, other) in self.panels.iter().enumerate().skip(i) {
                gram.add_tile(i * WIDE, k * WIDE, &tile::<0>(scaled, other));
                // A half panel of nothing but padding is left out.
                if i * WIDE + 4 < columns {
                    gram.add_tile(i * WIDE + 4, k * WIDE, &tile::<4>(scaled, other));
                }
            }
            for codes in &self.codes {
                for (code, x) in codes.iter().zip(scaled.iter()) {
                    let at = (*code as usize).saturating_mul(gram.stride).saturating_add(i * WIDE);
                    if let Some(out) = gram.mixed.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<WIDE>()) {
                        for k in 0..WIDE {
                            out[k] += x[k];
                        }
                    }
                }
            }
        }
        for (n, first) in self.codes.iter().enumerate() {
            for second in &self.codes[n..] {
                for ((a, b), d) in first.iter().zip(second).zip(d) {
                    if *a == NONE || *b == NONE {
                        continue;
                    }
                    if let Some(sum) = gram.codes.get_mut(*a as usize * gram.categories + *b as usize) {
                        *sum += d;
                    }
                }
            }
        }
    }
}

/// Four columns times eight, summed over the rows in order: eight vector registers of sums.
#[inline(always)]
fn tile<const FROM: usize>(left: &Panel, right: &Panel) -> [[f64; WIDE]; 4] {
    let mut sums = [[0.0; WIDE]; 4];
    for (a, b) in left.iter().zip(right) {
        for (i, sums) in sums.iter_mut().enumerate() {
            for k in 0..WIDE {
                sums[k] += a[FROM + i] * b[k];
            }
        }
    }
    sums
}

/// `X' D X` by parts; of the symmetric ones the upper triangle is filled.
pub struct Gram {
    /// Padded dense columns.
    pub stride: usize,
    pub categories: usize,
    /// Dense by dense, `stride x stride`.
    pub dense: Vec<f64>,
    /// A category, a dense column: `categories x stride`.
    pub mixed: Vec<f64>,
    /// Category by category.
    pub codes: Vec<f64>,
}

impl Gram {
    pub fn new(rows: &Rows<'_>) -> Self {
        let stride = rows.panels() * WIDE;
        Self {
            stride,
            categories: rows.categories,
            dense: vec![0.0; stride * stride],
            mixed: vec![0.0; rows.categories * stride],
            codes: vec![0.0; rows.categories * rows.categories],
        }
    }

    #[inline(always)]
    fn add_tile(&mut self, row: usize, column: usize, tile: &[[f64; WIDE]; 4]) {
        for (i, sums) in tile.iter().enumerate() {
            let at = (row + i) * self.stride + column;
            for (out, sum) in self.dense[at..at + WIDE].iter_mut().zip(sums) {
                *out += sum;
            }
        }
    }
}

/// The sum, in eight lanes and then pairwise.
#[inline(always)]
pub fn total(values: &Lane) -> f64 {
    let mut s = [0.0; WIDE];
    for chunk in values.as_chunks::<WIDE>().0 {
        for k in 0..WIDE {
            s[k] += chunk[k];
        }
    }
    ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))
}

/// The smallest; infinite of nothing but NaN.
#[inline(always)]
pub fn least(values: &Lane) -> f64 {
    let mut s = [f64::INFINITY; WIDE];
    for chunk in values.as_chunks::<WIDE>().0 {
        for k in 0..WIDE {
            s[k] = if chunk[k] < s[k] { chunk[k] } else { s[k] };
        }
    }
    s.iter().fold(f64::INFINITY, |a, b| if *b < a { *b } else { a })
}

/// The largest absolute value; 0 of nothing but NaN.
#[inline(always)]
pub fn most(values: &Lane) -> f64 {
    let mut s = [0.0; WIDE];
    for chunk in values.as_chunks::<WIDE>().0 {
        for k in 0..WIDE {
            let x = chunk[k].abs();
            s[k] = if x > s[k] { x } else { s[k] };
        }
    }
    s.iter().fold(0.0, |a, b| if *b > a { *b } else { a })
}
