//! `endpoint create|list|show|metrics|update|flush|delete`: URLs that predict.

use std::time::{Duration, Instant};

use clap::builder::FalseyValueParser;
use clap::{Args, Subcommand};
use serde_json::json;
use shardmill_client::Client;
use shardmill_common::endpoint::{
    Capture, Endpoint, EndpointChange, EndpointName, EndpointRequest, EndpointStatus, ServingNode, Variant,
};
use shardmill_common::model::ModelRef;
use shardmill_common::name::{DatasetName, NameError, Named};
use shardmill_flows::text::to_the_second;

use super::{endpoint_flush, endpoint_metrics, endpoint_show};
use crate::cli::Context;
use crate::error::CliError;
use crate::session;
use crate::table::Table;

/// How long a change waits for every node to serve it.
const SERVED_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[derive(Clone, Debug, Subcommand)]
pub enum EndpointCommand {
    /// Make an endpoint of one or several model versions
    Create(CreateArgs),
    /// List the endpoints, with the models behind them and the nodes that serve them
    List,
    /// Show an endpoint: who serves it, what it was asked and answered, how far its inputs have drifted
    Show(endpoint_show::ShowArgs),
    /// Show what was watched over time, a line for every stretch of it
    Metrics(endpoint_metrics::MetricsArgs),
    /// Change variants, weights or capture without losing a request
    Update(UpdateArgs),
    /// Put what was captured until now into its datasets at once, from every node
    Flush,
    /// Take an endpoint away; requests under way are still answered
    Delete {
        #[arg(value_parser = endpoint_name)]
        name: EndpointName,
    },
}

#[derive(Clone, Debug, Args)]
pub struct CaptureArgs {
    /// Keep what is asked and answered in this dataset
    #[arg(long, env = "SHARDMILL_CAPTURE", value_name = "DATASET")]
    capture: Option<DatasetName>,
    /// Share of the requests that are kept, more than 0 and at most 1 [default: 1]
    #[arg(long, env = "SHARDMILL_CAPTURE_RATE", value_name = "RATE")]
    capture_rate: Option<f64>,
}

#[derive(Clone, Debug, Args)]
pub struct CreateArgs {
    #[arg(value_parser = endpoint_name)]
    name: EndpointName,
    /// A variant and the model version that answers for it: NAME=MODEL@VERSION, and :WEIGHT where it is not 1; several share the requests by weight
    #[arg(long, env = "SHARDMILL_VARIANT", value_name = "NAME=MODEL[:WEIGHT]", required = true, value_parser = variant)]
    variant: Vec<Variant>,
    #[command(flatten)]
    capture: CaptureArgs,
    /// Answer requests that name no endpoint (MLflow's /invocations)
    #[arg(long, env = "SHARDMILL_DEFAULT_ENDPOINT", value_parser = FalseyValueParser::new())]
    default: bool,
}

#[derive(Clone, Debug, Args)]
pub struct UpdateArgs {
    #[arg(value_parser = endpoint_name)]
    name: EndpointName,
    /// All variants anew: NAME=MODEL@VERSION, and :WEIGHT where it is not 1
    #[arg(long, env = "SHARDMILL_VARIANT", value_name = "NAME=MODEL[:WEIGHT]", value_parser = variant)]
    variant: Vec<Variant>,
    /// A new weight of a variant that is there; the others keep theirs
    #[arg(long, env = "SHARDMILL_WEIGHT", value_name = "NAME=WEIGHT", value_parser = weight, conflicts_with = "variant")]
    weight: Vec<(String, f64)>,
    #[command(flatten)]
    capture: CaptureArgs,
    /// Keep nothing any more; what was kept stays
    #[arg(long, env = "SHARDMILL_NO_CAPTURE", value_parser = FalseyValueParser::new(), conflicts_with_all = ["capture", "capture_rate"])]
    no_capture: bool,
    /// Answer requests that name no endpoint (MLflow's /invocations)
    #[arg(long, env = "SHARDMILL_DEFAULT_ENDPOINT", value_parser = FalseyValueParser::new())]
    default: bool,
}

/// Checks an endpoint's name.
pub fn endpoint_name(text: &str) -> Result<EndpointName, NameError> {
    EndpointName::of(Named::Endpoint, text)
}

/// A weight; which are taken together is the coordinator's to say.
fn number(text: &str, of: &str) -> Result<f64, String> {
    let weight = text.parse::<f64>().ok().filter(|w| w.is_finite());
    weight.ok_or_else(|| format!("the weight `{}` of `{}` is not a number", text.escape_debug(), of.escape_debug()))
}

/// `a=churn@3:0.9`.
fn variant(text: &str) -> Result<Variant, String> {
    let wrong = || format!("`{}` is not NAME=MODEL@VERSION:WEIGHT, such as a=churn@3:0.9", text.escape_debug());
    let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
    if name.is_empty() {
        return Err(wrong());
    }
    let (model, weight) = match rest.rsplit_once(':') {
        Some((model, weight)) => (model, number(weight, name)?),
        None => (rest, 1.0),
    };
    let model = model.parse::<ModelRef>().map_err(|e| e.to_string())?;
    Ok(Variant { name: name.to_owned(), model, weight })
}

/// `a=0.5`.
fn weight(text: &str) -> Result<(String, f64), String> {
    let (name, weight) =
        text.split_once('=').ok_or_else(|| format!("`{}` is not NAME=WEIGHT, such as a=0.5", text.escape_debug()))?;
    Ok((name.to_owned(), number(weight, name)?))
}

impl CaptureArgs {
    /// What is to be captured from now on; `known` is the endpoint's capture so far.
    fn chosen(self, known: Option<Capture>) -> Result<Option<Capture>, CliError> {
        match (self.capture, self.capture_rate, known) {
            (None, None, _) => Ok(None),
            (Some(dataset), rate, known) => {
                let known = known.map(|c| c.rate);
                Ok(Some(Capture { dataset, rate: rate.or(known).unwrap_or(1.0) }))
            }
            (None, Some(rate), Some(known)) => Ok(Some(Capture { rate, ..known })),
            (None, Some(_), None) => {
                Err(CliError::usage("say which dataset to keep requests in: --capture DATASET --capture-rate RATE"))
            }
        }
    }
}

impl EndpointCommand {
    pub async fn run(self, context: &Context) -> Result<(), CliError> {
        session::with(context, async |s| match self {
            EndpointCommand::Create(args) => create(context, &s.client, args).await,
            EndpointCommand::List => list(context, &s.client).await,
            EndpointCommand::Show(args) => endpoint_show::run(context, &s.client, args).await,
            EndpointCommand::Metrics(args) => endpoint_metrics::run(context, &s.client, args).await,
            EndpointCommand::Update(args) => update(context, &s.client, args).await,
            EndpointCommand::Flush => endpoint_flush::run(context, &s.client).await,
            EndpointCommand::Delete { name } => delete(context, &s.client, name).await,
        })
        .await
    }
}

async fn create(context: &Context, client: &Client, args: CreateArgs) -> Result<(), CliError> {
    let change = EndpointChange {
        variants: Some(args.variant),
        capture: args.capture.chosen(None)?,
        is_default: args.default.then_some(true),
        ..Default::default()
    };
    let endpoint: Endpoint = client.endpoints(&EndpointRequest::Create { name: args.name, change }).await?;
    told(context, client, &endpoint).await
}

async fn update(context: &Context, client: &Client, args: UpdateArgs) -> Result<(), CliError> {
    let CaptureArgs { capture, capture_rate } = &args.capture;
    if args.variant.is_empty()
        && args.weight.is_empty()
        && capture.is_none()
        && capture_rate.is_none()
        && !args.no_capture
        && !args.default
    {
        return Err(CliError::usage(
            "nothing to change: give --variant, --weight, --capture, --capture-rate, --no-capture or --default",
        ));
    }
    let known = if capture.is_some() || capture_rate.is_some() {
        let ask = EndpointRequest::Show { name: args.name.clone(), seconds: 0 };
        client.endpoints::<EndpointStatus>(&ask).await?.endpoint.capture
    } else {
        None
    };
    let change = EndpointChange {
        variants: (!args.variant.is_empty()).then_some(args.variant),
        weights: args.weight,
        capture: args.capture.chosen(known)?,
        no_capture: args.no_capture,
        is_default: args.default.then_some(true),
    };
    let endpoint: Endpoint = client.endpoints(&EndpointRequest::Update { name: args.name, change }).await?;
    told(context, client, &endpoint).await
}

/// Waits until every node that serves has the change, and shows the endpoint.
async fn told(context: &Context, client: &Client, endpoint: &Endpoint) -> Result<(), CliError> {
    let ask = EndpointRequest::Show { name: endpoint.name.clone(), seconds: 0 };
    let deadline = Instant::now() + SERVED_WITHIN;
    let status = loop {
        let status: EndpointStatus = client.endpoints(&ask).await?;
        let behind: Vec<&ServingNode> = status.nodes.iter().filter(|n| n.revision < endpoint.revision).collect();
        if behind.is_empty() {
            break status;
        }
        if Instant::now() >= deadline {
            let names: Vec<&str> = behind.iter().map(|n| n.node.as_str()).collect();
            context.out.notice(&format!("not yet served by {}: they still answer as before", names.join(", ")));
            break status;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    if status.nodes.is_empty() {
        context.out.notice(
            "no process serves it now: `shardmill local --http 127.0.0.1:7078`, a coordinator, or a worker with --serve does",
        );
    }
    context.out.result(json!({"endpoint": status.endpoint, "nodes": status.nodes}), || described(&status))
}

/// The endpoint, a line for each variant.
fn described(status: &EndpointStatus) -> Table {
    let endpoint = &status.endpoint;
    let mut table = Table::new(&["endpoint", "variant", "model", ">weight", ">share", "url"]);
    let url =
        status.nodes.first().map_or(String::new(), |n| format!("{}/endpoints/{}/invocations", n.url, endpoint.name));
    for (n, variant) in endpoint.variants.iter().enumerate() {
        let first = |text: &str| if n == 0 { text.to_owned() } else { String::new() };
        table.row([
            first(endpoint.name.as_str()),
            variant.name.clone(),
            variant.model.to_string(),
            variant.weight.to_string(),
            share(endpoint, variant),
            first(&url),
        ]);
    }
    table
}

fn share(endpoint: &Endpoint, variant: &Variant) -> String {
    endpoint_show::percent(endpoint.share(variant))
}

async fn list(context: &Context, client: &Client) -> Result<(), CliError> {
    let all: Vec<EndpointStatus> = client.endpoints(&EndpointRequest::List).await?;
    context.out.result(json!({"endpoints": all}), || {
        let mut table = Table::new(&["endpoint", "variants", "captured", "served by", "updated"]);
        for status in &all {
            let endpoint = &status.endpoint;
            let variants: Vec<String> =
                endpoint.variants.iter().map(|v| format!("{}={} {}", v.name, v.model, share(endpoint, v))).collect();
            let captured = endpoint.capture.as_ref().map(|c| format!("{} ({} of requests)", c.dataset, c.rate));
            let served: Vec<&str> = status.nodes.iter().map(|n| n.url.as_str()).collect();
            let mark = if endpoint.is_default { " (default)" } else { "" };
            table.row([
                format!("{}{mark}", endpoint.name),
                variants.join(", "),
                captured.unwrap_or_default(),
                served.join(", "),
                to_the_second(endpoint.updated),
            ]);
        }
        table
    })
}

async fn delete(context: &Context, client: &Client, name: EndpointName) -> Result<(), CliError> {
    let endpoint: Endpoint = client.endpoints(&EndpointRequest::Delete { name }).await?;
    context.out.result(json!({"deleted": endpoint}), || {
        let mut table = Table::new(&["deleted"]);
        table.row([endpoint.name.to_string()]);
        table
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_have_a_model_and_maybe_a_weight() {
        let v = variant("a=churn@3:0.9").unwrap();
        assert_eq!((v.name.as_str(), v.model.to_string(), v.weight), ("a", "churn@3".to_owned(), 0.9));
        assert_eq!(variant("b=churn@champion").unwrap().weight, 1.0);
        for bad in ["churn@3", "=churn@3", "a=churn@3:x", "a=churn@3:nan", "a=churn@0", "a="] {
            assert!(variant(bad).is_err(), "{bad}");
        }
        assert_eq!(weight("a=2"), Ok(("a".to_owned(), 2.0)));
        assert!(weight("a").is_err() && weight("a=b").is_err());
    }

    #[test]
    fn a_rate_needs_a_dataset() {
        let args = |capture: Option<&str>, capture_rate| CaptureArgs {
            capture: capture.map(|c| c.parse().unwrap()),
            capture_rate,
        };
        let known = Capture { dataset: "d".parse().unwrap(), rate: 0.5 };
        assert_eq!(args(None, None).chosen(Some(known.clone())).unwrap(), None);
        assert_eq!(args(Some("e"), None).chosen(None).unwrap().unwrap().rate, 1.0);
        assert_eq!(args(None, Some(0.1)).chosen(Some(known)).unwrap().unwrap().dataset.as_str(), "d");
        assert_eq!(args(None, Some(0.1)).chosen(None).unwrap_err().exit_status(), 2);
    }
}
