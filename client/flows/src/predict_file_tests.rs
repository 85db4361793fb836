//! How a file is read for a model, and in which format its predictions are written.

use shardmill_common::model::{Encoder, Encoding as FeatureEncoding, Feature, LinearParameters, Parameters, example};
use shardmill_common::text::Dialect;

use super::*;

fn model() -> Model {
    let feature = |column: &str, dtype| Feature {
        column: column.into(),
        dtype,
        encoding: FeatureEncoding::Numeric { scaling: None },
        fill: None,
        indicator: false,
    };
    Model {
        features: Encoder { features: vec![feature("x", DataType::Float64), feature("n", DataType::Int64)] },
        parameters: Parameters::Linear(LinearParameters { coefficients: vec![1.0, 2.0], intercept: 0.0 }),
        ..example().unwrap()
    }
}

fn job(to: &str, keep: Option<&[&str]>) -> FileJob {
    FileJob {
        model: "price".parse().unwrap(),
        from: "data.csv".into(),
        to: to.into(),
        keep: keep.map(|names| names.iter().map(|n| (*n).to_owned()).collect()),
        outputs: PredictOutputs { label: true, probability: true },
        format: None,
        delimiter: None,
        nulls: vec![],
        max_rejects: RejectLimit::Rows(0),
        force: false,
        replicas: None,
    }
}

fn csv(delimiter: u8) -> SourceFormat {
    SourceFormat::Csv { dialect: Dialect { delimiter, ..Default::default() }, columns: vec![] }
}

fn seen(columns: &[(&str, DataType)]) -> Schema {
    Schema::new(columns.iter().map(|(name, dtype)| Field::new(*name, *dtype)).collect())
}

fn shown(schema: &Schema) -> String {
    schema.fields.iter().map(|f| format!("{}={}", f.name, f.dtype)).collect::<Vec<_>>().join(",")
}

#[test]
fn only_the_models_columns_can_have_wrong_cells() {
    use DataType::{Boolean, Date, Float64, Int64, Null, String};
    let columns = seen(&[("id", Int64), ("n", String), ("x", String), ("d", Date)]);
    let read = |keep, format: &SourceFormat, columns: &Schema| job("o.csv", keep).schema(&model(), format, columns);
    assert_eq!(shown(&read(None, &csv(b','), &columns).unwrap()), "id=string,n=int64,x=float64,d=string");
    assert_eq!(shown(&read(None, &SourceFormat::Parquet, &columns).unwrap()), "id=int64,n=int64,x=float64,d=date");
    // Whole numbers that a model learnt may come with fractions.
    let fractions = seen(&[("n", Float64), ("x", String)]);
    assert_eq!(shown(&read(None, &csv(b','), &fractions).unwrap()), "n=float64,x=float64");
    // In JSON lines what is kept stays a number, and what is not there yet may still come.
    let columns = seen(&[("id", Int64), ("b", Boolean), ("t", Null)]);
    let json = |keep| shown(&read(keep, &SourceFormat::JsonLines, &columns).unwrap());
    assert_eq!(json(None), "id=int64,b=boolean,t=string,x=float64,n=int64");
    assert_eq!(json(Some(&["b"][..])), "id=string,b=boolean,t=string,x=float64,n=int64");
}

#[test]
fn mistakes_are_told_before_anything_is_read() {
    use DataType::{Float64, Int64};
    let wrong = |keep: Option<&[&str]>, columns: &[(&str, DataType)]| {
        job("o.csv", keep).schema(&model(), &csv(b','), &seen(columns)).unwrap_err().to_string()
    };
    let missing = wrong(None, &[("id", Int64)]);
    assert!(missing.contains("data.csv lacks columns that m@1 reads: `x`, `n`; its columns are id"), "{missing}");
    let all = [("x", Float64), ("n", Int64), ("prediction", Float64)];
    assert!(wrong(None, &all).contains("a column `prediction`, which data.csv already has"));
    assert!(wrong(Some(&["z"]), &all).contains("no column `z` to keep"));
    job("o.csv", Some(&[])).schema(&model(), &csv(b','), &seen(&all)).unwrap();
}

#[test]
fn the_output_is_written_as_its_name_or_the_input_says() {
    let format = |to: &str, input: &SourceFormat| job(to, None).output_format(input);
    assert_eq!(format("data.csv.out", &csv(b',')), (Format::Csv, Compression::None));
    assert_eq!(format("data.tsv.out", &csv(b'\t')), (Format::Tsv, Compression::None));
    assert_eq!(format("data.out", &SourceFormat::JsonLines), (Format::Jsonl, Compression::None));
    assert_eq!(format("data.jsonl.gz", &csv(b',')), (Format::Jsonl, Compression::Gzip));
    assert_eq!(format("data.parquet", &csv(b';')), (Format::Parquet, Compression::None));
}

#[test]
fn the_input_is_never_the_output() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    for name in ["in.csv", "out.csv.rejects.csv"] {
        std::fs::write(path(name), "x\n1\n").unwrap();
    }
    std::fs::create_dir(path("sub")).unwrap();
    for (from, to) in [("in.csv", "in.csv"), ("in.csv", "sub/../in.csv"), ("out.csv.rejects.csv", "out.csv")] {
        let error = keep_input(&path(from), &path(to)).unwrap_err();
        assert!(error.is_mistake(), "{from} {to}: {error}");
    }
    keep_input(&path("in.csv"), &path("out.csv")).unwrap();
    keep_input("-", "-").unwrap();
    keep_input("/dev/null", "/dev/null").unwrap();
}
