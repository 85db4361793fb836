//! `evaluate --captured ENDPOINT --labels DATASET --on KEY`: how well what an endpoint answered was.

use clap::Args;
use shardmill_common::endpoint::EndpointName;
use shardmill_common::name::DatasetRef;
use shardmill_flows::evaluate::PlotTo;
use shardmill_flows::evaluate_captured::{Asked, evaluate};

use super::evaluate_captured_text::report;
use super::join::key;
use crate::cli::Context;
use crate::error::CliError;
use crate::session;

#[derive(Clone, Debug, Args)]
pub struct CapturedArgs {
    /// Instead of MODEL and IN: evaluate what this endpoint answered
    #[arg(long, env = "SHARDMILL_EVALUATE_CAPTURED", value_name = "ENDPOINT", requires = "labels", requires = "on")]
    captured: Option<EndpointName>,
    /// The dataset that has the labels, NAME or NAME@VERSION
    #[arg(long, env = "SHARDMILL_EVALUATE_LABELS", value_name = "DATASET", requires = "captured")]
    labels: Option<DatasetRef>,
    /// Key columns by which labels belong to captured rows; CAPTURED=LABELS where the two have different names for one
    #[arg(
        long,
        env = "SHARDMILL_EVALUATE_ON",
        value_name = "A,CAPTURED=LABELS",
        value_delimiter = ',',
        requires = "captured"
    )]
    on: Vec<String>,
    /// Only this variant of the endpoint
    #[arg(long, env = "SHARDMILL_EVALUATE_VARIANT", value_name = "NAME", requires = "captured")]
    variant: Option<String>,
}

pub async fn run(
    context: &Context,
    args: CapturedArgs,
    label: Option<String>,
    plot: Option<PlotTo>,
) -> Result<(), CliError> {
    let (Some(endpoint), Some(labels)) = (args.captured, args.labels) else {
        return Err(CliError::usage(
            "name the model and the dataset, or an endpoint with --captured, --labels and --on",
        ));
    };
    let on = args.on.iter().map(|text| key(text)).collect::<Result<_, _>>()?;
    let asked = Asked { endpoint, labels, on, variant: args.variant, label };
    let findings =
        session::with_own_interrupt(context, async |s| Ok(evaluate(context, s, &asked, plot.as_ref()).await?)).await?;
    report(context, &asked, &findings)
}
