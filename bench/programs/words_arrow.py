"""Counts the words of the column `line` of an Arrow stream; writes an Arrow stream of `word` and `n`."""

import sys

import pyarrow as pa
import pyarrow.compute as pc

parts = []
with pa.ipc.open_stream(sys.stdin.buffer) as stream:
    for batch in stream:
        words = pc.list_flatten(pc.split_pattern(batch.column("line").cast(pa.large_string()), " "))
        counted = pc.value_counts(words)
        parts.append(pa.table({"word": counted.field("values"), "n": counted.field("counts")}))
schema = pa.schema([("word", pa.large_string()), ("n", pa.int64())])
table = pa.concat_tables(parts) if parts else schema.empty_table()
table = table.group_by("word").aggregate([("n", "sum")]).select(["word", "n_sum"]).rename_columns(["word", "n"]).cast(schema)
with pa.ipc.new_stream(sys.stdout.buffer, schema) as out:
    out.write_table(table)
