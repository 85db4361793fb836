//! Gaussian naive Bayes from the moments of each class. Moments of more rows are merged in, so it learns on without the old ones.

use shardmill_common::failure::Failure;
use shardmill_common::model::{ClassMoments, Moments, NaiveBayesParameters, Parameters};

/// What a fit needs besides the moments.
pub struct Bayes<'a> {
    pub classes: usize,
    pub width: usize,
    pub var_smoothing: f64,
    /// In the order of the classes; `None`: as frequent as in the data.
    pub priors: Option<Vec<f64>>,
    /// The parameters of the model that is updated.
    pub base: Option<&'a Parameters>,
}

/// Parameters from the shards' moments, merged in the order given.
pub fn naive_bayes(fit: &Bayes<'_>, shards: &[ClassMoments]) -> Result<Parameters, Failure> {
    let mut classes = base_moments(fit)?;
    let mut all = vec![Moments::default(); fit.width];
    for shard in shards {
        let fits = shard.moments.len() == fit.classes
            && shard.moments.iter().chain([&shard.all]).all(|moments| moments.len() == fit.width);
        if !fits {
            return Err(Failure::internal("the moments of a shard do not fit the classes and features"));
        }
        for (mine, other) in classes.iter_mut().flatten().zip(shard.moments.iter().flatten()) {
            *mine = mine.merge(*other);
        }
        for (mine, other) in all.iter_mut().zip(&shard.all) {
            *mine = mine.merge(*other);
        }
    }
    if fit.base.is_some() {
        // The rows that are gone are known by their classes.
        let empty = vec![Moments::default(); fit.width];
        all = classes.iter().fold(empty, |sum, c| sum.iter().zip(c).map(|(a, b)| a.merge(*b)).collect());
    }
    // scikit-learn's `epsilon_`.
    let epsilon = fit.var_smoothing * all.iter().map(|m| m.variance()).fold(0.0, f64::max);
    let weights: Vec<f64> = classes.iter().map(|c| c.first().map_or(0.0, |m| m.count)).collect();
    let total: f64 = weights.iter().sum();
    if !(total > 0.0 && total.is_finite()) {
        return Err(Failure::bad_input("the weights of all rows are 0: there is nothing to learn from"));
    }
    let priors = fit.priors.clone().unwrap_or_else(|| weights.iter().map(|w| w / total).collect());
    let of = |get: fn(&Moments) -> f64| classes.iter().map(|c| c.iter().map(get).collect()).collect();
    Ok(Parameters::NaiveBayes(NaiveBayesParameters {
        priors,
        means: of(|m| m.mean),
        squares: of(|m| m.squares),
        weights,
        epsilon,
    }))
}

/// The moments to start from.
fn base_moments(fit: &Bayes<'_>) -> Result<Vec<Vec<Moments>>, Failure> {
    let empty = vec![vec![Moments::default(); fit.width]; fit.classes];
    let Some(base) = fit.base else { return Ok(empty) };
    let Parameters::NaiveBayes(NaiveBayesParameters { weights, means, squares, .. }) = base else {
        return Err(Failure::internal("the model to update is not of naive Bayes"));
    };
    let moments: Vec<Vec<Moments>> = weights
        .iter()
        .zip(means.iter().zip(squares))
        .map(|(weight, (means, squares))| {
            means.iter().zip(squares).map(|(m, s)| Moments { count: *weight, mean: *m, squares: *s }).collect()
        })
        .collect();
    if moments.len() != fit.classes || moments.iter().any(|c| c.len() != fit.width) {
        return Err(Failure::internal("the parameters of the model to update do not fit its classes and features"));
    }
    Ok(moments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(values: &[f64]) -> Moments {
        values.iter().map(|v| Moments { count: 1.0, mean: *v, squares: 0.0 }).fold(Moments::default(), Moments::merge)
    }

    fn shard(classes: [&[f64]; 2]) -> ClassMoments {
        let all: Vec<f64> = classes.iter().flat_map(|c| c.iter().copied()).collect();
        ClassMoments {
            rows: all.len() as u64,
            moments: classes.iter().map(|c| vec![moments(c)]).collect(),
            all: vec![moments(&all)],
        }
    }

    #[test]
    fn an_update_is_as_good_as_all_rows_at_once() {
        let fit = Bayes { classes: 2, width: 1, var_smoothing: 1e-9, priors: None, base: None };
        let (a, b) = (shard([&[1.0, 2.0, 4.0], &[10.0, 12.0]]), shard([&[3.0], &[11.0, 17.0, 9.0]]));
        let whole = naive_bayes(&fit, &[a.clone(), b.clone()]).unwrap();
        let first = naive_bayes(&fit, &[a]).unwrap();
        let second = naive_bayes(&Bayes { base: Some(&first), ..fit }, &[b]).unwrap();
        let Parameters::NaiveBayes(NaiveBayesParameters { weights, priors, means, squares, epsilon }) = &whole else {
            panic!()
        };
        let Parameters::NaiveBayes(NaiveBayesParameters { means: m, squares: s, .. }) = &second else { panic!() };
        assert_eq!((weights.as_slice(), priors.as_slice()), (&[4.0, 5.0][..], &[4.0 / 9.0, 5.0 / 9.0][..]));
        assert_eq!(means[0][0], 2.5);
        assert!((squares[0][0] - 5.0).abs() < 1e-12);
        assert!(*epsilon > 0.0 && *epsilon < 1e-7);
        for c in 0..2 {
            assert!((means[c][0] - m[c][0]).abs() < 1e-12 && (squares[c][0] - s[c][0]).abs() < 1e-12);
        }
    }
}
