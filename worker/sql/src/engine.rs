//! The engine as statements see it: its settings, its functions and ours, and the way from a parsed query to a plan.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType as ArrowType, SchemaRef, TimeUnit};
use datafusion::catalog::TableProvider;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DataFusionError, Result, TableReference, plan_err};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::execution::SessionStateDefaults;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, TypePlanner};
use datafusion::logical_expr::{
    AggregateUDF, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, Volatility, WindowUDF,
};
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::SessionConfig;
use datafusion::sql::planner::{NullOrdering, ParserOptions, SqlToRel};
use sqlparser::ast::{DataType as SqlType, Query, Statement as Parsed, TimezoneInfo};

use crate::dialect::Arithmetic;
use crate::filters::CarefulPushDown;
use crate::functions;
use crate::order::{IN_ORDER, LEFT_FIRST, PLAIN_WINDOWS, STABLE_SORTS};
use crate::query::{DatasetTable, HOLD_SUBQUERY, QueriedTable, ShardSource};

/// Makes the engine now rather than for the first statement.
pub fn warm_up() {
    Engine::get();
}

/// What is the same for all statements.
pub struct Engine {
    pub state: SessionState,
    scalars: HashMap<String, Arc<ScalarUDF>>,
    aggregates: HashMap<String, Arc<AggregateUDF>>,
    windows: HashMap<String, Arc<WindowUDF>>,
    planners: Vec<Arc<dyn ExprPlanner>>,
}

/// Functions of others by further names: what DuckDB, PostgreSQL or the former engine call them.
const SCALAR_NAMES: [(&str, &str); 18] = [
    ("substring", "substr"),
    ("datediff", "date_diff"),
    ("string_split", "string_to_array"),
    ("string_to_list", "string_to_array"),
    ("sign", "signum"),
    ("strftime", "to_char"),
    ("array_get", "array_element"),
    ("array_unique", "array_distinct"),
    ("array_contains", "array_has"),
    ("list_contains", "array_has"),
    ("len", "character_length"),
    ("strlen", "octet_length"),
    ("list_value", "make_array"),
    ("ucase", "upper"),
    ("lcase", "lower"),
    ("prefix", "starts_with"),
    ("suffix", "ends_with"),
    ("ceiling", "ceil"),
];
const AGGREGATE_NAMES: [(&str, &str); 8] = [
    ("variance", "var"),
    ("var_samp", "var"),
    ("first", "first_value"),
    ("last", "last_value"),
    ("list", "array_agg"),
    ("group_concat", "string_agg"),
    ("listagg", "string_agg"),
    ("every", "bool_and"),
];

impl Engine {
    /// The one engine of this process.
    pub fn get() -> &'static Engine {
        static ENGINE: OnceLock<Engine> = OnceLock::new();
        ENGINE.get_or_init(Engine::new)
    }

    fn new() -> Self {
        let engines = SessionStateDefaults::default_scalar_functions();
        // What tells the time or throws dice is refused with a word of its own before; here it is not even there.
        let repeatable = engines.into_iter().filter(|f| f.signature().volatility == Volatility::Immutable);
        let scalars = repeatable.map(functions::bounded).chain(functions::scalars());
        let scalars = by_names(scalars.map(|f| (f.name().to_owned(), f.aliases().to_vec(), f)), &SCALAR_NAMES);
        let aggregates = SessionStateDefaults::default_aggregate_functions().into_iter().chain(functions::aggregates());
        let aggregates = by_names(aggregates.map(|f| (f.name().to_owned(), f.aliases().to_vec(), f)), &AGGREGATE_NAMES);
        let windows = SessionStateDefaults::default_window_functions().into_iter();
        let windows = by_names(windows.map(|f| (f.name().to_owned(), f.aliases().to_vec(), f)), &[]);
        let mut planners: Vec<Arc<dyn ExprPlanner>> = vec![Arc::new(Arithmetic)];
        planners.extend(SessionStateDefaults::default_expr_planners());
        // Joins are told which side to hold by `LEFT_FIRST`, and not by sizes, which depend on how rows lie in memory.
        let mut rules = physical_rules();
        rules.retain(|rule| rule.name() != "join_selection");
        rules.insert(0, Arc::new(LEFT_FIRST));
        rules.push(Arc::new(IN_ORDER));
        rules.push(Arc::new(STABLE_SORTS));
        // One partition: rows have one order, and a task is given one slot.
        let state = state_of(1, rules);
        Self { state, scalars, aggregates, windows, planners }
    }

    /// The state of a query that so many threads compute, which may hold so many bytes.
    pub fn for_queries(&self, threads: usize, memory: u64) -> SessionState {
        let mut rules = physical_rules();
        let by_size = rules.iter().position(|rule| rule.name() == "join_selection");
        rules.insert(by_size.map_or(0, |at| at + 1), Arc::new(HOLD_SUBQUERY));
        let mut state = state_of(threads.max(1), rules);
        state.config_mut().options_mut().execution.sort_spill_reservation_bytes =
            spill_reserve(memory / threads.max(1) as u64);
        state
    }

    /// A state that knows every function by its own name, by which plans that come from elsewhere call it.
    pub fn with_functions(&self, builder: SessionStateBuilder) -> SessionStateBuilder {
        builder
            .with_scalar_functions(
                once_each(&self.scalars, |f| f.name()).into_iter().chain(crate::dialect::operators()).collect(),
            )
            .with_aggregate_functions(once_each(&self.aggregates, |f| f.name()))
            .with_window_functions(once_each(&self.windows, |f| f.name()))
    }

    /// Whether a function of this name is of several rows.
    pub fn looks_at_rows(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        self.aggregates.contains_key(&name) || self.windows.contains_key(&name)
    }

    /// The plan of a query over these tables, as it was written: neither checked for types nor optimised.
    pub fn plan(&self, query: Query, tables: &[(&str, Table)]) -> Result<LogicalPlan> {
        let provider = Provider { engine: self, tables };
        let options = ParserOptions {
            parse_float_as_decimal: false,
            enable_ident_normalization: false,
            support_varchar_with_length: true,
            enable_options_value_normalization: false,
            collect_spans: false,
            map_string_types_to_utf8view: true,
            default_null_ordering: NullOrdering::NullsMax,
        };
        SqlToRel::new_with_options(&provider, options).sql_statement_to_plan(Parsed::Query(Box::new(query)))
    }
}

/// What a sort that may hold so many bytes keeps back for merging: the engine's own measure, or what leaves it something to sort with.
pub fn spill_reserve(memory: u64) -> usize {
    const USUAL: usize = 10 << 20;
    usize::try_from(memory / 8).unwrap_or(usize::MAX).min(USUAL)
}

/// The functions that are known by their own names.
fn once_each<T: Clone>(functions: &HashMap<String, T>, name: impl Fn(&T) -> &str) -> Vec<T> {
    functions
        .iter()
        .filter(|(known, function)| *known == name(function))
        .map(|(_, function)| function.clone())
        .collect()
}

/// Functions, each with its name and aliases, by all of these and by further names; of two of one name the later.
fn by_names<T: Clone>(
    functions: impl Iterator<Item = (String, Vec<String>, T)>,
    further: &[(&str, &str)],
) -> HashMap<String, T> {
    let mut all = HashMap::new();
    for (name, aliases, function) in functions {
        all.extend(aliases.into_iter().map(|alias| (alias, function.clone())));
        all.insert(name, function);
    }
    for (name, other) in further {
        if let Some(function) = all.get(*other).cloned() {
            all.insert((*name).to_owned(), function);
        }
    }
    all
}

fn state_of(partitions: usize, rules: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>>) -> SessionState {
    let mut config = SessionConfig::new().with_target_partitions(partitions).with_collect_statistics(false);
    config.options_mut().sql_parser.enable_ident_normalization = false;
    // Filters that are made while a join runs depend on how far it got.
    config.options_mut().optimizer.enable_dynamic_filter_pushdown = false;
    // Whether a column may hold nulls is told in two ways by the engine, which then disagrees with itself.
    config.options_mut().execution.skip_physical_aggregate_schema_check = true;
    SessionStateBuilder::new()
        .with_config(config)
        .with_default_features()
        .with_optimizer_rules(logical_rules())
        .with_physical_optimizer_rules(rules)
        .build()
}

/// The engine's rules for plans, with one of ours and without one: filters that are pushed into joins once more, after the logical
/// plan's rules did it, drop what outer joins add to rows.
fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules = PhysicalOptimizer::new().rules;
    rules.retain(|rule| !matches!(rule.name(), "FilterPushdown" | "FilterPushdown(Post)"));
    rules.insert(0, Arc::new(PLAIN_WINDOWS));
    rules
}

/// The engine's rules, with ours in the place of one that does too much.
fn logical_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let careful = |rule: Arc<dyn OptimizerRule + Send + Sync>| match rule.name() {
        "push_down_filter" => Arc::new(CarefulPushDown::new(rule)),
        _ => rule,
    };
    Optimizer::new().rules.into_iter().map(careful).collect()
}

/// Rows of a table that the engine is given at once: enough for its kernels, few enough for its buffers, and what functions that make
/// much of little are measured by.
pub const BATCH: usize = 8192;

/// A table that a statement sees.
#[derive(Clone)]
pub struct Table(Arc<dyn TableProvider>);

impl Table {
    /// Of these rows, in their order.
    pub fn of(rows: &RecordBatch) -> Result<Self> {
        let pieces = (0..rows.num_rows()).step_by(BATCH);
        let pieces = pieces.map(|at| rows.slice(at, BATCH.min(rows.num_rows() - at))).collect();
        Ok(Self(Arc::new(MemTable::try_new(rows.schema(), vec![pieces])?)))
    }

    /// Of a dataset, which is read when the plan runs.
    pub fn of_dataset(table: QueriedTable, source: Arc<dyn ShardSource>) -> Self {
        Self(Arc::new(DatasetTable::new(table, source)))
    }

    pub fn schema(&self) -> SchemaRef {
        self.0.schema()
    }
}

/// What planning may ask for: the tables of the statement, functions, and nothing else.
struct Provider<'a> {
    engine: &'a Engine,
    tables: &'a [(&'a str, Table)],
}

fn names<T>(functions: &HashMap<String, T>) -> Vec<String> {
    functions.keys().cloned().collect()
}

impl ContextProvider for Provider<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        let found = self.tables.iter().find(|(table, _)| name.schema().is_none() && *table == name.table());
        match found {
            Some((_, table)) => Ok(provider_as_source(table.0.clone())),
            None => plan_err!("table '{name}' not found"),
        }
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.engine.planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(Types))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.engine.scalars.get(&name.to_lowercase()).cloned()
    }

    fn get_higher_order_meta(&self, _: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.engine.aggregates.get(&name.to_lowercase()).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.engine.windows.get(&name.to_lowercase()).cloned()
    }

    fn get_variable_type(&self, _: &[String]) -> Option<ArrowType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.engine.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        names(&self.engine.scalars)
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        names(&self.engine.aggregates)
    }

    fn udwf_names(&self) -> Vec<String> {
        names(&self.engine.windows)
    }
}

/// Types where the engine's choice loses something: its timestamps count nanoseconds, and end in 2262.
#[derive(Debug)]
struct Types;

impl TypePlanner for Types {
    fn plan_type(&self, sql_type: &SqlType) -> Result<Option<ArrowType>, DataFusionError> {
        let micros = |zone: Option<&str>| Some(ArrowType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into)));
        Ok(match sql_type {
            SqlType::Timestamp(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone)
            | SqlType::TimestampNtz(_)
            | SqlType::Datetime(_) => micros(None),
            SqlType::Timestamp(_, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => micros(Some("UTC")),
            _ => None,
        })
    }
}
