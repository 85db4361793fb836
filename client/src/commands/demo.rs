//! `demo`: a small real dataset through the whole loop, every step a command that the reader could type.
//!
//! The steps run through the command line's own parser and verbs, so that what is shown is what ran.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, Parser};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::demo_ask;
use crate::cli::{Cli, Context, Global};
use crate::error::CliError;
use shardmill_flows::text;

const SOURCE: &str = "planes.csv of the R package nycflights13";
const LICENCE: &str = "CC0-1.0";

#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Use this folder, new or empty, and keep it [default: a temporary folder]
    #[arg(long, env = "SHARDMILL_DEMO_KEEP", value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// A file of the demo: where it goes, its bytes, and whether to unpack them.
struct DemoFile {
    name: &'static str,
    bytes: &'static [u8],
    unpack: bool,
}

/// Made by `client/demo/make.py`.
const FILES: [DemoFile; 6] = [
    DemoFile { name: "planes/planes-1.csv", bytes: include_bytes!("../../demo/planes-1.csv.gz"), unpack: true },
    DemoFile { name: "planes/planes-2.csv", bytes: include_bytes!("../../demo/planes-2.csv.gz"), unpack: true },
    DemoFile { name: "planes/planes-3.csv.gz", bytes: include_bytes!("../../demo/planes-3.csv.gz"), unpack: false },
    DemoFile { name: "older/planes.csv", bytes: include_bytes!("../../demo/older.csv.gz"), unpack: true },
    DemoFile { name: "rules.toml", bytes: RULES.as_bytes(), unpack: false },
    DemoFile { name: "README.md", bytes: include_bytes!("../../demo/README.md"), unpack: false },
];

const RULES: &str = include_str!("../../demo/rules.toml");

/// What happens next, in words, and the command that does it, which has no quotes and no spaces inside its arguments.
const STEPS: [(&str, &str); 22] = [
    (
        "Take in three dirty files: two plain, one gzip, one with its columns in another order.",
        "ingest planes planes/ --null NA --ragged reject",
    ),
    (
        "Rows that cannot be read are not lost: they are a dataset, with file, line and reason.",
        "dataset head planes.rejects",
    ),
    ("The others came in as they are, with all their dirt.", "dataset head planes --rows 6"),
    ("Clean them. Every rule counts what it changed.", "clean planes planes_clean --rules rules.toml"),
    (
        "Some planes were there twice, half of them the same only now that they are clean.",
        "dedup planes_clean planes_now",
    ),
    (
        "Take in an older version of the table: read, clean and drop duplicates in one pass.",
        "ingest planes_old older/planes.csv --null NA --clean rules.toml --dedup",
    ),
    ("Compare the two, row by row.", "compare planes_old planes_now planes_diff"),
    (
        "Each row is in the older version, in the new one, or in both.",
        "dataset head planes_diff --rows 6 --offset 3210",
    ),
    (
        "Compare them plane by plane: what changed, in which column?",
        "compare planes_old planes_now planes_changes --on tailnum --changes --validate 1:1",
    ),
    ("Take the clean planes out again.", "dataset export planes_now --to planes.parquet"),
    (
        "Learn to tell a plane's kind of engine. Half of the planes are set aside for a test.",
        "split planes_now --into planes_train=0.5,planes_test=0.5 --stratify engine",
    ),
    (
        "Workers hold their shards; each round sends parameters out and brings sums back.",
        "train logistic planes_train --model engine --label engine --features year,manufacturer,model,seats --impute year=median --standardise",
    ),
    ("How good is it on planes it has not seen?", "evaluate engine planes_test --plot engine.svg"),
    (
        "Version 1 is the one to use for now; a better one can take the name, and give it back.",
        "model alias engine champion=1",
    ),
    ("Predict.", "predict engine@champion planes_test planes_predicted --keep tailnum,model,engine --output label"),
    ("What it says, beside what is true.", "dataset head planes_predicted --rows 4"),
    (
        "Put the model behind a URL. Several variants could share the requests.",
        "endpoint create engine --variant now=engine@champion",
    ),
    (
        "Ask it over HTTP, here as boto3 and curl would: a line for each plane, and back its engine with the probability of each kind.",
        ASK,
    ),
    (
        "Take the model away, for onnxruntime and whatever else reads ONNX.",
        "model export engine@champion --to engine.onnx",
    ),
    ("Every dataset of the way is still there, in immutable versions.", "dataset list"),
    ("Every job left a record.", "record list"),
    ("The first one's: its sources with their checksums, its counters, its parameters.", "record show FIRST_JOB"),
];

/// The step that is no command of Shardmill's: the rows go over HTTP.
const ASK: &str = "curl";
/// The endpoint that is asked, and what: year, manufacturer, model and seats.
const ASKED: (&str, &str) = ("engine", "2002,EMBRAER,EMB-145XR,55\n1959,CESSNA,172N,4");

/// Stands for the id of the first step's job, which is known once it ran.
const FIRST_JOB: &str = "FIRST_JOB";

pub async fn run(context: &Context, args: DemoArgs) -> Result<(), CliError> {
    let global = with_absolute_data_dir(&context.global)?;
    let place = Place::open(args.keep.as_deref())?;
    for file in &FILES {
        write(&place.folder.join(file.name), file)?;
    }
    let before =
        std::env::current_dir().map_err(|e| CliError::failed(format!("cannot tell the working folder: {e}")))?;
    enter(&place.folder)?;
    let told = tell(context, &global, &place).await;
    // Back to where the process began: some systems do not remove a folder that someone is in.
    let back = enter(&before);
    told.and(back)
}

async fn tell(context: &Context, global: &Global, place: &Place) -> Result<(), CliError> {
    let out = &context.out;
    out.line(&format!("# {SOURCE} ({LICENCE}), made dirty on purpose; README.md there tells how."))?;
    out.line(&format!("$ cd {}", quoted(&place.folder.display().to_string())))?;
    for setting in settings(global) {
        out.line(&format!("$ export {setting}"))?;
    }
    let mut steps: Vec<Value> = Vec::new();
    for (words, command) in &STEPS {
        let first_job = steps.first().and_then(|s| s.pointer("/result/job")).and_then(Value::as_str).unwrap_or("j1");
        if *command == ASK {
            out.line(&format!("\n# {words}"))?;
            let (endpoint, rows) = ASKED;
            steps.push(Box::pin(demo_ask::ask(context, global, endpoint, rows)).await?);
            continue;
        }
        let command = command.replace(FIRST_JOB, first_job);
        out.line(&format!("\n# {words}"))?;
        if command.starts_with("clean ") {
            out.line(&format!("$ cat rules.toml\n{}", RULES.trim_end()))?;
        }
        out.line(&format!("$ shardmill {command}"))?;
        let result = step(context, global, &command).await?;
        steps.push(json!({"command": format!("shardmill {command}"), "result": result}));
    }
    summary(context, place)?;
    if !out.json {
        return Ok(());
    }
    out.object(&json!({
        "folder": place.kept().then(|| place.folder.display().to_string()), "source": SOURCE, "licence": LICENCE, "steps": steps,
        "seconds": text::round(out.elapsed()),
    }))
}

/// Runs one command line in this process, as if it had been typed; gives the object that it tells programs.
async fn step(context: &Context, global: &Global, command: &str) -> Result<Value, CliError> {
    let typed = std::iter::once("shardmill").chain(command.split_whitespace());
    let cli =
        Cli::try_parse_from(typed).map_err(|e| CliError::usage(format!("`shardmill {command}` cannot run: {e}")))?;
    let step = Context { global: global.clone(), out: context.out.for_step(), interrupt: context.interrupt.clone() };
    // Boxed, because this verb is one of those that it can call.
    Box::pin(cli.command.run(&step)).await?;
    Ok(step.out.kept())
}

fn summary(context: &Context, place: &Place) -> Result<(), CliError> {
    let out = &context.out;
    out.line(&format!(
        "\nThat was the whole loop, in {}: three dirty files became a clean dataset without duplicates, compared with an\n\
         older version and exported; a model learnt from it, was tested, predicts in batch and over HTTP, and can be taken elsewhere; all on record.\n",
        text::seconds(out.elapsed())
    ))?;
    if place.kept() {
        out.line(&format!(
            "What to try next, in {}:\n\n    \
             shardmill dataset head planes_changes\n    \
             shardmill dataset export planes_now --to - --format jsonl\n    \
             shardmill model show engine --all\n    \
             shardmill local --workers 2",
            place.folder.display()
        ))?;
    } else {
        out.line(
            "The folder was temporary and is gone. To keep it, and go on from there:\n\n    shardmill demo --keep demo",
        )?;
    }
    out.line(
        "\nOr with files of your own:\n\n    shardmill ingest mine 'path/to/*.csv'\n    shardmill dataset head mine",
    )
}

/// The folder of the demo. A temporary one goes with this value.
struct Place {
    folder: PathBuf,
    temporary: Option<TempDir>,
}

impl Place {
    fn open(keep: Option<&Path>) -> Result<Self, CliError> {
        let Some(given) = keep else {
            let made = tempfile::Builder::new().prefix("shardmill-demo-").tempdir();
            let temporary = made
                .map_err(|e| CliError::failed(format!("cannot make a temporary folder: {e}; give one with --keep")))?;
            return Ok(Self { folder: temporary.path().to_path_buf(), temporary: Some(temporary) });
        };
        let unusable =
            |e: std::io::Error| CliError::failed(format!("the folder {} cannot be used: {e}", given.display()));
        std::fs::create_dir_all(given).map_err(unusable)?;
        if std::fs::read_dir(given).map_err(unusable)?.next().is_some() {
            let told = format!(
                "the folder {} is not empty: give --keep one that is empty or does not exist yet",
                given.display()
            );
            return Err(CliError::failed(told));
        }
        Ok(Self { folder: std::path::absolute(given).map_err(unusable)?, temporary: None })
    }

    const fn kept(&self) -> bool {
        self.temporary.is_none()
    }
}

fn write(path: &Path, file: &DemoFile) -> Result<(), CliError> {
    let failed = |e: std::io::Error| CliError::failed(format!("cannot write {}: {e}", path.display()));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    if !file.unpack {
        return std::fs::write(path, file.bytes).map_err(failed);
    }
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(file.bytes).read_to_end(&mut plain).map_err(failed)?;
    std::fs::write(path, plain).map_err(failed)
}

fn enter(folder: &Path) -> Result<(), CliError> {
    std::env::set_current_dir(folder)
        .map_err(|e| CliError::failed(format!("cannot go to the folder {}: {e}", folder.display())))
}

/// The demo changes its working folder; a data folder that the user named stays where it is.
fn with_absolute_data_dir(global: &Global) -> Result<Global, CliError> {
    let mut global = global.clone();
    if let Some(given) = &global.data_dir {
        let absolute = std::path::absolute(given);
        global.data_dir = Some(
            absolute
                .map_err(|e| CliError::failed(format!("the data folder {} cannot be used: {e}", given.display())))?,
        );
    }
    Ok(global)
}

/// Options of every command that the user gave, as the variables that would make the steps run the same.
fn settings(global: &Global) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(url) = &global.cluster {
        all.push(format!("SHARDMILL_CLUSTER={}", quoted(url)));
    } else if let Some(folder) = &global.data_dir {
        all.push(format!("SHARDMILL_DATA_DIR={}", quoted(&folder.display().to_string())));
    }
    if global.workers != 1 {
        all.push(format!("SHARDMILL_WORKERS={}", global.workers));
    }
    all.extend(global.slots.map(|n| format!("SHARDMILL_SLOTS={n}")));
    all.extend(global.memory.map(|n| format!("SHARDMILL_MEMORY={n}")));
    all
}

/// As a shell reads it back.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-:@+=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_a_command() {
        for (_, command) in STEPS.iter().filter(|(_, command)| *command != ASK) {
            let typed = format!("shardmill {}", command.replace(FIRST_JOB, "j1"));
            assert!(Cli::try_parse_from(typed.split_whitespace()).is_ok(), "{typed}");
        }
    }

    #[test]
    fn the_files_are_written_and_a_used_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::open(Some(folder.path())).unwrap();
        assert!(place.kept());
        for file in &FILES {
            write(&place.folder.join(file.name), file).unwrap();
        }
        let first = std::fs::read_to_string(folder.path().join("planes/planes-1.csv")).unwrap();
        assert!(first.starts_with("tailnum,year,"), "{}", &first[..40]);
        let refused = Place::open(Some(folder.path())).err().unwrap();
        assert!(refused.to_string().contains("not empty"), "{refused}");
    }

    #[test]
    fn a_temporary_folder_goes() {
        let place = Place::open(None).unwrap();
        let folder = place.folder.clone();
        assert!(folder.is_dir() && !place.kept());
        drop(place);
        assert!(!folder.exists());
    }

    #[test]
    fn shells_read_back_what_is_quoted() {
        assert_eq!(quoted("/tmp/a-b_1.x"), "/tmp/a-b_1.x");
        assert_eq!(quoted("it's here"), r"'it'\''s here'");
        assert_eq!(quoted(""), "''");
    }
}
