"""Splitting, batch prediction over datasets and files, and evaluation, against scikit-learn."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets, metrics
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import auc, precision_recall_curve
from sklearn.naive_bayes import GaussianNB

from test_training import NEWTON, agree, features_of, generated, ingest, shown, titanic, train


def predicted(mill, name):
    return mill.table(name).to_pandas()


# Splitting


def test_a_split_is_exact_and_keeps_every_row(mill):
    frame = generated(rows=1003, features=2)
    frame["id"] = range(len(frame))
    ingest(mill, "t", frame)
    result = mill.run("split", "t", "--into", "a=0.7,b=0.2,c=0.1")
    assert [d["rows"] for d in result["datasets"]] == [702, 201, 100]
    parts = [predicted(mill, name) for name in "abc"]
    assert sorted(pd.concat(parts)["id"]) == list(range(len(frame)))
    for part in parts:
        assert part["id"].is_monotonic_increasing
        wanted = frame[frame["id"].isin(part["id"])]
        pd.testing.assert_frame_equal(part, wanted.reset_index(drop=True))
    # Rows of every shard are on every side: the sides are drawn, not cut.
    assert parts[1]["id"].max() - parts[1]["id"].min() > 900
    mill.run("split", "t", "--into", "d=0.7,e=0.3", "--seed", 1)
    assert set(predicted(mill, "d")["id"]) != set(parts[0]["id"])


def test_a_split_does_not_depend_on_the_cluster(mills):
    frame = generated(rows=500, features=2)
    found = []
    for workers in (1, 3):
        mill = mills("--workers", workers)
        ingest(mill, "t", frame)
        mill.run("split", "t", "--into", "a=0.5,b=0.5", "--stratify", "y")
        found.append(mill.csv("a"))
    assert found[0] == found[1]


def test_strata_are_split_each_for_itself(mill, real_data):
    frame = titanic(real_data)
    ingest(mill, "t", frame)
    mill.run("split", "t", "--into", "train=0.8,test=0.2", "--stratify", "deck")
    decks = frame["deck"].value_counts(dropna=False)
    part = predicted(mill, "test")["deck"].value_counts(dropna=False)
    for value, n in decks.items():
        got = part[part.index.isna()].sum() if pd.isna(value) else part.get(value, 0)
        assert abs(got - 0.2 * n) < 1, value
    together = pd.concat([predicted(mill, "train"), predicted(mill, "test")])
    whole = predicted(mill, "t")
    by = list(whole)
    pd.testing.assert_frame_equal(together.sort_values(by, ignore_index=True), whole.sort_values(by, ignore_index=True))


@pytest.mark.parametrize("into,wanted", [
    ("a=0.5,b=0.6", "1.1"), ("a=1", "two"), ("a=0.5,a=0.5", "`a`"), ("a=x,b=0.5", "x"), ("a=0,b=1", "0"), ("a=nan,b=1", "nan"),
])  # fmt: skip
def test_shares_that_make_no_sense(mill, into, wanted):
    ingest(mill, "t", generated(rows=20, features=1))
    for status in (2, 1):
        try:
            failed = mill.run("split", "t", "--into", into, status=status)
            break
        except Exception:
            if status == 1:
                raise
    assert wanted.lower() in failed["error"].lower()


# Prediction


def test_probabilities_are_those_of_scikit_learn(mill):
    for classes in (2, 4):
        frame = generated(rows=700, features=5, classes=classes, seed=classes)
        columns = features_of(frame)
        ingest(mill, f"t{classes}", frame)
        train(mill, "logistic", f"t{classes}", "--label", "y", "--features", ",".join(columns), model=f"m{classes}")
        found = shown(mill, f"m{classes}")
        reference = LogisticRegression()
        reference.classes_ = np.arange(classes)
        reference.coef_ = np.atleast_2d(found["coefficients"])
        reference.intercept_ = np.atleast_1d(found["intercept"])
        mill.run("predict", f"m{classes}", f"t{classes}", f"p{classes}")
        got = predicted(mill, f"p{classes}")
        assert list(got) == [*frame, "prediction", *(f"probability_{c}" for c in range(classes))]
        probabilities = reference.predict_proba(frame[columns].to_numpy())
        agree(got[[f"probability_{c}" for c in range(classes)]], probabilities, "probabilities", 1e-12)
        assert (got["prediction"] == reference.predict(frame[columns].to_numpy())).all()


def test_naive_bayes_and_least_squares(mill):
    data = datasets.load_wine()
    frame = pd.DataFrame(data.data, columns=[f"x{n}" for n in range(13)])
    frame["y"] = data.target
    ingest(mill, "t", frame)
    columns = features_of(frame)
    train(mill, "naive-bayes", "t", "--label", "y", model="nb")
    mill.run("predict", "nb", "t", "p", "--keep", "none")
    wanted = GaussianNB().fit(frame[columns].to_numpy(), frame["y"]).predict_proba(frame[columns].to_numpy())
    got = predicted(mill, "p")
    assert list(got) == ["prediction", "probability_0", "probability_1", "probability_2"]
    agree(got.iloc[:, 1:], wanted, "naive Bayes", 1e-9)
    train(mill, "linear", "t", "--label", "x0", "--features", "x1,x2,x5", model="lin")
    mill.run("predict", "lin", "t", "q", "--keep", "y,x0")
    wanted = LinearRegression().fit(frame[["x1", "x2", "x5"]], frame["x0"]).predict(frame[["x1", "x2", "x5"]])
    got = predicted(mill, "q")
    assert list(got) == ["y", "x0", "prediction"]
    agree(got["prediction"], wanted, "least squares", 1e-9)


@pytest.fixture
def small(mill):
    """A model of one number and one category, and rows some of which it cannot predict."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=80), "city": rng.choice(["Rome", "Oslo", "Lima"], 80)})
    frame["y"] = np.where(frame["x"] + rng.normal(size=80) > 0, "yes", "no")
    ingest(mill, "t", frame)
    train(mill, "logistic", "t", "--label", "y")
    return mill


def test_rows_that_cannot_be_predicted_are_kept_apart(small):
    frame = pd.DataFrame({"id": [1, 2, 3, 4], "city": ["Rome", "Bonn", "Lima", None], "x": [0.5, 1.5, None, 2.0]})
    ingest(small, "new", frame, shards=2)
    result = small.run("predict", "m", "new", "out")
    assert result["rows"] == 2 and result["counters"]["rejected"] == 2
    assert result["counters"]["unknown_categories"] == {"city": 1}
    assert predicted(small, "out")["id"].tolist() == [1, 2]
    rejects = predicted(small, "out.rejects")
    assert rejects["line"].tolist() == [3, 4]
    assert "`x`" in rejects["reason"][0] and "`city`" in rejects["reason"][1]


def test_a_dataset_that_does_not_fit_is_refused_before_anything_runs(small):
    ingest(small, "less", pd.DataFrame({"x": [1.0, 2.0]}), shards=1)
    assert "`city`" in small.run("predict", "m", "less", "out", status=1)["error"]
    ingest(small, "other", pd.DataFrame({"x": ["a", "b"], "city": ["Rome", "Rome"]}), shards=1)
    failed = small.run("predict", "m", "other", "out", status=1)["error"]
    assert "`x`" in failed and "string" in failed and "float64" in failed
    assert "no model `nope`" in small.run("predict", "nope", "t", "out", status=1)["error"]
    assert "m@7" in small.run("predict", "m@7", "t", "out", status=1)["error"]
    assert "`king`" in small.run("predict", "m@king", "t", "out", status=1)["error"]
    # More columns, and another order, are fine.
    ingest(small, "more", pd.DataFrame({"z": [1, 2], "city": ["Rome", "Oslo"], "x": [1, 2]}), shards=1)
    assert small.run("predict", "m", "more", "out")["rows"] == 2


def test_a_file_is_predicted_as_a_whole_or_not_at_all(small):
    source, out = small.work / "new.csv", small.work / "new.csv.out"
    source.write_text("id,city,x\n007,Rome,0.5\n008,Oslo,-1.5\n")
    small.run("predict", "m", "--from", source, "--to", out)
    alone = pd.read_csv(out)
    assert list(alone) == ["prediction", "probability_no", "probability_yes"] and len(alone) == 2
    joined = small.work / "joined.csv"
    small.run("predict", "m", "--from", source, "--to", joined, "--join-input")
    lines = joined.read_text().splitlines()
    assert lines[0] == "id,city,x,prediction,probability_no,probability_yes"
    assert [line.split(",")[:3] for line in lines[1:]] == [["007", "Rome", "0.5"], ["008", "Oslo", "-1.5"]]
    assert pd.read_csv(joined)["probability_yes"].tolist() == alone["probability_yes"].tolist()
    source.write_text("id,city,x\n007,Rome,0.5\n008,Oslo,zz\n009,Lima,\n")
    failed = small.run("predict", "m", "--from", source, "--to", small.work / "bad.out", status=1)
    assert "new.csv:3" in failed["error"]
    assert not (small.work / "bad.out").exists()
    result = small.run("predict", "m", "--from", source, "--to", small.work / "some.out", "--max-rejects", "2")
    assert result["rows"] == 1 and result["rejected"] == 2
    assert pd.read_csv(small.work / "some.out.rejects.csv")["line"].tolist() == [3, 4]
    assert not [d for d in small.run("dataset", "list")["datasets"] if "tmp" in d["dataset"]]


# Evaluation


def numbers(mill, model, data, *options):
    return mill.run("evaluate", model, data, *options)


def close(got, wanted, what):
    assert abs(got - wanted) <= 1e-9 * max(1, abs(wanted)), f"{what}: {got} instead of {wanted}"


@pytest.mark.parametrize("name,digits", [("breast_cancer", None), ("breast_cancer", 1), ("titanic", None)])
def test_metrics_of_two_classes(mill, real_data, name, digits):
    if name == "titanic":
        frame = titanic(real_data)[["pclass", "fare", "survived"]].rename(columns={"survived": "y", "pclass": "x0", "fare": "x1"})
    else:
        data = datasets.load_breast_cancer()
        frame = pd.DataFrame(data.data[:, :6], columns=[f"x{n}" for n in range(6)])
        frame["y"] = data.target
        if digits:
            # Few different values: many rows with the same score.
            frame = (frame / frame.max()).round(digits).assign(y=frame["y"])[["x0", "x1", "y"]]
    ingest(mill, "t", frame)
    train(mill, "logistic", "t", "--label", "y")
    mill.run("predict", "m", "t", "p")
    found = numbers(mill, "m", "t")
    got, p = found["metrics"], predicted(mill, "p")
    y, score, label = p["y"], p["probability_1"], p["prediction"]
    close(got["accuracy"], metrics.accuracy_score(y, label), "accuracy")
    close(got["precision"], metrics.precision_score(y, label), "precision")
    close(got["recall"], metrics.recall_score(y, label), "recall")
    close(got["f1"], metrics.f1_score(y, label), "f1")
    close(got["roc_auc"], metrics.roc_auc_score(y, score), "roc_auc")
    close(got["average_precision"], metrics.average_precision_score(y, score), "average_precision")
    precision, recall, _ = precision_recall_curve(y, score)
    close(got["pr_auc"], auc(recall, precision), "pr_auc")
    close(got["log_loss"], metrics.log_loss(y, p[["probability_0", "probability_1"]]), "log_loss")
    close(got["brier"], metrics.brier_score_loss(y, score), "brier")
    assert found["confusion_matrix"] == metrics.confusion_matrix(y, label).tolist()
    bins = np.searchsorted(np.linspace(0, 1, 11)[1:-1], score)
    for one in found["calibration"]:
        rows = bins == round(one["from"] * 10)
        assert one["rows"] == rows.sum()
        if one["rows"]:
            close(one["predicted"], score[rows].mean(), "calibration")
            close(one["observed"], y[rows].mean(), "calibration")
    assert shown(mill)["metrics"] == got


def test_metrics_of_several_classes(mill):
    data = datasets.load_digits()
    frame = pd.DataFrame(data.data[:, 10:30], columns=[f"x{n}" for n in range(20)])
    frame["y"] = data.target
    ingest(mill, "t", frame)
    train(mill, "logistic", "t", "--label", "y")
    mill.run("predict", "m", "t", "p")
    found, p = numbers(mill, "m", "t"), predicted(mill, "p")
    got, y, label = found["metrics"], p["y"], p["prediction"]
    scores = p[[f"probability_{c}" for c in range(10)]].to_numpy()
    close(got["accuracy"], metrics.accuracy_score(y, label), "accuracy")
    for name, score in [("precision", metrics.precision_score), ("recall", metrics.recall_score), ("f1", metrics.f1_score)]:
        close(got[name], score(y, label, average="macro"), name)
    close(got["roc_auc"], metrics.roc_auc_score(y, scores / scores.sum(axis=1, keepdims=True), multi_class="ovr"), "roc_auc")
    close(got["log_loss"], metrics.log_loss(y, scores), "log_loss")
    assert found["confusion_matrix"] == metrics.confusion_matrix(y, label).tolist()


def test_metrics_of_numbers(mill, real_data):
    frame = pd.read_csv(real_data / "seaborn-diamonds.csv")
    ingest(mill, "t", frame)
    train(mill, "linear", "t", "--label", "price", "--features", "carat,depth,table,cut")
    mill.run("predict", "m", "t", "p", "--keep", "price")
    got, p = numbers(mill, "m", "t")["metrics"], predicted(mill, "p")
    y, z = p["price"], p["prediction"]
    close(got["r2"], metrics.r2_score(y, z), "r2")
    close(got["mae"], metrics.mean_absolute_error(y, z), "mae")
    close(got["mse"], metrics.mean_squared_error(y, z), "mse")
    close(got["rmse"], metrics.root_mean_squared_error(y, z), "rmse")


def test_metrics_of_clusters(mill):
    frame = generated(rows=400, features=3, seed=8, scales=0.5)[["x0", "x1", "x2"]]
    ingest(mill, "t", frame)
    train(mill, "kmeans", "t", "-k", 4)
    got = numbers(mill, "m", "t")["metrics"]
    close(got["inertia"], shown(mill)["inertia"], "inertia")


def test_metrics_are_the_same_bits_on_any_number_of_workers(mills):
    frame = generated(rows=1500, features=3, classes=3)
    found = []
    for workers in (1, 3):
        mill = mills("--workers", workers)
        ingest(mill, "t", frame, shards=9)
        train(mill, "naive-bayes", "t", "--label", "y", "--features", "x0,x1,x2")
        found.append(json.dumps(numbers(mill, "m", "t")["metrics"]))
    assert found[0] == found[1]


def test_an_evaluation_that_makes_no_sense(small):
    assert "`nope`" in small.run("evaluate", "m", "t", "--label", "nope", status=1)["error"]
    ingest(small, "strange", pd.DataFrame({"x": [1.0], "city": ["Rome"], "y": ["perhaps"]}), shards=1)
    failed = small.run("evaluate", "m", "strange", status=1)["error"]
    assert "perhaps" in failed
    # One class alone has no ROC curve; all else is told.
    ingest(small, "one", pd.DataFrame({"x": [1.0, 0.3], "city": ["Rome", "Oslo"], "y": ["yes", "yes"]}), shards=1)
    got = numbers(small, "m", "one")["metrics"]
    assert "roc_auc" not in got and "accuracy" in got


def test_a_picture_is_drawn(small):
    path = small.work / "m.svg"
    small.run("evaluate", "m", "t", "--plot", path)
    text = path.read_text()
    assert text.startswith("<svg") and text.rstrip().endswith("</svg>") and "yes" in text
    assert "svg" in small.run("evaluate", "m", "t", "--plot", small.work / "m.gif", status=2)["error"]
