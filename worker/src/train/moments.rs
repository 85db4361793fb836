//! Moments of encoded columns by class, for naive Bayes.

use shardmill_common::failure::Failure;
use shardmill_common::model::{ClassMoments, Moments};

use super::session::{Session, Targets};

/// Rows between two looks at whether the attempt is to stop.
const ROWS_A_LOOK: usize = 8192;

/// Sums of one class, or of all rows: in the first pass of values, in the second of deviations from the mean.
struct Sums {
    weight: f64,
    mean: Vec<f64>,
    deviation: Vec<f64>,
    squares: Vec<f64>,
    /// Weight of the rows of each category, of all one-hot columns.
    categories: Vec<f64>,
}

impl Sums {
    fn new(dense: usize, categories: usize) -> Self {
        Self {
            weight: 0.0,
            mean: vec![0.0; dense],
            deviation: vec![0.0; dense],
            squares: vec![0.0; dense],
            categories: vec![0.0; categories],
        }
    }

    fn add(&mut self, x: &[f64], weight: f64) {
        self.weight += weight;
        for (sum, x) in self.mean.iter_mut().zip(x) {
            *sum += weight * x;
        }
    }

    fn divide(&mut self) {
        if self.weight > 0.0 {
            self.mean.iter_mut().for_each(|m| *m /= self.weight);
        }
    }

    fn add_deviations(&mut self, x: &[f64], weight: f64) {
        let sums = self.deviation.iter_mut().zip(&mut self.squares);
        for ((x, mean), (deviation, squares)) in x.iter().zip(&self.mean).zip(sums) {
            let off = x - mean;
            *deviation += weight * off;
            *squares += weight * (off * off);
        }
    }

    /// By encoded column. What the first mean missed is in the sum of deviations, which would be 0 of an exact one.
    fn moments(&self, session: &Session) -> Vec<Moments> {
        let matrix = &session.matrix;
        let mut out = vec![Moments { count: self.weight, ..Moments::default() }; matrix.width];
        if self.weight <= 0.0 {
            return out;
        }
        for (n, place) in matrix.dense.iter().enumerate() {
            let (Some(slot), Some(deviation)) = (out.get_mut(*place as usize), self.deviation.get(n)) else { continue };
            slot.mean = self.mean[n] + deviation / self.weight;
            slot.squares = (self.squares[n] - deviation * deviation / self.weight).max(0.0);
        }
        let places = matrix.codes.iter().flat_map(|c| (0..c.categories).map(move |n| c.first + n));
        for (place, ones) in places.zip(&self.categories) {
            let Some(slot) = out.get_mut(place as usize) else { continue };
            slot.mean = ones / self.weight;
            slot.squares = ones * (1.0 - slot.mean) * (1.0 - slot.mean) + (self.weight - ones) * slot.mean * slot.mean;
        }
        out
    }
}

/// Weighted moments by class and unweighted ones of all rows.
pub fn class_moments(
    session: &Session,
    classes: usize,
    check: &dyn Fn() -> Result<(), Failure>,
) -> Result<ClassMoments, Failure> {
    let Targets::Classes(targets) = &session.targets else {
        return Err(Failure::internal("moments by class of something that has no classes"));
    };
    let matrix = &session.matrix;
    let dense = matrix.dense.len();
    let categories = matrix.codes.iter().map(|c| c.categories as usize).sum();
    let mut by_class: Vec<Sums> = (0..classes).map(|_| Sums::new(dense, categories)).collect();
    let mut all = Sums::new(dense, categories);
    let weight = |row: usize| session.weights.as_ref().and_then(|w| w.get(row)).copied().unwrap_or(1.0);
    for second in [false, true] {
        for (row, class) in targets.iter().enumerate() {
            if row % ROWS_A_LOOK == 0 {
                check()?;
            }
            let x = matrix.values.get(row * dense..(row + 1) * dense).unwrap_or_default();
            let Some(sums) = by_class.get_mut(*class as usize) else {
                return Err(Failure::internal(format!("class {class} of {classes}")));
            };
            if second {
                sums.add_deviations(x, weight(row));
                all.add_deviations(x, 1.0);
                continue;
            }
            sums.add(x, weight(row));
            all.add(x, 1.0);
            let mut offset = 0;
            for column in &matrix.codes {
                let code = column.codes.get(row).filter(|code| **code < column.categories);
                if let Some(slot) = code.map(|code| offset + *code as usize) {
                    sums.categories[slot] += weight(row);
                    all.categories[slot] += 1.0;
                }
                offset += column.categories as usize;
            }
        }
        if !second {
            by_class.iter_mut().chain([&mut all]).for_each(Sums::divide);
        }
    }
    Ok(ClassMoments {
        rows: matrix.rows as u64,
        moments: by_class.iter().map(|sums| sums.moments(session)).collect(),
        all: all.moments(session),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardmill_serving::model::{Codes, Matrix, NO_CODE};

    #[test]
    fn moments_are_those_of_plain_sums_and_keep_their_digits() {
        // Values around a million whose deviations are small.
        let rows = 2000usize;
        let values: Vec<f64> = (0..rows * 2).map(|n| 1e6 + ((n * 37) % 101) as f64 / 100.0).collect();
        let codes = (0..rows).map(|n| if n % 5 == 4 { NO_CODE } else { (n % 3) as u32 }).collect();
        let codes = vec![Codes { first: 1, categories: 3, codes }];
        let matrix = Matrix { rows, width: 5, dense: vec![0, 4], values, codes };
        let targets: Vec<u32> = (0..rows).map(|n| u32::from(n % 7 == 0)).collect();
        let weights: Vec<f64> = (0..rows).map(|n| (n % 4) as f64).collect();
        let session = Session {
            matrix,
            rows: None,
            targets: Targets::Classes(targets.clone()),
            weights: Some(weights.clone()),
            shard_rows: 0,
            counters: Default::default(),
        };
        let found = class_moments(&session, 3, &|| Ok(())).unwrap();
        let mut row = vec![0.0; 5];
        let mut naive = |keep: &dyn Fn(usize) -> f64, column: usize| {
            let mut x = |r: usize| {
                session.matrix.expand(r, &mut row);
                row[column]
            };
            let count: f64 = (0..rows).map(keep).sum();
            let base = x(0);
            let mean = (0..rows).map(|r| keep(r) * (x(r) - base)).sum::<f64>() / count;
            let squares: f64 = (0..rows).map(|r| keep(r) * (x(r) - base - mean).powi(2)).sum();
            (count, base + mean, squares)
        };
        for column in 0..5 {
            for class in 0..2u32 {
                let keep = |r: usize| if targets[r] == class { weights[r] } else { 0.0 };
                let (count, mean, squares) = naive(&keep, column);
                let m = found.moments[class as usize][column];
                assert_eq!(m.count, count);
                assert!((m.mean - mean).abs() <= 1e-15 * mean.abs() + 1e-15, "{} {mean}", m.mean);
                assert!((m.squares - squares).abs() <= 1e-9 * squares, "{} {squares}", m.squares);
            }
            let (count, mean, squares) = naive(&|_| 1.0, column);
            let m = found.all[column];
            assert_eq!(m.count, count);
            assert!((m.mean - mean).abs() <= 1e-15 * mean.abs() + 1e-15);
            assert!((m.squares - squares).abs() <= 1e-9 * squares);
        }
        assert_eq!(found.moments[2], vec![Moments::default(); 5], "a class without rows");
        assert!(class_moments(&session, 1, &|| Ok(())).is_err());
    }
}
