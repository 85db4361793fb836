//! What a user's MapReduce job may be, as far as that can be told from the schemas of its inputs.

use shardmill_common::kinds::dedup::HashColumn;
use shardmill_common::kinds::mapreduce::step::Step;
use shardmill_common::kinds::mapreduce::{Checked, MapInput, MapReduceSpec, MapReduceUnfit, common_keys, side_schema};
use shardmill_common::schema::Schema;

use crate::program::{Role, produced_schema};
use shardmill_sql::{SqlError, check, one_row_at_a_time};

/// The table that a map and a combiner see.
pub const INPUT: &str = "input";

/// Why a user's job cannot run, as far as that can be told before.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    #[error(transparent)]
    Unfit(#[from] MapReduceUnfit),
    #[error("an input is missing")]
    InputMissing,
    /// A statement that cannot run; `why` shows the place.
    #[error("{step}: {why}")]
    Step { step: String, why: SqlError },
    #[error(
        "the combiner: it puts out {made}, and the map {map}: a combiner must put out the columns it takes, since it runs over its \
         own rows too"
    )]
    CombinerColumns { made: String, map: String },
    #[error("the combiner: the types of what it puts out change when it runs over its own rows; CAST them")]
    CombinerTypes,
    #[error(
        "a reduce program sees the rows of all inputs as one stream, and those of {one} ({columns}) differ from those of {other} \
         ({others}): give them the same columns in --map, with one that tells them apart"
    )]
    Streams { one: String, columns: String, other: String, others: String },
    #[error("--then-by: there is no column `{column}`; the map puts out {columns}")]
    ThenBy { column: String, columns: String },
}

const COMBINER: &str = "the combiner";

fn in_step(step: &str) -> impl Fn(SqlError) -> JobError {
    move |why| JobError::Step { step: step.to_owned(), why }
}

/// Parses and resolves every statement of a job over inputs of these schemas. The error says which statement, and where.
pub fn check_job(spec: &MapReduceSpec, schemas: &[Schema]) -> Result<Checked, JobError> {
    spec.check_parts()?;
    if schemas.len() != spec.inputs.len() {
        return Err(JobError::InputMissing);
    }
    let mut maps = spec
        .inputs
        .iter()
        .zip(schemas)
        .map(|(input, schema)| map_schema(spec, input, schema))
        .collect::<Result<Vec<_>, _>>()?;
    let Some(reduce) = &spec.reduce else {
        let output = maps.first().cloned().flatten();
        return Ok(Checked { maps, keys: Vec::new(), output });
    };
    let keys = key_columns(spec, &maps)?;
    if let (Some(statement), Some(Some(schema))) = (&spec.combine, maps.first_mut()) {
        *schema = combined_schema(statement, schema)?;
    }
    let known: Option<Vec<Schema>> = maps.iter().map(|m| Some(side_schema(m.as_ref()?, &keys))).collect();
    let output = match reduce {
        Step::Sql(statement) => match &known {
            None => None,
            Some(sides) => {
                let tables: Vec<(&str, &Schema)> = spec.inputs.iter().map(|i| i.name.as_str()).zip(sides).collect();
                Some(check(statement, &tables).map_err(in_step("the reduce"))?.schema)
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
fn map_schema(spec: &MapReduceSpec, input: &MapInput, schema: &Schema) -> Result<Option<Schema>, JobError> {
    let reduced = spec.reduce.is_some();
    match &input.map {
        None => Ok(Some(schema.clone())),
        Some(Step::Sql(statement)) => {
            let step = format!("the map of {}", input.name);
            let in_step = in_step(&step);
            let checked = check(statement, &[(INPUT, schema)]).map_err(&in_step)?;
            if !reduced && !spec.per_shard {
                one_row_at_a_time(statement).map_err(in_step)?;
            }
            Ok(Some(checked.schema))
        }
        Some(Step::Program(program)) => Ok(produced_schema(program, Role::Map { reduced }, &spec.keys)),
    }
}

/// The keys, in types in which the inputs can be compared; as they come where only a run can tell.
pub fn key_columns(spec: &MapReduceSpec, maps: &[Option<Schema>]) -> Result<Vec<HashColumn>, MapReduceUnfit> {
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
pub fn combined_schema(statement: &str, map: &Schema) -> Result<Schema, JobError> {
    let once = check(statement, &[(INPUT, map)]).map_err(in_step(COMBINER))?.schema;
    let (mut wanted, mut got): (Vec<&str>, Vec<&str>) = (map.names().collect(), once.names().collect());
    wanted.sort_unstable();
    got.sort_unstable();
    if wanted != got {
        return Err(JobError::CombinerColumns { made: once.names_joined(), map: map.names_joined() });
    }
    let joined = map.join(&once);
    let twice = check(statement, &[(INPUT, &joined)]).map_err(in_step(COMBINER))?.schema;
    match joined.join(&twice) == joined {
        true => Ok(joined),
        false => Err(JobError::CombinerTypes),
    }
}

/// A program sees one stream: several inputs must look the same.
fn one_stream(spec: &MapReduceSpec, sides: &[Schema]) -> Result<(), JobError> {
    if let Some((first, rest)) = sides.split_first() {
        for (input, schema) in spec.inputs.iter().skip(1).zip(rest) {
            if schema != first {
                return Err(JobError::Streams {
                    one: input.name.clone(),
                    columns: schema.names_joined(),
                    other: spec.inputs.first().map(|i| i.name.clone()).unwrap_or_default(),
                    others: first.names_joined(),
                });
            }
        }
        for key in &spec.then_by {
            if first.get(&key.column).is_none() {
                return Err(JobError::ThenBy { column: key.column.clone(), columns: first.names_joined() });
            }
        }
    }
    Ok(())
}
