//! The encoder in PMML: data fields, the mining schema with what fills in for missing values, and derived fields.

use std::collections::HashSet;

use super::super::Reason;
use super::super::columns::{Column, Input, Kind};
use super::xml::{Xml, number};

/// One encoded number and where a model finds it.
pub enum Predictor {
    Numeric {
        field: String,
    },
    /// 1 where the field has the value.
    Categorical {
        field: String,
        value: String,
    },
}

/// How a value of a column is written.
pub fn shown(column: &Column, x: f64) -> String {
    match column.input {
        Input::Boolean => if x == 1.0 { "true" } else { "false" }.to_owned(),
        Input::Number | Input::Integer | Input::Text => number(x),
    }
}

fn categories(column: &Column) -> Vec<String> {
    match &column.kind {
        Kind::Numeric { .. } => Vec::new(),
        Kind::Numbers { categories, .. } => categories.iter().map(|c| shown(column, *c)).collect(),
        Kind::Texts { categories, .. } => categories.clone(),
    }
}

const fn refuses(column: &Column) -> bool {
    matches!(column.kind, Kind::Numbers { refuse: true, .. } | Kind::Texts { refuse: true, .. })
}

const fn types(column: &Column) -> (&'static str, &'static str) {
    match (&column.kind, column.input) {
        (_, Input::Boolean) => ("categorical", "boolean"),
        (_, Input::Text) => ("categorical", "string"),
        (Kind::Numeric { .. }, _) => ("continuous", "double"),
        // Whole numbers too: some readers take a missing integer for 0.
        (_, Input::Integer | Input::Number) => ("categorical", "double"),
    }
}

pub fn data_fields(xml: &mut Xml, columns: &[Column]) -> Result<(), Reason> {
    for column in columns {
        let (optype, data_type) = types(column);
        let attributes = [("name", column.name.as_str()), ("optype", optype), ("dataType", data_type)];
        // Where values are listed, others are invalid.
        if refuses(column) || column.input == Input::Boolean {
            let values = if column.input == Input::Boolean {
                vec!["true".to_owned(), "false".to_owned()]
            } else {
                categories(column)
            };
            xml.element("DataField", &attributes, |xml| {
                values.iter().try_for_each(|v| xml.empty("Value", &[("value", v)]))
            })?;
        } else {
            xml.empty("DataField", &attributes)?;
        }
    }
    Ok(())
}

/// What the mining schema itself can fill in. An indicator must see the gap, and a boolean has no values between its two.
fn replacement(column: &Column) -> Option<String> {
    if column.indicator {
        return None;
    }
    match &column.kind {
        Kind::Numeric { fill: Some(x), .. } if column.input == Input::Boolean => {
            (*x == 0.0 || *x == 1.0).then(|| shown(column, *x))
        }
        Kind::Numeric { fill, .. } => fill.map(number),
        Kind::Numbers { .. } | Kind::Texts { .. } => fill_of(column),
    }
}

pub fn mining_fields(xml: &mut Xml, columns: &[Column]) -> Result<(), Reason> {
    for column in columns {
        let replacement = replacement(column);
        let mut attributes = vec![("name", column.name.as_str())];
        match &replacement {
            Some(value) => {
                attributes.extend([("missingValueReplacement", value.as_str()), ("missingValueTreatment", "asValue")]);
            }
            None if !column.fills() => attributes.push(("missingValueTreatment", "returnInvalid")),
            None => {}
        }
        if refuses(column) {
            attributes.push(("invalidValueTreatment", "returnInvalid"));
        }
        xml.empty("MiningField", &attributes)?;
    }
    Ok(())
}

/// Derived fields as they are written, with the names that are taken.
pub struct Derived<'a> {
    xml: &'a mut Xml,
    taken: HashSet<String>,
}

impl<'a> Derived<'a> {
    /// `others`: names that are in use besides those of the columns.
    pub fn new(xml: &'a mut Xml, columns: &[Column], others: &[String]) -> Self {
        let taken = columns.iter().map(|c| c.name.clone()).chain(others.iter().cloned()).collect();
        Self { xml, taken }
    }

    fn field(
        &mut self,
        name: String,
        optype: &str,
        data_type: &str,
        inside: impl FnOnce(&mut Xml) -> Result<(), Reason>,
    ) -> Result<String, Reason> {
        let mut name = name;
        while !self.taken.insert(name.clone()) {
            name.push('_');
        }
        let attributes = [("name", name.as_str()), ("optype", optype), ("dataType", data_type)];
        self.xml.element("DerivedField", &attributes, inside)?;
        Ok(name)
    }

    /// The encoded numbers in order. With `all_numeric`, categories too become numbers of their own.
    pub fn encode(&mut self, columns: &[Column], all_numeric: bool) -> Result<Vec<Predictor>, Reason> {
        let mut predictors = Vec::new();
        for column in columns {
            let field = self.filled(column)?;
            match &column.kind {
                Kind::Numeric { scaling: Some(s), .. } => {
                    let name = format!("scaled({})", column.name);
                    let (mean, scale) = (number(s.mean), number(s.scale));
                    let field = self.field(name, "continuous", "double", |xml| {
                        xml.element("Apply", &[("function", "/")], |xml| {
                            xml.element("Apply", &[("function", "-")], |xml| {
                                xml.empty("FieldRef", &[("field", &field)])?;
                                xml.text("Constant", &[("dataType", "double")], &mean)
                            })?;
                            xml.text("Constant", &[("dataType", "double")], &scale)
                        })
                    })?;
                    predictors.push(Predictor::Numeric { field });
                }
                Kind::Numeric { scaling: None, .. } => predictors.push(Predictor::Numeric { field }),
                Kind::Numbers { .. } | Kind::Texts { .. } => {
                    for value in categories(column) {
                        // With an indicator the gap is still there: what fills it in is said value by value.
                        predictors.push(if all_numeric || column.indicator {
                            self.category(column, &field, &value)?
                        } else {
                            Predictor::Categorical { field: field.clone(), value }
                        });
                    }
                }
            }
            if column.indicator {
                let field = self.field(format!("{}_missing", column.name), "continuous", "double", |xml| {
                    either(
                        xml,
                        "isMissing",
                        &column.name,
                        |xml| constant(xml, "double", "1"),
                        |xml| constant(xml, "double", "0"),
                    )
                })?;
                predictors.push(Predictor::Numeric { field });
            }
        }
        Ok(predictors)
    }

    fn category(&mut self, column: &Column, field: &str, value: &str) -> Result<Predictor, Reason> {
        let mut attributes = vec![("field", field), ("value", value)];
        if let Some(fill) = fill_of(column) {
            attributes.push(("mapMissingTo", if fill == value { "1" } else { "0" }));
        }
        let field = self.field(format!("{}={value}", column.name), "continuous", "double", |xml| {
            xml.empty("NormDiscrete", &attributes)
        })?;
        Ok(Predictor::Numeric { field })
    }

    /// The column with its gaps filled, booleans among numbers as 0 and 1.
    fn filled(&mut self, column: &Column) -> Result<String, Reason> {
        let mine = column.name.as_str();
        if column.input == Input::Boolean
            && let Kind::Numeric { fill, .. } = &column.kind
        {
            let fill = fill.map(number);
            let mut attributes = vec![("field", mine), ("value", "true")];
            attributes.extend(fill.as_deref().map(|f| ("mapMissingTo", f)));
            return self.field(format!("number({mine})"), "continuous", "double", |xml| {
                xml.empty("NormDiscrete", &attributes)
            });
        }
        let Kind::Numeric { fill: Some(fill), .. } = &column.kind else { return Ok(mine.to_owned()) };
        if !column.indicator {
            return Ok(mine.to_owned());
        }
        let fill = number(*fill);
        self.field(format!("filled({mine})"), "continuous", "double", |xml| {
            either(
                xml,
                "isMissing",
                mine,
                |xml| constant(xml, "double", &fill),
                |xml| xml.empty("FieldRef", &[("field", mine)]),
            )
        })
    }
}

/// What stands in for a missing category.
fn fill_of(column: &Column) -> Option<String> {
    match &column.kind {
        Kind::Numeric { .. } => None,
        Kind::Numbers { fill, .. } => fill.map(|x| shown(column, x)),
        Kind::Texts { fill, .. } => fill.clone(),
    }
}

fn constant(xml: &mut Xml, data_type: &str, value: &str) -> Result<(), Reason> {
    xml.text("Constant", &[("dataType", data_type)], value)
}

/// `if test(field) then one else other`.
fn either(
    xml: &mut Xml,
    test: &str,
    field: &str,
    one: impl FnOnce(&mut Xml) -> Result<(), Reason>,
    other: impl FnOnce(&mut Xml) -> Result<(), Reason>,
) -> Result<(), Reason> {
    xml.element("Apply", &[("function", "if")], |xml| {
        xml.element("Apply", &[("function", test)], |xml| xml.empty("FieldRef", &[("field", field)]))?;
        one(xml)?;
        other(xml)
    })
}
