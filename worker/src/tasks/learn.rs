//! One round of training over one shard.

use shardmill_common::failure::Failure;
use shardmill_common::kinds::train::LearnTask;
use shardmill_common::model::{Learn, Learnt, Link, Target};
use shardmill_common::task::TaskOutput;

use super::Context;
use crate::origin::Origin;
use crate::train::{self, Recipe};

pub fn run(context: &Context, task: &LearnTask) -> Result<TaskOutput, Failure> {
    let classes = task.target.as_ref().map_or(0, |target| target.classes().len());
    if let Learn::Glm(round) = &*task.learn {
        let fits = match round.link {
            Link::Squared => matches!(task.target.as_deref(), Some(Target::Number { .. })),
            Link::Logistic => classes == 2,
            Link::Softmax { classes: wanted } => classes == wanted as usize,
        };
        if !fits {
            return Err(Failure::internal(format!("the link {:?} for {classes} classes", round.link)));
        }
    }
    let recipe = Recipe {
        encoder: &task.encoder,
        target: task.target.as_ref(),
        weight_column: task.weight_column.as_deref(),
        class_weights: &task.class_weights,
    };
    let origin = Origin { source: &task.source_name, first_row: task.first_row };
    let session = train::load(context, &task.input, &task.schema, recipe, origin)?;
    let check = || context.check();
    let learnt = match &*task.learn {
        Learn::Glm(round) => Learnt::Glm(train::glm(&session, round, &check)?),
        Learn::ClassMoments => Learnt::ClassMoments(train::class_moments(&session, classes, &check)?),
        Learn::Seeds(round) => Learnt::Seeds(train::seeds(&session, task.input.ordinal, round, &check)?),
        Learn::Centroids { centers } => Learnt::Centroids(train::centroids(&session, centers, &check)?),
    };
    // Only the last round's counters are kept with the job.
    TaskOutput { counters: session.counters.clone(), ..Default::default() }.and_reports::<LearnTask>(&learnt)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use polars::df;
    use shardmill_common::ids::{AttemptId, JobId, TaskId, WorkerId};
    use shardmill_common::layout::WorkerLayout;
    use shardmill_common::model::{Encoder, Encoding, Feature, GlmRound, Label, Packed};
    use shardmill_common::schema::{DataType, Field, Schema};
    use shardmill_common::task::{ShardInput, ShardRef};
    use shardmill_proto::auth::AddToken;

    use super::*;
    use crate::fetch::Fetcher;
    use crate::store::Store;
    use crate::train::Sessions;

    fn task(entry: shardmill_common::manifest::ShardEntry) -> LearnTask {
        let encoding = Encoding::Numeric { scaling: None };
        let x = Feature { column: "x".into(), dtype: DataType::Float64, encoding, fill: None, indicator: false };
        let parameters = Packed(vec![0.5, 1.0]);
        LearnTask {
            input: ShardInput { shard: ShardRef::Stored(entry), ordinal: 0 },
            schema: Schema::new(vec![Field::new("x", DataType::Float64), Field::new("y", DataType::Float64)]).into(),
            encoder: Encoder { features: vec![x] }.into(),
            target: Some(Target::Number { label: Label { column: "y".into(), dtype: DataType::Float64 } }.into()),
            weight_column: None,
            class_weights: Vec::new().into(),
            learn: Learn::Glm(GlmRound { link: Link::Squared, fit_intercept: true, parameters, hessian: true }).into(),
            source_name: "sales".into(),
            first_row: 0,
        }
    }

    #[test]
    fn a_shard_is_read_once_if_there_is_room_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let me = WorkerId::fresh();
        let store = Arc::new(Store::open(WorkerLayout::new(folder.path()), me).unwrap());
        let token = AddToken::new(None).unwrap();
        let fetch = Arc::new(Fetcher::new(store.clone(), me, String::new(), token, runtime.handle().clone()));
        let context = |sessions: &Arc<Sessions>| {
            let attempt = AttemptId { task: TaskId { job: JobId(1), stage: 0, task: 0 }, epoch: 1, number: 1 };
            let (place, cancelled) = Default::default();
            Context::new(attempt, fetch.clone(), place, Vec::new(), cancelled, Arc::default(), false)
                .with_sessions(sessions.clone())
        };
        let (roomy, tiny) = (Arc::new(Sessions::new(1 << 20)), Arc::new(Sessions::default()));
        let mut frame = df!("x" => [1.0, 2.0], "y" => [1.5, 4.0]).unwrap();
        let task = task(context(&roomy).write_shard(&mut frame).unwrap());
        let first = run(&context(&roomy), &task).unwrap();
        assert_eq!(run(&context(&tiny), &task).unwrap(), first);
        let Learnt::Glm(sums) = first.report::<LearnTask>().unwrap() else { unreachable!() };
        assert_eq!((sums.loss, sums.gradient.0), (2.0, vec![-4.0, -2.0]));
        assert_eq!(sums.hessian.unwrap().0, [5.0, 3.0, 2.0]);
        // The shard goes; what is in memory stays.
        let ShardRef::Stored(entry) = &task.input.shard else { unreachable!() };
        store.delete(&[entry.object.id]);
        assert_eq!(run(&context(&roomy), &task).unwrap(), first);
        assert!(run(&context(&tiny), &task).is_err());
        // A link that does not fit the target is a fault of the caller, not a panic.
        let mut wrong = task.clone();
        let mut learn = (*task.learn).clone();
        if let Learn::Glm(round) = &mut learn {
            round.link = Link::Logistic;
        }
        wrong.learn = learn.into();
        assert!(matches!(run(&context(&roomy), &wrong), Err(Failure::Internal { .. })));
    }
}
