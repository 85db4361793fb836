//! The sums over the rows of a clustering.

use shardmill_common::model::{CarefulSum, ClusterSums, Packed};

use shardmill_serving::model::{Matrix, NO_CODE};

/// Sums over all rows of a matrix that were assigned to `clusters`.
pub fn sum(matrix: &Matrix, centers: &[Vec<f64>], clusters: &[u32]) -> ClusterSums {
    let mut counts = vec![0u64; centers.len()];
    let mut offsets = vec![vec![CarefulSum::default(); matrix.width]; centers.len()];
    let mut squares = vec![CarefulSum::default(); centers.len()];
    let (mut distance, mut silhouette) = (CarefulSum::default(), CarefulSum::default());
    let mut x = vec![0.0; matrix.width];
    for (row, cluster) in clusters.iter().enumerate().take(matrix.rows) {
        let own = *cluster as usize;
        let Some(center) = centers.get(own) else { continue };
        dense_row(matrix, row, &mut x);
        let square = squared_distance(&x, center);
        if let (Some(count), Some(offset), Some(sum)) =
            (counts.get_mut(own), offsets.get_mut(own), squares.get_mut(own))
        {
            *count += 1;
            sum.add(square);
            offset.iter_mut().zip(x.iter().zip(center)).for_each(|(sum, (x, c))| sum.add(x - c));
        }
        let a = square.sqrt();
        distance.add(a);
        let others = centers.iter().enumerate().filter(|(n, _)| *n != own);
        if let Some(b) = others.map(|(_, c)| squared_distance(&x, c)).min_by(f64::total_cmp).map(f64::sqrt) {
            silhouette.add(if a.max(b) > 0.0 { (b - a) / a.max(b) } else { 0.0 });
        }
    }
    ClusterSums {
        counts,
        offsets: offsets.into_iter().map(|o| Packed(o.into_iter().map(CarefulSum::value).collect())).collect(),
        squares: squares.into_iter().map(CarefulSum::value).collect(),
        distance: distance.value(),
        silhouette: silhouette.value(),
    }
}

/// Writes an encoded row with every one-hot column.
fn dense_row(matrix: &Matrix, row: usize, x: &mut [f64]) {
    x.fill(0.0);
    let width = matrix.dense.len();
    for (place, value) in matrix.dense.iter().zip(matrix.values.get(row * width..).unwrap_or_default()) {
        if let Some(slot) = x.get_mut(*place as usize) {
            *slot = *value;
        }
    }
    for column in &matrix.codes {
        if let Some(code) = column.codes.get(row).filter(|c| **c != NO_CODE)
            && let Some(slot) = x.get_mut((column.first + code) as usize)
        {
            *slot = 1.0;
        }
    }
}

fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardmill_serving::model::Codes;

    #[test]
    fn rows_are_measured_against_their_centres() {
        let matrix = Matrix {
            rows: 3,
            width: 3,
            dense: vec![0],
            values: vec![1.0, 2.0, 9.0],
            codes: vec![Codes { first: 1, categories: 2, codes: vec![0, 1, NO_CODE] }],
        };
        let centers = [vec![1.0, 0.0, 0.0], vec![8.0, 0.0, 0.0]];
        let sums = sum(&matrix, &centers, &[0, 0, 1]);
        assert_eq!(sums.counts, [2, 1]);
        assert_eq!(sums.offsets[0].0, [1.0, 1.0, 1.0]);
        assert_eq!(sums.squares, [1.0 + 2.0, 1.0]);
        let b = [50f64.sqrt(), 37f64.sqrt(), 8.0];
        let a = [1.0, 2f64.sqrt(), 1.0];
        let expected: f64 = a.iter().zip(b).map(|(a, b)| (b - a) / b).sum();
        assert!((sums.silhouette - expected).abs() < 1e-12);
        assert!((sums.distance - a.iter().sum::<f64>()).abs() < 1e-12);
    }
}
