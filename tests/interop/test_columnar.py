"""Parquet and Arrow files as pyarrow writes them, against the values that they were written from."""

import datetime as dt
import uuid

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

UTC = dt.timezone.utc


def write(path, table: pa.Table, kind: str):
    if kind == "parquet":
        pq.write_table(table, path)
    elif kind == "arrow":
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    else:
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)


@pytest.mark.parametrize("kind", ["parquet", "arrow", "stream"])
def test_every_type_that_is_stored(mill, tmp_path, kind):
    moment = dt.datetime(2024, 7, 1, 12, 30, 15, 250000)
    columns = {
        "f16": pa.array(np.array([1.5, -0.25, 0.1], np.float16)),
        "f32": pa.array([1.5, None, 0.1], pa.float32()),
        "u64": pa.array([1, 2**63 - 1, None], pa.uint64()),
        "i8": pa.array([-128, None, 127], pa.int8()),
        "d64": pa.array([dt.date(2024, 1, 5), None, dt.date(1, 1, 1)], pa.date64()),
        "s": pa.array([moment.replace(microsecond=0), None, dt.datetime(9999, 12, 31)], pa.timestamp("s")),
        "ns": pa.array([moment, None, dt.datetime(1970, 1, 1)], pa.timestamp("ns")),
        "ny": pa.array([moment.replace(tzinfo=UTC)] * 3, pa.timestamp("ms", tz="America/New_York")),
        "offset": pa.array([moment.replace(tzinfo=UTC)] * 3, pa.timestamp("us", tz="+05:30")),
        "ints": pa.array([3, 1, None], pa.int64()).dictionary_encode(),
        "days": pa.array([dt.date(2024, 1, 5), None, dt.date(2024, 1, 6)]).dictionary_encode(),
        "words": pa.array(["a", None, "b"]).dictionary_encode(),
        "large": pa.array(["x" * 20, None, ""], pa.large_string()),
        "view": pa.array(["x" * 20, None, ""], pa.string_view()),
        "null": pa.nulls(3),
    }
    table = pa.table(columns)
    path = tmp_path / f"t.{'arrow' if kind == 'stream' else kind}"
    write(path, table, kind)
    mill.run("ingest", "t", path)
    got = mill.table("t").to_pydict()
    assert got["f16"] == [1.5, -0.25, float(np.float16(0.1))] and got["f32"] == [1.5, None, float(np.float32(0.1))]
    assert got["u64"] == [1, 2**63 - 1, None] and got["i8"] == [-128, None, 127]
    assert got["d64"] == [dt.datetime(2024, 1, 5), None, dt.datetime(1, 1, 1)]
    assert got["s"] == [moment.replace(microsecond=0), None, dt.datetime(9999, 12, 31)]
    assert got["ns"] == [moment, None, dt.datetime(1970, 1, 1)]
    assert got["ny"] == got["offset"] == [moment.replace(tzinfo=UTC)] * 3
    assert got["ints"] == [3, 1, None] and got["days"] == [dt.date(2024, 1, 5), None, dt.date(2024, 1, 6)]
    assert got["words"] == ["a", None, "b"] and got["large"] == got["view"] == ["x" * 20, None, ""]
    types = mill.types("t")
    assert (types["ints"], types["offset"], types["null"]) == ("int64", "datetime_utc", "null")


def test_dictionaries_that_grow_and_change(mill, tmp_path):
    def batch(indices, values):
        return pa.record_batch({"d": pa.DictionaryArray.from_arrays(pa.array(indices, pa.int8()), pa.array(values))})

    growing = [batch([0, 1], ["a", "b"]), batch([2, 0], ["a", "b", "c"]), batch([0, 1], ["a", "b", "c"])]
    changing = [batch([0, 1], ["a", "b"]), batch([0, 1], ["x", "y"]), batch([1], ["p", "q"])]
    deltas = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
    for name, batches, options, opened in [
        ("delta.arrow", growing, deltas, pa.ipc.new_stream), ("file.arrow", growing, deltas, pa.ipc.new_file),
        ("changing.arrow", changing, None, pa.ipc.new_stream),
    ]:  # fmt: skip
        with pa.OSFile(str(tmp_path / name), "wb") as sink, opened(sink, batches[0].schema, options=options) as writer:
            for one in batches:
                writer.write_batch(one)
        mill.run("ingest", "t", tmp_path / name)
        assert mill.table("t").to_pydict()["d"] == [v for b in batches for v in b.column(0).to_pylist()], name


def test_old_instants_of_the_whole_calendar(mill, tmp_path):
    moments = [dt.datetime(9999, 12, 31), dt.datetime(1, 1, 1), dt.datetime(1969, 12, 31, 23, 59, 59), None, dt.datetime(2024, 7, 1, 12, 0, 0, 5)]
    table = pa.table({"t": pa.array(moments, pa.timestamp("us")), "id": [1, 2, 3, 4, 5]})
    pq.write_table(table, tmp_path / "t.parquet", use_deprecated_int96_timestamps=True)
    mill.run("ingest", "t", tmp_path / "t.parquet")
    assert mill.table("t").to_pydict()["t"] == moments


def test_pandas_categories(mill, tmp_path):
    frame = pd.DataFrame({"c": pd.Categorical([3, 1, None]), "t": pd.Categorical(["b", None, "a"]), "x": [1.5, 2.5, 3.5]})
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_feather(tmp_path / "t.feather")
    for name in ("t.parquet", "t.feather"):
        mill.run("ingest", "t", tmp_path / name)
        assert mill.table("t").to_pydict() == {"c": [3, 1, None], "t": ["b", None, "a"], "x": [1.5, 2.5, 3.5]}


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "zstd", "lz4"])
def test_row_groups_pages_and_codecs(mill, tmp_path, codec):
    rows = 5000
    table = pa.table({
        "id": range(rows), "word": [f"word {i % 37}" if i % 11 else None for i in range(rows)],
        "x": [i / 7 if i % 5 else None for i in range(rows)], "b": [i % 3 == 0 for i in range(rows)],
    })  # fmt: skip
    for version in ("1.0", "2.0"):
        pq.write_table(table, tmp_path / "t.parquet", row_group_size=700, compression=codec, data_page_version=version, data_page_size=512)
        mill.run("ingest", "t", tmp_path / "t.parquet", "--shard-size", "4KiB")
        assert mill.table("t").to_pydict() == table.to_pydict()


def test_what_is_not_stored_is_named(mill, tmp_path):
    column = pa.array([(1, 2, 3)], pa.month_day_nano_interval())
    # Parquet has no place for it.
    write(tmp_path / "t.arrow", pa.table({"k": [1], "span": column}), "arrow")
    failed = mill.run("ingest", "t", tmp_path / "t.arrow", status=2)
    assert "`span`" in failed["error"] and "--drop 'span'" in failed["error"]
    mill.run("ingest", "t", tmp_path / "t.arrow", "--drop", "span")
    assert mill.table("t").to_pydict() == {"k": [1]}


def test_damaged_files_are_refused(mill, tmp_path):
    table = pa.table({"id": range(1000), "word": [f"word {i}" for i in range(1000)]})
    for kind in ("parquet", "arrow"):
        path = tmp_path / f"t.{kind}"
        write(path, table, kind)
        whole = path.read_bytes()
        step = len(whole) // 25 if kind == "parquet" else 97
        for at in [*range(40, min(len(whole), 3000), step), *range(max(40, len(whole) - 1500), len(whole), step)]:
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1:])
            done = mill.start("ingest", "t", path)
            out, err = done.communicate(timeout=60)
            assert done.returncode in (0, 1, 2) and b"panic" not in err + out, (kind, at, err)
