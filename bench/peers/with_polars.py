"""Polars: lazy, streaming, straight to a file. Order is not kept, which is faster."""

import polars as pl

from tasks import COLUMNS, FORMAT, LOWERED, run

SCHEMA = {c: pl.Int64 if c in ("order_id", "quantity") else pl.String for c in COLUMNS}


def blank_to_null(text):
    return pl.when(text != "").then(text)


def ingest(files, out):
    (
        pl.scan_csv(files, schema=SCHEMA)
        .with_columns(
            *[blank_to_null(pl.col(c).str.strip_chars().str.to_lowercase()).alias(c) for c in LOWERED],
            pl.col("amount").str.strip_chars().cast(pl.Float64, strict=False),
            pl.col("ordered_at").str.strip_chars().str.to_datetime(FORMAT, strict=False, time_unit="us"),
        )
        .unique(maintain_order=False)
        .sink_parquet(out, compression="lz4")
    )


def merge(left, right, out):
    (
        pl.scan_parquet(left)
        .with_columns(_left=True)
        .join(pl.scan_parquet(right).with_columns(_right=True), on=COLUMNS, how="full", nulls_equal=True, coalesce=True)
        .select(
            *COLUMNS,
            _merge=pl.when(pl.col("_right").is_null())
            .then(pl.lit("left_only"))
            .when(pl.col("_left").is_null())
            .then(pl.lit("right_only"))
            .otherwise(pl.lit("both")),
        )
        .sink_parquet(out, compression="lz4")
    )


run(ingest, merge)
