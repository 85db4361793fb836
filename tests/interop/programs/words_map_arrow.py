"""Counts the words of each batch of an Arrow stream with pyarrow."""

import sys

import pyarrow as pa
import pyarrow.compute as pc

schema = pa.schema([("word", pa.string()), ("n", pa.int32())])
with pa.ipc.open_stream(sys.stdin.buffer) as stream, pa.ipc.new_stream(sys.stdout.buffer, schema) as out:
    for batch in stream:
        words = pc.list_flatten(pc.utf8_split_whitespace(pc.drop_null(batch.column("line"))))
        counted = pc.value_counts(words.filter(pc.not_equal(words, "")))
        columns = [counted.field("values").cast(pa.string()), counted.field("counts").cast(pa.int32())]
        out.write_batch(pa.record_batch(columns, schema=schema))
