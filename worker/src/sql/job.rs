//! What a user's MapReduce job may be, as far as that can be told from the schemas of its inputs.

use shardmill_common::kinds::dedup::HashColumn;
use shardmill_common::kinds::mapreduce::step::Step;
use shardmill_common::kinds::mapreduce::{Checked, MapInput, MapReduceSpec, common_keys, side_schema};
use shardmill_common::schema::Schema;

use super::check::check;
use crate::program::{Role, produced_schema};

/// The table that a map and a combiner see.
pub const INPUT: &str = "input";

/// Parses and resolves every statement of a job over inputs of these schemas. The error says which statement, and where.
pub fn check_job(spec: &MapReduceSpec, schemas: &[Schema]) -> Result<Checked, String> {
    spec.check_parts()?;
    if schemas.len() != spec.inputs.len() {
        return Err("an input is missing".to_owned());
    }
    let reduced = spec.reduce.is_some();
    let mut maps = spec
        .inputs
        .iter()
        .zip(schemas)
        .map(|(input, schema)| map_schema(input, schema, reduced, &spec.keys))
        .collect::<Result<Vec<_>, _>>()?;
    let Some(reduce) = &spec.reduce else {
        let output = maps.first().cloned().flatten();
        return Ok(Checked { maps, keys: Vec::new(), output });
    };
    let keys = key_columns(spec, &maps)?;
    if let (Some(statement), Some(Some(schema))) = (&spec.combine, maps.first_mut()) {
        *schema = combined_schema(statement, schema).map_err(|e| format!("the combiner: {e}"))?;
    }
    let known: Option<Vec<Schema>> = maps.iter().map(|m| Some(side_schema(m.as_ref()?, &keys))).collect();
    let output = match reduce {
        Step::Sql(statement) => match &known {
            None => None,
            Some(sides) => {
                let tables: Vec<(&str, &Schema)> = spec.inputs.iter().map(|i| i.name.as_str()).zip(sides).collect();
                Some(check(statement, &tables).map_err(|e| format!("the reduce: {e}"))?.schema)
            }
        },
        Step::Program(program) => {
            if let Some(sides) = &known {
                one_stream(spec, sides)?;
            }
            produced_schema(program, Role::Reduce, &spec.keys)
        }
    };
    Ok(Checked { maps, keys, output })
}

/// What a map puts out, where that is known.
fn map_schema(input: &MapInput, schema: &Schema, reduced: bool, keys: &[String]) -> Result<Option<Schema>, String> {
    match &input.map {
        None => Ok(Some(schema.clone())),
        Some(Step::Sql(statement)) => match check(statement, &[(INPUT, schema)]) {
            Ok(statement) => Ok(Some(statement.schema)),
            Err(e) => Err(format!("the map of {}: {e}", input.name)),
        },
        Some(Step::Program(program)) => Ok(produced_schema(program, Role::Map { reduced }, keys)),
    }
}

/// The keys, in types in which the inputs can be compared; as they come where only a run can tell.
pub fn key_columns(spec: &MapReduceSpec, maps: &[Option<Schema>]) -> Result<Vec<HashColumn>, String> {
    let known: Vec<(&str, &Schema)> =
        spec.inputs.iter().zip(maps).filter_map(|(i, m)| Some((i.name.as_str(), m.as_ref()?))).collect();
    let keys = common_keys(&spec.keys, &known)?;
    if known.len() == spec.inputs.len() {
        return Ok(keys);
    }
    Ok(keys.into_iter().map(|key| HashColumn { dtype: None, ..key }).collect())
}

/// What goes into the shuffle where a combiner runs over rows of this schema: the same columns, in types that hold both what
/// the map and what the combiner puts out.
pub fn combined_schema(statement: &str, map: &Schema) -> Result<Schema, String> {
    let once = check(statement, &[(INPUT, map)])?.schema;
    let (mut wanted, mut got): (Vec<&str>, Vec<&str>) = (map.names().collect(), once.names().collect());
    wanted.sort_unstable();
    got.sort_unstable();
    if wanted != got {
        return Err(format!(
            "it puts out {}, and the map {}: a combiner must put out the columns it takes, since it runs over its own rows too",
            once.names_joined(),
            map.names_joined()
        ));
    }
    let joined = map.join(&once);
    let twice = check(statement, &[(INPUT, &joined)])?.schema;
    match joined.join(&twice) == joined {
        true => Ok(joined),
        false => Err("the types of what it puts out change when it runs over its own rows; CAST them".to_owned()),
    }
}

/// A program sees one stream: several inputs must look the same.
fn one_stream(spec: &MapReduceSpec, sides: &[Schema]) -> Result<(), String> {
    if let Some((first, rest)) = sides.split_first() {
        for (input, schema) in spec.inputs.iter().skip(1).zip(rest) {
            if schema != first {
                return Err(format!(
                    "a reduce program sees the rows of all inputs as one stream, and those of {} ({}) differ from those of {} ({}): give them the same columns in --map, with one that tells them apart",
                    input.name,
                    schema.names_joined(),
                    spec.inputs.first().map_or("", |i| &i.name),
                    first.names_joined()
                ));
            }
        }
        for key in &spec.then_by {
            if first.get(&key.column).is_none() {
                return Err(format!(
                    "--then-by: there is no column `{}`; the map puts out {}",
                    key.column,
                    first.names_joined()
                ));
            }
        }
    }
    Ok(())
}
