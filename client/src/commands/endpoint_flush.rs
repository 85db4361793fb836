//! `endpoint flush`: publishes what the nodes captured until now.

use serde_json::json;
use shardmill_common::units::show_count;

use crate::cli::Context;
use crate::error::CliError;
use crate::table::Table;
use shardmill_client::Client;
use shardmill_flows::capture::flush_all;
use shardmill_flows::text;

pub async fn run(context: &Context, client: &Client) -> Result<(), CliError> {
    let rows = flush_all(client).await?;
    let seconds = context.out.elapsed();
    context.out.result(json!({ "rows": rows, "seconds": text::round(seconds) }), || {
        let mut table = Table::pairs();
        table.pair("rows published", show_count(rows));
        table.pair("time", text::seconds(seconds));
        table
    })
}
