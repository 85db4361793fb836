//! `dataset tail` and `dataset sample`: the last rows, and some rows by chance.

use std::sync::Arc;

use clap::Args;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::index;
use shardmill_common::message::LocatedManifest;
use shardmill_common::units::show_count;
use shardmill_flows::read::Reader;

use super::dataset_head::{Rows, first_rows};
use super::tables::{Input, Tables};
use crate::cli::Context;
use crate::error::CliError;
use shardmill_client::Client;

#[derive(Clone, Debug, Args)]
pub struct TailArgs {
    /// NAME or NAME@VERSION, or a file
    dataset: Input,
    /// Rows to show
    #[arg(short = 'n', long, env = "SHARDMILL_TAIL_ROWS", value_name = "N", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(1..=100_000))]
    rows: u64,
}

#[derive(Clone, Debug, Args)]
pub struct SampleArgs {
    /// NAME or NAME@VERSION, or a file
    dataset: Input,
    /// Rows to show
    #[arg(short = 'n', long, env = "SHARDMILL_SAMPLE_ROWS", value_name = "N", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(1..=1000))]
    rows: u64,
    /// The same seed shows the same rows of a version [default: another one each time, which is told]
    #[arg(long, env = "SHARDMILL_SAMPLE_SEED", value_name = "N")]
    seed: Option<u64>,
}

pub async fn tail(context: &Context, args: TailArgs) -> Result<(), CliError> {
    let rows = Tables::with(context, "tail", async |s, tables| {
        let dataset = tables.resolve(context, s, &args.dataset).await?;
        let last = async {
            let total = s.client.locate(&dataset).await?.manifest.rows();
            first_rows(&s.client, &dataset, total.saturating_sub(args.rows), args.rows).await
        };
        context.interrupt.or_interrupted(last).await
    })
    .await?;
    rows.show(context, &args.dataset)
}

pub async fn sample(context: &Context, args: SampleArgs) -> Result<(), CliError> {
    let seed = args.seed.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0 % 1_000_000);
    let rows = Tables::with(context, "sample", async |s, tables| {
        let dataset = tables.resolve(context, s, &args.dataset).await?;
        let some = async {
            let located = Arc::new(s.client.locate(&dataset).await?);
            some_rows(&s.client, &located, args.rows, seed).await
        };
        context.interrupt.or_interrupted(some).await
    })
    .await?;
    context.out.result(rows.to_json()?, || rows.to_table())?;
    let (shown, total) = (show_count(rows.count()), show_count(rows.total()));
    context.out.hint(&format!("{shown} of {total} rows by chance; --seed {seed} shows them again"));
    Ok(())
}

/// Rows of which each is as likely as any other, in their order.
async fn some_rows(client: &Client, located: &Arc<LocatedManifest>, wanted: u64, seed: u64) -> Result<Rows, CliError> {
    let total = located.manifest.rows();
    let most = usize::try_from(total).unwrap_or(usize::MAX);
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX).min(most);
    let mut chosen = index::sample(&mut StdRng::seed_from_u64(seed), most, wanted).into_vec();
    chosen.sort_unstable();
    let mut batches = Vec::with_capacity(chosen.len());
    for row in chosen {
        let mut reader = Reader::new(client.clone(), located.clone(), row as u64, 1);
        while let Some(mut shard) = reader.next_shard() {
            while let Some(batch) = shard.next_batch().await {
                batches.push(batch?);
            }
        }
    }
    Ok(Rows::new(located.manifest.clone(), 0, batches))
}
