//! A query over whole datasets: one task plans and leads it, and workers that hold shards of its tables take part in it.

use shardmill_common::failure::Failure;
use shardmill_common::kinds::sql::{QueryTable, QueryTask, SqlPhase, SqlSpec, SqlTable};
use shardmill_common::manifest::Manifest;
use shardmill_common::shared::Shared;
use shardmill_common::task::{TaskOutput, TaskSpec};
use shardmill_common::unfit::{OwnUnfit, Unfit};

use super::plan::{Draft, Next, ResolvedJob, ShardAt, StageView, find, output};
use crate::jobs::Planner;
use crate::jobs::outline::{Outline, read_all};

/// What the leading task is expected to need where nothing else is said: beyond what it may hold it uses the disk.
const MEMORY: u64 = 256 << 20;

/// What is wrong with a query alone, as far as its tables go.
#[derive(Debug, thiserror::Error)]
enum SqlUnfit {
    #[error("two tables of the query have the name `{0}`")]
    Twice(String),
}

impl OwnUnfit for SqlUnfit {}

impl Planner for SqlSpec {
    fn check(&self, _job: &ResolvedJob) -> Result<(), Unfit> {
        for (n, table) in self.tables.iter().enumerate() {
            if self.tables[..n].iter().any(|other| other.name == table.name) {
                return Err(SqlUnfit::Twice(table.name.clone()).into());
            }
        }
        Ok(())
    }

    fn next(&self, job: &ResolvedJob, stages: &[StageView<'_>]) -> Result<Next, Failure> {
        let Some(query) = find(stages, SqlPhase::Query) else { return Ok(query_stage(self, job)) };
        let made: &TaskOutput = output(stages, query, 0)?;
        let schema = made.schema.clone().ok_or_else(|| Failure::internal("a query left no schema"))?;
        let shards = made.shards().filter(|shard| shard.rows() > 0).cloned().collect();
        Ok(Next::versions(vec![Draft { name: self.output.clone(), schema: schema.published(), shards }]))
    }

    fn outline(&self, job: &ResolvedJob) -> Option<Outline> {
        let mut outline = Outline::default();
        let does = if job.inputs.is_empty() { "compute".to_owned() } else { format!("query {}", read_all(job)) };
        outline.stage(SqlPhase::Query, 1, does);
        Some(outline)
    }
}

fn query_stage(spec: &SqlSpec, job: &ResolvedJob) -> Next {
    let table = |(named, manifest): (&SqlTable, &Manifest)| {
        let shards = manifest.shards.iter().map(ShardAt::stored).enumerate();
        QueryTable {
            name: named.name.clone(),
            schema: manifest.schema.clone(),
            shards: shards.map(|(n, shard)| shard.input(n)).collect(),
        }
    };
    let tables: Vec<QueryTable> = spec.tables.iter().zip(&job.inputs).map(table).collect();
    let task = QueryTask { statement: spec.statement.clone(), tables: Shared::new(tables), memory: spec.memory };
    let objects = job.inputs.iter().flat_map(|m| m.objects().map(|o| o.id)).collect();
    let task = TaskSpec { kind: task.into(), reads: Vec::new(), objects, memory: spec.memory.unwrap_or(MEMORY) };
    Next::stage(SqlPhase::Query, vec![task], Vec::new())
}

#[cfg(test)]
mod tests {
    use shardmill_common::ids::{JobId, ObjectId};
    use shardmill_common::kinds::JobSpec;
    use shardmill_common::manifest::{ObjectRef, ShardEntry};
    use shardmill_common::schema::{DataType, Field, Schema};
    use shardmill_common::time::Timestamp;

    use super::*;

    fn entry(rows: u64) -> ShardEntry {
        let object = ObjectRef { id: ObjectId::fresh(), bytes: 10, checksum: String::new() };
        ShardEntry { object, stored_rows: rows, deletions: None }
    }

    fn job(names: &[&str]) -> (SqlSpec, ResolvedJob) {
        let spec = SqlSpec {
            statement: "SELECT 1 AS x".into(),
            tables: names.iter().map(|n| SqlTable { name: (*n).into(), dataset: "a@1".parse().unwrap() }).collect(),
            output: "out".parse().unwrap(),
            replicas: None,
            memory: None,
        };
        let manifest = Manifest {
            name: "a".parse().unwrap(),
            version: 1,
            schema: Schema::new(vec![Field::new("k", DataType::Int64)]),
            shards: vec![entry(3), entry(4)],
            replicas: 1,
            job: JobId(1),
            created: Timestamp(0),
        };
        let inputs = names.iter().map(|_| manifest.clone()).collect();
        let job = ResolvedJob { spec: JobSpec::Sql(spec.clone()), inputs, replicas: 1 };
        (spec, job)
    }

    #[test]
    fn one_task_reads_all_tables_and_its_rows_are_published() {
        let (spec, job) = job(&["a", "b"]);
        spec.check(&job).unwrap();
        let Next::Stage(planned) = spec.next(&job, &[]).unwrap() else { panic!("nothing to do") };
        let [task] = planned.tasks.as_slice() else { panic!("{planned:?}") };
        assert_eq!((task.kind.opens().len(), task.objects.len(), task.memory), (4, 4, MEMORY));
        let schema = Schema::new(vec![Field::new("x", DataType::Int64)]);
        let made =
            TaskOutput { shard: Some(entry(0)), more: vec![entry(5)], schema: Some(schema), ..Default::default() };
        let tasks = vec![(&task.kind, Some(&made))];
        let done = [StageView { name: "query", memo: None, seconds: 0.0, tasks }];
        let Next::Publish(publication) = spec.next(&job, &done).unwrap() else { panic!("nothing published") };
        let [draft] = publication.drafts.as_slice() else { panic!("{publication:?}") };
        assert_eq!(draft.schema.names_joined(), "x");
        assert_eq!(draft.shards.iter().map(ShardEntry::rows).collect::<Vec<_>>(), [5]);
    }

    #[test]
    fn two_tables_of_one_name_are_refused() {
        let (spec, job) = job(&["a", "b", "a"]);
        assert_eq!(spec.check(&job).unwrap_err().to_string(), "two tables of the query have the name `a`");
    }
}
