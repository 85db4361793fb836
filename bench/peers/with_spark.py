"""Spark: local[2]; the result is a folder of Parquet files."""

from pyspark.sql import SparkSession
from pyspark.sql import functions as f

from tasks import COLUMNS, CORES, LOWERED, run

SCHEMA = ", ".join(f"{c} {'BIGINT' if c in ('order_id', 'quantity') else 'STRING'}" for c in COLUMNS)


def session():
    spark = (
        SparkSession.builder.master(f"local[{CORES}]")
        .appName("bench")
        .config("spark.driver.memory", "8g")
        .config("spark.sql.shuffle.partitions", "8")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.ui.enabled", "false")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def blank_to_null(text):
    return f.when(text != "", text)


def ingest(files, out):
    spark = session()
    frame = spark.read.csv(files, schema=SCHEMA, header=True)
    for c in LOWERED:
        frame = frame.withColumn(c, blank_to_null(f.lower(f.trim(c))))
    amount, moment = blank_to_null(f.trim("amount")), blank_to_null(f.trim("ordered_at"))
    frame = frame.withColumn("amount", amount.cast("double")).withColumn("ordered_at", moment.cast("timestamp_ntz"))
    frame.dropDuplicates().write.parquet(out)
    spark.stop()


def merge(left, right, out):
    spark = session()
    one = spark.read.parquet(left).withColumn("_left", f.lit(True)).alias("l")
    two = spark.read.parquet(right).withColumn("_right", f.lit(True)).alias("r")
    same = None
    for c in COLUMNS:
        equal = f.col(f"l.{c}").eqNullSafe(f.col(f"r.{c}"))
        same = equal if same is None else same & equal
    merged = one.join(two, on=same, how="fullouter").select(
        *[f.coalesce(f.col(f"l.{c}"), f.col(f"r.{c}")).alias(c) for c in COLUMNS],
        f.when(f.col("_right").isNull(), "left_only").when(f.col("_left").isNull(), "right_only").otherwise("both").alias("_merge"),
    )
    merged.write.parquet(out)
    spark.stop()


run(ingest, merge)
