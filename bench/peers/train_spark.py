"""Spark MLlib: logistic regression from CSV, prediction from Parquet to Parquet, local[2]."""

import json
import sys
import time

from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import VectorAssembler
from pyspark.sql import SparkSession


def session():
    spark = (
        SparkSession.builder.master("local[2]")
        .appName("bench")
        .config("spark.driver.memory", "8g")
        .config("spark.ui.enabled", "false")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def assembled(frame):
    features = [c for c in frame.columns if c.startswith("x")]
    return VectorAssembler(inputCols=features, outputCol="features").transform(frame)


def train(data, out, _):
    spark = session()
    with open(data) as f:
        header = f.readline().replace('"', "").strip().split(",")
    schema = ", ".join(f"{c} {'INT' if c == 'y' else 'DOUBLE'}" for c in header)
    frame = assembled(spark.read.csv(data, schema=schema, header=True)).select("features", "y").cache()
    rows = frame.count()
    begun = time.perf_counter()
    # C = 1 of scikit-learn's objective is a penalty of 1 / n.
    model = LogisticRegression(labelCol="y", regParam=1 / rows, standardization=False, tol=1e-10, maxIter=1000).fit(frame)
    seconds = time.perf_counter() - begun
    found = {"fit_seconds": seconds, "coefficients": [float(x) for x in model.coefficients], "intercept": model.intercept}
    with open(out, "w") as f:
        json.dump(found, f)
    model.write().overwrite().save(f"{out}.model")
    spark.stop()


def predict(data, model, out):
    from pyspark.ml.classification import LogisticRegressionModel

    spark = session()
    fitted = LogisticRegressionModel.load(f"{model}.model")
    frame = assembled(spark.read.parquet(data))
    from pyspark.ml.functions import vector_to_array

    predicted = fitted.transform(frame).withColumn("p", vector_to_array("probability"))
    kept = [c for c in frame.columns if c != "features"]
    predicted.selectExpr(*kept, "prediction", "p[0] AS probability_0", "p[1] AS probability_1").write.parquet(out)
    spark.stop()


{"train": train, "predict": predict}[sys.argv[1]](*sys.argv[2:])
