//! The prompt of `sql`: lines with history and completion, statements that end in a semicolon, and a few commands of its own.

use std::borrow::Cow;
use std::path::PathBuf;

use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Editor, Helper};
use shardmill_common::name::DatasetRef;
use shardmill_flows::Session;

use super::sql::{SqlWay, answer};
use crate::cli::Context;
use crate::error::CliError;
use crate::table::Table;

const PROMPT: &str = "sql> ";
const HELP: &str = "\
A statement ends with a semicolon and may take several lines. A table is a dataset (orders, orders@3, \"my-data\") or a file in
single quotes ('data/orders.csv'). Tab completes names; Ctrl-C leaves a line or a query, Ctrl-D the prompt.
  .tables          the datasets there are
  .columns NAME    the columns of one
  .help            this
  .quit            leave";

/// Reads and answers until the user leaves.
pub async fn run(context: &Context, s: &Session, way: &SqlWay) -> Result<(), CliError> {
    let mut editor = editor().map_err(broken)?;
    let history = history_file();
    if let Some(file) = &history {
        // There is none before the first time.
        let _ = editor.load_history(file);
    }
    context.out.hint(".help tells what can be typed here");
    loop {
        if let Some(helper) = editor.helper_mut() {
            helper.names = names(s).await;
        }
        // The editor waits for keys, on a thread that may.
        let read = tokio::task::spawn_blocking(move || {
            let line = editor.readline(PROMPT);
            (editor, line)
        });
        let read = async { read.await.map_err(|e| CliError::failed(format!("the prompt broke: {e}"))) };
        let line;
        (editor, line) = context.interrupt.or_interrupted(read).await?;
        match line {
            Ok(line) => {
                let line = line.trim();
                if line.is_empty() {
                    continue;
                }
                // What cannot be kept is only not there the next time.
                let _ = editor.add_history_entry(line);
                match typed(context, s, way, line).await {
                    Ok(true) => break,
                    Ok(false) => {}
                    Err(CliError::Interrupted) => context.out.hint("stopped"),
                    Err(error @ CliError::Unreachable(_)) => return Err(error),
                    Err(error) => context.out.error(&error),
                }
                context.interrupt.heeded();
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(e) => return Err(broken(e)),
        }
    }
    if let Some(file) = &history
        && let Err(e) = editor.save_history(file)
    {
        context.out.notice(&format!("what was typed could not be kept in {}: {e}", file.display()));
    }
    Ok(())
}

fn broken(error: ReadlineError) -> CliError {
    CliError::failed(format!("the prompt cannot read from this terminal: {error}"))
}

/// Does what a line says; true at the end.
async fn typed(context: &Context, s: &Session, way: &SqlWay, line: &str) -> Result<bool, CliError> {
    let mut words = line.trim_end_matches(';').split_whitespace();
    match (words.next().unwrap_or_default(), words.next()) {
        (".quit" | ".exit" | "\\q" | "quit" | "exit", None) => return Ok(true),
        (".help" | "help", None) => context.out.line(HELP)?,
        (".tables", None) => {
            let mut table = Table::new(&["dataset", ">rows", ">columns"]);
            for dataset in s.client.datasets().await? {
                table.row([dataset.dataset.to_string(), dataset.rows.to_string(), dataset.columns.to_string()]);
            }
            context.out.line(&table.to_string())?;
        }
        (".columns", Some(name)) => {
            let dataset: DatasetRef = name.parse().map_err(CliError::usage)?;
            let manifest = s.client.locate(&dataset).await?.manifest;
            let mut table = Table::new(&["column", "type"]);
            for field in &manifest.schema.fields {
                table.row([field.name.clone(), field.dtype.to_string()]);
            }
            context.out.line(&table.to_string())?;
        }
        (word, _) if word.starts_with('.') => {
            return Err(CliError::usage(format!("`{line}` is not known here; .help tells what is")));
        }
        _ => {
            let (mut statements, rest) = shardmill_sql::split(line);
            statements.extend(Some(rest).filter(|rest| !rest.trim().is_empty()));
            for statement in statements {
                answer(context, s, &statement, way).await?;
            }
        }
    }
    Ok(false)
}

/// What can be completed: datasets and their columns, as they are now.
async fn names(s: &Session) -> Vec<String> {
    const MOST: usize = 50;
    let mut names = Vec::new();
    // Without them there is less to complete.
    for dataset in s.client.datasets().await.unwrap_or_default().into_iter().take(MOST) {
        let name = dataset.dataset.name;
        if let Ok(located) = s.client.locate(&DatasetRef { name: name.clone(), version: None }).await {
            names.extend(located.manifest.schema.names().map(str::to_owned));
        }
        names.push(name.as_str().to_owned());
    }
    names.sort();
    names.dedup();
    names
}

fn history_file() -> Option<PathBuf> {
    match std::env::var_os("SHARDMILL_HISTORY") {
        Some(none) if none.is_empty() => None,
        Some(file) => Some(file.into()),
        None => Some(PathBuf::from(std::env::var_os("HOME")?).join(".shardmill_history")),
    }
}

fn editor() -> Result<Editor<Help, DefaultHistory>, ReadlineError> {
    let config = Config::builder().completion_type(CompletionType::List).max_history_size(10_000)?.build();
    let mut editor = Editor::with_config(config)?;
    editor.set_helper(Some(Help { names: Vec::new() }));
    Ok(editor)
}

/// Knows what is complete, and what could follow.
struct Help {
    names: Vec<String>,
}

const WORDS: [&str; 40] = [
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "HAVING",
    "ORDER BY",
    "LIMIT",
    "OFFSET",
    "JOIN",
    "LEFT JOIN",
    "RIGHT JOIN",
    "FULL JOIN",
    "CROSS JOIN",
    "ON",
    "USING",
    "AS",
    "AND",
    "OR",
    "NOT",
    "IN",
    "BETWEEN",
    "LIKE",
    "IS NULL",
    "EXISTS",
    "DISTINCT",
    "UNION ALL",
    "UNION",
    "INTERSECT",
    "EXCEPT",
    "WITH",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "OVER (",
    "PARTITION BY",
    "COUNT(",
    "SUM(",
    "QUALIFY",
];

/// Where the word begins that ends at a place.
fn word_at(line: &str, at: usize) -> usize {
    let before = line.get(..at).unwrap_or_default();
    before
        .rfind(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '@')))
        .map_or(0, |n| n + before.get(n..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8))
}

/// What a word can become.
fn completions(names: &[String], word: &str) -> Vec<String> {
    if word.is_empty() {
        return Vec::new();
    }
    let lower = word.to_lowercase();
    let mut found: Vec<String> = names.iter().filter(|n| n.to_lowercase().starts_with(&lower)).cloned().collect();
    let is_lower = word.chars().all(|c| !c.is_uppercase());
    let words = WORDS.iter().filter(|w| w.to_lowercase().starts_with(&lower));
    found.extend(words.map(|w| if is_lower { w.to_lowercase() } else { (*w).to_owned() }));
    found
}

impl Completer for Help {
    type Candidate = Pair;

    fn complete(&self, line: &str, at: usize, _: &rustyline::Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let start = word_at(line, at);
        let word = line.get(start..at).unwrap_or_default();
        let pair = |text: String| Pair { display: text.clone(), replacement: text };
        Ok((start, completions(&self.names, word).into_iter().map(pair).collect()))
    }
}

impl Validator for Help {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if is_complete(context.input()) { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

/// Whether a line is all that is to come.
fn is_complete(input: &str) -> bool {
    let first = input.split_whitespace().next().unwrap_or_default();
    let is_command = first.starts_with(['.', '\\']) || matches!(first, "quit" | "exit" | "help");
    is_command || shardmill_sql::split(input).1.trim().is_empty()
}

impl Hinter for Help {
    type Hint = String;
}

impl Highlighter for Help {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Borrowed(hint)
    }
}

impl Helper for Help {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_with_a_semicolon_and_commands_by_themselves() {
        for whole in ["", ".tables", "SELECT 1;", "SELECT ';';  ", "quit", "SELECT 1; SELECT 2;"] {
            assert!(is_complete(whole), "{whole}");
        }
        for part in ["SELECT 1", "SELECT ';", "SELECT 1; SELECT 2", "SELECT 1 -- ;"] {
            assert!(!is_complete(part), "{part}");
        }
    }

    #[test]
    fn names_and_words_are_completed() {
        let names = ["orders".to_owned(), "order_id".to_owned()];
        assert_eq!(completions(&names, "ord"), ["orders", "order_id", "order by"]);
        assert_eq!(completions(&names, "SEL"), ["SELECT"]);
        assert!(completions(&names, "").is_empty());
        let line = "SELECT é.or";
        assert_eq!(line.get(word_at(line, line.len())..), Some("é.or"));
        assert_eq!(word_at("a,b", 3), 2);
        assert_eq!(word_at("ab", 2), 0);
    }
}
