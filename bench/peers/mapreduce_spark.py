"""Spark: local[2]; the result is a folder of files."""

from functools import partial

from pyspark.sql import SparkSession
from pyspark.sql import functions as f

from mapreduce_tasks import CORES, GROUPS, run


def session():
    spark = (
        SparkSession.builder.master(f"local[{CORES}]")
        .appName("bench")
        .config("spark.driver.memory", "8g")
        .config("spark.sql.shuffle.partitions", "8")
        .config("spark.ui.enabled", "false")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def group(by, other, source, out):
    spark = session()
    counts = [f.count("*").alias("n"), f.avg("amount").alias("mean"), f.count_distinct(other).alias("others")]
    spark.read.parquet(source).groupBy(by).agg(*counts).write.parquet(out)
    spark.stop()


def words(source, out):
    spark = session()
    spark.read.text(source).select(f.explode(f.split("value", " ")).alias("word")).groupBy("word").agg(f.count("*").alias("n")).write.parquet(out)
    spark.stop()


def sort(source, out):
    spark = session()
    spark.read.text(source).sort("value").write.text(out)
    spark.stop()


run(words=words, sort=sort, **{name: partial(group, *columns) for name, columns in GROUPS.items()})
