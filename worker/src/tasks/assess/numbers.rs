//! The sums over the rows of a regression.

use shardmill_common::model::{CarefulSum, Moments, NumberSums};

/// Sums over pairs of label and prediction.
pub fn sum(pairs: &[(f64, f64)]) -> NumberSums {
    let residuals = || pairs.iter().map(|(label, prediction)| label - prediction);
    NumberSums {
        label: moments(pairs.iter().map(|(label, _)| *label)),
        residual: moments(residuals()),
        squared: residuals().map(|r| r * r).collect::<CarefulSum>().value(),
        absolute: residuals().map(f64::abs).collect::<CarefulSum>().value(),
        // A prediction that is no number must not go unseen, as `max` would let it.
        largest: residuals().map(f64::abs).fold(0.0, |a, b| if b.is_nan() || b > a { b } else { a }),
    }
}

/// Moments in two passes, from the first number on, so that equal numbers deviate by exactly nothing.
fn moments(numbers: impl Iterator<Item = f64> + Clone) -> Moments {
    let Some(first) = numbers.clone().next() else { return Moments::default() };
    let count = numbers.clone().count() as f64;
    let mean = first + numbers.clone().map(|x| x - first).collect::<CarefulSum>().value() / count;
    let squares: CarefulSum = numbers.clone().map(|x| (x - mean) * (x - mean)).collect();
    let rest: CarefulSum = numbers.map(|x| x - mean).collect();
    Moments { count, mean, squares: (squares.value() - rest.value() * rest.value() / count).max(0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_residuals() {
        let sums = sum(&[(3.0, 2.5), (-0.5, 0.0), (2.0, 2.0), (7.0, 8.0)]);
        assert_eq!(sums.squared, 1.5);
        assert_eq!(sums.absolute, 2.0);
        assert_eq!(sums.largest, 1.0);
        assert!((sums.label.squares - 29.1875).abs() < 1e-12);
        assert!((sums.residual.mean + 0.25).abs() < 1e-15);
    }

    #[test]
    fn equal_numbers_do_not_deviate() {
        let sums = sum(&[(0.1, 0.1); 7]);
        assert_eq!((sums.label.mean, sums.label.squares), (0.1, 0.0));
        assert!(!sum(&[(1.0, 1.0), (1.0, f64::NAN), (2.0, 1.0)]).is_finite());
        assert!(!sum(&[(1e200, -1e200)]).is_finite());
    }
}
