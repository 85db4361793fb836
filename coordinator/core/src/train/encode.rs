//! What training learns of the columns before the first round: means, fillings, categories.

use std::collections::BTreeMap;

use shardmill_common::failure::Failure;
use shardmill_common::model::{
    CategoryCounts, ConstantFeature, Encoder, Encoding, Feature, Filling, Imputation, Moments, NumericProfile,
    Preparation, Scaling,
};
use shardmill_common::schema::DataType;

use super::profile::{Whole, by_value};

/// A feature as it was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    pub column: String,
    pub dtype: DataType,
    pub categorical: bool,
    pub imputation: Imputation,
    pub standardise: bool,
}

/// The encoder, and what is known of its columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Built {
    pub encoder: Encoder,
    /// Mean and variance of each numeric feature, missing values filled, before any scaling.
    pub spreads: Vec<Option<(f64, f64)>>,
    /// Of each encoded column.
    pub variances: Vec<f64>,
    pub notices: Vec<String>,
}

/// One column's part of it.
struct Part {
    feature: Feature,
    spread: Option<(f64, f64)>,
    variances: Vec<f64>,
    constant: bool,
}

/// `fillings` are medians and modes of numeric columns that cost rounds of their own; `name` is the dataset's.
pub fn build(
    asked: &[Asked],
    whole: &Whole,
    fillings: &BTreeMap<String, f64>,
    preparation: &Preparation,
    name: &str,
) -> Result<Built, Failure> {
    let (mut numeric, mut categorical) = (whole.numeric.iter(), whole.categorical.iter());
    let (mut built, mut missing, mut constant) = (Built::default(), Vec::new(), Vec::new());
    for column in asked {
        let absent = || Failure::internal(format!("there is no profile of column `{}`", column.column));
        let part = if column.categorical {
            let counts = categorical.next().ok_or_else(absent)?;
            categories(column, counts, whole.rows, preparation)?
        } else {
            let profile = numeric.next().ok_or_else(absent)?;
            number(column, profile, whole.rows, fillings, preparation)?
        };
        match part {
            // Without a single value it cannot stay, whatever was said of constant features.
            None => constant.push(format!("`{}` (no value)", column.column)),
            Some(Err(count)) => missing.push(format!("{} ({count})", column.column)),
            Some(Ok(part)) if part.constant && preparation.constant != ConstantFeature::Keep => {
                constant.push(format!("`{}`", column.column));
            }
            Some(Ok(part)) => {
                built.encoder.features.push(part.feature);
                built.spreads.push(part.spread);
                built.variances.extend(part.variances);
            }
        }
    }
    if !missing.is_empty() {
        return Err(Failure::bad_input(format!(
            "of {} rows of {name} some have no value in {}: say what stands in for it with --impute mean, median, mode or \
             constant=VALUE, or leave such rows out with --impute drop-row",
            whole.rows,
            missing.join(", ")
        )));
    }
    if !constant.is_empty() {
        let which = constant.join(", ");
        if preparation.constant == ConstantFeature::Refuse {
            return Err(Failure::bad_input(format!(
                "features that are the same in all {} rows: {which}; leave them out with --constant-features drop",
                whole.rows
            )));
        }
        built.notices.push(format!("left out, being the same in all {} rows: {which}", whole.rows));
    }
    let outputs = built.encoder.outputs();
    let mut names = std::collections::BTreeSet::new();
    if let Some(twice) = outputs.iter().find(|o| !names.insert(o.name.as_str())) {
        return Err(Failure::bad_input(format!(
            "two features of {name} would be called `{}`: rename one of the columns with a cleaning rule",
            twice.name
        )));
    }
    if built.encoder.width() == 0 {
        return Err(Failure::bad_input(format!(
            "no feature of {name} is left: {} {} the same in all rows",
            constant.join(", "),
            if constant.len() == 1 { "is" } else { "are" }
        )));
    }
    Ok(built)
}

/// `None`: no value at all. An error is the number of missing values that nothing stands in for.
type Made = Option<Result<Part, u64>>;

fn number(
    column: &Asked,
    profile: &NumericProfile,
    rows: u64,
    fillings: &BTreeMap<String, f64>,
    preparation: &Preparation,
) -> Result<Made, Failure> {
    let known = profile.moments;
    if !known.squares.is_finite() {
        return Err(Failure::bad_input(format!(
            "`{}` has values too large to compute with: divide it by a large number in a cleaning rule",
            column.column
        )));
    }
    if known.count == 0.0 {
        return Ok(None);
    }
    let boolean = column.dtype == DataType::Boolean;
    let learnt = || {
        let found = fillings.get(&column.column).copied();
        found.ok_or_else(|| Failure::internal(format!("the filling of `{}` is not known", column.column)))
    };
    let fill = match &column.imputation {
        Imputation::Refuse | Imputation::DropRow => None,
        Imputation::Mean | Imputation::Median if boolean => {
            if profile.missing == 0 {
                None
            } else {
                return Err(unfit(column, profile.missing));
            }
        }
        Imputation::Mean => Some(known.mean),
        // The mean of 0s and 1s says which of them is more frequent; of a tie it is the smaller.
        Imputation::Mode if boolean => Some(f64::from(u8::from(known.mean > 0.5))),
        Imputation::Median | Imputation::Mode => Some(learnt()?),
        Imputation::Constant(text) => Some(match constant_number(text, column.dtype) {
            Some(number) => number,
            // What is said of all columns need not fit one that has nothing to fill.
            None if profile.missing == 0 => known.mean,
            None => {
                let column = &column.column;
                return Err(Failure::bad_input(format!("`{column}` cannot be filled: `{text}` is not a number")));
            }
        }),
    };
    if fill.is_none() && profile.missing > 0 {
        return Ok(Some(Err(profile.missing)));
    }
    let indicator = preparation.indicator && profile.missing > 0;
    let filled = fill.unwrap_or(0.0);
    let imputed = known.merge(Moments { count: profile.missing as f64, mean: filled, squares: 0.0 });
    let single = profile.min == profile.max && (profile.missing == 0 || profile.min == Some(filled));
    let variance = if single { 0.0 } else { imputed.variance() };
    let deviation = variance.sqrt();
    let scaling = column.standardise.then(|| Scaling {
        mean: imputed.mean,
        scale: if deviation > 0.0 && deviation.is_finite() { deviation } else { 1.0 },
    });
    let mut variances = vec![scaling.map_or(variance, |s| variance / (s.scale * s.scale))];
    variances.extend(indicator.then(|| share(profile.missing, rows)));
    Ok(Some(Ok(Part {
        feature: Feature {
            column: column.column.clone(),
            dtype: column.dtype,
            encoding: Encoding::Numeric { scaling },
            fill: fill.map(Filling::Number),
            indicator,
        },
        spread: Some((imputed.mean, variance)),
        variances,
        constant: single && !indicator,
    })))
}

fn categories(column: &Asked, counts: &CategoryCounts, rows: u64, preparation: &Preparation) -> Result<Made, Failure> {
    let most = preparation.max_categories;
    let too_many = || {
        Failure::bad_input(format!(
            "`{}` has more than {most} different values: leave it out, or raise --max-categories",
            column.column
        ))
    };
    if counts.too_many || counts.values.len() as u64 > most {
        return Err(too_many());
    }
    if counts.values.is_empty() {
        return Ok(None);
    }
    let mut values = counts.values.clone();
    let fill = match &column.imputation {
        Imputation::Refuse | Imputation::DropRow => None,
        Imputation::Mean | Imputation::Median => {
            if counts.missing == 0 {
                None
            } else {
                return Err(unfit(column, counts.missing));
            }
        }
        Imputation::Mode => {
            let top = values.iter().map(|(_, n)| *n).max();
            values.iter().find(|(_, n)| Some(*n) == top).map(|(v, _)| v.clone())
        }
        Imputation::Constant(text) => Some(text.clone()),
    };
    match &fill {
        None if counts.missing > 0 => return Ok(Some(Err(counts.missing))),
        Some(text) if counts.missing > 0 => match values.iter_mut().find(|(v, _)| v == text) {
            Some((_, n)) => *n += counts.missing,
            None => {
                values.push((text.clone(), counts.missing));
                values.sort_by(|a, b| by_value(column.dtype, &a.0, &b.0));
                if values.len() as u64 > most {
                    return Err(too_many());
                }
            }
        },
        _ => {}
    }
    let indicator = preparation.indicator && counts.missing > 0;
    let mut variances: Vec<f64> = values.iter().map(|(_, n)| share(*n, rows)).collect();
    variances.extend(indicator.then(|| share(counts.missing, rows)));
    let constant = values.len() == 1 && !indicator;
    Ok(Some(Ok(Part {
        feature: Feature {
            column: column.column.clone(),
            dtype: column.dtype,
            encoding: Encoding::OneHot {
                categories: values.into_iter().map(|(v, _)| v).collect(),
                unknown: preparation.unknown,
            },
            fill: fill.map(Filling::Text),
            indicator,
        },
        spread: None,
        variances,
        constant,
    })))
}

/// A mean of what has none.
fn unfit(column: &Asked, missing: u64) -> Failure {
    let how = if column.imputation == Imputation::Mean { "mean" } else { "median" };
    let what = if column.categorical { "categories" } else { "true and false" };
    let name = &column.column;
    Failure::bad_input(format!(
        "`{name}` has no value in {missing} rows, and its {what} have no {how}: say --impute {name}=mode or \
         --impute {name}=constant=VALUE"
    ))
}

/// The variance of a column that is 1 in `n` of the rows and else 0.
fn share(n: u64, rows: u64) -> f64 {
    let p = n as f64 / (rows.max(1)) as f64;
    p * (1.0 - p)
}

/// A constant for a numeric feature.
pub fn constant_number(text: &str, dtype: DataType) -> Option<f64> {
    match (dtype, text) {
        (DataType::Boolean, "true") => Some(1.0),
        (DataType::Boolean, "false") => Some(0.0),
        _ => text.trim().parse::<f64>().ok().filter(|x| x.is_finite()),
    }
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
