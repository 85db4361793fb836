//! A first look into a text: how it is written, where its records begin, its columns, and the types in its first records.

use std::borrow::Cow;

use shardmill_common::kinds::ingest::SourceFormat;
use shardmill_common::schema::{DataType, Schema};
use shardmill_common::text::{
    Delimiter, Dialect, Encoding, Header, HeaderError, Mended, Ragged, Sniffed, Style, Told, Translator, bom_len,
    guess_hints, mend_names, numbered_names, read_header, read_names, skip_of, sniff,
};

use super::decode::{TextEncoding, decoded};
use super::error::SourceError;
use super::inspect::shown;
use super::json_text::{is_laid_out, lines_of};
use super::options::ReadOptions;
use super::sample::{START, sample};
use super::script::{Form, Script};
use crate::export::Format;

/// Translated text that a header is looked for in first; only wider ones need all there is.
const USUAL_HEAD: usize = 1 << 20;

/// What a first look found.
pub struct TextLook {
    pub format: SourceFormat,
    pub schema: Schema,
    /// Columns that are there and not wanted.
    pub left_out: Vec<String>,
    pub script: Script,
    /// Where the records begin in what the script makes of the source, and in which line.
    pub offset: u64,
    pub first_line: u64,
    /// How the text is written, in words, and whether somebody should be told.
    pub read_as: Option<String>,
    pub remarkable: bool,
    pub notices: Vec<String>,
}

/// The start of a source.
pub struct Head<'a> {
    pub name: &'a str,
    /// Unpacked bytes.
    pub bytes: &'a [u8],
    /// They are all there are.
    pub last: bool,
}

/// Looks into a text of this kind.
pub fn look(head: &Head<'_>, kind: Format, options: &ReadOptions) -> Result<TextLook, SourceError> {
    let encoding = match options.encoding {
        Some(encoding) => encoding,
        None => TextEncoding::found(shown(head.name), head.bytes)?,
    };
    let text = match encoding {
        TextEncoding::Utf8 => Cow::Borrowed(head.bytes.get(bom_len(head.bytes)..).unwrap_or_default()),
        TextEncoding::Windows1252 | TextEncoding::Other(_) => match encoding.decoder() {
            Some(decoder) => Cow::Owned(decoded(decoder, head.bytes, head.last)),
            None => Cow::Borrowed(head.bytes),
        },
    };
    let text = Text { head, encoding, text: &text };
    match kind {
        Format::Jsonl => text.json(options),
        Format::Lines => text.lines(options),
        _ => text.delimited(kind, options),
    }
}

/// The names of the columns, where the data begins, and what was done to names.
type Columns = (Vec<Option<String>>, Header, Vec<String>);

struct Text<'a> {
    head: &'a Head<'a>,
    encoding: TextEncoding,
    /// The start, decoded and without a byte order mark.
    text: &'a [u8],
}

impl Text<'_> {
    /// What the encoding leaves of a byte order mark in decoded text, and what decodes it.
    fn start(&self) -> (u64, Script) {
        match self.encoding.decoder() {
            None => (bom_len(self.head.bytes) as u64, Script::default()),
            decoder => (0, Script { encoding: decoder, ..Script::default() }),
        }
    }

    /// The encoding in words, where it is not the usual one.
    fn encoding_told(&self, read_as: &mut String) {
        if self.encoding != TextEncoding::Utf8 {
            if !read_as.is_empty() {
                read_as.push_str(", ");
            }
            read_as.push_str(self.encoding.name());
        }
    }

    fn lines(&self, options: &ReadOptions) -> Result<TextLook, SourceError> {
        let plain = self.encoding == TextEncoding::Windows1252;
        let (offset, script) = if plain { (0, Script::default()) } else { self.start() };
        let encoding = if plain { Encoding::Windows1252 } else { Encoding::Utf8 };
        let format = SourceFormat::Lines { encoding };
        let schema = sample(self.head.name, &format, &options.nulls, &[], true)?;
        let mut read_as = "lines".to_owned();
        self.encoding_told(&mut read_as);
        let remarkable = options.encoding.is_none() && self.encoding != TextEncoding::Utf8;
        let (left_out, notices) = (Vec::new(), Vec::new());
        let read_as = Some(read_as);
        Ok(TextLook { format, schema, left_out, script, offset, first_line: 1, read_as, remarkable, notices })
    }

    fn json(&self, options: &ReadOptions) -> Result<TextLook, SourceError> {
        let (offset, mut script) = self.start();
        let laid_out = is_laid_out(self.text);
        let lines;
        let mut data = self.text;
        if laid_out {
            script = Script { skip: offset, form: Form::Json, ..script };
            lines = lines_of(self.text);
            data = &lines;
        }
        let format = SourceFormat::JsonLines;
        let schema = self.sampled(&format, options, data)?;
        let mut schema = if schema.is_empty() { return Err(SourceError::NoKeys { name: self.name() }) } else { schema };
        let left_out = leave_out(&mut schema, options);
        let mut read_as = if laid_out { "JSON values".to_owned() } else { "JSON lines".to_owned() };
        self.encoding_told(&mut read_as);
        let remarkable = options.encoding.is_none() && self.encoding != TextEncoding::Utf8;
        let offset = if laid_out { 0 } else { offset };
        let (read_as, notices) = (Some(read_as), Vec::new());
        Ok(TextLook { format, schema, left_out, script, offset, first_line: 1, read_as, remarkable, notices })
    }

    fn delimited(&self, kind: Format, options: &ReadOptions) -> Result<TextLook, SourceError> {
        let told = Told { tabs: kind == Format::Tsv, ..options.told.clone() };
        let sniffed = sniff(self.text, self.head.last, &told);
        let style = &sniffed.style;
        if sniffed.in_runs {
            return Err(SourceError::Runs { name: self.name() });
        }
        let skip = skip_of(self.text, sniffed.skip_lines, style.returns);
        let raw = style.is_plain() && !matches!(self.encoding, TextEncoding::Other(_));
        let dialect = Dialect {
            delimiter: style.delimiter.byte(),
            quote: style.quote_read(),
            header: sniffed.header,
            encoding: if raw && self.encoding == TextEncoding::Windows1252 {
                Encoding::Windows1252
            } else {
                Encoding::Utf8
            },
            ragged: options.ragged,
            numbers: options.numbers,
        };
        let (base, script, translated);
        let mut view = if raw {
            // The parser reads the bytes as they lie; no encoding that it reads has line ends of another length.
            let bom = if self.encoding == TextEncoding::Utf8 { bom_len(self.head.bytes) } else { 0 };
            let unpacked = self.head.bytes.get(bom..).unwrap_or_default();
            let skip = skip_of(unpacked, sniffed.skip_lines, style.returns);
            (base, script) = ((bom + skip) as u64, Script::default());
            unpacked.get(skip..).unwrap_or_default()
        } else {
            let (bom, usual) = self.start();
            let form = if style.is_plain() { Form::AsItIs } else { Form::Styled(style.clone()) };
            (base, script) = (0, Script { skip: bom + skip as u64, skipped_lines: sniffed.skip_lines, form, ..usual });
            self.text.get(skip..).unwrap_or_default()
        };
        let mut last = self.head.last;
        if let Form::Styled(style) = &script.form {
            (translated, last) = translate(style, view, last, &dialect);
            view = &translated;
        }
        let (mut columns, header, mut notices) = self.columns(view, last, &dialect, &sniffed, options)?;
        let mut left_out = Vec::new();
        for column in &mut columns {
            left_out.extend(column.take_if(|name| !options.wanted.takes(name)));
        }
        let data = view.get(header.data_start..).unwrap_or_default();
        let format = SourceFormat::Csv { dialect, columns };
        let schema = self.sampled(&format, options, data)?;
        notices.extend(
            guess_hints(data.get(..START).unwrap_or(data), &format, &options.nulls).iter().map(ToString::to_string),
        );
        if sniffed.titles {
            notices.insert(0, self.skipped(skip, sniffed.skip_lines));
        }
        if let Some(delimiter) = &sniffed.unparted {
            notices.push(format!(
                "it became one column, although its lines have as many of {delimiter}: see --delimiter and --skip-lines"
            ));
        }
        let mut read_as = format!("{style}, {}", if sniffed.header { "header" } else { "no header" });
        if sniffed.skip_lines > 0 {
            let lines = if sniffed.skip_lines == 1 { "line" } else { "lines" };
            read_as.push_str(&format!(", {} {lines} skipped", sniffed.skip_lines));
        }
        self.encoding_told(&mut read_as);
        Ok(TextLook {
            format,
            schema,
            left_out,
            script,
            offset: base + header.data_start as u64,
            first_line: sniffed.skip_lines + header.lines + 1,
            remarkable: is_remarkable(&sniffed, &told)
                || (options.encoding.is_none() && self.encoding != TextEncoding::Utf8),
            read_as: Some(read_as),
            notices,
        })
    }

    fn columns(
        &self,
        view: &[u8],
        last: bool,
        dialect: &Dialect,
        sniffed: &Sniffed,
        options: &ReadOptions,
    ) -> Result<Columns, SourceError> {
        let failed = |error: HeaderError| SourceError::Header { name: self.name(), error };
        Ok(if !dialect.header {
            let mut header = read_names(view, dialect, last).map_err(failed)?;
            let widest = sniffed.body.as_ref().map_or(0, |body| body.width).max(header.names.len());
            if dialect.ragged == Ragged::Fill && widest > header.names.len() {
                header.names = numbered_names(widest);
            }
            let names = named_by_schema(self.head.name, header.names.clone(), options)?;
            (names.into_iter().map(Some).collect(), header, Vec::new())
        } else if options.strict {
            let header = read_header(view, dialect, last).map_err(failed)?;
            (header.names.iter().cloned().map(Some).collect(), header, Vec::new())
        } else {
            let header = read_names(view, dialect, last).map_err(failed)?;
            let Mended { columns, mends } =
                mend_names(header.names.clone(), sniffed.body.as_ref(), sniffed.short_header, options.drop_unnamed);
            (columns, header, mends.iter().map(ToString::to_string).collect())
        })
    }

    /// The lines that are taken for titles.
    fn skipped(&self, bytes: usize, lines: u64) -> String {
        const SHOWN: usize = 60;
        let text = String::from_utf8_lossy(self.text.get(..bytes).unwrap_or_default());
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let shown: String = text.chars().take(SHOWN).collect();
        let more = if text.chars().count() > SHOWN { "…" } else { "" };
        let lines = if lines == 1 {
            "1 line before the table is".to_owned()
        } else {
            format!("{lines} lines before the table are")
        };
        format!("{lines} left out (\"{shown}{more}\"); --skip-lines says how many there are")
    }

    /// The types in the first records.
    fn sampled(&self, format: &SourceFormat, options: &ReadOptions, data: &[u8]) -> Result<Schema, SourceError> {
        let few = data.get(..START).unwrap_or(data);
        let all = self.head.last && few.len() == data.len();
        let schema = sample(self.head.name, format, &options.nulls, few, all)?;
        if few.len() < data.len() && schema.fields.iter().all(|f| f.dtype == DataType::Null) {
            // Records longer than the usual sample: look at all there is.
            return sample(self.head.name, format, &options.nulls, data, self.head.last);
        }
        Ok(schema)
    }

    fn name(&self) -> String {
        shown(self.head.name).to_owned()
    }
}

/// Takes out what is not wanted.
fn leave_out(schema: &mut Schema, options: &ReadOptions) -> Vec<String> {
    let (kept, left): (Vec<_>, Vec<_>) = schema.fields.drain(..).partition(|f| options.wanted.takes(&f.name));
    schema.fields = kept;
    left.into_iter().map(|f| f.name).collect()
}

/// As much of the text as is needed, translated, and whether that is all of it.
fn translate(style: &Style, text: &[u8], last: bool, dialect: &Dialect) -> (Vec<u8>, bool) {
    let few = text.get(..USUAL_HEAD).unwrap_or(text);
    let all = last && few.len() == text.len();
    let step = |text: &[u8], last| {
        let mut out = Vec::with_capacity(text.len());
        Translator::new(style.clone()).step(text, last, &mut out);
        out
    };
    let translated = step(few, all);
    if few.len() < text.len() && matches!(read_names(&translated, dialect, all), Err(HeaderError::NoEnd { .. })) {
        return (step(text, last), last);
    }
    (translated, all)
}

/// Whether something was found that is neither usual nor was told.
fn is_remarkable(sniffed: &Sniffed, told: &Told) -> bool {
    let style = &sniffed.style;
    let usual = Style { delimiter: Delimiter::Byte(if told.tabs { b'\t' } else { b',' }), ..Style::default() };
    (told.delimiter.is_none() && style.delimiter != usual.delimiter)
        || (told.quote.is_none() && style.quote != usual.quote)
        || (told.escape.is_none() && style.escape != usual.escape)
        || (told.comment.is_none() && style.comment != usual.comment)
        || (told.trim.is_none() && style.trim != usual.trim)
        || style.returns != usual.returns
        || (told.header.is_none() && !sniffed.header)
        || (told.skip_lines.is_none() && sniffed.skip_lines > 0)
}

/// Columns without a header take the names of `--schema`, where their number fits.
fn named_by_schema(name: &str, numbered: Vec<String>, options: &ReadOptions) -> Result<Vec<String>, SourceError> {
    match &options.schema {
        None => Ok(numbered),
        Some(schema) if schema.len() == numbered.len() => Ok(schema.names().map(str::to_owned).collect()),
        Some(schema) => {
            Err(SourceError::Width { name: shown(name).to_owned(), columns: numbered.len(), schema: schema.clone() })
        }
    }
}
