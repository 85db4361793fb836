"""Ingest against the truth that files were written from, and against pandas.read_csv."""

import datetime as dt
import math
import random
import re

import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from helpers import (
    INF, NAN, TYPES, assert_rows, assert_table, cell, concat, generate, rows_of, write, write_csv,
)  # fmt: skip

# Text that stays text although pandas reads it as a number: docs/ingest.md.
KEPT_TEXT = re.compile(r"[+ ]|-?0\d|.*[ _]|-0$|[-+]?nan$|.*[A-Za-z]")


def assert_as_read_csv(table: pa.Table, types: dict, sources, nulls=(), **options):
    """The dataset equals what pandas reads from the same files, knowing the documented differences:

    * pandas guesses number types per file, Shardmill a type of all files; digits with leading zeros stay text;
    * ISO dates and times are inferred; pandas keeps text;
    * only the empty cell and the null marks are null (and so pandas is told).
    """
    reading = dict(keep_default_na=False, na_values=["", *nulls], **options)
    texts = pd.concat([pd.read_csv(s, dtype=str, **reading) for s in sources], ignore_index=True)
    # Told that only the empty cell is null, pandas takes a NaN for text.
    numbers = {**reading, "na_values": ["", "nan", "NaN", *nulls]}
    frame = pd.concat([pd.read_csv(s, low_memory=False, **numbers) for s in sources], ignore_index=True)
    assert table.num_rows == len(frame)
    assert len(table.column_names) == frame.shape[1]
    for name, theirs in zip(table.column_names, frame.columns):
        text = [None if pd.isna(v) else v for v in texts[theirs].tolist()]
        got = table.column(name).to_pylist()
        kind = types[name]
        guessed = frame[theirs].dtype
        if kind == "string":
            wanted = text
            if pd.api.types.is_numeric_dtype(guessed) and not pd.api.types.is_bool_dtype(guessed) and any(text):
                assert any(KEPT_TEXT.match(t) or t.isdigit() and int(t) >= 2**53 for t in text if t), f"{name}: why is {guessed} text?"
        elif kind in ("int64", "float64"):
            assert pd.api.types.is_numeric_dtype(guessed), f"{name}: {kind}, and {guessed} in pandas"
            if kind == "int64":
                wanted = [None if t is None else int(t) for t in text]
                assert pd.api.types.is_integer_dtype(guessed) or None in wanted, f"{name}: {kind}, and {guessed} in pandas"
            else:
                # A NaN in the text is a NaN in the dataset; an empty cell is null. In pandas both are NaN.
                wanted = [None if t is None else float(v) for t, v in zip(text, frame[theirs])]
        elif kind == "boolean":
            wanted = [None if t is None else {"true": True, "false": False}[t.lower()] for t in text]
        elif kind == "date":
            wanted = [None if t is None else dt.date.fromisoformat(t) for t in text]
        elif kind == "datetime":
            wanted = [None if t is None else pd.Timestamp(t).to_pydatetime() for t in text]
        else:
            wanted = [None if t is None else pd.Timestamp(t).tz_convert("UTC").to_pydatetime() for t in text]
        assert_rows([(cell(v),) for v in got], [(cell(v),) for v in wanted], f"column {name} ({kind})")


def test_the_comparison_tells_alike_values_apart():
    """Both sides of every comparison go through `cell`: if it took these for equal, no test would notice."""
    values = [None, NAN, 0.0, -0.0, 0, 1, 1.0, True, False, "", "1", "nan", INF, -INF, dt.date(2024, 1, 1), dt.datetime(2024, 1, 1),
              dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc), 2**53, 2**53 + 1, float(2**53)]  # fmt: skip
    assert len({repr(cell(v)) for v in values}) == len(values)
    with pytest.raises(AssertionError, match="row 1"):
        assert_rows([("a",), ("b",)], [("a",), ("c",)])
    with pytest.raises(AssertionError, match="1 rows, not 2"):
        assert_rows([("a",)], [("a",), ("c",)])


FORMATS = ["csv", "tsv", "csv.gz", "csv.zst", "tsv.zst", "jsonl", "jsonl.gz", "jsonl.zst", "parquet", "arrow"]


@pytest.mark.parametrize("seed,extension", list(enumerate(FORMATS, 1)))
def test_every_format_gives_the_same_rows(mill, tmp_path, seed, extension):
    parts = [generate(seed * 100 + n, rows, finite="json" in extension) for n, rows in enumerate([400, 1, 250])]
    paths = [tmp_path / f"part{n}.{extension}" for n in range(3)]
    for path, part in zip(paths, parts):
        write(path, part, seed)
    result = mill.ingest("t", *paths, shard_size=4000)
    assert result["counters"] == {"files": 3, "rows": 651, "rejected": 0}
    assert result["dataset"] == "t@1" and result["rows"] == 651 and result["state"] == "done"
    assert mill.types("t") == TYPES
    assert mill.shards("t") >= 3, "too few shards to test anything"
    assert_table(mill.table("t"), concat(parts), extension)


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_a_csv_file_is_what_pandas_reads(mill, tmp_path, seed):
    truth = generate(seed, 600)
    write_csv(tmp_path / "a.csv", truth, seed)
    write_csv(tmp_path / "b.csv", truth, seed + 1, newline="\r\n")
    sources = [tmp_path / "a.csv", tmp_path / "b.csv"]
    mill.ingest("t", *sources, shard_size=5000)
    table = mill.table("t")
    # pandas cannot tell `""` from an empty cell: for the comparison both are null.
    s = table.column_names.index("s")
    table = table.set_column(s, "s", pa.array([v or None for v in table.column("s").to_pylist()]))
    assert_as_read_csv(table, mill.types("t"), sources)


def test_files_of_several_formats_make_one_dataset(mill, tmp_path):
    parts = [generate(n, 120, finite=True) for n in range(4)]
    paths = [tmp_path / f"p{n}.{e}" for n, e in enumerate(["jsonl", "parquet", "csv.gz", "arrow"])]
    for path, part in zip(paths, parts):
        write(path, part)
    mill.ingest("t", *paths)
    assert_table(mill.table("t"), concat(parts))


def test_a_folder_is_read_in_the_order_of_its_names(mill, tmp_path):
    folder = tmp_path / "in"
    (folder / "b").mkdir(parents=True)
    parts = [generate(n, 40) for n in range(3)]
    for path, part in zip([folder / "a.csv", folder / "b" / "a.csv", folder / "c.csv"], parts):
        write(path, part)
    mill.ingest("t", folder)
    assert_table(mill.table("t"), concat(parts))


def test_a_second_ingest_appends(mill, tmp_path):
    first, second = generate(1, 200), generate(2, 100)
    write(tmp_path / "1.csv", first)
    write(tmp_path / "2.parquet", second)
    mill.ingest("t", tmp_path / "1.csv", shard_size=3000)
    assert mill.ingest("t", tmp_path / "2.parquet", append=True)["dataset"] == "t@2"
    assert_table(mill.table("t"), concat([first, second]))
    assert_table(mill.table("t@1"), first)
    # Everything was taken already.
    again = mill.ingest("t", tmp_path / "1.csv", tmp_path / "2.parquet", append=True, new_only=True)
    assert again["counters"].get("rows", 0) == 0
    assert_table(mill.table("t"), concat([first, second]))


@pytest.mark.parametrize("late,types", [
    (["1.5", "x", "2024-01-01 10:00", "1"], {"i": "float64", "x": "string", "d": "datetime", "b": "string"}),
    (["007", "1e3", "never", "no"], {"i": "string", "x": "float64", "d": "string", "b": "string"}),
    (["9223372036854775808", "12", "", ""], {"i": "string", "x": "float64", "d": "date", "b": "boolean"}),
])  # fmt: skip
def test_a_late_cell_widens_the_type_and_no_text_is_lost(mill, tmp_path, late, types):
    """The text of the cells before is kept as it was written, although they were read as numbers, dates and booleans."""
    early = [[str(n), f"{n}.50", "2024-02-29", "TRUE" if n % 2 else "false"] for n in range(3000)]
    rows = [*early, late]
    path = tmp_path / "late.csv"
    path.write_text("\n".join(",".join(r) for r in [["i", "x", "d", "b"], *rows]) + "\n")
    mill.ingest("t", path, shard_size=8000)
    assert mill.types("t") == types
    read = {
        "string": str,
        "int64": int,
        "float64": float,
        "boolean": lambda t: t.lower() == "true",
        "date": dt.date.fromisoformat,
        "datetime": dt.datetime.fromisoformat,
    }
    wanted = [tuple(cell(read[types[c]](t)) if t else None for c, t in zip("ixdb", row)) for row in rows]
    assert mill.shards("t") > 3
    assert_rows(mill.rows("t"), wanted)


def test_files_are_joined_by_column_name(mill, tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,x\n2,y\n")
    (tmp_path / "b.csv").write_text("c,b,a\n2024-01-01,z,1.5\n,,\n")
    mill.ingest("t", tmp_path / "a.csv", tmp_path / "b.csv")
    wanted = {"a": [1.0, 2.0, 1.5, None], "b": ["x", "y", "z", None], "c": [None, None, dt.date(2024, 1, 1), None]}
    assert_table(mill.table("t"), wanted)


def test_numbers_are_read_to_the_last_bit(mill, tmp_path):
    """Python's `float` is correctly rounded, and so is pandas."""
    rng = random.Random(5)
    texts = ["0.1", "1e22", "1e23", "2.2250738585072011e-308", "4.9e-324", "1.7976931348623157e308", "9007199254740992.5", "-0.0", ".5", "5."]
    texts += [f"{rng.uniform(-1, 1):.{rng.randrange(1, 25)}f}" for _ in range(300)]
    texts += [f"{rng.randrange(10**17)}.{rng.randrange(10**17)}e{rng.randrange(-300, 280)}" for _ in range(300)]
    path = tmp_path / "f.csv"
    path.write_text("x,y\n" + "".join(f"{t},1\n" for t in texts if not re.match(r"-?0\d", t)))
    mill.ingest("t", path)
    assert_as_read_csv(mill.table("t"), mill.types("t"), [path])
    assert mill.types("t")["x"] == "float64"


def test_null_marks_latin1_quotes_and_no_header(mill, tmp_path):
    path = tmp_path / "x.dat"
    path.write_bytes("caf\xe9;\\N;'a;b'\n\xdcber;3;NA\nx;-9;'it''s'\n".encode("latin-1"))
    mill.ingest("t", path, format="csv", delimiter=";", quote="'", encoding="latin1", null=["\\N"], no_header=True)
    wanted = {"column_1": ["café", "Über", "x"], "column_2": [None, 3, -9], "column_3": ["a;b", "NA", "it's"]}
    assert_table(mill.table("t"), wanted)
    mill.ingest("u", path, format="csv", delimiter=";", quote="'", encoding="latin1", no_header=True, schema="name=string,n=string,q=string")
    assert_table(mill.table("u"), {"name": ["café", "Über", "x"], "n": ["\\N", "3", "-9"], "q": ["a;b", "NA", "it's"]})


def test_a_null_mark_may_begin_with_a_hyphen(mill, tmp_path):
    """-999 is the most usual mark of all."""
    path = tmp_path / "t.csv"
    path.write_text("a,b\n-999,x\n2,-999\n3,-\n")
    mill.run("ingest", "t", path, "--null=-999", "--null=-")
    assert_table(mill.table("t"), {"a": [None, 2, 3], "b": ["x", None, None]})
    mill.run("ingest", "u", path, "--null", "-999", "--null", "-")
    assert_table(mill.table("u"), {"a": [None, 2, 3], "b": ["x", None, None]})


def test_standard_input(mill):
    result = mill.run("ingest", "t", "-", "--format", "csv", stdin=b"a,b\n1,x\n2,\n")
    assert result["rows"] == 2
    assert_table(mill.table("t"), {"a": [1, 2], "b": ["x", None]})


@pytest.mark.parametrize("extension", ["parquet", "arrow"])
def test_types_of_binary_files_are_mapped(mill, tmp_path, extension):
    table = pa.table({
        "i8": pa.array([1, None, -128], pa.int8()),
        "u32": pa.array([2**32 - 1, 0, None], pa.uint32()),
        "f32": pa.array([0.1, NAN, None], pa.float32()),
        "ms": pa.array([dt.datetime(2024, 1, 1, 1, 2, 3, 4000), None, dt.datetime(1950, 5, 5)], pa.timestamp("ms")),
        "ns": pa.array([dt.datetime(2024, 1, 1, 1, 2, 3, 4), None, dt.datetime(1950, 5, 5)], pa.timestamp("ns")),
        "tz": pa.array([dt.datetime(2024, 1, 1, 12), None, dt.datetime(2024, 7, 1, 12)], pa.timestamp("us", tz="Europe/Berlin")),
        "d64": pa.array([dt.date(2024, 1, 1), None, dt.date(1950, 5, 5)], pa.date64()),
        "cat": pa.array(["a", None, "b"]).dictionary_encode(),
        "large": pa.array(["x", "", None], pa.large_string()),
        "nothing": pa.nulls(3),
    })  # fmt: skip
    path = tmp_path / f"t.{extension}"
    (pq.write_table if extension == "parquet" else feather.write_feather)(table, path)
    mill.ingest("t", path)
    assert mill.types("t") == {
        "i8": "int64", "u32": "int64", "f32": "float64", "ms": "datetime", "ns": "datetime", "tz": "datetime_utc", "d64": "datetime",
        "cat": "string", "large": "string", "nothing": "null",
    }  # fmt: skip
    # A date64 counts milliseconds and may hold any instant.
    expected = table.set_column(table.schema.get_field_index("d64"), "d64", table["d64"].cast(pa.timestamp("us")))
    assert_rows(mill.rows("t"), rows_of(expected))


@pytest.mark.parametrize("extension", ["csv", "tsv", "jsonl", "parquet", "arrow", "csv.gz", "jsonl.zst"])
def test_what_is_exported_can_be_taken_in_again(mill, tmp_path, extension):
    truth = generate(77, 300, finite="json" in extension)
    write(tmp_path / "in.csv", truth)
    mill.ingest("t", tmp_path / "in.csv", shard_size=4000)
    out = tmp_path / f"out.{extension}"
    mill.run("dataset", "export", "t", "--to", out)
    mill.ingest("u", out)
    assert mill.types("u") == TYPES
    assert_table(mill.table("u"), truth)


def test_an_exported_csv_is_what_pandas_reads(mill, tmp_path):
    truth = generate(78, 300)
    write(tmp_path / "in.csv", truth)
    mill.ingest("t", tmp_path / "in.csv", shard_size=4000)
    mill.run("dataset", "export", "t", "--to", tmp_path / "out.csv")
    frame = pd.read_csv(
        tmp_path / "out.csv", keep_default_na=False, na_values={"x": ["", "NaN"], "id": [""], "big": [""]},
        dtype={"id": "Int64", "big": "Int64", "zip": str, "s": str},
    )  # fmt: skip
    assert [None if v is pd.NA else v for v in frame["big"]] == truth["big"]
    assert [v or "" for v in truth["s"]] == frame["s"].tolist()
    for got, wanted in zip(frame["x"], truth["x"]):
        assert math.isnan(got) if wanted is None or math.isnan(wanted) else got.hex() == wanted.hex()
    assert INF in truth["x"] and -INF in truth["x"]


REAL = [
    # file, command line options, null marks, pandas' options
    ("seaborn-titanic.csv", {}, (), {}),
    ("seaborn-raw-titanic.csv", {}, (), {}),
    ("seaborn-penguins.csv", {}, (), {}),
    ("seaborn-taxis.csv", {}, (), {}),
    ("seaborn-diamonds.csv", {}, (), {}),
    ("nycflights13-weather.csv", {}, ("NA",), {}),
    ("nycflights13-planes.csv", {}, ("NA",), {}),
    ("nycflights13-airports.csv", {}, ("NA",), {}),
    ("openflights-routes.dat", {"no_header": True}, ("\\N",), {"header": None}),
    ("openflights-airports.dat", {"no_header": True}, ("\\N",), {"header": None}),
    ("openflights-countries.dat", {"no_header": True}, ("\\N",), {"header": None}),
    ("openflights-planes.dat", {"no_header": True}, ("\\N",), {"header": None}),
]


@pytest.mark.parametrize("name,options,nulls,theirs", REAL, ids=[r[0] for r in REAL])
def test_real_files_are_what_pandas_reads(mill, real_data, name, options, nulls, theirs):
    path = real_data / name
    size = max(1024, path.stat().st_size // 7)
    mill.ingest("t", path, format="csv", null=list(nulls), shard_size=size, **options)
    table = mill.table("t")
    # As pandas, which has no way to keep them apart.
    for n, field in enumerate(table.schema):
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            table = table.set_column(n, field.name, pa.array([v or None for v in table.column(n).to_pylist()], pa.string()))
    assert mill.shards("t") > 3
    assert_as_read_csv(table, mill.types("t"), [path], nulls, **theirs)
