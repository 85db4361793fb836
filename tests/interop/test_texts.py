"""Texts in every way of writing, against the table that they were written from and against pandas, which is told how they are written."""

import itertools
import random
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

WORDS = ["plain", "two words", "a,b", "c;d", "e|f", "tab\there", 'say "hi"', "it's", "", None, "caf\u00e9", "\u20ac 5", "line\nbreak", " lead"]


def table(seed: int, rows: int = 40, ascii_only: bool = False) -> pd.DataFrame:
    random.seed(seed)
    words = [w for w in WORDS if not ascii_only or w is None or w.isascii()]
    return pd.DataFrame({
        "id": range(1, rows + 1),
        "name": pd.array([random.choice(words) for _ in range(rows)], dtype="object"),
        "x": [round(random.uniform(-100, 100), 3) + 0.5 for _ in range(rows)],
        "word": [random.choice(["north", "south", "east"]) for _ in range(rows)],
        "n": pd.array([random.choice([None, 1, 20, 300]) for _ in range(rows)], dtype="Int64"),
    })


def field(value, delimiter: str, quote: str, backslash: bool) -> str:
    if value is None or value is pd.NA or value != value:
        return ""
    text = str(value)
    if isinstance(value, str) and (text == "" or text[0] in " #" or any(c in text for c in (delimiter, quote, "\n", "\r", "\\"))):
        inner = text.replace("\\", "\\\\").replace(quote, "\\" + quote) if backslash else text.replace(quote, quote * 2)
        return quote + inner + quote
    return text


def text_of(frame: pd.DataFrame, delimiter=",", quote='"', backslash=False, end="\n", header=True) -> str:
    rows = [list(frame.columns)] if header else []
    rows += frame.astype(object).values.tolist()
    return end.join(delimiter.join(field(v, delimiter, quote, backslash) for v in row) for row in rows) + end


def rows_of(frame: pd.DataFrame) -> list:
    return [[None if v is pd.NA or v is None or (isinstance(v, float) and np.isnan(v)) else v for v in row] for row in frame.astype(object).values.tolist()]


def ingested(mill, path, *options) -> tuple[dict, list]:
    done = mill.run("ingest", "t", path, *options)
    return done, [list(row.values()) for row in mill.table("t").to_pylist()]


STYLES = list(itertools.product([",", ";", "\t", "|", "||"], [False, True], ["\n", "\r\n", "\r"], [True, False]))


@pytest.mark.parametrize("seed", range(30))
def test_styles_are_found(mill, tmp_path, seed):
    random.seed(seed)
    delimiter, backslash, end, header = random.choice(STYLES)
    encoding = random.choice(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
    frame = table(seed)
    # Without a quote in a cell nothing tells how one is escaped.
    frame.loc[3, "name"] = 'say "hi", or not'
    content = text_of(frame, delimiter, backslash=backslash, end=end, header=header)
    path = tmp_path / "t.csv"
    path.write_bytes(content.encode(encoding))
    done, rows = ingested(mill, path)
    wanted = rows_of(frame)
    assert rows == wanted, done["read_as"]
    # pandas, told everything, reads the same; it knows neither delimiters of several characters nor a `\\r` by itself beside quoted breaks.
    if len(delimiter) == 1 and end != "\r":
        theirs = pd.read_csv(
            path, sep=delimiter, encoding=encoding, header=0 if header else None, keep_default_na=False, dtype=str,
            doublequote=not backslash, escapechar="\\" if backslash else None,
        )  # fmt: skip
        assert [list(row[:2]) for row in theirs.values.tolist()] == [[str(row[0]), row[1] or ""] for row in wanted]


@pytest.mark.parametrize("extension", ["gz", "bz2", "xz", "zip"])
def test_packed_files_of_python(mill, tmp_path, extension):
    frame = table(7)
    path = tmp_path / f"t.csv.{extension}"
    frame.to_csv(path, index=False)
    done, rows = ingested(mill, path)
    assert [r[0] for r in rows] == list(range(1, 41)) and done["rows"] == 40
    assert [r[2] for r in rows] == pd.read_csv(path)["x"].tolist()


def test_a_zip_of_many_files_and_of_one_that_is_damaged(mill, tmp_path):
    path = tmp_path / "t.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in range(3):
            archive.writestr(f"in/{part}.csv", table(part).to_csv(index=False))
        archive.writestr("__MACOSX/in/0.csv", "x")
    done, rows = ingested(mill, path)
    assert done["rows"] == 120 and done["counters"]["files"] == 3
    damaged = bytearray(path.read_bytes())
    damaged[200] ^= 1
    path.write_bytes(damaged)
    failed = mill.run("ingest", "u", path, status=2)
    assert "t.zip" in failed["error"]


def test_what_pandas_writes_by_default(mill, tmp_path):
    frame = table(3, ascii_only=True)
    frame.to_csv(tmp_path / "t.csv")
    done, rows = ingested(mill, tmp_path / "t.csv")
    assert [r[0] for r in rows] == list(range(40)) and "index" in done["notices"][0]
    _, rows = ingested(mill, tmp_path / "t.csv", "--drop-unnamed")
    assert len(rows[0]) == 5
    frame.to_json(tmp_path / "t.json", orient="records", indent=2)
    _, rows = ingested(mill, tmp_path / "t.json")
    assert [r[0] for r in rows] == frame["id"].tolist() and [r[1] for r in rows] == [r[1] for r in rows_of(frame)]


def test_folders_of_hive_and_spark(mill, tmp_path):
    import pyarrow.dataset as ds

    data = pa.table({"year": [2023, 2024, 2024], "city": ["Rome", "New York", None], "v": [1, 2, 3]})
    pq.write_to_dataset(data, str(tmp_path / "in"), partition_cols=["year", "city"])
    (tmp_path / "in" / "_SUCCESS").write_text("")
    mill.run("ingest", "t", tmp_path / "in")
    ours = mill.table("t").to_pylist()
    theirs = ds.dataset(str(tmp_path / "in"), partitioning="hive", exclude_invalid_files=True).to_table().to_pylist()
    key = lambda row: row["v"]
    assert sorted(ours, key=key) == sorted(theirs, key=key)


def test_columns_that_are_left_out_never_stand_in_the_way(mill, tmp_path):
    import decimal

    data = pa.table({"id": [1, 2], "price": [decimal.Decimal("1.50"), None], "tags": [["a"], None]})
    pq.write_table(data, tmp_path / "t.parquet")
    with pa.OSFile(str(tmp_path / "t.arrow"), "wb") as sink, pa.ipc.new_file(sink, data.schema) as writer:
        writer.write_table(data)
    with pa.OSFile(str(tmp_path / "s.arrow"), "wb") as sink, pa.ipc.new_stream(sink, data.schema) as writer:
        writer.write_table(data)
    for name in ("t.parquet", "t.arrow", "s.arrow"):
        for options in (["--columns", "id"], ["--drop", "price,tags"]):
            mill.run("ingest", "t", tmp_path / name, *options)
            assert mill.table("t").to_pydict() == {"id": [1, 2]}
    (tmp_path / "t.jsonl").write_text('{"id":1,"secret":"x"}\n{"id":2,"late":3,"secret":1}\n')
    mill.run("ingest", "t", tmp_path / "t.jsonl", "--drop", "secret")
    assert mill.table("t").to_pydict() == {"id": [1, 2], "late": [None, 3]}
    mill.run("ingest", "t", tmp_path / "t.jsonl", "--columns", "id")
    assert mill.table("t").to_pydict() == {"id": [1, 2]}


def test_a_prediction_reads_only_what_the_model_knows(mill, tmp_path):
    import decimal

    frame = pd.DataFrame({"x": [i % 10 for i in range(100)], "y": [int(i % 10 > 4) for i in range(100)]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    mill.run("ingest", "t", tmp_path / "t.csv")
    mill.run("train", "logistic", "t", "--model", "m", "--label", "y")
    pq.write_table(pa.table({"x": [3.0, 7.5], "price": [decimal.Decimal("1.50"), None], "tags": [["a"], None]}), tmp_path / "in.parquet")
    pd.DataFrame({"x": [3.0, 7.5]}).to_csv(tmp_path / "in.csv", index=False)
    (tmp_path / "bare.csv").write_text("3.0\n7.5\n")
    found = []
    for name in ("in.parquet", "in.csv", "bare.csv"):
        out = tmp_path / (name + ".out.csv")
        mill.run("predict", "m", "--from", tmp_path / name, "--to", out)
        found.append(pd.read_csv(out)["probability_1"].tolist())
    assert found[0] == found[1] == found[2]
