//! The arithmetic of states: exact sums of whole numbers, and means with their squared deviations.

/// A count, a mean and the sum of squared deviations from it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    pub n: u64,
    pub mean: f64,
    pub m2: f64,
}

impl Moments {
    /// Welford's step.
    #[inline]
    pub fn add(&mut self, x: f64) {
        self.n += 1;
        let delta = x - self.mean;
        self.mean += delta / self.n as f64;
        self.m2 += delta * (x - self.mean);
    }

    /// Chan's merge.
    pub fn merge(&mut self, other: &Moments) {
        if other.n == 0 {
            return;
        }
        if self.n == 0 {
            *self = *other;
            return;
        }
        let (a, b) = (self.n as f64, other.n as f64);
        let delta = other.mean - self.mean;
        self.n += other.n;
        let n = self.n as f64;
        self.mean += delta * (b / n);
        self.m2 += other.m2 + delta * delta * (a * b / n);
    }

    /// Of a sample; `None` for fewer than two values.
    pub fn variance(&self) -> Option<f64> {
        (self.n >= 2).then(|| self.m2 / (self.n - 1) as f64)
    }
}

/// A sum of decimals: 192 bits, which so many of them cannot fill that it would matter in which order they come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WideSum {
    high: i64,
    low: u128,
}

impl WideSum {
    #[inline]
    pub fn add(&mut self, x: i128) {
        self.merge(Self { high: if x < 0 { -1 } else { 0 }, low: x as u128 });
    }

    pub fn merge(&mut self, other: Self) {
        let (low, carried) = self.low.overflowing_add(other.low);
        self.low = low;
        self.high = self.high.wrapping_add(other.high).wrapping_add(i64::from(carried));
    }

    /// The sum, if a decimal of 38 digits has room for it.
    pub fn units(self) -> Option<i128> {
        const MOST: u128 = 10_u128.pow(38);
        let units = self.low as i128;
        let sign = if units < 0 { -1 } else { 0 };
        (self.high == sign && units.unsigned_abs() < MOST).then_some(units)
    }

    /// The nearest float, of units.
    pub fn as_float(self) -> f64 {
        const HIGH: f64 = (1_u128 << 127) as f64 * 2.0;
        match self.units() {
            Some(units) => units as f64,
            None => self.high as f64 * HIGH + self.low as f64,
        }
    }

    /// As three columns of 64 bits carry it, and from them.
    pub const fn thirds(self) -> [i64; 3] {
        [self.high, (self.low >> 64) as i64, self.low as i64]
    }

    pub const fn of_thirds([high, middle, low]: [i64; 3]) -> Self {
        Self { high, low: ((middle as u64 as u128) << 64) | (low as u64 as u128) }
    }
}

/// A sum of 128 bits as two columns of 64 carry it.
pub const fn halves(sum: i128) -> (i64, i64) {
    ((sum >> 64) as i64, sum as i64)
}

pub const fn whole(high: i64, low: i64) -> i128 {
    ((high as i128) << 64) | (low as u64 as i128)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_sums_do_not_mind_the_order() {
        let most = 10_i128.pow(38) - 1;
        let sum = |values: &[i128]| {
            let mut sum = WideSum::default();
            values.iter().for_each(|x| sum.add(*x));
            assert_eq!(WideSum::of_thirds(sum.thirds()), sum);
            sum
        };
        assert_eq!(sum(&[most, most, -most]).units(), Some(most));
        assert_eq!(sum(&[-most, -most, most, 1]).units(), Some(1 - most));
        assert_eq!(sum(&[most, 1]).units(), None);
        assert_eq!(sum(&[-5, 3]).units(), Some(-2));
        assert!((sum(&[most; 4]).as_float() / 4e38 - 1.0).abs() < 1e-12);
        assert!((sum(&[-most; 4]).as_float() / -4e38 - 1.0).abs() < 1e-12);
        let mut parts = sum(&[most, most]);
        parts.merge(sum(&[-most, -7]));
        assert_eq!(parts.units(), Some(most - 7));
    }

    #[test]
    fn moments_merge_to_what_they_are_together() {
        let values: Vec<f64> = (0..1000).map(|n| 1e9 + f64::from(n * 7919 % 1013)).collect();
        let of = |values: &[f64]| {
            let mut moments = Moments::default();
            values.iter().for_each(|x| moments.add(*x));
            moments
        };
        let mut merged = Moments::default();
        for (from, to) in [(0, 0), (0, 1), (1, 400), (400, 1000)] {
            merged.merge(&of(&values[from..to]));
        }
        let mean = values.iter().sum::<f64>() / 1000.0;
        let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 999.0;
        for moments in [merged, of(&values)] {
            assert_eq!(moments.n, 1000);
            assert!((moments.variance().unwrap() / variance - 1.0).abs() < 1e-9);
        }
        assert_eq!(of(&[5.0]).variance(), None);
    }

    #[test]
    fn halves_make_a_whole() {
        for sum in [0, 1, -1, i128::from(i64::MAX) * 3, i128::from(i64::MIN) * 7, i128::MAX, i128::MIN] {
            let (high, low) = halves(sum);
            assert_eq!(whole(high, low), sum);
        }
    }
}
