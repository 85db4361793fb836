//! Loss, gradient and Hessian of a shard for generalised linear models.

use shardmill_common::failure::Failure;
use shardmill_common::model::{GlmRound, GlmSums, Link, Packed};

use super::kernel::{BLOCK, Block, CodeColumn, Gram, Lane, Rows, WIDE, least, most, total};
use super::links::{self, Derivatives};
use super::session::{Session, Targets};

/// Blocks whose gradients are summed apart before they join the shard's: short sums lose less.
const BLOCKS_A_CHUNK: usize = 32;
/// A Hessian of more parameters would not fit a message, let alone a Newton step.
const MOST_PARAMETERS: usize = 8192;

/// Coefficients of one class, or sums of their shape.
#[derive(Clone)]
struct Vector {
    /// Dense columns and the intercept, by panels.
    dense: Vec<[f64; WIDE]>,
    categories: Vec<f64>,
}

impl Vector {
    fn zero(rows: &Rows<'_>) -> Self {
        Self { dense: vec![[0.0; WIDE]; rows.panels()], categories: vec![0.0; rows.categories] }
    }

    /// Adds another to this one and makes it zero.
    fn take(&mut self, other: &mut Vector) {
        for (sum, x) in self.dense.as_flattened_mut().iter_mut().zip(other.dense.as_flattened_mut()) {
            *sum += std::mem::take(x);
        }
        for (sum, x) in self.categories.iter_mut().zip(&mut other.categories) {
            *sum += std::mem::take(x);
        }
    }
}

/// Where the kernel's columns are among the parameters of a class.
struct Places {
    dense: Vec<usize>,
    categories: Vec<usize>,
    /// Parameters of a class.
    size: usize,
}

impl Places {
    fn of(session: &Session, intercept: bool) -> Self {
        let matrix = &session.matrix;
        let mut dense: Vec<usize> = matrix.dense.iter().map(|place| *place as usize).collect();
        if intercept {
            dense.push(matrix.width);
        }
        let categories =
            matrix.codes.iter().flat_map(|c| (0..c.categories).map(move |n| (c.first + n) as usize)).collect();
        Self { dense, categories, size: matrix.width + usize::from(intercept) }
    }

    fn gather(&self, parameters: &[f64], out: &mut Vector) {
        let slots = out.dense.as_flattened_mut().iter_mut().zip(&self.dense);
        for (slot, place) in slots.chain(out.categories.iter_mut().zip(&self.categories)) {
            *slot = parameters.get(*place).copied().unwrap_or(0.0);
        }
    }

    fn scatter(&self, sums: &Vector, out: &mut [f64]) {
        let slots = sums.dense.as_flattened().iter().zip(&self.dense);
        for (sum, place) in slots.chain(sums.categories.iter().zip(&self.categories)) {
            if let Some(slot) = out.get_mut(*place) {
                *slot = *sum;
            }
        }
    }

    /// A symmetric matrix over the parameters of a class.
    fn square(&self, gram: &Gram) -> Vec<f64> {
        let mut out = vec![0.0; self.size * self.size];
        let mut put = |a: usize, b: usize, value: f64| {
            out[a * self.size + b] = value;
            out[b * self.size + a] = value;
        };
        for (i, a) in self.dense.iter().enumerate() {
            for (j, b) in self.dense.iter().enumerate().skip(i) {
                put(*a, *b, gram.dense[i * gram.stride + j]);
            }
            for (c, b) in self.categories.iter().enumerate() {
                put(*a, *b, gram.mixed[c * gram.stride + i]);
            }
        }
        // Above the diagonal lie pairs of columns; two categories of one column never meet.
        for (i, a) in self.categories.iter().enumerate() {
            for (j, b) in self.categories.iter().enumerate().skip(i) {
                put(*a, *b, gram.codes[i * gram.categories + j]);
            }
        }
        out
    }
}

/// All that is summed over a shard, and the room that a block needs.
struct Work<'a> {
    rows: Rows<'a>,
    targets: &'a Targets,
    weights: Option<&'a [f64]>,
    link: Link,
    coefficients: Vec<Vector>,
    block: Block,
    z: Vec<Lane>,
    derivatives: Derivatives,
    /// Of the present chunk of blocks, and of the chunks before.
    chunk: Vec<Vector>,
    gradient: Vec<Vector>,
    /// Of each pair of classes (a, b), b not below a.
    grams: Vec<Gram>,
    loss: f64,
    weight: f64,
    margin: f64,
    reach: f64,
}

impl Work<'_> {
    #[inline(always)]
    fn block(&mut self, at: usize) {
        let count = self.block.fill(&self.rows, at);
        let mut weight = [0.0; BLOCK];
        match self.weights {
            None => weight[..count].fill(1.0),
            Some(weights) => weight[..count].copy_from_slice(&weights[at..at + count]),
        }
        for (w, z) in self.coefficients.iter().zip(&mut self.z) {
            self.block.linear(&w.dense, &w.categories, z);
            let reach = most(z);
            self.reach = if reach > self.reach { reach } else { self.reach };
        }
        let out = &mut self.derivatives;
        match (self.link, self.targets) {
            (Link::Softmax { .. }, Targets::Classes(classes)) => {
                let mut y = [0; BLOCK];
                y[..count].copy_from_slice(&classes[at..at + count]);
                links::softmax(&self.z, &y, &weight, out);
            }
            (Link::Logistic, Targets::Classes(classes)) => {
                let mut t = [0.0; BLOCK];
                for (t, class) in t.iter_mut().zip(&classes[at..at + count]) {
                    *t = f64::from(*class);
                }
                links::logistic(&self.z, &t, &weight, out);
            }
            (_, Targets::Numbers(numbers)) => {
                let mut y = [0.0; BLOCK];
                y[..count].copy_from_slice(&numbers[at..at + count]);
                links::squared(&self.z, &y, &weight, out);
            }
            _ => {}
        }
        self.loss += total(&out.loss);
        self.weight += total(&weight);
        let margin = least(&out.margin);
        self.margin = if margin < self.margin { margin } else { self.margin };
        for (residual, sums) in out.residuals.iter().zip(&mut self.chunk) {
            self.block.add_transposed(residual, &mut sums.dense, &mut sums.categories);
        }
        let columns = self.rows.columns();
        let mut grams = self.grams.iter_mut();
        for (a, first) in out.curvature.iter().enumerate() {
            if !matches!(self.link, Link::Softmax { .. }) {
                if let Some(gram) = grams.next() {
                    self.block.add_gram(first, columns, gram);
                }
                continue;
            }
            for (b, second) in out.curvature.iter().enumerate().skip(a) {
                let Some(gram) = grams.next() else { break };
                let mut d = [0.0; BLOCK];
                for r in 0..BLOCK {
                    let other = if a == b { 1.0 - second[r] } else { -second[r] };
                    d[r] = weight[r] * (first[r] * other);
                }
                self.block.add_gram(&d, columns, gram);
            }
        }
    }
}

fn block_portable(work: &mut Work<'_>, at: usize) {
    work.block(at);
}

/// The very same code compiled for four numbers at a time; the bits are the same (see `kernel`).
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn block_avx2(work: &mut Work<'_>, at: usize) {
    work.block(at);
}

fn run_block(work: &mut Work<'_>, at: usize, portable: bool) {
    #[cfg(target_arch = "x86_64")]
    if !portable && std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, which is all that the function needs beyond the baseline.
        return unsafe { block_avx2(work, at) };
    }
    let _ = portable;
    block_portable(work, at);
}

/// A sum that overflowed is written as the largest number: JSON has no infinity, and a solver only needs to see how bad it is.
fn finite(x: f64) -> f64 {
    if x.is_nan() { f64::MAX } else { x.clamp(-f64::MAX, f64::MAX) }
}

/// The sums of a round. `check` fails where the attempt was told to stop.
pub fn glm(session: &Session, round: &GlmRound, check: &dyn Fn() -> Result<(), Failure>) -> Result<GlmSums, Failure> {
    sums(session, round, check, false)
}

fn sums(
    session: &Session,
    round: &GlmRound,
    check: &dyn Fn() -> Result<(), Failure>,
    portable: bool,
) -> Result<GlmSums, Failure> {
    let classes = match round.link {
        Link::Squared | Link::Logistic => 1,
        Link::Softmax { classes } => classes as usize,
    };
    match (round.link, &session.targets) {
        (Link::Squared, Targets::Numbers(_)) | (Link::Logistic | Link::Softmax { .. }, Targets::Classes(_)) => {}
        _ => return Err(Failure::internal("the link does not fit what is learnt")),
    }
    let places = Places::of(session, round.fit_intercept);
    let parameters = &round.parameters.0;
    if parameters.len() != classes * places.size {
        return Err(Failure::internal(format!("{} parameters came for {classes} x {}", parameters.len(), places.size)));
    }
    if round.hessian && parameters.len() > MOST_PARAMETERS {
        return Err(Failure::internal(format!("a Hessian of {} parameters", parameters.len())));
    }
    let rows = rows_of(session, round.fit_intercept);
    let zero = Vector::zero(&rows);
    let mut coefficients = vec![zero.clone(); classes];
    for (class, vector) in coefficients.iter_mut().enumerate() {
        places.gather(&parameters[class * places.size..][..places.size], vector);
    }
    let pairs = if round.hessian { classes * (classes + 1) / 2 } else { 0 };
    let mut work = Work {
        targets: &session.targets,
        weights: session.weights.as_deref(),
        link: round.link,
        coefficients,
        block: Block::new(&rows),
        z: vec![[0.0; BLOCK]; classes],
        derivatives: Derivatives::new(classes),
        chunk: vec![zero.clone(); classes],
        gradient: vec![zero; classes],
        grams: (0..pairs).map(|_| Gram::new(&rows)).collect(),
        rows,
        loss: 0.0,
        weight: 0.0,
        margin: f64::INFINITY,
        reach: 0.0,
    };
    for (n, at) in (0..session.matrix.rows).step_by(BLOCK).enumerate() {
        if n % BLOCKS_A_CHUNK == 0 {
            check()?;
            work.gradient.iter_mut().zip(&mut work.chunk).for_each(|(sum, chunk)| sum.take(chunk));
        }
        run_block(&mut work, at, portable);
    }
    work.gradient.iter_mut().zip(&mut work.chunk).for_each(|(sum, chunk)| sum.take(chunk));
    let mut gradient = vec![0.0; classes * places.size];
    for (sums, out) in work.gradient.iter().zip(gradient.chunks_mut(places.size.max(1))) {
        places.scatter(sums, out);
    }
    Ok(GlmSums {
        rows: session.matrix.rows as u64,
        weight: work.weight,
        loss: finite(work.loss),
        gradient: Packed(gradient),
        hessian: round.hessian.then(|| Packed(upper(&work.grams, &places, classes))),
        margin: (work.margin < f64::INFINITY).then_some(finite(work.margin)),
        reach: finite(work.reach),
    })
}

fn rows_of(session: &Session, intercept: bool) -> Rows<'_> {
    let matrix = &session.matrix;
    let mut categories = 0;
    let codes = matrix
        .codes
        .iter()
        .map(|column| {
            let offset = categories;
            categories += column.categories;
            CodeColumn { offset, codes: &column.codes }
        })
        .collect();
    Rows {
        rows: matrix.rows,
        dense: matrix.dense.len(),
        values: &matrix.values,
        intercept,
        codes,
        categories: categories as usize,
    }
}

/// The upper triangle over all parameters, row by row.
fn upper(grams: &[Gram], places: &Places, classes: usize) -> Vec<f64> {
    let size = places.size;
    let squares: Vec<Vec<f64>> = grams.iter().map(|gram| places.square(gram)).collect();
    let all = classes * size;
    let mut out = Vec::with_capacity(all * (all + 1) / 2);
    let mut first = 0;
    for a in 0..classes {
        for i in 0..size {
            for b in a..classes {
                let row = &squares[first + (b - a)][i * size..][..size];
                out.extend_from_slice(&row[if a == b { i } else { 0 }..]);
            }
        }
        first += classes - a;
    }
    out
}

#[cfg(test)]
#[path = "glm_tests.rs"]
mod tests;
