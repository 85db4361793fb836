"""Adds up `word` and `n` with polars: an Arrow stream in, an Arrow stream out."""

import sys

import polars as pl

frame = pl.read_ipc_stream(sys.stdin.buffer)
frame.group_by("word", maintain_order=True).agg(pl.col("n").sum()).write_ipc_stream(sys.stdout.buffer)
