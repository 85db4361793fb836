//! From the sums over all rows to the metrics, as scikit-learn defines them.

use shardmill_common::model::{CalibrationBin, ClassSums, ClusterSums, Curve, NumberSums};

use super::ranking::Ranked;

type Metrics = Vec<(String, f64)>;

fn named<const N: usize>(metrics: [(&str, f64); N]) -> Metrics {
    metrics.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// 0 where there is nothing to divide by, as scikit-learn's `zero_division` has it.
fn ratio(a: u64, b: u64) -> f64 {
    if b == 0 { 0.0 } else { a as f64 / b as f64 }
}

fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len() as f64
}

/// All that is known of a classifier's rows.
pub struct ClassFindings<'a> {
    pub rows: u64,
    pub sums: &'a ClassSums,
    pub rankings: &'a [Ranked],
    pub names: &'a [String],
}

/// Precision, recall and F1 of a class against the others.
#[derive(Clone, Copy)]
struct Hits {
    occurs: bool,
    values: [f64; 3],
}

const HITS: [&str; 3] = ["precision", "recall", "f1"];

impl ClassFindings<'_> {
    fn hits(&self) -> Vec<Hits> {
        let matrix = &self.sums.confusion;
        let one = |class: usize| {
            let right = matrix.get(class).and_then(|r| r.get(class)).copied().unwrap_or_default();
            let actual: u64 = matrix.get(class).into_iter().flatten().sum();
            let predicted: u64 = matrix.iter().filter_map(|r| r.get(class)).sum();
            let values = [ratio(right, predicted), ratio(right, actual), ratio(2 * right, actual + predicted)];
            Hits { occurs: actual + predicted > 0, values }
        };
        (0..matrix.len()).map(one).collect()
    }

    pub fn metrics(&self) -> Metrics {
        let rows = self.rows as f64;
        let right: u64 = self.sums.confusion.iter().enumerate().filter_map(|(n, r)| r.get(n)).sum();
        let mut all = named([
            ("accuracy", right as f64 / rows),
            ("log_loss", self.sums.log_loss / rows),
            ("brier", self.sums.brier / rows),
            ("expected_calibration_error", self.calibration_error()),
        ]);
        let hits = self.hits();
        let occurring: Vec<&Hits> = hits.iter().filter(|h| h.occurs).collect();
        for (n, name) in HITS.iter().enumerate() {
            let average = mean(&occurring.iter().filter_map(|h| h.values.get(n).copied()).collect::<Vec<_>>());
            all.push((format!("{name}_macro"), average));
            let positive = hits.get(1).filter(|_| hits.len() == 2).and_then(|h| h.values.get(n));
            all.push(((*name).to_owned(), positive.copied().unwrap_or(average)));
            if hits.len() > 2 {
                let classes = self.names.iter().zip(&hits);
                all.extend(classes.filter_map(|(c, h)| Some((format!("{name}/{c}"), *h.values.get(n)?))));
            }
        }
        self.areas(&mut all);
        all
    }

    /// The areas under the curves: means over the classes, and absent where one of them is not defined.
    fn areas(&self, all: &mut Metrics) {
        type Area = fn(&Ranked) -> Option<f64>;
        let areas: [(&str, Area); 3] =
            [("roc_auc", roc_auc), ("pr_auc", pr_auc), ("average_precision", average_precision)];
        for (name, area) in areas {
            let values: Vec<Option<f64>> = self.rankings.iter().map(area).collect();
            if let Some(defined) = values.iter().copied().collect::<Option<Vec<f64>>>().filter(|v| !v.is_empty()) {
                all.push((name.to_owned(), mean(&defined)));
            }
            if self.rankings.len() > 1 {
                for (ranked, value) in self.rankings.iter().zip(values) {
                    let class = self.names.get(ranked.class);
                    all.extend(class.zip(value).map(|(class, value)| (format!("{name}/{class}"), value)));
                }
            }
        }
    }

    /// Bins without rows are left out, as `calibration_curve` does.
    pub fn calibration(&self) -> Vec<CalibrationBin> {
        let count = self.sums.bins.len() as f64;
        let bins = self.sums.bins.iter().enumerate().filter(|(_, b)| b.rows > 0);
        bins.map(|(n, bin)| CalibrationBin {
            from: n as f64 / count,
            to: (n + 1) as f64 / count,
            rows: bin.rows,
            predicted: bin.predicted / bin.rows as f64,
            observed: bin.hits as f64 / bin.rows as f64,
        })
        .collect()
    }

    fn calibration_error(&self) -> f64 {
        let bins = self.calibration();
        bins.iter().map(|b| b.rows as f64 * (b.observed - b.predicted).abs()).sum::<f64>() / self.rows as f64
    }

    /// The ROC curves of the classes that have one.
    pub fn curves(&self) -> Vec<Curve> {
        let with_both = self.rankings.iter().filter(|r| r.positives > 0 && r.negatives > 0);
        with_both
            .filter_map(|r| {
                let last = (r.negatives, r.positives);
                let mut points = vec![(0, 0)];
                points.extend(r.ranking.as_ref()?.points.iter().filter(|p| **p != last));
                points.push(last);
                Some(Curve {
                    class: self.names.get(r.class).cloned().unwrap_or_default(),
                    false_positive_rate: points.iter().map(|p| ratio(p.0, r.negatives)).collect(),
                    true_positive_rate: points.iter().map(|p| ratio(p.1, r.positives)).collect(),
                })
            })
            .collect()
    }
}

/// The share of pairs of a positive and a negative that are in order: counted, and divided once.
fn roc_auc(ranked: &Ranked) -> Option<f64> {
    let pairs = 2 * u128::from(ranked.positives) * u128::from(ranked.negatives);
    let ranking = ranked.ranking.as_ref().filter(|_| pairs > 0)?;
    Some(ranking.twice_pairs as f64 / pairs as f64)
}

fn pr_auc(ranked: &Ranked) -> Option<f64> {
    ranked.ranking.as_ref().map(|r| r.trapezoids / ranked.positives as f64)
}

fn average_precision(ranked: &Ranked) -> Option<f64> {
    ranked.ranking.as_ref().map(|r| r.precision / ranked.positives as f64)
}

/// `1 - part / whole`; where all labels are equal 1 for a perfect prediction and 0 for any other, as scikit-learn has it.
fn explained(part: f64, whole: f64) -> f64 {
    match (part, whole) {
        (0.0, _) => 1.0,
        (_, 0.0) => 0.0,
        _ => 1.0 - part / whole,
    }
}

pub fn numbers(sums: &NumberSums) -> Metrics {
    let rows = sums.label.count;
    let mut all = named([
        ("mse", sums.squared / rows),
        ("rmse", (sums.squared / rows).sqrt()),
        ("mae", sums.absolute / rows),
        ("max_error", sums.largest),
        ("explained_variance", explained(sums.residual.squares, sums.label.squares)),
    ]);
    if rows > 1.0 {
        all.extend(named([("r2", explained(sums.squared, sums.label.squares))]));
    }
    all
}

pub fn clusters(sums: &ClusterSums, centers: &[Vec<f64>]) -> Metrics {
    let rows: u64 = sums.counts.iter().sum();
    let inertia: f64 = sums.squares.iter().sum();
    let mut all = named([("inertia", inertia), ("mean_distance", sums.distance / rows as f64)]);
    if centers.len() > 1 {
        all.extend(named([("silhouette_simplified", sums.silhouette / rows as f64)]));
    }
    all.extend(calinski_harabasz(sums, centers).map(|score| ("calinski_harabasz".to_owned(), score)));
    all
}

/// Dispersion between clusters over dispersion within, both about the means of the rows at hand, not about the centres.
fn calinski_harabasz(sums: &ClusterSums, centers: &[Vec<f64>]) -> Option<f64> {
    let rows = sums.counts.iter().sum::<u64>() as f64;
    let mut within = 0.0;
    let mut means: Vec<(f64, Vec<f64>)> = Vec::new();
    for (((count, offset), squares), center) in sums.counts.iter().zip(&sums.offsets).zip(&sums.squares).zip(centers) {
        if *count == 0 {
            continue;
        }
        let count = *count as f64;
        within += squares - offset.0.iter().map(|x| x * x).sum::<f64>() / count;
        means.push((count, center.iter().zip(&offset.0).map(|(c, x)| c + x / count).collect()));
    }
    let clusters = means.len() as f64;
    if clusters < 2.0 || clusters > rows - 1.0 {
        return None;
    }
    let width = centers.first().map_or(0, Vec::len);
    let middle: Vec<f64> = (0..width)
        .map(|n| means.iter().filter_map(|(count, mean)| Some(count * mean.get(n)?)).sum::<f64>() / rows)
        .collect();
    let distance = |mean: &[f64]| mean.iter().zip(&middle).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
    let between: f64 = means.iter().map(|(count, mean)| count * distance(mean)).sum();
    Some(if within > 0.0 { between * (rows - clusters) / (within * (clusters - 1.0)) } else { 1.0 })
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
