//! Numbers on the command line: finite and in range, told before anything is sent (JSON, which carries them, knows no others).

use std::collections::BTreeMap;

use shardmill_common::model::ClassWeight;

fn number(text: &str, range: &str, fits: impl Fn(f64) -> bool) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(x) if x.is_finite() && fits(x) => Ok(x),
        _ => Err(format!("it must be a number {range}")),
    }
}

pub fn above_zero(text: &str) -> Result<f64, String> {
    number(text, "above 0", |x| x > 0.0)
}

pub fn not_negative(text: &str) -> Result<f64, String> {
    number(text, "of 0 or more", |x| x >= 0.0)
}

pub fn share(text: &str) -> Result<f64, String> {
    number(text, "from 0 to 1", |x| (0.0..=1.0).contains(&x))
}

/// The C of logistic regression; an infinite one is how scikit-learn says that there is no penalty.
pub fn data_weight(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(f64::INFINITY) => Err("for no penalty use --penalty none".into()),
        _ => above_zero(text),
    }
}

/// `name=number,...` or a JSON object.
fn numbers_by_name(text: &str) -> Result<BTreeMap<String, f64>, String> {
    let shape = || {
        format!(
            "`{}` is not a list of numbers by class: write yes=3,no=1 or {{\"yes\": 3, \"no\": 1}}",
            text.escape_debug()
        )
    };
    let mut found = BTreeMap::new();
    if text.trim_start().starts_with('{') {
        found = serde_json::from_str(text).map_err(|e| format!("{}: {e}", shape()))?;
    } else {
        for part in text.split(',') {
            let (name, number) = part.rsplit_once(['=', ':']).ok_or_else(shape)?;
            let number: f64 = number.trim().parse().map_err(|_| shape())?;
            if found.insert(name.trim().to_owned(), number).is_some() {
                return Err(format!("class `{}` is named twice", name.trim().escape_debug()));
            }
        }
    }
    match found.iter().find(|(_, x)| !(x.is_finite() && **x >= 0.0)) {
        Some((name, x)) => {
            Err(format!("the number of class `{}` must be finite and 0 or more, not {x}", name.escape_debug()))
        }
        None => Ok(found),
    }
}

pub fn class_weight(text: &str) -> Result<ClassWeight, String> {
    match text {
        "none" => Ok(ClassWeight::None),
        "balanced" => Ok(ClassWeight::Balanced),
        _ => numbers_by_name(text).map(ClassWeight::Of),
    }
}

pub fn priors(text: &str) -> Result<BTreeMap<String, f64>, String> {
    numbers_by_name(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_finite_and_in_range() {
        assert_eq!(above_zero("1e-8"), Ok(1e-8));
        assert_eq!(not_negative("0"), Ok(0.0));
        assert_eq!(share("1"), Ok(1.0));
        for bad in ["", "x", "nan", "inf", "-inf", "1e400", "-1"] {
            for parse in [above_zero, not_negative, share, data_weight] {
                assert!(parse(bad).is_err(), "{bad:?} was accepted");
            }
        }
        assert!(above_zero("0").is_err() && share("1.5").is_err());
        assert!(data_weight("inf").unwrap_err().contains("--penalty none"));
    }

    #[test]
    fn weights_are_pairs_or_json() {
        let wanted = BTreeMap::from([("0".to_owned(), 1.0), ("1".to_owned(), 2.5)]);
        for text in ["0=1,1=2.5", "{\"0\": 1, \"1\": 2.5}", "0:1, 1:2.5"] {
            assert_eq!(class_weight(text).unwrap(), ClassWeight::Of(wanted.clone()), "{text}");
        }
        assert_eq!(class_weight("balanced").unwrap(), ClassWeight::Balanced);
        for bad in ["", "x", "a=b", "{\"a\"}", "a=1,a=2", "a=nan", "a=inf", "a=-1", "{\"a\": -1}"] {
            assert!(class_weight(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
