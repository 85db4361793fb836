//! Whether sources belong together: shared columns, and the user's schema.

use shardmill_common::kinds::ingest::{SourceFormat, Wanted};
use shardmill_common::schema::{DataType, Field, Schema};

use super::error::SourceError;
use super::inspect::Inspected;
use super::options::ReadOptions;

/// The schema of the dataset: the user's, or all columns of all sources with the types that were seen or said.
pub fn check(sources: &[Inspected], options: &ReadOptions) -> Result<Schema, SourceError> {
    check_wanted(sources, &options.wanted)?;
    match &options.schema {
        Some(schema) => check_fixed(sources, schema).map(|()| schema.clone()),
        None => {
            let mut schema = joined(sources)?;
            let names: Vec<String> = options.types.names().map(str::to_owned).collect();
            check_there(sources, "--types", &names)?;
            if let Some(column) = names.iter().find(|name| !options.wanted.takes(name)) {
                return Err(SourceError::LeftOut { column: column.clone() });
            }
            typed(&mut schema, &options.types);
            Ok(schema)
        }
    }
}

/// Gives columns the types that the user said; one that was not seen yet comes last.
pub fn typed(schema: &mut Schema, types: &Schema) {
    for field in &types.fields {
        match schema.fields.iter_mut().find(|f| f.name == field.name) {
            Some(known) => known.dtype = field.dtype,
            None => schema.fields.push(field.clone()),
        }
    }
}

/// Whether all columns that were named are somewhere, and any is left.
fn check_wanted(sources: &[Inspected], wanted: &Wanted) -> Result<(), SourceError> {
    let (option, names) = match wanted {
        Wanted::All => return Ok(()),
        Wanted::Only(names) => ("--columns", names),
        Wanted::AllBut(names) => ("--drop", names),
    };
    check_there(sources, option, names)?;
    match sources.iter().find(|s| s.schema.is_empty() && !has_late_keys(sources)) {
        Some(empty) => Err(SourceError::NothingWanted { name: empty.name.clone() }),
        None => Ok(()),
    }
}

/// A key of JSON lines may come late, so its absence in a sample says nothing.
fn has_late_keys(sources: &[Inspected]) -> bool {
    sources.iter().any(|s| s.format == SourceFormat::JsonLines)
}

/// Whether all columns that an option names are somewhere.
fn check_there(sources: &[Inspected], option: &'static str, names: &[String]) -> Result<(), SourceError> {
    let there = |s: &Inspected, name: &str| s.schema.get(name).is_some() || s.left_out.iter().any(|n| n == name);
    let late = has_late_keys(sources);
    if let Some(absent) = names.iter().find(|name| !late && !sources.iter().any(|s| there(s, name))) {
        let mut schema = sources.iter().fold(Schema::default(), |all, s| all.join(&s.schema));
        let left = sources.iter().flat_map(|s| &s.left_out).map(|n| Field::new(n, DataType::Null)).collect();
        schema = schema.join(&Schema::new(left));
        return Err(SourceError::NotThere { option, column: absent.clone(), schema });
    }
    Ok(())
}

fn joined(sources: &[Inspected]) -> Result<Schema, SourceError> {
    let mut all = Schema::default();
    for source in sources {
        if let Some(first) =
            sources.first().filter(|_| !all.is_empty() && !source.schema.names().any(|n| all.get(n).is_some()))
        {
            return Err(SourceError::NothingShared {
                first: first.name.clone(),
                second: source.name.clone(),
                of_first: first.schema.clone(),
                of_second: source.schema.clone(),
            });
        }
        all = all.join(&source.schema);
    }
    Ok(all)
}

fn check_fixed(sources: &[Inspected], schema: &Schema) -> Result<(), SourceError> {
    for source in sources {
        if let Some(unknown) = source.schema.names().find(|n| schema.get(n).is_none()) {
            return Err(SourceError::NotInSchema {
                name: source.name.clone(),
                column: unknown.to_owned(),
                schema: schema.clone(),
            });
        }
    }
    if has_late_keys(sources) {
        return Ok(());
    }
    match schema.names().find(|n| sources.iter().all(|s| s.schema.get(n).is_none())) {
        None => Ok(()),
        Some(missing) => Err(SourceError::InNoSource { column: missing.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::expand::{Found, Origin};
    use super::super::inspect::inspect;
    use super::super::open::Pulse;
    use super::super::options::ReadOptions;
    use super::super::schema_option::parse;
    use super::*;

    fn sources(files: &[(&str, &str)]) -> Vec<Inspected> {
        let options = ReadOptions::default();
        let dir = tempfile::tempdir().unwrap();
        let one = |(name, content): &(&str, &str)| {
            let path = dir.path().join(name);
            std::fs::write(&path, content).unwrap();
            inspect(Found::new((*name).to_owned(), Origin::File(path)), &options, &Pulse::default()).unwrap()
        };
        files.iter().map(one).collect()
    }

    fn check(sources: &[Inspected], fixed: Option<&Schema>, wanted: &Wanted) -> Result<Schema, SourceError> {
        super::check(sources, &ReadOptions { schema: fixed.cloned(), wanted: wanted.clone(), ..ReadOptions::default() })
    }

    #[test]
    fn columns_are_joined_by_name() {
        let all = check(&sources(&[("a.csv", "x,y\n1,2\n"), ("b.csv", "z,x\nt,1.5\n")]), None, &Wanted::All).unwrap();
        assert_eq!(all, parse("x=float64,y=int64,z=string").unwrap());
        let error = check(&sources(&[("a.csv", "x\n1\n"), ("b.csv", "y,z\n1,2\n")]), None, &Wanted::All)
            .unwrap_err()
            .to_string();
        for part in ["a.csv", "b.csv", "are x;", "y, z"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_fixed_schema_is_the_whole_set() {
        let files = sources(&[("a.csv", "x\n1\n"), ("b.csv", "x,y\n1,2\n")]);
        check(&files, Some(&parse("x=int64,y=string").unwrap()), &Wanted::All).unwrap();
        let unknown = check(&files, Some(&parse("x=int64").unwrap()), &Wanted::All).unwrap_err().to_string();
        assert!(unknown.contains("b.csv") && unknown.contains("`y`"), "{unknown}");
        let missing =
            check(&files, Some(&parse("x=int64,y=string,z=date").unwrap()), &Wanted::All).unwrap_err().to_string();
        assert!(missing.contains("`z`"), "{missing}");
    }
}
