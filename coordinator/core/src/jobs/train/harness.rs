//! A table, a worker of a few lines, and the loop of the scheduler: what tests of the planner run on.

use std::collections::BTreeMap;

use shardmill_common::failure::Failure;
use shardmill_common::ids::{JobId, ObjectId};
use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::clean::{MergeStatisticsTask, StatisticsTask};
use shardmill_common::kinds::train::{FitTask, LabelKind, LearnTask, ProfileTask};
use shardmill_common::manifest::{Manifest, ObjectRef, ShardEntry};
use shardmill_common::model::{LinearParameters, LogisticParameters, *};
use shardmill_common::rules::{ColumnStatistics, Op, RuleStatistics, Scalar, Statistic};
use shardmill_common::schema::{DataType, Field, Schema};
use shardmill_common::task::{PartitionSize, TaskKind, TaskOutput};
use shardmill_common::time::Timestamp;
use shardmill_common::watch::{Sample, sampled_row};

use super::super::plan::{Next, Planned, ResolvedJob, StageView};
use crate::jobs::Planner;
use crate::train::testing::{Data, Random, evaluate};

/// Cells as text; empty is missing.
#[derive(Clone)]
pub struct Table {
    pub schema: Schema,
    pub rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(columns: &[(&str, DataType)], rows: Vec<Vec<String>>) -> Table {
        Table { schema: Schema::new(columns.iter().map(|(n, t)| Field::new(*n, *t)).collect()), rows }
    }

    fn cell<'a>(&self, row: &'a [String], column: &str) -> Option<&'a str> {
        let cell = row[self.schema.index_of(column).unwrap()].as_str();
        (!cell.is_empty()).then_some(cell)
    }

    fn number(&self, row: &[String], column: &str) -> Option<f64> {
        self.cell(row, column).map(|c| match c {
            "true" => 1.0,
            "false" => 0.0,
            c => c.parse().unwrap(),
        })
    }

    pub fn encoded(&self, row: &[String], encoder: &Encoder) -> Option<Vec<f64>> {
        let mut out = Vec::new();
        for feature in &encoder.features {
            let missing = self.cell(row, &feature.column).is_none();
            match (&feature.encoding, &feature.fill) {
                (_, None) if missing => return None,
                (Encoding::Numeric { scaling }, fill) => {
                    let x = match fill {
                        Some(Filling::Number(x)) if missing => *x,
                        _ => self.number(row, &feature.column).unwrap(),
                    };
                    out.push(scaling.map_or(x, |s| (x - s.mean) / s.scale));
                }
                (Encoding::OneHot { categories, .. }, fill) => {
                    let value = match fill {
                        Some(Filling::Text(text)) if missing => text.as_str(),
                        _ => self.cell(row, &feature.column).unwrap(),
                    };
                    out.extend(categories.iter().map(|c| f64::from(u8::from(c == value))));
                }
            }
            if feature.indicator {
                out.push(f64::from(u8::from(missing)));
            }
        }
        Some(out)
    }

    pub fn class(&self, row: &[String], column: &str) -> Option<ClassValue> {
        let cell = self.cell(row, column)?;
        Some(match self.schema.get(column).unwrap().dtype {
            DataType::Boolean => ClassValue::Boolean(cell == "true"),
            DataType::Int64 => ClassValue::Int64(cell.parse().unwrap()),
            _ => ClassValue::String(cell.into()),
        })
    }

    /// Encoded rows that have a label, as numbers.
    pub fn data(&self, rows: &[Vec<String>], encoder: &Encoder, target: Option<&Target>, weight: Option<&str>) -> Data {
        let mut data = Data::default();
        for row in rows {
            let y = match target {
                None | Some(Target::Cluster { .. }) => Some(0.0),
                Some(Target::Number { label }) => self.number(row, &label.column),
                Some(Target::Class { label, classes }) => {
                    self.class(row, &label.column).map(|class| classes.iter().position(|c| *c == class).unwrap() as f64)
                }
            };
            if let (Some(y), Some(x)) = (y, self.encoded(row, encoder)) {
                data.x.push(x);
                data.y.push(y);
                data.s.push(weight.map_or(1.0, |w| self.number(row, w).unwrap()));
            }
        }
        data
    }

    fn profile(&self, rows: &[Vec<String>], task: &ProfileTask) -> Profile {
        let label = match &task.label {
            None => None,
            Some(LabelKind::Class(l) | LabelKind::Number(l)) => Some(l.as_str()),
        };
        let labelled = |r: &&Vec<String>| label.is_none_or(|l| self.cell(r, l).is_some());
        let whole = |r: &&Vec<String>| task.required.iter().all(|c| self.cell(r, c).is_some());
        let used: Vec<&Vec<String>> = rows.iter().filter(labelled).filter(whole).collect();
        let weight = |r: &Vec<String>| task.weight_column.as_ref().map_or(1.0, |w| self.number(r, w).unwrap());
        let moments = |values: &[f64]| {
            values.iter().fold(Moments::default(), |m, v| m.merge(Moments { count: 1.0, mean: *v, squares: 0.0 }))
        };
        let without = rows.len() - rows.iter().filter(labelled).count();
        let values = |column: &str| used.iter().filter_map(|r| self.number(r, column)).collect::<Vec<f64>>();
        let numeric = |column: &String| {
            let values = values(column);
            NumericProfile {
                moments: moments(&values),
                missing: (used.len() - values.len()) as u64,
                min: values.iter().copied().reduce(f64::min),
                max: values.iter().copied().reduce(f64::max),
            }
        };
        let categorical = |column: &String| {
            let mut counts: BTreeMap<String, u64> = BTreeMap::new();
            used.iter().filter_map(|r| self.cell(r, column)).for_each(|c| *counts.entry(c.into()).or_default() += 1);
            let missing = used.len() as u64 - counts.values().sum::<u64>();
            let too_many = counts.len() as u64 > task.max_categories;
            CategoryCounts { values: counts.into_iter().collect(), missing, too_many }
        };
        Profile {
            rows: used.len() as u64,
            rows_without_label: without as u64,
            rows_with_missing: (rows.len() - without - used.len()) as u64,
            weight: used.iter().map(|r| weight(r)).sum(),
            numeric: task.numeric.iter().map(numeric).collect(),
            categorical: task.categorical.iter().map(categorical).collect(),
            label: match &task.label {
                None => LabelProfile::None,
                Some(LabelKind::Number(l)) => LabelProfile::Number(moments(&values(l))),
                Some(LabelKind::Class(l)) => {
                    let mut classes: BTreeMap<ClassValue, (u64, f64)> = BTreeMap::new();
                    for row in &used {
                        let sum = classes.entry(self.class(row, l).unwrap()).or_default();
                        *sum = (sum.0 + 1, sum.1 + weight(row));
                    }
                    LabelProfile::Classes(classes.into_iter().map(|(c, (n, w))| (c, n, w)).collect())
                }
            },
            sample: (task.sample_every > 0).then(|| self.sample(rows, &used, task, label)),
        }
    }

    fn sample(&self, rows: &[Vec<String>], used: &[&Vec<String>], task: &ProfileTask, label: Option<&str>) -> Sample {
        let chosen = |row: &&&Vec<String>| {
            let at = rows.iter().position(|r| std::ptr::eq(r, **row)).unwrap() as u64 + task.first_row;
            sampled_row(at / task.sample_every, task.sample_every) == at
        };
        let chosen: Vec<&&Vec<String>> = used.iter().filter(chosen).collect();
        let column = |c: &str| Packed(chosen.iter().map(|r| self.number(r, c).unwrap_or(f64::NAN)).collect());
        let is_number = matches!(task.label, Some(LabelKind::Number(_)));
        Sample {
            rows: chosen.len() as u64,
            numeric: task.numeric.iter().map(|c| column(c)).collect(),
            label: label.filter(|_| is_number).map(column).unwrap_or_default(),
        }
    }

    fn learn(&self, rows: &[Vec<String>], task: &LearnTask) -> Learnt {
        let mut data = self.data(rows, &task.encoder, task.target.as_deref(), task.weight_column.as_deref());
        let nearest = |x: &[f64], centers: &[Packed]| {
            let d = |c: &Packed| c.0.iter().zip(x).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
            (0..centers.len()).map(|n| (n, d(&centers[n]))).min_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
        };
        match &*task.learn {
            Learn::Glm(round) => {
                if !task.class_weights.is_empty() {
                    data.s.iter_mut().zip(&data.y).for_each(|(s, y)| *s *= task.class_weights[*y as usize]);
                }
                if data.x.is_empty() {
                    let size = round.parameters.0.len();
                    let hessian = round.hessian.then(|| Packed(vec![0.0; size * (size + 1) / 2]));
                    let gradient = Packed(vec![0.0; size]);
                    return Learnt::Glm(GlmSums {
                        rows: 0,
                        weight: 0.0,
                        loss: 0.0,
                        gradient,
                        hessian,
                        margin: None,
                        reach: 0.0,
                    });
                }
                Learnt::Glm(evaluate(&data, round))
            }
            Learn::ClassMoments => {
                let classes = task.target.as_ref().unwrap().classes().len();
                let width = task.encoder.width();
                let mut sums = ClassMoments {
                    rows: data.x.len() as u64,
                    moments: vec![vec![Moments::default(); width]; classes],
                    all: vec![Moments::default(); width],
                };
                for ((x, y), s) in data.x.iter().zip(&data.y).zip(&data.s) {
                    for (j, mean) in x.iter().copied().enumerate() {
                        let m = &mut sums.moments[*y as usize][j];
                        *m = m.merge(Moments { count: *s, mean, squares: 0.0 });
                        sums.all[j] = sums.all[j].merge(Moments { count: 1.0, mean, squares: 0.0 });
                    }
                }
                Learnt::ClassMoments(sums)
            }
            Learn::Seeds(ask) => {
                let mut seeds = Seeds { rows: data.x.len() as u64, cost: 0.0, chosen: Vec::new() };
                for (n, x) in data.x.iter().enumerate() {
                    if ask.centers.is_empty() {
                        seeds.chosen.extend((n == 0).then(|| (u64::from(task.input.ordinal), Packed(x.clone()))));
                    } else {
                        let d = nearest(x, &ask.centers).1;
                        seeds.cost += d;
                        if ask.rate * d > Random::new(n as u64 * 64 + u64::from(ask.round)).unit() {
                            seeds.chosen.push((n as u64, Packed(x.clone())));
                        }
                    }
                }
                Learnt::Seeds(seeds)
            }
            Learn::Centroids { centers } => {
                let width = task.encoder.width();
                let mut sums = CentroidSums {
                    counts: vec![0; centers.len()],
                    sums: vec![Packed(vec![0.0; width]); centers.len()],
                    inertia: 0.0,
                    farthest: None,
                };
                for x in &data.x {
                    let (c, d) = nearest(x, centers);
                    sums.counts[c] += 1;
                    sums.inertia += d;
                    sums.sums[c].0.iter_mut().zip(x.iter().zip(&centers[c].0)).for_each(|(s, (a, b))| *s += a - b);
                }
                Learnt::Centroids(sums)
            }
        }
    }

    fn median(&self, column: &str) -> f64 {
        let mut values: Vec<f64> = self.rows.iter().filter_map(|r| self.number(r, column)).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }

    pub fn job(&self, spec: &TrainSpec, shards: usize) -> ResolvedJob {
        let length = self.rows.len().div_ceil(shards).max(1);
        let entry = |rows: &[Vec<String>]| ShardEntry {
            object: ObjectRef { id: ObjectId::fresh(), bytes: 100, checksum: "0".into() },
            stored_rows: rows.len() as u64,
            deletions: None,
        };
        let manifest = Manifest {
            name: "d".parse().unwrap(),
            version: 1,
            schema: self.schema.clone(),
            shards: self.rows.chunks(length).map(entry).collect(),
            replicas: 1,
            job: JobId(1),
            created: Timestamp(0),
        };
        ResolvedJob { spec: JobSpec::Train(spec.clone()), inputs: vec![manifest], replicas: 1 }
    }
}

/// What a run did.
pub struct Ran {
    pub model: Model,
    /// The stages' names, in order.
    pub stages: Vec<String>,
    /// Rounds as the status would show them before the end.
    pub rounds: Vec<Round>,
}

fn views_of(done: &[(Planned, Vec<TaskOutput>)]) -> Vec<StageView<'_>> {
    fn view((planned, outputs): &(Planned, Vec<TaskOutput>)) -> StageView<'_> {
        let tasks = planned.tasks.iter().map(|t| &t.kind).zip(outputs.iter().map(Some)).collect();
        StageView { name: &planned.name, memo: planned.memo.as_ref(), seconds: 0.5, tasks }
    }
    done.iter().map(view).collect()
}

/// Runs a training as the scheduler would, with a worker that computes naively.
pub fn train(table: &Table, spec: &TrainSpec, shards: usize) -> Result<Ran, Failure> {
    let job = table.job(spec, shards);
    spec.check(&job).map_err(Failure::bad_input)?;
    let length = table.rows.len().div_ceil(shards).max(1);
    let part = |ordinal: u32| table.rows.chunks(length).nth(ordinal as usize).unwrap();
    let mut done: Vec<(Planned, Vec<TaskOutput>)> = Vec::new();
    loop {
        let views = views_of(&done);
        let rounds = spec.rounds(&|| views_of(&done));
        let planned = match spec.next(&job, &views)? {
            Next::Stage(planned) => *planned,
            Next::Publish(publication) => {
                let model = *publication.model.unwrap();
                let stages = done.iter().map(|(p, _)| p.name.clone()).collect();
                return Ok(Ran { model, stages, rounds });
            }
            Next::Quiet => panic!("quiet"),
        };
        drop(views);
        for forgotten in &planned.forgets {
            let (planned, outputs) = &mut done[*forgotten as usize];
            assert!(!planned.tasks.is_empty(), "stage {forgotten} is forgotten twice");
            (planned.tasks, planned.memo) = (Vec::new(), None);
            outputs.clear();
        }
        let kept = done.iter().filter(|(p, _)| p.name == "round" && !p.tasks.is_empty()).count();
        assert_eq!(kept, 0, "earlier rounds are kept");
        let outputs = planned.tasks.iter().map(|task| run(table, &part, &task.kind)).collect();
        done.push((planned, outputs));
        assert!(done.len() < 3000, "no end");
    }
}

fn run<'a>(table: &Table, part: &dyn Fn(u32) -> &'a [Vec<String>], kind: &TaskKind) -> TaskOutput {
    match kind {
        TaskKind::Profile(task) => TaskOutput::reporting::<ProfileTask>(&table.profile(part(task.input.ordinal), task)),
        TaskKind::Learn(task) => TaskOutput::reporting::<LearnTask>(&table.learn(part(task.input.ordinal), task)),
        TaskKind::Statistics(_) => {
            let shuffle = Some(vec![PartitionSize::default()]);
            TaskOutput { shuffle, ..Default::default() }.and_reports::<StatisticsTask>(&serde_json::json!([]))
        }
        TaskKind::MergeStatistics(task) => {
            assert!(matches!(task.rule.op, Op::Fill { .. }));
            let shardmill_common::rules::Columns::Listed(columns) = &task.rule.columns else { panic!() };
            let of = |column: &String| ColumnStatistics {
                column: column.clone(),
                statistic: Statistic::Value(Some(Scalar::Float(table.median(column)))),
            };
            TaskOutput::reporting::<MergeStatisticsTask>(&RuleStatistics { columns: columns.iter().map(of).collect() })
        }
        TaskKind::Fit(task) => {
            let size = task.encoder.width() + usize::from(task.fit.fit_intercept);
            TaskOutput::reporting::<FitTask>(&LinfaResult { rows: 1, parameters: Packed(vec![0.25; size]) })
        }
        other => panic!("{other:?}"),
    }
    .unwrap()
}

pub fn logistic() -> LogisticOptions {
    LogisticOptions {
        penalty: Penalty::L2,
        c: 1.0,
        class_weight: ClassWeight::None,
        fit_intercept: true,
        penalise_intercept: false,
        solver: Solver::Auto,
        tol: 1e-8,
        max_iter: 1000,
    }
}

pub fn linear(penalty: Penalty, alpha: f64) -> LinearOptions {
    LinearOptions { penalty, alpha, fit_intercept: true, tol: 1e-8, max_iter: 1000 }
}

pub fn spec(algorithm: Algorithm, label: Option<&str>) -> TrainSpec {
    TrainSpec {
        input: "d@1".parse().unwrap(),
        model: "m".parse().unwrap(),
        label: label.map(str::to_owned),
        weight_column: None,
        preparation: Preparation { max_categories: 10, ..Default::default() },
        algorithm,
        seed: 3,
        warm_start: None,
        update: None,
        base: None,
    }
}

/// The gradient, in the model's own features, of `sum loss + penalty` (L1 by its subgradient of least norm): 0 at the optimum.
pub fn gradient(table: &Table, model: &Model, class_weights: &[f64], l1: f64, l2: f64) -> Vec<f64> {
    let (link, theta, with) = match &model.parameters {
        Parameters::Linear(LinearParameters { coefficients, intercept }) => {
            (Link::Squared, [coefficients.clone(), vec![*intercept]].concat(), true)
        }
        Parameters::Logistic(LogisticParameters { coefficients, intercept }) => {
            let link = match coefficients.len() {
                1 => Link::Logistic,
                n => Link::Softmax { classes: n as u32 },
            };
            let joined = coefficients.iter().zip(intercept).flat_map(|(w, b)| [w.clone(), vec![*b]].concat()).collect();
            (link, joined, true)
        }
        _ => panic!(),
    };
    let mut data = table.data(
        &table.rows,
        &model.features,
        Some(&model.target),
        model.spec.as_ref().and_then(|s| s.weight_column.as_deref()),
    );
    if !class_weights.is_empty() {
        data.s.iter_mut().zip(&data.y).for_each(|(s, y)| *s *= class_weights[*y as usize]);
    }
    let round = GlmRound { link, fit_intercept: with, parameters: Packed(theta.clone()), hessian: false };
    let stride = model.features.width() + 1;
    let raw = evaluate(&data, &round).gradient.0;
    let of = |(j, (g, w)): (usize, (&f64, &f64))| {
        if (j + 1) % stride == 0 {
            *g
        } else if *w == 0.0 {
            crate::train::soft(*g, l1)
        } else {
            g + l2 * w + l1 * w.signum()
        }
    };
    raw.iter().zip(&theta).enumerate().map(of).collect()
}
