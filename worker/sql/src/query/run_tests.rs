//! Queries over shards that lie in memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use arrow::array::{Array, Int64Array, StringViewArray, new_null_array};
use arrow::compute::cast;
use arrow::util::display::array_value_to_string;
use datafusion::execution::object_store::ObjectStoreUrl;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use roaring::RoaringBitmap;
use shardmill_common::ids::ObjectId;
use shardmill_common::manifest::{DeletionVector, ObjectRef, ShardEntry};
use shardmill_common::schema::{DataType, Field};

use super::*;
use crate::query::ShardFile;
use crate::stored::arrow_schema;

/// A query during which any thread of queries panicked is not believed: whoever lets one panic does so alone.
static PANICKING: RwLock<()> = RwLock::new(());

#[derive(Clone, Debug, Default)]
struct Memory(HashMap<ObjectId, ShardFile>);

impl ShardSource for Memory {
    fn open(&self, shard: &ShardEntry) -> Result<ShardFile, SourceError> {
        self.0.get(&shard.object.id).cloned().ok_or_else(|| SourceError::new(Lost(shard.object.bytes)))
    }

    fn place(&self, _: &[ShardEntry]) -> String {
        String::new()
    }

    fn widen(&self, rows: RecordBatch, schema: &Schema) -> Result<RecordBatch, SourceError> {
        let wanted = arrow_schema(schema);
        let columns = wanted.fields().iter().map(|f| match rows.column_by_name(f.name()) {
            Some(column) => cast(column, f.data_type()).unwrap(),
            None => new_null_array(f.data_type(), rows.num_rows()),
        });
        Ok(RecordBatch::try_new(wanted.clone(), columns.collect()).unwrap())
    }
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{0} bytes are lost")]
struct Lost(u64);

/// A table of shards, each of so many rows of a key from 0 on, a text and, in all shards but the first, a value.
fn table(source: &mut Memory, name: &str, shards: &[i64]) -> QueriedTable {
    let schema = Schema::new(vec![
        Field::new("k", DataType::Float64),
        Field::new("t", DataType::String),
        Field::new("v", DataType::Int64),
    ]);
    let mut entries = Vec::new();
    let mut next = 0;
    for (n, rows) in shards.iter().enumerate() {
        let keys: Vec<i64> = (next..next + rows).collect();
        next += rows;
        let texts: StringViewArray = keys.iter().map(|k| (k % 3 != 0).then(|| format!("text {}", k % 5))).collect();
        let mut columns: Vec<(&str, Arc<dyn Array>)> =
            vec![("t", Arc::new(texts)), ("k", Arc::new(Int64Array::from(keys.clone())))];
        if n > 0 {
            columns.insert(0, ("v", Arc::new(Int64Array::from_iter_values(keys.iter().map(|k| k * 10)))));
            columns.insert(0, ("gone", Arc::new(Int64Array::from(keys))));
        }
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut data = Vec::new();
        let options = ArrowWriterOptions::new().with_skip_arrow_metadata(true);
        let mut writer = ArrowWriter::try_new_with_options(&mut data, batch.schema(), options).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let object = ObjectRef { id: ObjectId::fresh(), bytes: data.len() as u64, checksum: String::new() };
        source.0.insert(object.id, ShardFile { data: data.into(), dropped: None });
        entries.push(ShardEntry { object, stored_rows: *rows as u64, deletions: None });
    }
    QueriedTable { name: name.into(), schema, shards: Arc::new(entries) }
}

fn drop_rows(source: &mut Memory, table: &mut QueriedTable, shard: usize, rows: &[u32]) {
    let mut entries = (*table.shards).clone();
    let entry = &mut entries[shard];
    source.0.get_mut(&entry.object.id).unwrap().dropped = Some(rows.iter().copied().collect::<RoaringBitmap>());
    let object = ObjectRef { id: ObjectId::fresh(), bytes: 1, checksum: String::new() };
    entry.deletions = Some(DeletionVector { object, at: 0, dropped: rows.len() as u64 });
    table.shards = Arc::new(entries);
}

struct Asked {
    rows: Vec<String>,
    ran: Ran,
}

fn limits(memory: u64, threads: usize, stop: &(dyn Fn() -> bool + Sync)) -> (tempfile::TempDir, QueryLimits<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let scratch = folder.path().to_owned();
    (folder, QueryLimits { memory, threads, scratch, stop })
}

fn ask_within(
    statement: &str,
    tables: &[QueriedTable],
    source: &Memory,
    memory: u64,
    threads: usize,
) -> Result<Asked, QueryError> {
    let _quiet = PANICKING.read().unwrap_or_else(PoisonError::into_inner);
    let (_folder, limits) = limits(memory, threads, &|| false);
    let mut rows = Vec::new();
    let mut take = |batch: RecordBatch| {
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().map(|c| array_value_to_string(c, row).unwrap());
            rows.push(cells.collect::<Vec<_>>().join(","));
        }
        Ok(())
    };
    let ran = run_query(statement, tables, Arc::new(source.clone()), &limits, None, &mut take)?;
    Ok(Asked { rows, ran })
}

fn ask(statement: &str, tables: &[QueriedTable], source: &Memory) -> Vec<String> {
    let one = ask_within(statement, tables, source, 1 << 30, 1).unwrap().rows;
    let several = ask_within(statement, tables, source, 1 << 30, 3).unwrap().rows;
    assert_eq!(one, several, "{statement}");
    one
}

#[test]
fn shards_are_read_as_the_version_has_them() {
    let mut source = Memory::default();
    let mut orders = table(&mut source, "orders@3", &[3, 0, 4]);
    let all = "SELECT k, t, v FROM orders@3 ORDER BY k";
    let wanted = ["0.0,,", "1.0,text 1,", "2.0,text 2,", "3.0,,30", "4.0,text 4,40", "5.0,text 0,50", "6.0,,60"];
    assert_eq!(ask(all, std::slice::from_ref(&orders), &source), wanted);
    drop_rows(&mut source, &mut orders, 0, &[0, 2]);
    drop_rows(&mut source, &mut orders, 2, &[1]);
    let tables = [orders];
    assert_eq!(ask(all, &tables, &source), [wanted[1], wanted[3], wanted[5], wanted[6]]);
    assert_eq!(ask("SELECT COUNT(*) AS n, COUNT(v) AS v FROM orders@3", &tables, &source), ["4,3"]);
    assert_eq!(ask("SELECT v FROM orders@3 WHERE k > 2 AND t IS NULL ORDER BY 1", &tables, &source), ["30", "60"]);
    assert_eq!(ask("SELECT 7 AS x FROM orders@3", &tables, &source), ["7"; 4]);
    assert_eq!(ask_within("SELECT k FROM orders@3 LIMIT 2", &tables, &source, 1 << 30, 3).unwrap().rows.len(), 2);
}

#[test]
fn tables_are_joined_and_grouped() {
    let mut source = Memory::default();
    let tables = [table(&mut source, "a", &[500, 500, 500]), table(&mut source, "my data.csv", &[10])];
    let statement = "SELECT a.t, COUNT(*) AS n, SUM(a.v) AS v FROM a LEFT JOIN 'my data.csv' AS b ON a.k = b.k AND b.k > 3 \
                     WHERE b.k IS NULL GROUP BY a.t ORDER BY a.t NULLS FIRST";
    let got = ask(statement, &tables, &source);
    // 1,500 rows without 4 to 9, of which 6 and 9 have no text.
    assert_eq!(got.len(), 6);
    assert!(got[0].starts_with(",498,"), "{got:?}");
    let rows: u64 = got.iter().map(|row| row.split(',').nth(1).unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(rows, 1_494);
    assert!(ask("SELECT k FROM a WHERE FALSE", &tables, &source).is_empty());
    assert_eq!(ask("SELECT 1 + 1 AS two", &[], &source), ["2"]);
}

#[test]
fn what_does_not_fit_in_memory_goes_to_disk() {
    let mut source = Memory::default();
    let tables = [table(&mut source, "a", &[100_000, 100_000])];
    let statement = "SELECT k, t, v FROM a ORDER BY v DESC NULLS LAST, k";
    let wide = ask_within(statement, &tables, &source, 1 << 30, 2).unwrap();
    // Sorts hold some memory back for merging, and each thread sorts.
    let narrow = ask_within(statement, &tables, &source, 8 << 20, 2).unwrap();
    assert_eq!((wide.rows.len(), wide.ran.spilled), (200_000, 0));
    assert!(wide.rows == narrow.rows && narrow.ran.spilled > 0, "{}", narrow.ran.plan);
    assert!(
        wide.ran.plan.contains("ShardScan: a, 2 shards") && wide.ran.plan.contains("output_rows=200"),
        "{}",
        wide.ran.plan
    );
    let tight = ask_within(statement, &tables, &source, 1 << 20, 2);
    let Err(QueryError::Sql(SqlError::Memory { limit, why })) = tight else { panic!("{:?}", tight.map(|a| a.ran)) };
    assert!(limit == 1 << 20 && why.contains("Sort"), "{why}");
}

#[test]
fn what_the_source_says_is_told_as_it_was() {
    let mut source = Memory::default();
    let tables = [table(&mut source, "a", &[5, 5])];
    source.0.remove(&tables[0].shards[1].object.id);
    for statement in ["SELECT k FROM a", "SELECT x.t, COUNT(*) AS n FROM a AS x JOIN a AS y ON x.k = y.k GROUP BY x.t"]
    {
        let error = ask_within(statement, &tables, &source, 1 << 30, 2).map(|a| a.rows).unwrap_err();
        let QueryError::Around(why) = error else { panic!("{error}") };
        assert_eq!(why.0.downcast_ref::<Lost>(), Some(&Lost(tables[0].shards[1].object.bytes)), "{statement}");
    }
}

/// A source that breaks down over older shards.
#[derive(Debug)]
struct Panicking(Memory);

impl ShardSource for Panicking {
    fn open(&self, shard: &ShardEntry) -> Result<ShardFile, SourceError> {
        self.0.open(shard)
    }

    fn place(&self, shards: &[ShardEntry]) -> String {
        self.0.place(shards)
    }

    fn widen(&self, _: RecordBatch, _: &Schema) -> Result<RecordBatch, SourceError> {
        panic!("a panic that a test wants")
    }
}

#[test]
fn a_panic_is_not_the_end_of_the_rows() {
    let _alone = PANICKING.write().unwrap_or_else(PoisonError::into_inner);
    let mut source = Memory::default();
    let tables = [table(&mut source, "a", &[5, 5])];
    for statement in ["SELECT k FROM a", "SELECT t, COUNT(k) AS n FROM a GROUP BY t", "SELECT COUNT(k) AS n FROM a"] {
        let (_folder, limits) = limits(1 << 30, 2, &|| false);
        let source = Arc::new(Panicking(source.clone()));
        let error = run_query(statement, &tables, source, &limits, None, &mut |_| Ok(())).map(|ran| ran.plan);
        let told = matches!(error, Err(QueryError::Sql(SqlError::Engine(_)) | QueryError::Elsewhere(_)));
        assert!(told, "{statement}: {error:?}");
    }
}

#[test]
fn subqueries_for_values_are_known_to_have_one_row_or_not() {
    let mut source = Memory::default();
    let tables = [table(&mut source, "a", &[5])];
    let source: Arc<dyn ShardSource> = Arc::new(source);
    let of = |statement: &str| {
        let plan = logical_plan(statement, &tables, &source, &Engine::get().state).unwrap();
        scalars(&plan.logical).unwrap()
    };
    assert_eq!(of("SELECT k FROM a"), Scalars::None);
    assert_eq!(of("SELECT k FROM a WHERE k > (SELECT AVG(k) FROM a)"), Scalars::OneRow);
    assert_eq!(of("SELECT k > (SELECT k FROM a ORDER BY k LIMIT 1) AS x FROM a"), Scalars::OneRow);
    assert_eq!(of("SELECT k > (SELECT k FROM a) AS x, (SELECT MAX(k) FROM a) AS y FROM a"), Scalars::Unknown);
    let several = ask_within("SELECT (SELECT k FROM a) AS x", &tables, &Memory::default(), 1 << 30, 1);
    assert!(several.is_err(), "a value of five rows");
}

#[test]
fn the_side_of_a_subquery_is_held_where_sizes_do_not_tell() {
    let mut source = Memory::default();
    let tables = [table(&mut source, "a", &[5, 5]), table(&mut source, "b", &[500, 500])];
    let plan = |statement: &str| crate::query::explain_query(statement, &tables, 2).unwrap();
    let grouped =
        plan("SELECT a.t FROM a JOIN b ON a.k = b.k WHERE a.k IN (SELECT k FROM b GROUP BY k HAVING COUNT(*) > 1)");
    assert!(grouped.contains("join_type=RightSemi") && !grouped.contains("join_type=LeftSemi"), "{grouped}");
    let small = plan("SELECT t FROM a WHERE EXISTS (SELECT 1 FROM b WHERE a.k = b.k)");
    assert!(small.contains("join_type=LeftSemi"), "{small}");
    let several = "SELECT COUNT(*) AS n FROM b WHERE k IN (SELECT v FROM a GROUP BY v HAVING COUNT(*) = 1) AND k NOT IN (SELECT k FROM a)";
    assert_eq!(ask(several, &tables, &source), ["5"]);
}

#[test]
fn rows_that_cannot_be_computed_are_told_of() {
    let mut source = Memory::default();
    let tables = [table(&mut source, "a", &[5, 5])];
    let error = ask_within("SELECT CAST(t AS BIGINT) AS n FROM a", &tables, &source, 1 << 30, 2).map(|a| a.rows);
    let Err(QueryError::Sql(SqlError::Rows(why))) = error else { panic!("{error:?}") };
    assert!(why.contains("text") && why.contains("no whole number"), "{why}");
}

#[test]
fn a_query_that_is_to_end_does() {
    let mut source = Memory::default();
    let tables = [table(&mut source, "a", &[20_000])];
    let asked = AtomicBool::new(false);
    let stop = || asked.swap(true, Ordering::Relaxed);
    let (_folder, limits) = limits(1 << 30, 2, &stop);
    let statement = "SELECT COUNT(*) AS n FROM a AS x, a AS y, a AS z WHERE x.k + y.k + z.k = 7";
    let error = run_query(statement, &tables, Arc::new(source), &limits, None, &mut |_| Ok(())).map(|ran| ran.plan);
    assert!(matches!(error, Err(QueryError::Sql(SqlError::Stopped))), "{error:?}");
}

#[test]
fn who_takes_the_rows_may_refuse_them() {
    let source = Memory::default();
    let (_folder, limits) = limits(1 << 30, 1, &|| false);
    let error =
        run_query("SELECT 1 AS x", &[], Arc::new(source), &limits, None, &mut |_| Err(SourceError::new(Lost(7))));
    let Err(QueryError::Around(why)) = error.map(|ran| ran.plan) else { panic!("accepted") };
    assert_eq!(why.0.downcast_ref::<Lost>(), Some(&Lost(7)));
}

#[test]
fn queries_reach_for_nothing_but_their_tables() {
    let source = Memory::default();
    for (statement, said) in [
        ("SELECT * FROM orders", "there is no table `orders`"),
        ("SELECT * FROM read_csv('/etc/passwd')", "table function"),
        ("SELECT * FROM information_schema.tables", "there is no table `information_schema.tables`"),
        ("COPY (SELECT 1) TO '/tmp/x'", "not a query"),
        ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'", "this is not SQL"),
        ("SET datafusion.execution.batch_size = 1", "not a query"),
        ("SELECT NOW() AS x", "something else at every try"),
    ] {
        let error = ask_within(statement, &[], &source, 1 << 30, 1).map(|a| a.rows).unwrap_err().to_string();
        assert!(error.contains(said), "{statement}: {error}");
    }
}

#[test]
fn queries_have_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let environment = environment(1 << 20, folder.path().to_owned()).unwrap();
    for url in ["file://", "http://127.0.0.1:9", "s3://bucket"] {
        let url = ObjectStoreUrl::parse(url).unwrap();
        assert!(environment.object_store(&url).is_err(), "{url}");
        environment.register_object_store(url.as_ref(), Arc::new(datafusion::object_store::memory::InMemory::new()));
        assert!(environment.object_store(&url).is_err(), "{url}");
    }
}
