//! PMML 4.4: the encoder as mining schema and derived fields, the formula as one model element.

mod fields;
mod models;
mod xml;

use shardmill_common::model::{ClassValue, Model, Target};
use shardmill_common::schema::DataType;

use self::fields::{Derived, data_fields, mining_fields};
use self::xml::Xml;
use super::Reason;
use super::columns::{Column, columns};
use super::formulas::Formula;

const VERSION: &str = "4.4";
const NAMESPACE: &str = "http://www.dmg.org/PMML-4_4";

pub fn bytes(model: &Model) -> Result<Vec<u8>, Reason> {
    let columns = columns(model)?;
    let formula = Formula::of(model)?;
    let mut xml = Xml::new()?;
    xml.element("PMML", &[("xmlns", NAMESPACE), ("version", VERSION)], |xml| {
        let description = format!("{} of {} ({})", model.reference(), model.origin(), model.algorithm);
        xml.element("Header", &[("description", &description)], |xml| {
            let version = model.program.trim_start_matches("shardmill ");
            xml.empty("Application", &[("name", "shardmill"), ("version", version)])?;
            xml.text("Timestamp", &[], &model.created.to_string())
        })?;
        xml.element("DataDictionary", &[], |xml| {
            data_fields(xml, &columns)?;
            label_field(xml, &model.target)
        })?;
        let (element, attributes) = models::element(&formula);
        let mut attributes: Vec<(&str, &str)> = attributes.iter().map(|(k, v)| (*k, v.as_str())).collect();
        attributes.push(("modelName", model.name.as_str()));
        xml.element(element, &attributes, |xml| inside(xml, model, &columns, &formula))
    })?;
    Ok(xml.finish())
}

fn inside(xml: &mut Xml, model: &Model, columns: &[Column], formula: &Formula) -> Result<(), Reason> {
    xml.element("MiningSchema", &[], |xml| {
        if let Some(label) = model.target.label() {
            xml.empty("MiningField", &[("name", &label.column), ("usageType", "target")])?;
        }
        mining_fields(xml, columns)
    })?;
    let taken = output(xml, &model.target, columns)?;
    let all_numeric = matches!(formula, Formula::Gaussian { .. } | Formula::Centers { .. });
    let mut predictors = Vec::new();
    xml.element("LocalTransformations", &[], |xml| {
        predictors = Derived::new(xml, columns, &taken).encode(columns, all_numeric)?;
        Ok(())
    })?;
    models::content(xml, formula, &predictors, &model.target)
}

/// The label's own field; its values are the classes.
fn label_field(xml: &mut Xml, target: &Target) -> Result<(), Reason> {
    let Some(label) = target.label() else { return Ok(()) };
    let data_type = match (target, label.dtype) {
        (Target::Number { .. }, _) => "double",
        (_, DataType::Boolean) => "boolean",
        (_, DataType::Int64) => "integer",
        _ => "string",
    };
    let optype = if matches!(target, Target::Number { .. }) { "continuous" } else { "categorical" };
    let attributes = [("name", label.column.as_str()), ("optype", optype), ("dataType", data_type)];
    xml.element("DataField", &attributes, |xml| {
        target.classes().iter().try_for_each(|c| xml.empty("Value", &[("value", &c.to_string())]))
    })
}

/// The output fields; returns the names that derived fields must not have.
fn output(xml: &mut Xml, target: &Target, columns: &[Column]) -> Result<Vec<String>, Reason> {
    let mut taken: Vec<String> = target.label().map(|l| l.column.clone()).into_iter().collect();
    let mut unique = |name: &str| {
        let mut name = name.to_owned();
        while taken.contains(&name) || columns.iter().any(|c| c.name == name) {
            name.push('_');
        }
        taken.push(name.clone());
        name
    };
    let fields: Vec<(String, &str, &str, &str, Option<&ClassValue>)> = match target {
        Target::Number { .. } => vec![(unique("prediction"), "continuous", "double", "predictedValue", None)],
        Target::Cluster { .. } => vec![
            (unique("label"), "categorical", "string", "predictedValue", None),
            (unique("distance"), "continuous", "double", "affinity", None),
        ],
        Target::Class { label, classes } => {
            let data_type = match label.dtype {
                DataType::Boolean => "boolean",
                DataType::Int64 => "integer",
                _ => "string",
            };
            let first = (unique("label"), "categorical", data_type, "predictedValue", None);
            let others = classes
                .iter()
                .map(|c| (unique(&format!("probability({c})")), "continuous", "double", "probability", Some(c)));
            std::iter::once(first).chain(others).collect()
        }
    };
    xml.element("Output", &[], |xml| {
        for (name, optype, data_type, feature, class) in &fields {
            let class = class.map(ToString::to_string);
            let mut attributes =
                vec![("name", name.as_str()), ("optype", *optype), ("dataType", *data_type), ("feature", *feature)];
            attributes.extend(class.as_deref().map(|c| ("value", c)));
            xml.empty("OutputField", &attributes)?;
        }
        Ok(())
    })?;
    Ok(taken)
}
