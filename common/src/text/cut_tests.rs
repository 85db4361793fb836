//! Cutting must agree with scanning, whatever the blocks in which the data arrives.

use std::io::Read;

use proptest::prelude::*;

use super::*;
use crate::text::{Record, next_record};

const CSV: Grammar = Grammar { delimiter: b',', quote: Some(b'"') };

/// Yields at most `step` bytes at a time.
struct Dripping<'a>(&'a [u8], usize);

impl Read for Dripping<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.1.min(self.0.len()).min(out.len());
        out[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        Ok(n)
    }
}

fn scan(data: &[u8], grammar: Grammar, max: usize) -> Vec<Record> {
    let (mut at, mut records) = (0, Vec::new());
    while at < data.len() {
        let record = next_record(data, at, grammar, max, true).unwrap();
        at = record.end;
        records.push(record);
    }
    records
}

/// Feeds the cutter as a stream would, `step` bytes at a time.
fn cut_in_steps(data: &[u8], mut cutter: Cutter, step: usize) -> Vec<Cut> {
    let (mut from, mut to, mut cuts) = (0, 0, Vec::new());
    while from < data.len() {
        to = (to + step).min(data.len());
        let last = to == data.len();
        loop {
            let advance = cutter.advance(&data[from..to], last);
            from += advance.consumed;
            match advance.cut {
                Some(cut) => cuts.push(cut),
                None => break,
            }
        }
    }
    cuts.extend(cutter.finish());
    cuts
}

fn check(data: &[u8], grammar: Grammar, target: u64, step: usize, max: usize) {
    let cutter = || Cutter::new(grammar, target, 0, 1).with_max_record(max);
    let cuts = cut_slice(data, cutter()).unwrap();
    assert_eq!(cuts, cut_in_steps(data, cutter(), step));
    assert_eq!(cuts, Offsets::new(Dripping(data, step), cutter()).collect::<Result<Vec<_>, _>>().unwrap());
    let chunks = Chunks::new(Dripping(data, step), cutter()).collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(chunks.iter().flat_map(|c| c.bytes.clone()).collect::<Vec<u8>>(), data);
    let mut records = Vec::new();
    for (cut, chunk) in cuts.iter().zip(&chunks) {
        let offset = cut.offset as usize;
        assert_eq!(
            (cut.offset, cut.len, cut.first_line, cut.lines),
            (chunk.offset, chunk.bytes.len() as u64, chunk.first_line, chunk.lines)
        );
        let newlines = data[..offset].iter().filter(|b| **b == b'\n').count();
        assert_eq!(cut.first_line, 1 + newlines as u64);
        for r in scan(&chunk.bytes, grammar, max) {
            let (start, content_end, end) = (r.start + offset, r.content_end + offset, r.end + offset);
            records.push(Record { start, content_end, end, defect: r.defect });
        }
    }
    assert_eq!(cuts.len(), chunks.len());
    assert!(cuts.iter().rev().skip(1).all(|c| c.len >= target));
    assert_eq!(records, scan(data, grammar, max));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn cutting_then_scanning_is_scanning(
        data in proptest::collection::vec(proptest::sample::select(b"aa,,\"\"\n\n\r".to_vec()), 0..120),
        target in 1u64..60,
        step in 1usize..50,
        max in 1usize..30,
    ) {
        check(&data, CSV, target, step, max);
        check(&data, Grammar::lines(), target, step, max);
        check(&data, Grammar { delimiter: b',', quote: None }, target, step, max);
    }
}

#[test]
fn a_chunk_is_the_shortest_that_reaches_the_target() {
    let data = b"a\nbb\n\"c\nc\"\nd";
    let cuts = cut_slice(data, Cutter::new(CSV, 3, 100, 7)).unwrap();
    let cut = |offset, len, first_line, lines| Cut { offset, len, first_line, lines };
    assert_eq!(cuts, [cut(100, 5, 7, 2), cut(105, 6, 9, 2), cut(111, 1, 11, 1)]);
    assert_eq!(cut_slice(b"", Cutter::new(CSV, 3, 0, 1)).unwrap(), []);
}

#[test]
fn long_data_is_cut_across_blocks_and_strides() {
    let mut data = Vec::new();
    for n in 0..60_000 {
        data.extend(format!("{n},\"quoted\n{n}\",plain text to make it longer\r\n").as_bytes());
    }
    let cutter = || Cutter::new(CSV, 700_000, 0, 1);
    let cuts = cut_slice(&data, cutter()).unwrap();
    let chunks = Chunks::new(&data[..], cutter()).collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(cuts.len(), 5);
    assert_eq!(cuts.iter().map(|c| c.lines).sum::<u64>(), 120_000);
    for (cut, chunk) in cuts.iter().zip(&chunks) {
        assert_eq!((cut.offset, cut.first_line), (chunk.offset, chunk.first_line));
        assert_eq!(chunk.bytes, &data[cut.offset as usize..(cut.offset + cut.len) as usize]);
        assert!(chunk.bytes.ends_with(b"longer\r\n"));
    }
}
