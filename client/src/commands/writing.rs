//! The options that say how a delimited text is written.

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use shardmill_common::misread::Misread;
use shardmill_common::text::{Delimiter, Numbers, Ragged, Told};
use shardmill_flows::sources::{TextEncoding, parse_delimiter, parse_encoding, parse_escape, parse_quote};

use crate::error::CliError;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RaggedArg {
    /// What lacks is null; more cells than columns are cut off if they are empty
    Fill,
    /// They are set aside
    Reject,
}

/// How delimited text is written. What is not given is found out from the first records, and told.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "How text is written (found out where not given)")]
pub(super) struct WritingArgs {
    /// What parts cells: characters, or tab, space, blanks (runs of them), comma, semicolon, pipe
    #[arg(long, env = "SHARDMILL_INGEST_DELIMITER", value_name = "CHARS", value_parser = parse_delimiter, allow_hyphen_values = true)]
    pub(super) delimiter: Option<Delimiter>,
    /// What quotes cells; '' for nothing
    #[arg(long, env = "SHARDMILL_INGEST_QUOTE", value_name = "CHAR", value_parser = MaybeByte(parse_quote))]
    quote: Option<Byte>,
    /// The character behind which any other is itself, such as backslash; '' for none: quotes are doubled
    #[arg(long, env = "SHARDMILL_INGEST_ESCAPE", value_name = "CHAR", value_parser = MaybeByte(parse_escape))]
    escape: Option<Byte>,
    /// What lines begin with that are left out; '' for none
    #[arg(long, env = "SHARDMILL_INGEST_COMMENT", value_name = "CHARS", value_parser = clap::builder::OsStringValueParser::new())]
    comment: Option<std::ffi::OsString>,
    /// Cut blanks around cells
    #[arg(long, env = "SHARDMILL_INGEST_TRIM", value_parser = FalseyValueParser::new())]
    trim: bool,
    /// The character encoding, by its name on the web: utf-8, windows-1252, utf-16le, shift_jis, ...
    #[arg(long, env = "SHARDMILL_INGEST_ENCODING", value_name = "NAME", value_parser = parse_encoding)]
    pub(super) encoding: Option<TextEncoding>,
    /// Lines before the header (or the data) that are left out
    #[arg(long, env = "SHARDMILL_INGEST_SKIP_LINES", value_name = "N")]
    skip_lines: Option<u64>,
    /// The line that names the columns, counted from 1
    #[arg(long, env = "SHARDMILL_INGEST_HEADER_LINE", value_name = "N", conflicts_with_all = ["no_header", "skip_lines"],
        value_parser = clap::value_parser!(u64).range(1..))]
    header_line: Option<u64>,
    /// The first line is data; columns are named column_1, column_2, ..., or as --schema says
    #[arg(long, env = "SHARDMILL_INGEST_NO_HEADER", value_parser = FalseyValueParser::new())]
    pub(super) no_header: bool,
    /// The first line names the columns, whatever it looks like
    #[arg(long, env = "SHARDMILL_INGEST_HEADER", value_parser = FalseyValueParser::new(), conflicts_with = "no_header")]
    header: bool,
    /// Refuse a header with names that are missing or there twice, rather than name such columns
    #[arg(long, env = "SHARDMILL_INGEST_STRICT", value_parser = FalseyValueParser::new())]
    pub(super) strict: bool,
    /// Leave out columns that have no name in the header
    #[arg(long, env = "SHARDMILL_INGEST_DROP_UNNAMED", value_parser = FalseyValueParser::new(), conflicts_with = "strict")]
    pub(super) drop_unnamed: bool,
    /// What becomes of rows with fewer or more cells than there are columns
    #[arg(long, env = "SHARDMILL_INGEST_RAGGED", value_enum, default_value = "fill")]
    ragged: RaggedArg,
    /// The decimal mark of numbers
    #[arg(long, env = "SHARDMILL_INGEST_DECIMAL", value_name = "CHAR", default_value = ".")]
    decimal: char,
    /// What is between the thousands of numbers
    #[arg(long, env = "SHARDMILL_INGEST_THOUSANDS", value_name = "CHAR")]
    thousands: Option<char>,
}

/// A character, or none.
#[derive(Clone, Copy, Debug)]
struct Byte(Option<u8>);

/// Clap leaves out empty values unless a parser of one's own takes them.
#[derive(Clone)]
struct MaybeByte(fn(&str) -> Result<Option<u8>, Misread>);

impl clap::builder::TypedValueParser for MaybeByte {
    type Value = Byte;
    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<Byte, clap::Error> {
        let read = self.0;
        let parse = move |text: &str| read(text).map(Byte);
        clap::builder::TypedValueParser::parse_ref(&parse, command, arg, value)
    }
}

impl WritingArgs {
    pub(super) fn told(&self) -> Result<Told, CliError> {
        let comment = match self.comment.as_ref().map(|mark| mark.to_str()) {
            None => None,
            Some(Some("")) => Some(None),
            Some(Some(mark)) if !mark.contains(['\n', '\r']) => Some(Some(mark.to_owned())),
            Some(_) => return Err(CliError::usage("--comment must be text of one line")),
        };
        let header =
            if self.no_header { Some(false) } else { (self.header || self.header_line.is_some()).then_some(true) };
        Ok(Told {
            delimiter: self.delimiter.clone(),
            quote: self.quote.map(|quote| quote.0),
            escape: self.escape.map(|escape| escape.0),
            comment,
            trim: self.trim.then_some(true),
            header,
            skip_lines: self.skip_lines.or(self.header_line.map(|line| line - 1)),
            tabs: false,
        })
    }

    pub(super) fn ragged(&self) -> Ragged {
        match self.ragged {
            RaggedArg::Fill => Ragged::Fill,
            RaggedArg::Reject => Ragged::Reject,
        }
    }

    /// How numbers are written, if not as usual.
    pub(super) fn numbers(&self) -> Result<Option<Numbers>, CliError> {
        let Self { decimal, thousands, .. } = *self;
        if decimal == '.' && thousands.is_none() {
            return Ok(None);
        }
        let odd = |mark: char| mark.is_ascii_digit() || matches!(mark, '-' | '+' | 'e' | 'E' | '\n' | '\r');
        if odd(decimal) || thousands.is_some_and(odd) || thousands == Some(decimal) {
            return Err(CliError::usage(
                "--decimal and --thousands must be two different marks, and neither digits nor signs",
            ));
        }
        Ok(Some(Numbers { decimal, thousands }))
    }
}
