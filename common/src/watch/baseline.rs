//! How a model's features were distributed in the data it was trained on.

use serde::{Deserialize, Serialize};

/// The training data's distribution of one feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FeatureBaseline {
    /// Bin `n` holds the values of at least `edges[n - 1]` and less than `edges[n]`; there is one bin more than edges. The
    /// counts are those of a sample of the rows.
    Numeric { edges: Vec<f64>, counts: Vec<u64>, missing: u64 },
    /// In the order of the encoder's categories. The counts are those of all rows.
    Categories {
        counts: Vec<u64>,
        missing: u64,
        /// Values that are none of the encoder's categories.
        #[serde(default)]
        unseen: u64,
    },
}

impl FeatureBaseline {
    pub fn counts(&self) -> &[u64] {
        match self {
            FeatureBaseline::Numeric { counts, .. } | FeatureBaseline::Categories { counts, .. } => counts,
        }
    }

    pub fn missing(&self) -> u64 {
        match self {
            FeatureBaseline::Numeric { missing, .. } | FeatureBaseline::Categories { missing, .. } => *missing,
        }
    }

    /// Of numbers none is.
    pub fn unseen(&self) -> u64 {
        match self {
            FeatureBaseline::Numeric { .. } => 0,
            FeatureBaseline::Categories { unseen, .. } => *unseen,
        }
    }

    /// Rows that were counted.
    pub fn rows(&self) -> u64 {
        self.counts().iter().sum::<u64>() + self.missing() + self.unseen()
    }
}

/// The bin of a number: how many edges it has reached. Edges ascend.
pub fn bin(edges: &[f64], value: f64) -> usize {
    edges.partition_point(|edge| *edge <= value)
}

/// The edges of ten bins that hold about as many of these numbers each; fewer where numbers repeat. Each edge is one of the
/// numbers, none is there twice, and all are finite. Where the largest number is an edge, one more edge follows, so that
/// larger numbers than all of these have a bin of their own: a constant has the bins below, equal and above. Orders the
/// numbers, of which none may be NaN.
pub fn decile_edges(values: &mut [f64]) -> Vec<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let mut edges: Vec<f64> = Vec::with_capacity(10);
    for decile in 1..10 {
        let Some(edge) = values.get(values.len() * decile / 10) else { break };
        // No edge is -0, which orders before 0 and compares equal.
        let edge = *edge + 0.0;
        if edges.last().is_none_or(|last| *last < edge) {
            edges.push(edge);
        }
    }
    if let (Some(last), Some(largest)) = (edges.last().copied(), values.last())
        && last == *largest
    {
        let above = last.next_up();
        edges.extend(above.is_finite().then_some(above));
    }
    edges
}

/// The training data's distributions. Counts of numbers are those of an even sample of the rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Rows of the sample.
    pub rows: u64,
    /// In the order of the encoder's features.
    pub features: Vec<FeatureBaseline>,
    /// For models of a number: the label's deciles, by which predictions are counted.
    #[serde(default)]
    pub label_edges: Vec<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(values: &[f64]) -> (Vec<f64>, Vec<u64>) {
        let edges = decile_edges(&mut values.to_vec());
        let mut counts = vec![0; edges.len() + 1];
        values.iter().for_each(|x| counts[bin(&edges, *x)] += 1);
        (edges, counts)
    }

    #[test]
    fn deciles_of_distinct_numbers_hold_a_tenth_each() {
        let values: Vec<f64> = (0..1000).map(|n| f64::from((n * 7919) % 1000)).collect();
        let (edges, counts) = counts(&values);
        assert_eq!(edges, (1..10).map(|n| f64::from(n * 100)).collect::<Vec<_>>());
        assert_eq!(counts, vec![100; 10]);
    }

    #[test]
    fn ties_make_fewer_bins_and_no_number_is_lost() {
        let (edges, constant) = counts(&[3.0; 50]);
        assert_eq!((edges, constant), (vec![3.0, 3.0f64.next_up()], vec![0, 50, 0]));
        let two: Vec<f64> = (0..100).map(|n| f64::from(u8::from(n % 10 < 3))).collect();
        assert_eq!(counts(&two), (vec![0.0, 1.0, 1.0f64.next_up()], vec![0, 70, 30, 0]));
        let rare: Vec<f64> = (0..100).map(|n| f64::from(u8::from(n == 0))).collect();
        assert_eq!(counts(&rare), (vec![0.0], vec![0, 100]));
        assert_eq!(counts(&[]), (vec![], vec![0]));
        assert_eq!(counts(&[5.0]), (vec![5.0, 5.0f64.next_up()], vec![0, 1, 0]));
        assert_eq!(counts(&[-0.0, 0.0]).1, vec![0, 2, 0]);
        assert_eq!(counts(&[f64::MAX; 3]), (vec![f64::MAX], vec![0, 3]));
    }

    #[test]
    fn a_baseline_without_unseen_is_read() {
        let old = r#"{"kind":"categories","counts":[1,2],"missing":3}"#;
        let read: FeatureBaseline = serde_json::from_str(old).unwrap();
        assert_eq!((read.unseen(), read.rows()), (0, 6));
    }
}
