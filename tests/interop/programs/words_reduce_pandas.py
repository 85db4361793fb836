"""Adds up `word` and `n` with pandas: an Arrow stream in, an Arrow stream out."""

import sys

import pyarrow as pa

with pa.ipc.open_stream(sys.stdin.buffer) as stream:
    frame = stream.read_pandas()
counts = frame.groupby("word", sort=True, as_index=False)["n"].sum()
table = pa.Table.from_pandas(counts, preserve_index=False)
with pa.ipc.new_stream(sys.stdout.buffer, table.schema) as out:
    out.write_table(table)
