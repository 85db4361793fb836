"""Adds up the column `n` by `word`: Arrow streams in and out."""

import sys

import pyarrow as pa

with pa.ipc.open_stream(sys.stdin.buffer) as stream:
    table = stream.read_all()
table = table.group_by("word").aggregate([("n", "sum")]).select(["word", "n_sum"]).rename_columns(["word", "n"])
with pa.ipc.new_stream(sys.stdout.buffer, table.schema) as out:
    out.write_table(table)
