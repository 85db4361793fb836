//! `dataset describe`: what the columns of a dataset or file hold, in numbers and a picture.

use clap::Args;
use serde_json::json;
use shardmill_common::units::show_count;
use shardmill_flows::describe::{Description, Profile, describe};
use shardmill_flows::text::clip;

use super::common::columns;
use super::tables::{Input, Tables};
use crate::cli::Context;
use crate::error::CliError;
use crate::table::Table;

/// Values of more characters are cut on the terminal.
const SHOWN: usize = 24;
/// Heights of the bars of a picture.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

#[derive(Clone, Debug, Args)]
pub struct DescribeArgs {
    /// NAME or NAME@VERSION, or a file
    dataset: Input,
    /// Only these columns
    #[arg(long, env = "SHARDMILL_DESCRIBE_COLUMNS", value_name = "A,B", value_delimiter = ',')]
    columns: Option<Vec<String>>,
}

pub async fn run(context: &Context, args: DescribeArgs) -> Result<(), CliError> {
    let wanted = columns("--columns", args.columns.as_deref())?;
    let description = Tables::with(context, "describe", async |s, tables| {
        let dataset = tables.resolve(context, s, &args.dataset).await?;
        Ok(describe(context, s, &dataset, wanted.as_deref(), &mut tables.temporary).await?)
    })
    .await?;
    show(context, &args.dataset, &description)
}

fn show(context: &Context, input: &Input, description: &Description) -> Result<(), CliError> {
    let name = match input {
        Input::Dataset(_) => description.dataset.to_string(),
        Input::File(path) => path.clone(),
    };
    let object = json!({ "dataset": name, "rows": description.rows, "columns": description.columns });
    context.out.result(object, || {
        let mut table = Table::new(&[
            "column",
            "type",
            ">nulls",
            ">distinct",
            ">mean",
            ">std",
            ">min",
            ">25%",
            ">50%",
            ">75%",
            ">max",
            "shape",
            "most frequent",
        ]);
        for profile in &description.columns {
            table.row(row(profile, description.rows));
        }
        table
    })?;
    let rows = show_count(description.rows);
    context.out.hint(&format!("{name}: {rows} rows; distinct is an estimate, all else is exact"));
    Ok(())
}

fn row(profile: &Profile, rows: u64) -> [String; 13] {
    let cut = |text: &Option<String>| clip(text.as_deref().unwrap_or_default(), SHOWN);
    let number = |x: Option<f64>| x.map(short).unwrap_or_default();
    let nulls = match profile.nulls {
        0 => "0".to_owned(),
        n => format!("{} ({:.1} %)", show_count(n), n as f64 / rows.max(1) as f64 * 100.0),
    };
    let [q1, q2, q3] = profile.quartiles.map_or([None; 3], |q| q.map(Some));
    let top = profile.top.iter().map(|(value, n)| format!("{} ×{}", clip(value, SHOWN), show_count(*n)));
    [
        profile.column.clone(),
        profile.dtype.map(|dtype| dtype.to_string()).unwrap_or_default(),
        nulls,
        show_count(profile.distinct),
        number(profile.mean),
        number(profile.stddev),
        cut(&profile.min),
        number(q1),
        number(q2),
        number(q3),
        cut(&profile.max),
        picture(&profile.histogram),
        top.collect::<Vec<_>>().join(", "),
    ]
}

/// A number of some six digits.
fn short(x: f64) -> String {
    let size = x.abs();
    if x == 0.0 || !x.is_finite() {
        return x.to_string();
    }
    if !(1e-4..1e15).contains(&size) {
        return format!("{x:.4e}");
    }
    let digits = (5.0 - size.log10().floor()).clamp(0.0, 9.0) as usize;
    let text = format!("{x:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Bars of the height of the counts; a count that is not zero has a bar.
fn picture(counts: &[u64]) -> String {
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let bar = |n: &u64| match *n {
        0 => ' ',
        n => {
            let height = (n as u128 * BARS.len() as u128).div_ceil(u128::from(most)) as usize;
            BARS.get(height.saturating_sub(1)).copied().unwrap_or('█')
        }
    };
    counts.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 1.0, 1.234_567_8, 12345.678, 1234567.8, 1e-7, 2e20, -0.5, f64::NAN].map(short);
        assert_eq!(shown, ["0", "1", "1.23457", "12345.7", "1234568", "1.0000e-7", "2.0000e20", "-0.5", "NaN"]);
    }

    #[test]
    fn pictures_have_a_bar_for_whatever_is_there() {
        assert_eq!(picture(&[0, 1, 50, 100]), " ▁▄█");
        assert_eq!(picture(&[]), "");
        assert_eq!(picture(&[u64::MAX, 1]), "█▁");
    }
}
