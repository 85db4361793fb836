//! How features were distributed in the training data: what the rows that a model is asked about are compared with.

use shardmill_common::model::{CategoryCounts, Encoder, Encoding, Feature};
use shardmill_common::watch::{Baseline, FeatureBaseline, Sample, bin, decile_edges};

use super::encode::Asked;
use super::profile::Whole;

/// What is known of the columns.
pub struct Profiled<'a> {
    /// In the order in which they were asked for: of these the numeric ones are profiled in order, and so the others.
    pub asked: &'a [Asked],
    pub whole: &'a Whole,
    /// In the order of the shards.
    pub samples: &'a [Sample],
}

/// The distributions of the encoder's features. `None`: nothing was sampled, or a column is not known.
pub fn baseline(encoder: &Encoder, profiled: &Profiled<'_>) -> Option<Baseline> {
    let rows = profiled.samples.iter().map(|s| s.rows).sum();
    if rows == 0 {
        return None;
    }
    let features = encoder.features.iter().map(|feature| one(feature, profiled)).collect::<Option<_>>()?;
    let mut labels: Vec<f64> = profiled.samples.iter().flat_map(|s| s.label.0.iter().copied()).collect();
    Some(Baseline { rows, features, label_edges: decile_edges(&mut labels) })
}

fn one(feature: &Feature, profiled: &Profiled<'_>) -> Option<FeatureBaseline> {
    let categorical = matches!(feature.encoding, Encoding::OneHot { .. });
    let mut alike = profiled.asked.iter().filter(|a| a.categorical == categorical);
    let place = alike.position(|a| a.column == feature.column)?;
    match &feature.encoding {
        Encoding::Numeric { .. } => {
            let columns = profiled.samples.iter().map(|s| s.numeric.get(place));
            let columns: Vec<_> = columns.collect::<Option<_>>()?;
            Some(numbers(columns.into_iter().flat_map(|column| column.0.iter().copied())))
        }
        Encoding::OneHot { categories: known, .. } => Some(categories(known, profiled.whole.categorical.get(place)?)),
    }
}

fn numbers(sampled: impl Iterator<Item = f64>) -> FeatureBaseline {
    let mut missing = 0;
    let mut values: Vec<f64> = sampled
        .filter(|x| {
            missing += u64::from(x.is_nan());
            !x.is_nan()
        })
        .collect();
    let edges = decile_edges(&mut values);
    let mut counts = vec![0; edges.len() + 1];
    for value in values {
        if let Some(count) = counts.get_mut(bin(&edges, value)) {
            *count += 1;
        }
    }
    FeatureBaseline::Numeric { edges, counts, missing }
}

fn categories(known: &[String], found: &CategoryCounts) -> FeatureBaseline {
    let rows = |category: &String| found.values.iter().find(|(value, _)| value == category).map_or(0, |(_, n)| *n);
    let counts: Vec<u64> =
        if found.values.len() == known.len() && found.values.iter().zip(known).all(|(f, k)| f.0 == *k) {
            found.values.iter().map(|(_, n)| *n).collect()
        } else {
            // A filling that no row has is a category, too.
            known.iter().map(rows).collect()
        };
    let all: u64 = found.values.iter().map(|(_, n)| *n).sum();
    let unseen = all.saturating_sub(counts.iter().sum());
    FeatureBaseline::Categories { counts, missing: found.missing, unseen }
}

#[cfg(test)]
mod tests {
    use shardmill_common::model::{Imputation, NumericProfile, Packed, Unknown};
    use shardmill_common::schema::DataType;

    use super::super::profile::Labels;
    use super::*;

    fn asked(column: &str, categorical: bool) -> Asked {
        let dtype = if categorical { DataType::String } else { DataType::Float64 };
        Asked { column: column.into(), dtype, categorical, imputation: Imputation::Refuse, standardise: false }
    }

    fn feature(column: &str, encoding: Encoding) -> Feature {
        Feature { column: column.into(), dtype: DataType::String, encoding, fill: None, indicator: false }
    }

    fn known(categories: &[&str]) -> Encoding {
        let categories = categories.iter().map(|c| (*c).to_owned()).collect();
        Encoding::OneHot { categories, unknown: Unknown::Ignore }
    }

    fn sample(rows: u64, columns: &[&[f64]]) -> Sample {
        Sample { rows, numeric: columns.iter().map(|c| Packed(c.to_vec())).collect(), label: Packed(vec![1.0, 3.0]) }
    }

    #[test]
    fn features_keep_the_encoders_order_whatever_was_left_out() {
        let asked = [asked("gone", false), asked("city", true), asked("x", false), asked("empty", true)];
        let counts = |values: &[(&str, u64)], missing| CategoryCounts {
            values: values.iter().map(|(v, n)| ((*v).to_owned(), *n)).collect(),
            missing,
            too_many: false,
        };
        let whole = Whole {
            rows: 9,
            rows_without_label: 0,
            rows_with_missing: 0,
            weight: 9.0,
            numeric: vec![NumericProfile::default(); 2],
            categorical: vec![counts(&[("a", 4), ("c", 3), ("d", 1)], 1), counts(&[], 9)],
            labels: Labels::None,
        };
        let samples = [sample(2, &[&[7.0, 7.0], &[1.0, f64::NAN]]), sample(1, &[&[7.0], &[2.0]])];
        let encoder = Encoder {
            features: vec![feature("x", Encoding::Numeric { scaling: None }), feature("city", known(&["a", "b", "c"]))],
        };
        let profiled = Profiled { asked: &asked, whole: &whole, samples: &samples };
        let found = baseline(&encoder, &profiled).unwrap();
        assert_eq!(found.rows, 3);
        let edges = vec![1.0, 2.0, 2.0f64.next_up()];
        assert_eq!(found.features[0], FeatureBaseline::Numeric { edges, counts: vec![0, 1, 1, 0], missing: 1 });
        let city = FeatureBaseline::Categories { counts: vec![4, 0, 3], missing: 1, unseen: 1 };
        assert_eq!(found.features[1], city);
        assert_eq!(found.label_edges, [1.0, 3.0, 3.0f64.next_up()]);
        assert_eq!(baseline(&encoder, &Profiled { samples: &[], ..profiled }), None);
    }
}
