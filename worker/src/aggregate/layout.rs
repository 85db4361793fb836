//! What has to be kept of each group so that everything asked for can be computed: functions share what they can.

use shardmill_common::failure::Failure;
use shardmill_common::kinds::aggregate::{Aggregate, Function};
use shardmill_common::kinds::dedup::HashColumn;
use shardmill_common::schema::{DataType, Schema};

use super::accumulate::Accumulator;

/// A state that is kept: over a column, or over rows.
pub struct State {
    pub function: Function,
    pub column: Option<String>,
    pub dtype: DataType,
}

impl State {
    pub fn accumulator(&self) -> Result<Accumulator, Failure> {
        if self.column.is_none() {
            return Ok(Accumulator::Rows(Vec::new()));
        }
        Accumulator::of(self.function, self.dtype).ok_or_else(|| Failure::internal("a function without a state"))
    }
}

/// Where a column of the result comes from.
pub enum Source {
    /// A state.
    State(usize),
    /// The pairs of groups and different values of a column.
    Distinct(usize),
    /// The sorted values of a column, at this share.
    Quantile(usize, f64),
}

/// A column of the result.
pub struct Output {
    pub name: String,
    pub function: Function,
    pub dtype: DataType,
    pub source: Source,
}

/// The tables of the shuffle: the states, then the pairs of each of `distinct`, then the values of each of `values`.
pub struct Layout {
    pub keys: Vec<HashColumn>,
    pub states: Vec<State>,
    pub distinct: Vec<String>,
    /// With the state that tallies it.
    pub values: Vec<(String, usize)>,
    pub outputs: Vec<Output>,
}

impl Layout {
    pub fn new(by: &[String], aggregates: &[Aggregate], schema: &Schema) -> Result<Self, Failure> {
        let keys = by.iter().map(|name| HashColumn { name: name.clone(), dtype: None }).collect();
        let mut layout =
            Layout { keys, states: Vec::new(), distinct: Vec::new(), values: Vec::new(), outputs: Vec::new() };
        for aggregate in aggregates {
            let dtype = aggregate.result(schema, "the dataset").map_err(Failure::bad_input)?;
            let source = layout.source(aggregate, schema);
            layout.outputs.push(Output { name: aggregate.name.clone(), function: aggregate.function, dtype, source });
        }
        Ok(layout)
    }

    fn source(&mut self, aggregate: &Aggregate, schema: &Schema) -> Source {
        match (aggregate.function, &aggregate.column) {
            (Function::Distinct, Some(column)) => {
                Source::Distinct(place(&mut self.distinct, |c| c == column, || column.clone()))
            }
            (Function::Quantile(share), Some(column)) => {
                let state = self.state(Function::Quantile(0.5), Some(column), schema);
                let table = place(&mut self.values, |(c, _)| c == column, || (column.clone(), state));
                Source::Quantile(table, share)
            }
            (function, column) => Source::State(self.state(function, column.as_ref(), schema)),
        }
    }

    fn state(&mut self, function: Function, column: Option<&String>, schema: &Schema) -> usize {
        let function = match function {
            Function::Mean => Function::Sum,
            Function::StdDev => Function::Variance,
            other => other,
        };
        let dtype = column.and_then(|c| schema.get(c)).map_or(DataType::Int64, |f| f.dtype);
        place(
            &mut self.states,
            |s| s.function == function && s.column.as_ref() == column,
            || State { function, column: column.cloned(), dtype },
        )
    }

    /// Every column that is read.
    pub fn columns(&self) -> Vec<String> {
        let keys = self.keys.iter().map(|k| &k.name);
        let states = self.states.iter().filter_map(|s| s.column.as_ref());
        let mut names: Vec<String> = Vec::new();
        for name in keys.chain(states).chain(&self.distinct).chain(self.values.iter().map(|(c, _)| c)) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }
}

/// Where the item is that `is` finds; it is added where there is none.
fn place<T>(items: &mut Vec<T>, is: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> usize {
    if let Some(at) = items.iter().position(is) {
        return at;
    }
    items.push(make());
    items.len() - 1
}

/// A key column's name in the shuffle: there it cannot be that of a state.
pub fn key_name(n: usize) -> String {
    format!("k{n}")
}

pub fn state_name(n: usize) -> String {
    format!("s{n}_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardmill_common::schema::Field;

    #[test]
    fn functions_share_states_and_tables() {
        let schema = Schema::new(vec![
            Field::new("k", DataType::String),
            Field::new("x", DataType::Float64),
            Field::new("y", DataType::Int64),
        ]);
        let of = |function, column: &str| Aggregate {
            name: format!("{function:?} {column}"),
            function,
            column: Some(column.to_owned()).filter(|c| !c.is_empty()),
        };
        let all = [
            of(Function::Count, ""),
            of(Function::Sum, "x"),
            of(Function::Mean, "x"),
            of(Function::Mean, "y"),
            of(Function::StdDev, "x"),
            of(Function::Variance, "x"),
            of(Function::Quantile(0.5), "x"),
            of(Function::Quantile(0.9), "x"),
            of(Function::Distinct, "k"),
            of(Function::Distinct, "y"),
        ];
        let layout = Layout::new(&["k".to_owned()], &all, &schema).unwrap();
        assert_eq!((layout.states.len(), layout.distinct.len(), layout.values.len()), (5, 2, 1));
        assert_eq!(layout.columns(), ["k", "x", "y"]);
        let states: Vec<Option<usize>> =
            layout.outputs.iter().map(|o| if let Source::State(n) = o.source { Some(n) } else { None }).collect();
        assert_eq!(states[1], states[2]);
        assert_eq!(states[4], states[5]);
        assert!(states[2] != states[3]);
    }
}
