//! Working space: the features as the shards encode them for training, shifted and scaled so that the problem is well
//! conditioned, and the exact way back to the features of the model.

use shardmill_common::model::{Encoder, Encoding, Scaling};

/// The linear map from parameters in working space to those of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Space {
    /// A coefficient of the model is the one in working space times this.
    factor: Vec<f64>,
    /// What a coefficient in working space adds to the model's intercept.
    shift: Vec<f64>,
    intercept: bool,
}

const NONE: Scaling = Scaling { mean: 0.0, scale: 1.0 };

/// Of each encoded column how it was scaled; categories and indicators were not.
pub fn scalings(encoder: &Encoder) -> Vec<Scaling> {
    let mut all = Vec::with_capacity(encoder.width());
    for feature in &encoder.features {
        if let Encoding::Numeric { scaling } = &feature.encoding {
            all.push(scaling.unwrap_or(NONE));
        }
        let rest = feature.width() - usize::from(matches!(feature.encoding, Encoding::Numeric { .. }));
        all.extend(std::iter::repeat_n(NONE, rest));
    }
    all
}

/// The encoder for training. `spreads` are means and variances of the numeric features, missing values filled. Without a free
/// intercept nothing is shifted. A feature that the user standardises stays as it is.
pub fn conditioning(encoder: &Encoder, spreads: &[Option<(f64, f64)>], shifts: bool) -> Encoder {
    let mut working = encoder.clone();
    for (feature, spread) in working.features.iter_mut().zip(spreads) {
        if let (Encoding::Numeric { scaling: scaling @ None }, Some((mean, variance))) = (&mut feature.encoding, spread)
        {
            let (mean, square) = if shifts { (*mean, *variance) } else { (0.0, variance + mean * mean) };
            let scale = square.sqrt();
            let scale = if scale > 0.0 && scale.is_finite() { scale } else { 1.0 };
            *scaling = Some(Scaling { mean: if mean.is_finite() { mean } else { 0.0 }, scale });
        }
    }
    working
}

impl Space {
    /// Between two encoders that differ in how they scale.
    pub fn between(model: &Encoder, working: &Encoder, intercept: bool) -> Space {
        // Model: (x - m) / s. Working: (x - M) / S. So u (x - M) / S = (u s / S) (x - m) / s + u (m - M) / S.
        let (model, working) = (scalings(model), scalings(working));
        let factor = model.iter().zip(&working).map(|(m, w)| if m == w { 1.0 } else { m.scale / w.scale }).collect();
        let shift = model.iter().zip(&working).map(|(m, w)| (m.mean - w.mean) / w.scale).collect();
        Space { factor, shift, intercept }
    }

    pub fn factors(&self) -> &[f64] {
        &self.factor
    }

    fn stride(&self) -> usize {
        self.factor.len() + usize::from(self.intercept)
    }

    /// Parameters of the model from those in working space, class by class.
    pub fn to_model(&self, working: &[f64]) -> Vec<f64> {
        let mut out = working.to_vec();
        for class in out.chunks_mut(self.stride().max(1)) {
            let mut moved = 0.0;
            for ((u, factor), shift) in class.iter_mut().zip(&self.factor).zip(&self.shift) {
                moved += *u * shift;
                *u *= factor;
            }
            if let (true, Some(b)) = (self.intercept, class.last_mut()) {
                *b += moved;
            }
        }
        out
    }

    /// The same map backwards.
    pub fn inverse(&self) -> Space {
        Space {
            factor: self.factor.iter().map(|f| 1.0 / f).collect(),
            shift: self.shift.iter().zip(&self.factor).map(|(s, f)| -s / f).collect(),
            intercept: self.intercept,
        }
    }

    /// `T' H T` of the upper triangle of second derivatives in model space, `T` being this map: those in working space.
    /// With the inverse map the other way round.
    pub fn pull_back(&self, size: usize, upper: &[f64]) -> Option<Vec<f64>> {
        let mut h = shardmill_algebra::unpack(size, upper)?;
        let (stride, width) = (self.stride(), self.factor.len());
        if stride == 0 || !size.is_multiple_of(stride) {
            return None;
        }
        // First H T (columns), then T' times that (rows); a class at a time.
        for _ in 0..2 {
            for start in (0..size).step_by(stride) {
                for j in 0..width {
                    for i in 0..size {
                        let mut x = h[(i, start + j)] * self.factor[j];
                        if self.intercept {
                            x += h[(i, start + width)] * self.shift[j];
                        }
                        h[(i, start + j)] = x;
                    }
                }
            }
            h = h.reversed_axes().as_standard_layout().into_owned();
        }
        Some(shardmill_algebra::pack(&h))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardmill_algebra::{dot, times, unpack};
    use shardmill_common::model::Feature;
    use shardmill_common::schema::DataType;

    fn numeric(column: &str, scaling: Option<Scaling>) -> Feature {
        let encoding = Encoding::Numeric { scaling };
        Feature { column: column.into(), dtype: DataType::Float64, encoding, fill: None, indicator: true }
    }

    #[test]
    fn there_and_back() {
        let own = Some(Scaling { mean: 3.0, scale: 0.5 });
        let model = Encoder { features: vec![numeric("a", None), numeric("b", own), numeric("c", None)] };
        let spreads = [Some((100.0, 4.0)), Some((3.0, 0.25)), Some((-1.0, 0.0))];
        let working = conditioning(&model, &spreads, true);
        let space = Space::between(&model, &working, true);
        let u = [1.0, 0.5, -2.0, 0.25, 4.0, 0.0, 7.0];
        let w = space.to_model(&u);
        assert_eq!(w[..6], [0.5, 0.5, -2.0, 0.25, 4.0, 0.0]);
        assert_eq!(w[6], 7.0 - 50.0 + 4.0);
        assert_eq!(space.inverse().to_model(&w), u);
        // z is the same in both: a = 104, b = 4, c = 2, no value missing.
        let z_model: f64 = dot(&w, &[104.0, 0.0, 2.0, 0.0, 2.0, 0.0, 1.0]);
        let z_working: f64 = dot(&u, &[2.0, 0.0, 2.0, 0.0, 3.0, 0.0, 1.0]);
        assert_eq!(z_model, z_working);
        // A quadratic form is, too.
        let upper: Vec<f64> = (1..=28).map(f64::from).collect();
        let there = space.pull_back(7, &upper).unwrap();
        let (h, k) = (unpack(7, &upper).unwrap(), unpack(7, &there).unwrap());
        assert!((dot(&w, &times(&h, &w)) - dot(&u, &times(&k, &u))).abs() < 1e-9);
        let back = space.inverse().pull_back(7, &there).unwrap();
        assert!(back.iter().zip(&upper).all(|(a, b)| (a - b).abs() < 1e-9));
    }

    #[test]
    fn without_an_intercept_nothing_is_shifted() {
        let model = Encoder { features: vec![numeric("a", None)] };
        let working = conditioning(&model, &[Some((3.0, 16.0))], false);
        assert_eq!(
            working.features[0].encoding,
            Encoding::Numeric { scaling: Some(Scaling { mean: 0.0, scale: 5.0 }) }
        );
    }
}
