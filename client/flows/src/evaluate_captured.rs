//! Evaluation of what an endpoint captured: joins what an endpoint was asked and answered with the truth that
//! came to be known, and evaluates each variant and model version by what it answered then.

use std::collections::BTreeSet;
use std::path::PathBuf;

use arrow::array::{Array, AsArray};
use shardmill_client::ClientError;
use shardmill_common::captured::{ENDPOINT, INFERENCE_ID, MODEL, VARIANT};
use shardmill_common::counters::Counter;
use shardmill_common::endpoint::{EndpointName, EndpointRequest, EndpointStatus};
use shardmill_common::failure::Refusal;
use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::aggregate::{Aggregate, AggregateSpec, Function};
use shardmill_common::kinds::evaluate::EvaluateSpec;
use shardmill_common::kinds::join::{JoinHow, JoinSpec};
use shardmill_common::manifest::Manifest;
use shardmill_common::model::{Evaluation, ModelRef, Served};
use shardmill_common::name::{DatasetName, DatasetRef, NameError};
use shardmill_common::schema::Schema;
use shardmill_common::status::{JobState, JobStatus};

use crate::capture::flush_all;
use crate::error::FlowError;
use crate::evaluate::{PlotTo, evaluation_of};
use crate::evaluate_error::EvaluateError;
use crate::host::{Host, or_stopped};
use crate::jobs;
use crate::read::batches;
use crate::session::Session;

/// A column of the labels that is called like a captured one gets this behind its name.
const LABEL_SUFFIX: &str = "_label";
/// A side of up to so many bytes is sent whole to the shards of the other, as `join` does.
const BROADCAST_LIMIT: u64 = 64 << 20;
/// The most variants with a model version that are told apart.
const GROUPS: u64 = 10_000;

/// What was asked, checked.
pub struct Asked {
    pub endpoint: EndpointName,
    pub labels: DatasetRef,
    /// Key columns: of the captured rows, and of the labels.
    pub on: Vec<(String, String)>,
    /// Only this variant.
    pub variant: Option<String>,
    /// The column of labels; `None`: as each model learnt it.
    pub label: Option<String>,
}

/// Who answered captured rows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Who {
    variant: String,
    model: String,
}

/// One evaluation, with its pictures.
pub struct One {
    pub status: JobStatus,
    pub evaluation: Evaluation,
    pub plots: Vec<PathBuf>,
}

/// All that was found out.
pub struct Findings {
    pub captured: DatasetRef,
    pub labels: DatasetRef,
    pub labelled: DatasetRef,
    /// Rows of the endpoint's dataset that found a label, and that did not.
    pub with_label: u64,
    pub without_label: u64,
    /// Labels that belong to no captured row.
    pub unused_labels: u64,
    pub evaluations: Vec<One>,
    pub notices: Vec<String>,
}

/// Joins, evaluates each variant, and draws where that is asked for.
pub async fn evaluate(
    host: &dyn Host,
    s: &Session,
    asked: &Asked,
    plot: Option<&PlotTo>,
) -> Result<Findings, FlowError> {
    let Asked { endpoint, labels, .. } = asked;
    let (captured, labels) = or_stopped(host, async {
        let show = EndpointRequest::Show { name: endpoint.clone(), seconds: 0 };
        let status: EndpointStatus = s.client.endpoints(&show).await?;
        let Some(capture) = status.endpoint.capture else {
            return Err(EvaluateError::NoCapture(endpoint.clone()).into());
        };
        flush_all(&s.client).await?;
        let captured = match s.client.locate(&latest(&capture.dataset)).await {
            Ok(located) => located.manifest,
            Err(ClientError::Refused(Refusal::NotFound(_))) => {
                let endpoint = endpoint.clone();
                return Err(EvaluateError::NothingCaptured { endpoint, dataset: capture.dataset }.into());
            }
            Err(e) => return Err(e.into()),
        };
        Ok((captured, s.client.locate(labels).await?.manifest))
    })
    .await?;
    check_keys(&asked.on, &captured, &labels)?;
    if let Some(label) = &asked.label
        && labels.schema.get(label).is_none()
    {
        return Err(no_label(label, &labels));
    }
    let joined = jobs::run(host, &s.client, join(asked, &captured, &labels, JoinHow::Left)?).await?;
    let labelled = joined.dataset.clone().ok_or(EvaluateError::NoDataset { job: "join" })?;
    let unused_labels = unused(host, s, asked, &captured, &labels).await?;
    let mut findings = Findings {
        captured: captured.reference(),
        labels: labels.reference(),
        labelled: labelled.clone(),
        with_label: joined.counters.get(&Counter::Both),
        without_label: joined.counters.get(&Counter::LeftOnly),
        unused_labels,
        evaluations: Vec::new(),
        notices: Vec::new(),
    };
    let answered = who_answered(host, s, asked, &labelled).await?;
    if answered.is_empty() {
        return Err(nobody(asked, &captured));
    }
    if answered.len() > 1 && matches!(plot, Some(PlotTo::File(_))) {
        let (count, answered) = (answered.len(), listed(answered.iter()));
        return Err(EvaluateError::SeveralPictures { count, answered }.into());
    }
    let mut first_error = None;
    for who in &answered {
        match one(host, s, asked, (&captured.schema, &labels), who, &labelled).await {
            Ok((status, evaluation)) => {
                let plots = match plot {
                    None => Vec::new(),
                    Some(PlotTo::Folder(folder)) if answered.len() > 1 => {
                        let folder = folder.join(format!("{}-{}", who.variant, who.model));
                        PlotTo::Folder(folder).write(&evaluation)?
                    }
                    Some(to) => to.write(&evaluation)?,
                };
                findings.evaluations.push(One { status, evaluation, plots });
            }
            Err(FlowError::Stopped) => return Err(FlowError::Stopped),
            // Whoever ends one of the evaluations wants no other.
            Err(FlowError::Job(status)) if status.state == JobState::Cancelled => return Err(FlowError::Job(status)),
            // What another variant answered can be evaluated all the same.
            Err(e) => {
                let why = match &e {
                    FlowError::Job(status) => status.error.clone().unwrap_or_else(|| e.to_string()),
                    _ => e.to_string(),
                };
                findings.notices.push(format!("variant {} with {} is not evaluated: {why}", who.variant, who.model));
                first_error.get_or_insert(e);
            }
        }
    }
    match first_error {
        Some(e) if findings.evaluations.is_empty() => Err(e),
        _ => Ok(findings),
    }
}

fn latest(name: &DatasetName) -> DatasetRef {
    DatasetRef { name: name.clone(), version: None }
}

/// A dataset that belongs to the endpoint: its name and `ending`.
fn beside(endpoint: &EndpointName, ending: &str) -> Result<DatasetName, FlowError> {
    format!("{endpoint}.{ending}").parse().map_err(|e: NameError| FlowError::Name(e.into()))
}

fn check_keys(on: &[(String, String)], captured: &Manifest, labels: &Manifest) -> Result<(), EvaluateError> {
    for (ours, theirs) in on {
        if captured.schema.get(ours).is_none() {
            return Err(EvaluateError::KeyNotCaptured {
                column: ours.clone(),
                captured: captured.reference(),
                schema: captured.schema.clone(),
                inference_id: INFERENCE_ID,
                label_key: theirs.clone(),
            });
        }
        if labels.schema.get(theirs).is_none() {
            return Err(EvaluateError::NoKey {
                column: theirs.clone(),
                labels: labels.reference(),
                schema: labels.schema.clone(),
            });
        }
    }
    Ok(())
}

fn no_label(label: &str, labels: &Manifest) -> FlowError {
    let (labels, schema) = (labels.reference(), labels.schema.clone());
    EvaluateError::NoLabel { column: label.to_owned(), labels, schema }.into()
}

fn nobody(asked: &Asked, captured: &Manifest) -> FlowError {
    let (endpoint, variant) = (asked.endpoint.clone(), asked.variant.clone());
    EvaluateError::NobodyAnswered { captured: captured.reference(), endpoint, variant }.into()
}

fn listed<'a>(all: impl Iterator<Item = &'a Who>) -> String {
    all.map(|who| format!("{} with {}", who.variant, who.model)).collect::<Vec<_>>().join(", ")
}

/// Captured rows with their labels, where they have one; or (`Anti`) the labels that belong to none.
fn join(asked: &Asked, captured: &Manifest, labels: &Manifest, how: JoinHow) -> Result<JobSpec, FlowError> {
    let is_anti = how == JoinHow::Anti;
    let (left, right) = if is_anti { (labels, captured) } else { (captured, labels) };
    let on = asked.on.iter().cloned();
    Ok(JobSpec::Join(JoinSpec {
        left: left.reference(),
        right: right.reference(),
        output: beside(&asked.endpoint, if is_anti { "labelled.unused" } else { "labelled" })?,
        on: if is_anti { on.map(|(ours, theirs)| (theirs, ours)).collect() } else { on.collect() },
        how,
        nulls_equal: false,
        numbers_match_text: true,
        suffixes: (String::new(), LABEL_SUFFIX.to_owned()),
        broadcast_limit: BROADCAST_LIMIT,
        replicas: None,
    }))
}

/// The number of labels that belong to no captured row. The rows themselves are not kept.
async fn unused(
    host: &dyn Host,
    s: &Session,
    asked: &Asked,
    captured: &Manifest,
    labels: &Manifest,
) -> Result<u64, FlowError> {
    let status = jobs::run(host, &s.client, join(asked, captured, labels, JoinHow::Anti)?).await?;
    discard(s, status.dataset.as_ref()).await;
    Ok(status.counters.get(&Counter::RowsOut))
}

async fn discard(s: &Session, dataset: Option<&DatasetRef>) {
    if let Some(dataset) = dataset
        && let Err(error) = s.client.remove(dataset).await
    {
        tracing::debug!(%dataset, %error, "an intermediate dataset stays");
    }
}

/// Every variant with every model version that answered.
async fn who_answered(
    host: &dyn Host,
    s: &Session,
    asked: &Asked,
    labelled: &DatasetRef,
) -> Result<BTreeSet<Who>, FlowError> {
    let rows = Aggregate { name: "rows".into(), function: Function::Count, column: None };
    let spec = JobSpec::Aggregate(AggregateSpec {
        input: labelled.clone(),
        output: beside(&asked.endpoint, "labelled.variants")?,
        by: [ENDPOINT, VARIANT, MODEL].map(str::to_owned).to_vec(),
        aggregates: vec![rows],
        replicas: None,
    });
    let status = jobs::run(host, &s.client, spec).await?;
    let dataset = status.dataset.ok_or(EvaluateError::NoDataset { job: "aggregation" })?;
    let read = or_stopped(host, batches(&s.client, &dataset, GROUPS)).await;
    discard(s, Some(&dataset)).await;
    let mut found = BTreeSet::new();
    for batch in &read? {
        let text = |column: &'static str| {
            let found = batch.column_by_name(column).and_then(|c| c.as_string_opt::<i64>());
            found.ok_or_else(|| EvaluateError::NotCaptured { dataset: labelled.clone(), column })
        };
        let (endpoints, variants, models) = (text(ENDPOINT)?, text(VARIANT)?, text(MODEL)?);
        for row in 0..batch.num_rows() {
            if [endpoints, variants, models].iter().any(|c| c.is_null(row))
                || endpoints.value(row) != asked.endpoint.as_str()
                || asked.variant.as_ref().is_some_and(|v| v != variants.value(row))
            {
                continue;
            }
            found.insert(Who { variant: variants.value(row).to_owned(), model: models.value(row).to_owned() });
        }
    }
    Ok(found)
}

/// Where the labels' column is, once they are joined.
fn joined_name(label: &str, on: &[(String, String)], captured: &Schema) -> String {
    let is_shared_key = on.iter().any(|(ours, theirs)| ours == label && theirs == label);
    if captured.get(label).is_some() && !is_shared_key { format!("{label}{LABEL_SUFFIX}") } else { label.to_owned() }
}

async fn one(
    host: &dyn Host,
    s: &Session,
    asked: &Asked,
    (captured, labels): (&Schema, &Manifest),
    who: &Who,
    labelled: &DatasetRef,
) -> Result<(JobStatus, Evaluation), FlowError> {
    let reference: ModelRef = who.model.parse().map_err(FlowError::Name)?;
    let model = or_stopped(host, async { Ok(s.client.model(&reference).await?) }).await?;
    let trained = model.target.label().map(|l| l.column.clone());
    let label = match asked.label.clone().or(trained) {
        Some(label) if labels.schema.get(&label).is_none() => return Err(no_label(&label, labels)),
        label => label.map(|label| joined_name(&label, &asked.on, captured)),
    };
    let spec = EvaluateSpec {
        model: reference,
        input: labelled.clone(),
        label,
        served: Some(Served { endpoint: asked.endpoint.clone(), variant: who.variant.clone() }),
        resolved: None,
    };
    let status = jobs::run(host, &s.client, JobSpec::Evaluate(spec)).await?;
    let evaluation = evaluation_of(&s.client, &status).await?;
    Ok((status, evaluation))
}

#[cfg(test)]
#[path = "evaluate_captured_tests.rs"]
mod tests;
