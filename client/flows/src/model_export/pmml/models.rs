//! The model elements: regression, naive Bayes and clustering.

use shardmill_common::model::{ClassValue, Target};

use super::super::Reason;
use super::super::formulas::Formula;
use super::fields::Predictor;
use super::xml::{Xml, number};

/// The element's name and attributes.
pub fn element(formula: &Formula) -> (&'static str, Vec<(&'static str, String)>) {
    let of = |pairs: &[(&'static str, &str)]| pairs.iter().map(|(k, v)| (*k, (*v).to_owned())).collect();
    match formula {
        Formula::Binary { .. } => {
            ("RegressionModel", of(&[("functionName", "classification"), ("normalizationMethod", "logit")]))
        }
        Formula::Softmax { .. } => {
            ("RegressionModel", of(&[("functionName", "classification"), ("normalizationMethod", "softmax")]))
        }
        Formula::Linear { .. } => {
            ("RegressionModel", of(&[("functionName", "regression"), ("normalizationMethod", "none")]))
        }
        Formula::Gaussian { .. } => ("NaiveBayesModel", of(&[("functionName", "classification"), ("threshold", "0")])),
        Formula::Centers { centers, .. } => {
            let count = centers.len().to_string();
            let pairs =
                [("functionName", "clustering"), ("modelClass", "centerBased"), ("numberOfClusters", count.as_str())];
            ("ClusteringModel", of(&pairs))
        }
    }
}

pub fn content(xml: &mut Xml, formula: &Formula, predictors: &[Predictor], target: &Target) -> Result<(), Reason> {
    let classes = target.classes();
    match formula {
        Formula::Linear { coefficients, intercept } => table(xml, None, coefficients, *intercept, predictors),
        Formula::Binary { coefficients, intercept } => {
            let [first, second] = classes else { return Err(Reason::NotTwoClasses) };
            table(xml, Some(second), coefficients, *intercept, predictors)?;
            table(xml, Some(first), &[], 0.0, predictors)
        }
        Formula::Softmax { coefficients, intercept } => classes
            .iter()
            .zip(coefficients.iter().zip(intercept))
            .try_for_each(|(class, (row, b))| table(xml, Some(class), row, *b, predictors)),
        Formula::Gaussian { priors, means, variances, .. } => bayes(xml, priors, means, variances, predictors, target),
        Formula::Centers { centers, sizes } => clusters(xml, centers, sizes, predictors),
    }
}

fn table(
    xml: &mut Xml,
    class: Option<&ClassValue>,
    coefficients: &[f64],
    intercept: f64,
    predictors: &[Predictor],
) -> Result<(), Reason> {
    let (intercept, class) = (number(intercept), class.map(ToString::to_string));
    let mut attributes = vec![("intercept", intercept.as_str())];
    attributes.extend(class.as_deref().map(|c| ("targetCategory", c)));
    xml.element("RegressionTable", &attributes, |xml| {
        // The schema wants the numeric ones first.
        for (predictor, c) in predictors.iter().zip(coefficients) {
            if let Predictor::Numeric { field } = predictor {
                xml.empty("NumericPredictor", &[("name", field), ("coefficient", &number(*c))])?;
            }
        }
        for (predictor, c) in predictors.iter().zip(coefficients) {
            if let Predictor::Categorical { field, value } = predictor {
                xml.empty("CategoricalPredictor", &[("name", field), ("value", value), ("coefficient", &number(*c))])?;
            }
        }
        Ok(())
    })
}

fn numeric(predictors: &[Predictor]) -> impl Iterator<Item = &str> {
    predictors.iter().map(|p| match p {
        Predictor::Numeric { field } | Predictor::Categorical { field, .. } => field.as_str(),
    })
}

fn bayes(
    xml: &mut Xml,
    priors: &[f64],
    means: &[Vec<f64>],
    variances: &[Vec<f64>],
    predictors: &[Predictor],
    target: &Target,
) -> Result<(), Reason> {
    let classes: Vec<String> = target.classes().iter().map(ToString::to_string).collect();
    xml.element("BayesInputs", &[], |xml| {
        for (at, field) in numeric(predictors).enumerate() {
            xml.element("BayesInput", &[("fieldName", field)], |xml| {
                xml.element("TargetValueStats", &[], |xml| {
                    for (class, (means, variances)) in classes.iter().zip(means.iter().zip(variances)) {
                        let (Some(mean), Some(variance)) = (means.get(at), variances.get(at)) else { continue };
                        let (mean, variance) = (number(*mean), number(*variance));
                        xml.element("TargetValueStat", &[("value", class)], |xml| {
                            xml.empty("GaussianDistribution", &[("mean", &mean), ("variance", &variance)])
                        })?;
                    }
                    Ok(())
                })
            })?;
        }
        Ok(())
    })?;
    let label = target.label().map(|l| l.column.clone()).unwrap_or_default();
    xml.element("BayesOutput", &[("fieldName", &label)], |xml| {
        xml.element("TargetValueCounts", &[], |xml| {
            let counts = classes.iter().zip(priors);
            counts.into_iter().try_for_each(|(class, prior)| {
                xml.empty("TargetValueCount", &[("value", class), ("count", &number(*prior))])
            })
        })
    })
}

fn clusters(xml: &mut Xml, centers: &[Vec<f64>], sizes: &[u64], predictors: &[Predictor]) -> Result<(), Reason> {
    xml.element("ComparisonMeasure", &[("kind", "distance"), ("compareFunction", "absDiff")], |xml| {
        xml.empty("euclidean", &[])
    })?;
    for field in numeric(predictors) {
        xml.empty("ClusteringField", &[("field", field), ("compareFunction", "absDiff")])?;
    }
    for (id, center) in centers.iter().enumerate() {
        let (id, size) = (id.to_string(), sizes.get(id).copied().unwrap_or_default().to_string());
        xml.element("Cluster", &[("id", &id), ("name", &id), ("size", &size)], |xml| {
            let numbers: Vec<String> = center.iter().map(|x| number(*x)).collect();
            xml.text("Array", &[("n", &center.len().to_string()), ("type", "real")], &numbers.join(" "))
        })?;
    }
    Ok(())
}
