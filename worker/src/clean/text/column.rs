//! Runs a program over a column of strings, into strings or straight into typed values.

use polars::prelude::{DataType as PolarsType, IntoSeries, PlSmallStr, Series, StringChunked};
use polars_arrow::array::{
    Array, BinaryViewArray, BooleanArray, MutableBinaryViewArray, PrimitiveArray, Utf8ViewArray, View,
};
use polars_arrow::bitmap::{Bitmap, BitmapBuilder};
use polars_arrow::datatypes::ArrowDataType;
use polars_arrow::types::NativeType;

use shardmill_common::text::{parse_duration, parse_hex, parse_time};

use super::program::{Cell, Scratch, Step, run};
use crate::clean::parse::{Parsed, Parser};

/// What a program made of a column.
pub struct Ran {
    /// `None`: no cell changed.
    pub series: Option<Series>,
    /// Changed cells of each step.
    pub counts: Vec<u64>,
    /// Cells that the cast at the end made null, the wrong ones among them.
    pub nulled: u64,
    /// Rows and texts that the cast at the end could not read, if they were asked for.
    pub errors: Vec<(usize, String)>,
}

/// Runs `steps`, then `parser` if there is one. Wrong cells become null, and are listed if `list_errors`.
pub fn run_column(column: &StringChunked, steps: &[Step], parser: Option<&Parser>, list_errors: bool) -> Ran {
    let mut counts = vec![0; steps.len()];
    let name = column.name().clone();
    let Some(parser) = parser else {
        let chunks: Vec<_> = column.downcast_iter().map(|chunk| run_text(chunk, steps, &mut counts)).collect();
        let changed = counts.iter().any(|n| *n > 0);
        let series = changed.then(|| StringChunked::from_chunk_iter(name, chunks).into_series());
        return Ran { series, counts, nulled: 0, errors: Vec::new() };
    };
    let mut typed = Typed { steps, counts: &mut counts, errors: list_errors.then(Vec::new), nulled: 0, offset: 0 };
    let mut chunks: Vec<Box<dyn Array>> = Vec::new();
    for chunk in column.downcast_iter() {
        chunks.push(match parser {
            Parser::Integer(form) => typed.primitive(chunk, |text| form.integer(text)),
            Parser::Float(form) => typed.primitive(chunk, |text| form.float(text)),
            Parser::Date(reader) => typed.primitive(chunk, |text| reader.date(text)),
            Parser::Datetime(reader) => typed.primitive(chunk, |text| reader.datetime(text)),
            Parser::Decimal(form, precision, scale) => {
                typed.primitive(chunk, |text| form.decimal(text, *precision, *scale))
            }
            Parser::Time => typed.primitive(chunk, |text| Parsed::of(text, parse_time)),
            Parser::Duration => typed.primitive(chunk, |text| Parsed::of(text, parse_duration)),
            Parser::Binary => typed.binary(chunk),
            Parser::Boolean => typed.boolean(chunk),
        });
        typed.offset += chunk.len();
    }
    let (nulled, errors) = (typed.nulled, typed.errors.take().unwrap_or_default());
    Ran { series: Some(series_of(name, chunks, &parser.polars_type())), counts, nulled, errors }
}

fn series_of(name: PlSmallStr, chunks: Vec<Box<dyn Array>>, dtype: &PolarsType) -> Series {
    // SAFETY: each parser makes chunks of the physical type of its own `polars_type`.
    unsafe { Series::from_chunks_and_dtype_unchecked(name, chunks, dtype) }
}

fn run_text(input: &Utf8ViewArray, steps: &[Step], counts: &mut [u64]) -> Utf8ViewArray {
    let mut scratch = Scratch::default();
    let mut out = TextOut::new(input, steps.iter().any(Step::can_make_nulls));
    for (row, view) in input.views().iter().enumerate() {
        if input.is_null(row) {
            out.push_null();
            continue;
        }
        // SAFETY: `row` is below the array's length.
        let source = unsafe { input.value_unchecked(row) };
        match run(steps, source, &mut scratch, counts) {
            Cell::Kept(text) if text.len() == source.len() => out.push_view(*view),
            Cell::Kept(text) => out.push_piece(*view, text, text.as_ptr() as usize - source.as_ptr() as usize),
            Cell::Made(text) => out.push_new(text),
            Cell::Null => out.push_null(),
        }
    }
    out.finish(input)
}

/// Builds an array of strings that shares the buffers of its input for every cell that is the old one or a piece of it.
struct TextOut {
    views: Vec<View>,
    validity: Option<BitmapBuilder>,
    /// Buffers of the input: new ones are numbered after them.
    old_buffers: usize,
    uses_old: bool,
    full: Vec<Vec<u8>>,
    current: Vec<u8>,
}

/// Views have 32-bit offsets.
const BUFFER_LIMIT: usize = 1 << 30;

impl TextOut {
    fn new(input: &Utf8ViewArray, can_make_nulls: bool) -> Self {
        let needs_validity = can_make_nulls || input.null_count() > 0;
        Self {
            views: Vec::with_capacity(input.len()),
            validity: needs_validity.then(|| BitmapBuilder::with_capacity(input.len())),
            old_buffers: input.data_buffers().len(),
            uses_old: false,
            full: Vec::new(),
            current: Vec::new(),
        }
    }

    #[inline]
    fn push(&mut self, view: View) {
        self.views.push(view);
        if let Some(validity) = &mut self.validity {
            validity.push(true);
        }
    }

    #[inline]
    fn push_null(&mut self) {
        self.views.push(View::default());
        if let Some(validity) = &mut self.validity {
            validity.push(false);
        }
    }

    #[inline]
    fn push_view(&mut self, view: View) {
        self.uses_old |= !view.is_inline();
        self.push(view);
    }

    /// A piece of the cell of `view`, `skip` bytes in.
    #[inline]
    fn push_piece(&mut self, view: View, text: &str, skip: usize) {
        // A piece longer than an inline view can only come from a cell that was not inline either.
        self.uses_old |= text.len() > View::MAX_INLINE_SIZE as usize;
        self.push(View::new_from_bytes(text.as_bytes(), view.buffer_idx, view.offset.wrapping_add(skip as u32)));
    }

    #[inline]
    fn push_new(&mut self, text: &str) {
        if text.len() <= View::MAX_INLINE_SIZE as usize {
            self.push(View::new_inline(text.as_bytes()));
            return;
        }
        if self.current.len() + text.len() > BUFFER_LIMIT && !self.current.is_empty() {
            self.full.push(std::mem::take(&mut self.current));
        }
        let buffer = (self.old_buffers + self.full.len()) as u32;
        let offset = self.current.len() as u32;
        self.current.extend_from_slice(text.as_bytes());
        self.push(View::new_from_bytes(text.as_bytes(), buffer, offset));
    }

    fn finish(mut self, input: &Utf8ViewArray) -> Utf8ViewArray {
        let mut buffers: Vec<_> = input.data_buffers().iter().cloned().collect();
        if !self.uses_old {
            // Keeps the numbering, lets the old texts go.
            for buffer in &mut buffers {
                *buffer = Vec::new().into();
            }
        }
        self.full.push(self.current);
        buffers.extend(self.full.into_iter().map(Into::into));
        let bytes = buffers.iter().map(|b| b.len()).sum();
        let validity = self.validity.and_then(BitmapBuilder::into_opt_validity);
        // SAFETY: every view is inline, or one of the input's, or points at a whole text appended to a new buffer; pieces
        // are cut at character boundaries, since they were `&str`.
        unsafe {
            Utf8ViewArray::new_unchecked(
                ArrowDataType::Utf8View,
                self.views.into(),
                buffers.into(),
                validity,
                None,
                bytes,
            )
        }
    }
}

/// The running state of a program that ends in a cast.
struct Typed<'p> {
    steps: &'p [Step],
    counts: &'p mut [u64],
    errors: Option<Vec<(usize, String)>>,
    nulled: u64,
    /// Rows of the chunks before.
    offset: usize,
}

impl Typed<'_> {
    /// Calls `push` with the value of every cell.
    #[inline]
    fn each<T>(
        &mut self,
        input: &Utf8ViewArray,
        mut parse: impl FnMut(&str) -> Parsed<T>,
        mut push: impl FnMut(Option<T>),
    ) {
        let mut scratch = Scratch::default();
        for row in 0..input.len() {
            if input.is_null(row) {
                push(None);
                continue;
            }
            // SAFETY: `row` is below the array's length.
            let source = unsafe { input.value_unchecked(row) };
            let text = match run(self.steps, source, &mut scratch, self.counts) {
                Cell::Kept(text) | Cell::Made(text) => text,
                Cell::Null => {
                    push(None);
                    continue;
                }
            };
            match parse(text) {
                Parsed::Value(value) => push(Some(value)),
                Parsed::Missing => {
                    self.nulled += 1;
                    push(None);
                }
                Parsed::Wrong => {
                    self.nulled += 1;
                    if let Some(errors) = &mut self.errors {
                        errors.push((self.offset + row, text.to_owned()));
                    }
                    push(None);
                }
            }
        }
    }

    fn primitive<T: NativeType>(
        &mut self,
        input: &Utf8ViewArray,
        parse: impl FnMut(&str) -> Parsed<T>,
    ) -> Box<dyn Array> {
        let mut values: Vec<T> = Vec::with_capacity(input.len());
        let mut validity = BitmapBuilder::with_capacity(input.len());
        self.each(input, parse, |value| {
            validity.push(value.is_some());
            values.push(value.unwrap_or_default());
        });
        PrimitiveArray::new(T::PRIMITIVE.into(), values.into(), validity.into_opt_validity()).boxed()
    }

    fn binary(&mut self, input: &Utf8ViewArray) -> Box<dyn Array> {
        let mut values = MutableBinaryViewArray::<[u8]>::with_capacity(input.len());
        self.each(input, |text| Parsed::of(text, parse_hex), |value: Option<Vec<u8>>| values.push(value));
        BinaryViewArray::from(values).boxed()
    }

    fn boolean(&mut self, input: &Utf8ViewArray) -> Box<dyn Array> {
        let mut values = BitmapBuilder::with_capacity(input.len());
        let mut validity = BitmapBuilder::with_capacity(input.len());
        self.each(input, crate::clean::parse::boolean, |value| {
            validity.push(value.is_some());
            values.push(value.unwrap_or_default());
        });
        let validity: Option<Bitmap> = validity.into_opt_validity();
        BooleanArray::new(ArrowDataType::Boolean, values.freeze(), validity).boxed()
    }
}
