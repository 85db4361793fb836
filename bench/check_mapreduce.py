"""Prints what results of different systems must have in common.

    check_mapreduce.py group|groups|words PATH     a Parquet file, a folder of them, or lines `word TAB count`
"""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

what, path = sys.argv[1], Path(sys.argv[2])


def lines():
    parts = [line.rstrip("\n").split("\t") for line in open(path, encoding="utf-8")]
    return pa.table({"word": [word for word, _ in parts], "n": [int(n) for _, n in parts]})


def parquet():
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    return pa.concat_tables([pq.read_table(f) for f in files], promote_options="permissive")


is_parquet = path.is_dir() or open(path, "rb").read(4) == b"PAR1"
table = parquet() if is_parquet else lines()
n = pc.sum(table["n"]).as_py()
if what == "words":
    weighted = pc.sum(pc.multiply(pc.cast(pc.utf8_length(table["word"]), pa.int64()), pc.cast(table["n"], pa.int64()))).as_py()
    print(table.num_rows, n, weighted, pc.max(table["word"]), pc.max(table["n"]))
else:
    print(table.num_rows, n, pc.sum(table["others"]), f"{pc.sum(pc.multiply(table['mean'], pc.cast(table['n'], pa.float64()))).as_py():.2f}")
