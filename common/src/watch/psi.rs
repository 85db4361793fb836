//! The population stability index: how far a distribution is from another one.
//!
//! `PSI = sum over bins of (a - e) ln(a / e)`, `e` and `a` being the shares of a bin in what was expected and in what came.
//! It is the symmetric Kullback-Leibler (Jeffreys) divergence of the two binned distributions; the formula and the usual
//! reading are those of credit scoring (Siddiqi, *Credit Risk Scorecards*, 2006): below 0.1 stable, from 0.1 to 0.25 a
//! moderate shift, above a large one.

use super::baseline::FeatureBaseline;
use super::tally::FeatureTally;

/// Shares are raised to this: an empty bin has no logarithm.
pub const SHARE_FLOOR: f64 = 1e-4;

/// The index of two counts of the same bins. `None`: nothing was expected, nothing came, or the bins differ.
pub fn psi(expected: &[u64], came: &[u64]) -> Option<f64> {
    let total = |counts: &[u64]| counts.iter().map(|n| *n as f64).sum::<f64>();
    let (all_expected, all_came) = (total(expected), total(came));
    if expected.len() != came.len() || all_expected == 0.0 || all_came == 0.0 {
        return None;
    }
    let share = |count: u64, all: f64| (count as f64 / all).max(SHARE_FLOOR);
    let terms = expected.iter().zip(came).map(|(expected, came)| {
        let (e, a) = (share(*expected, all_expected), share(*came, all_came));
        (a - e) * (a / e).ln()
    });
    Some(terms.sum())
}

/// A feature's index; rows without a value are a bin of their own, and so are categories that training did not see.
/// `None`: not measured.
pub fn feature_psi(baseline: &FeatureBaseline, tally: &FeatureTally) -> Option<f64> {
    let all = |counts: &[u64], missing: u64, unseen: u64| -> Vec<u64> {
        let unseen = matches!(baseline, FeatureBaseline::Categories { .. }).then_some(unseen);
        counts.iter().copied().chain([missing]).chain(unseen).collect()
    };
    psi(&all(baseline.counts(), baseline.missing(), baseline.unseen()), &all(&tally.bins, tally.missing, tally.unseen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_what_it_is_by_hand() {
        assert_eq!(psi(&[1, 3], &[10, 30]), Some(0.0));
        // (0.75 - 0.5) ln 1.5 + (0.25 - 0.5) ln 0.5
        let by_hand = 0.25 * 1.5f64.ln() - 0.25 * 0.5f64.ln();
        assert!((psi(&[50, 50], &[3, 1]).unwrap() - by_hand).abs() < 1e-15);
        assert!((psi(&[3, 1], &[50, 50]).unwrap() - by_hand).abs() < 1e-15, "it is symmetric");
    }

    #[test]
    fn empty_bins_have_the_least_share() {
        // (1e-4 - 1) ln 1e-4 + (1 - 1e-4) ln 1e4
        let by_hand = 2.0 * (1.0 - 1e-4) * 1e4f64.ln();
        assert!((psi(&[7, 0], &[0, 9]).unwrap() - by_hand).abs() < 1e-12);
        assert_eq!(psi(&[7, 0, 0], &[9, 0, 0]), Some(0.0), "what is empty in both adds nothing");
    }

    #[test]
    fn what_cannot_be_compared_is_not_measured() {
        assert_eq!(psi(&[0, 0], &[1, 0]), None);
        assert_eq!(psi(&[1, 0], &[0, 0]), None);
        assert_eq!(psi(&[1, 0], &[1]), None);
    }

    #[test]
    fn missing_and_unseen_are_bins() {
        let numbers = FeatureBaseline::Numeric { edges: vec![0.0], counts: vec![40, 40], missing: 20 };
        let tally = FeatureTally { bins: vec![4, 4], missing: 2, unseen: 0 };
        assert_eq!(feature_psi(&numbers, &tally), Some(0.0));
        let tally = FeatureTally { missing: 8, ..tally };
        assert_eq!(feature_psi(&numbers, &tally), psi(&[40, 40, 20], &[4, 4, 8]));
        let categories = FeatureBaseline::Categories { counts: vec![30, 70], missing: 0, unseen: 0 };
        let tally = FeatureTally { bins: vec![3, 7], missing: 0, unseen: 5 };
        assert_eq!(feature_psi(&categories, &tally), psi(&[30, 70, 0, 0], &[3, 7, 0, 5]));
        assert_eq!(feature_psi(&categories, &FeatureTally::default()), None);
    }
}
