//! `dataset diff` and `dataset du`: what changed between two versions, and what versions take on disk. Both read manifests only.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};
use shardmill_common::ids::ObjectId;
use shardmill_common::manifest::Manifest;
use shardmill_common::name::DatasetRef;
use shardmill_common::units::{show_bytes, show_count};

use crate::cli::Context;
use crate::error::CliError;
use crate::table::Table;
use shardmill_client::Client;

/// What became of a column.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    column: String,
    before: String,
    after: String,
}

/// Columns that are new, gone or of another type.
fn changes(a: &Manifest, b: &Manifest) -> Vec<Change> {
    let dtype = |m: &Manifest, name: &str| m.schema.get(name).map_or("-".to_owned(), |f| f.dtype.to_string());
    let mut names: Vec<&str> = a.schema.names().collect();
    names.extend(b.schema.names().filter(|name| a.schema.get(name).is_none()));
    let change = |column: &str| Change { column: column.to_owned(), before: dtype(a, column), after: dtype(b, column) };
    names.into_iter().map(change).filter(|c| c.before != c.after).collect()
}

/// Shards that both have, with the same rows left out.
fn shared(a: &Manifest, b: &Manifest) -> usize {
    let of = |m: &Manifest| m.shards.iter().map(|s| (s.object.id, s.rows())).collect::<HashSet<_>>();
    of(a).intersection(&of(b)).count()
}

pub async fn diff(context: &Context, client: &Client, a: &DatasetRef, b: &DatasetRef) -> Result<(), CliError> {
    let (a, b) = (client.locate(a).await?.manifest, client.locate(b).await?.manifest);
    let (changed, shared) = (changes(&a, &b), shared(&a, &b));
    let columns: Vec<Value> =
        changed.iter().map(|c| json!({"column": c.column, "before": c.before, "after": c.after})).collect();
    let side = |m: &Manifest| json!({"dataset": m.reference(), "rows": m.rows(), "columns": m.schema.len(), "bytes": m.bytes(), "shards": m.shards.len()});
    let object = json!({"before": side(&a), "after": side(&b), "columns": columns, "shards_shared": shared});
    context.out.result(object, || {
        let mut table = Table::new(&["", ">before", ">after", ">change"]);
        let mut row = |what: &str, before: u64, after: u64, show: fn(u64) -> String| {
            let change = match after.cmp(&before) {
                std::cmp::Ordering::Less => format!("-{}", show(before - after)),
                std::cmp::Ordering::Equal => "0".to_owned(),
                std::cmp::Ordering::Greater => format!("+{}", show(after - before)),
            };
            table.row([what.to_owned(), show(before), show(after), change]);
        };
        row("rows", a.rows(), b.rows(), show_count);
        row("columns", a.schema.len() as u64, b.schema.len() as u64, show_count);
        row("size", a.bytes(), b.bytes(), show_bytes);
        row("shards", a.shards.len() as u64, b.shards.len() as u64, show_count);
        table
    })?;
    if !changed.is_empty() && !context.out.json {
        let mut table = Table::new(&["column", "before", "after"]);
        for change in &changed {
            table.row([&change.column, &change.before, &change.after]);
        }
        context.out.line(&table.to_string())?;
    }
    let same = match shared {
        1 => "1 shard is the same".to_owned(),
        n => format!("{} shards are the same", show_count(n as u64)),
    };
    context.out.hint(&format!(
        "{} to {}: {same}; rows are compared by shardmill compare {} {} OUT",
        a.reference(),
        b.reference(),
        a.reference(),
        b.reference()
    ));
    Ok(())
}

/// What the versions of a dataset, or of all, take, each and together: versions share what did not change.
pub async fn du(context: &Context, client: &Client, dataset: Option<&DatasetRef>) -> Result<(), CliError> {
    if let Some(dataset) = dataset {
        client.versions(&dataset.name).await?;
    }
    // What others have as well is not alone: all are looked at.
    let mut all: Vec<Manifest> = Vec::new();
    for name in client.datasets().await?.into_iter().map(|d| d.dataset.name) {
        all.extend(client.versions(&name).await?);
    }
    let wanted =
        |m: &Manifest| dataset.is_none_or(|d| d.name == m.name && d.version.is_none_or(|version| m.version == version));
    let usage = usage(&all, wanted);
    let rows: Vec<(&Manifest, u64)> =
        all.iter().zip(&usage.alone).map(|(m, alone)| (m, *alone)).filter(|(m, _)| wanted(m)).collect();
    let versions: Vec<Value> = rows
        .iter()
        .map(|(m, alone)| {
            json!({"dataset": m.reference(), "rows": m.rows(), "bytes": m.bytes(), "bytes_alone": alone, "replicas": m.replicas})
        })
        .collect();
    context.out.result(json!({"versions": versions, "bytes": usage.together}), || {
        let mut table = Table::new(&["dataset", ">rows", ">size", ">its alone", ">replicas", "created"]);
        for (m, alone) in &rows {
            table.row([
                m.reference().to_string(),
                show_count(m.rows()),
                show_bytes(m.bytes()),
                show_bytes(*alone),
                show_count(m.replicas.into()),
                m.created.to_string(),
            ]);
        }
        table
    })?;
    context.out.hint(&format!(
        "{} together, once for what versions share, before replicas; removing a version frees what is its alone",
        show_bytes(usage.together)
    ));
    Ok(())
}

struct Usage {
    /// Of each version, bytes that no other has.
    alone: Vec<u64>,
    /// Of those that are wanted.
    together: u64,
}

fn usage(all: &[Manifest], wanted: impl Fn(&Manifest) -> bool) -> Usage {
    /// Bytes of an object, how many versions have it, and whether a wanted one has.
    type Had = (u64, usize, bool);
    let mut objects: HashMap<ObjectId, Had> = HashMap::new();
    let of = |m: &Manifest| m.objects().map(|o| (o.id, o.bytes)).collect::<HashMap<_, _>>();
    for manifest in all {
        let is_wanted = wanted(manifest);
        for (id, bytes) in of(manifest) {
            let had = objects.entry(id).or_insert((bytes, 0, false));
            had.1 += 1;
            had.2 |= is_wanted;
        }
    }
    let alone =
        |m: &Manifest| of(m).iter().filter(|(id, _)| objects.get(id).is_some_and(|o| o.1 == 1)).map(|(_, b)| b).sum();
    Usage { alone: all.iter().map(alone).collect(), together: objects.values().filter(|o| o.2).map(|o| o.0).sum() }
}
