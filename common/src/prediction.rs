//! The columns that a prediction adds to a dataset: named in one place for whoever plans, writes or serves them.

use crate::kinds::predict::PredictOutputs;
use crate::model::Target;
use crate::schema::{DataType, Field};

/// The predicted class, number or cluster.
pub const PREDICTION: &str = "prediction";
/// The Euclidean distance to the centre of the predicted cluster.
pub const DISTANCE: &str = "distance";

/// The column of a class's probability.
pub fn probability_column(class: &crate::model::ClassValue) -> String {
    format!("probability_{class}")
}

/// The columns in their order.
pub fn added_columns(target: &Target, outputs: PredictOutputs) -> Vec<Field> {
    let mut fields = Vec::new();
    if outputs.label {
        let dtype = match target {
            Target::Class { label, .. } => label.dtype,
            Target::Number { .. } => DataType::Float64,
            Target::Cluster { .. } => DataType::Int64,
        };
        fields.push(Field::new(PREDICTION, dtype));
    }
    if outputs.probability {
        match target {
            Target::Class { classes, .. } => {
                fields.extend(classes.iter().map(|c| Field::new(probability_column(c), DataType::Float64)));
            }
            Target::Number { .. } => {}
            Target::Cluster { .. } => fields.push(Field::new(DISTANCE, DataType::Float64)),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ClassValue, Label};

    #[test]
    fn columns_follow_the_target_and_the_wish() {
        let names = |target: &Target, label, probability| -> Vec<String> {
            added_columns(target, PredictOutputs { label, probability }).into_iter().map(|f| f.name).collect()
        };
        let label = Label { column: "y".into(), dtype: DataType::Boolean };
        let classes = vec![ClassValue::Boolean(false), ClassValue::Boolean(true)];
        let class = Target::Class { label: label.clone(), classes };
        assert_eq!(names(&class, true, true), ["prediction", "probability_false", "probability_true"]);
        assert_eq!(names(&class, false, true).len(), 2);
        assert_eq!(
            added_columns(&class, PredictOutputs { label: true, probability: false })[0].dtype,
            DataType::Boolean
        );
        assert_eq!(names(&Target::Number { label }, true, true), ["prediction"]);
        assert_eq!(names(&Target::Cluster { clusters: 3 }, true, true), ["prediction", "distance"]);
    }
}
