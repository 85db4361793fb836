//! Metrics against those of scikit-learn 1.9 on small samples.

use shardmill_common::model::{BinSums, Moments, Packed, Ranking};

use super::*;

fn close(all: &Metrics, expected: &[(&str, f64)]) {
    for (name, value) in expected {
        let found = all.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("no {name} in {all:?}")).1;
        assert!((found - value).abs() < 1e-12, "{name}: {found} instead of {value}");
    }
}

/// What a classifier with these probabilities leaves, by the definitions.
struct Sample {
    sums: ClassSums,
    rankings: Vec<Ranked>,
    names: Vec<String>,
    rows: u64,
}

impl Sample {
    fn of(probabilities: &[&[f64]], actual: &[usize]) -> Self {
        let classes = probabilities[0].len();
        let mut sums = ClassSums {
            confusion: vec![vec![0; classes]; classes],
            bins: vec![BinSums::default(); 10],
            ..Default::default()
        };
        for (row, class) in probabilities.iter().zip(actual) {
            let guess = (0..classes).fold(0, |best, n| if row[n] > row[best] { n } else { best });
            sums.confusion[*class][guess] += 1;
            sums.log_loss -= row[*class].ln();
            let errors: f64 = (0..classes).map(|n| (row[n] - f64::from(u8::from(n == *class))).powi(2)).sum();
            sums.brier += if classes == 2 { errors / 2.0 } else { errors };
        }
        let ranked = if classes == 2 { 1..2 } else { 0..classes };
        let rankings = ranked
            .map(|class| {
                let rows = probabilities.iter().zip(actual).map(|(p, y)| (p[class], *y == class));
                rank(class, rows.collect())
            })
            .collect();
        let names = (0..classes).map(|n| format!("c{n}")).collect();
        Self { sums, rankings, names, rows: actual.len() as u64 }
    }

    fn findings(&self) -> ClassFindings<'_> {
        ClassFindings { rows: self.rows, sums: &self.sums, rankings: &self.rankings, names: &self.names }
    }
}

fn rank(class: usize, mut rows: Vec<(f64, bool)>) -> Ranked {
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    let positives = rows.iter().filter(|(_, y)| *y).count() as u64;
    let mut ranking = Ranking::default();
    let (mut p, mut n, mut before) = (0u64, 0u64, 1.0);
    for tie in rows.chunk_by(|a, b| a.0 == b.0) {
        let new = tie.iter().filter(|(_, y)| *y).count() as u64;
        let others = tie.len() as u64 - new;
        ranking.twice_pairs += u128::from(others * (2 * p + new));
        (p, n) = (p + new, n + others);
        let precision = p as f64 / (p + n) as f64;
        ranking.precision += new as f64 * precision;
        ranking.trapezoids += new as f64 * (precision + before) / 2.0;
        ranking.points.push((n, p));
        before = precision;
    }
    let ranking = (positives > 0).then_some(ranking);
    Ranked { class, positives, negatives: rows.len() as u64 - positives, ranking }
}

#[test]
fn two_classes_are_those_of_scikit_learn() {
    let p = [[0.9, 0.1], [0.6, 0.4], [0.65, 0.35], [0.2, 0.8], [0.6, 0.4], [0.1, 0.9]];
    let rows: Vec<&[f64]> = p.iter().map(|r| r.as_slice()).collect();
    let sample = Sample::of(&rows, &[0, 0, 1, 1, 1, 0]);
    let metrics = sample.findings().metrics();
    close(
        &metrics,
        &[
            ("accuracy", 0.5),
            ("precision", 0.5),
            ("recall", 1.0 / 3.0),
            ("f1", 0.4),
            ("precision_macro", 0.5),
            ("recall_macro", 0.5),
            ("f1_macro", 0.4857142857142857),
            ("roc_auc", 0.5),
            ("pr_auc", 0.43333333333333335),
            ("average_precision", 0.5333333333333333),
            ("log_loss", 0.8513379400174843),
            ("brier", 0.3004166666666667),
        ],
    );
    assert!(metrics.iter().all(|(name, _)| !name.contains('/')));
    let curves = sample.findings().curves();
    assert_eq!(curves.len(), 1);
    assert_eq!(curves[0].class, "c1");
    assert_eq!((curves[0].true_positive_rate[0], curves[0].false_positive_rate[0]), (0.0, 0.0));
    assert_eq!(curves[0].true_positive_rate.last(), Some(&1.0));
}

#[test]
fn three_classes_are_means_over_classes() {
    let p = [
        [0.7, 0.2, 0.1],
        [0.2, 0.35, 0.45],
        [0.1, 0.1, 0.8],
        [0.3, 0.3, 0.4],
        [0.1, 0.6, 0.3],
        [0.5, 0.4, 0.1],
        [0.2, 0.6, 0.2],
    ];
    let rows: Vec<&[f64]> = p.iter().map(|r| r.as_slice()).collect();
    let sample = Sample::of(&rows, &[0, 1, 2, 2, 1, 0, 0]);
    let metrics = sample.findings().metrics();
    close(
        &metrics,
        &[
            ("accuracy", 0.7142857142857143),
            ("precision", 0.7222222222222222),
            ("recall", 0.7222222222222222),
            ("f1", 0.7),
            ("precision_macro", 0.7222222222222222),
            ("roc_auc", 0.8416666666666667),
            ("pr_auc", 0.7509259259259259),
            ("average_precision", 0.7333333333333334),
            ("log_loss", 0.7656202954836874),
            ("brier", 0.44642857142857145),
            ("precision/c0", 1.0),
            ("recall/c0", 2.0 / 3.0),
            ("precision/c1", 0.5),
        ],
    );
    assert!(metrics.iter().any(|(name, _)| name == "roc_auc/c2"));
    assert_eq!(sample.findings().curves().len(), 3);
}

#[test]
fn nothing_predicted_is_zero_and_one_class_has_no_roc() {
    let sample = Sample::of(&[&[0.9, 0.1], &[0.6, 0.4]], &[0, 0]);
    let metrics = sample.findings().metrics();
    // The second class occurs neither among labels nor among predictions, so scikit-learn's macro means leave it out.
    close(&metrics, &[("precision", 0.0), ("recall", 0.0), ("f1", 0.0), ("f1_macro", 1.0), ("accuracy", 1.0)]);
    for absent in ["roc_auc", "pr_auc", "average_precision"] {
        assert!(metrics.iter().all(|(name, _)| name != absent));
    }
    assert!(sample.findings().curves().is_empty());
    let all = Sample::of(&[&[0.9, 0.1], &[0.4, 0.6]], &[1, 1]);
    let metrics = all.findings().metrics();
    close(&metrics, &[("average_precision", 1.0), ("pr_auc", 1.0), ("precision", 1.0), ("recall", 0.5)]);
    assert!(metrics.iter().all(|(name, _)| name != "roc_auc"));
    // A class that is missing among three leaves the mean undefined; the others keep theirs.
    let some = Sample::of(&[&[0.5, 0.3, 0.2], &[0.1, 0.6, 0.3]], &[0, 1]);
    let metrics = some.findings().metrics();
    close(&metrics, &[("roc_auc/c0", 1.0), ("roc_auc/c1", 1.0)]);
    assert!(metrics.iter().all(|(name, _)| name != "roc_auc" && name != "roc_auc/c2"));
}

#[test]
fn calibration_weighs_the_bins() {
    let mut sample = Sample::of(&[&[0.9, 0.1], &[0.4, 0.6]], &[0, 1]);
    sample.rows = 4;
    sample.sums.bins[0] = BinSums { rows: 3, predicted: 0.3, hits: 0 };
    sample.sums.bins[9] = BinSums { rows: 1, predicted: 0.95, hits: 1 };
    let bins = sample.findings().calibration();
    assert_eq!(bins.iter().map(|b| (b.from, b.to, b.rows)).collect::<Vec<_>>(), [(0.0, 0.1, 3), (0.9, 1.0, 1)]);
    close(&sample.findings().metrics(), &[("expected_calibration_error", (0.3 + 0.05) / 4.0)]);
}

#[test]
fn numbers_are_those_of_scikit_learn() {
    let label = Moments { count: 4.0, mean: 2.875, squares: 29.1875 };
    let residual = Moments { count: 4.0, mean: -0.25, squares: 1.25 };
    let sums = NumberSums { label, residual, squared: 1.5, absolute: 2.0, largest: 1.0 };
    close(
        &numbers(&sums),
        &[
            ("r2", 0.9486081370449679),
            ("explained_variance", 0.9571734475374732),
            ("mse", 0.375),
            ("rmse", 0.6123724356957945),
            ("mae", 0.5),
            ("max_error", 1.0),
        ],
    );
    let constant = Moments { count: 4.0, mean: 1.0, squares: 0.0 };
    close(&numbers(&NumberSums { label: constant, ..sums }), &[("r2", 0.0), ("explained_variance", 0.0)]);
    let perfect = NumberSums { label: constant, ..Default::default() };
    close(&numbers(&perfect), &[("r2", 1.0), ("explained_variance", 1.0)]);
    let one = NumberSums { label: Moments { count: 1.0, ..constant }, ..sums };
    assert!(numbers(&one).iter().all(|(name, _)| name != "r2"));
}

#[test]
fn clusters_are_measured_about_their_own_means() {
    let rows = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [8.0, 8.0], [9.0, 8.0], [8.0, 9.5], [0.0, 9.0]];
    let labels = [0, 0, 0, 1, 1, 1, 2];
    // Centres of a model that was trained on other rows, one of them without rows here.
    let centers = vec![vec![0.5, 0.25], vec![8.0, 8.5], vec![1.0, 9.5], vec![50.0, 50.0]];
    let mut sums = ClusterSums {
        counts: vec![0; 4],
        offsets: vec![Packed(vec![0.0; 2]); 4],
        squares: vec![0.0; 4],
        distance: 7.0,
        silhouette: 3.5,
    };
    for (row, label) in rows.iter().zip(labels) {
        sums.counts[label] += 1;
        for n in 0..2 {
            let offset = row[n] - centers[label][n];
            sums.offsets[label].0[n] += offset;
            sums.squares[label] += offset * offset;
        }
    }
    let metrics = clusters(&sums, &centers);
    close(&metrics, &[("mean_distance", 1.0), ("silhouette_simplified", 0.5)]);
    let score = metrics.iter().find(|(n, _)| n == "calinski_harabasz").unwrap().1;
    assert!((score - 131.51020408163265).abs() < 1e-9, "{score}");
    assert!(clusters(&ClusterSums { counts: vec![3], ..Default::default() }, &centers[..1]).len() == 2);
}
