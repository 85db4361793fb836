"""Exported models in the programs they are for: onnxruntime, MLflow, pypmml and titus2 predict what Shardmill predicts."""

import json
import math
import random
import shutil
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers import Shardmill
from venvs import python_with

READERS = ["mlflow-skinny==3.17.*", "numpy==2.4.*", "onnx==1.23.*", "onnxruntime==1.31.*", "pandas==3.1.*", "pypmml==1.5.8"]
# titus2 knows only the NumPy of its day.
TITUS = ["numpy<2", "titus2==1.2.0", "setuptools<81"]
PREPARED = ["--impute", "mean", "--impute", "city=mode", "--impute", "member=mode", "--impute", "rooms=mode", "--missing-indicator"]
SCALED = "--standardise=age,income,score"
ALL = "age,income,member,city,rooms,score"

# Model, verb and options.
TRAININGS = {
    "plain": ("logistic", ["--label", "two", "--features", "score,other"]),
    "binary": ("logistic", ["--label", "flag", "--features", ALL, *PREPARED, SCALED, "--categorical", "rooms", "--c", "3"]),
    "words": ("logistic", ["--label", "word", "--features", "city,rooms,score", "--categorical", "rooms", "--impute", "mode", "--penalty", "none"]),
    "lasso": ("logistic", ["--label", "two", "--features", ALL, *PREPARED, "--penalty", "l1", "--c", "0.5"]),
    "three": ("logistic", ["--label", "kind", "--features", ALL, *PREPARED, SCALED, "--penalty", "elasticnet", "--l1-ratio", "0.3"]),
    "linear": ("linear", ["--label", "amount", "--features", ALL, *PREPARED, "--categorical", "rooms"]),
    "bayes": ("naive-bayes", ["--label", "kind", "--features", "age,income,member,score", *PREPARED[:2], *PREPARED[4:6]]),
    "clusters": ("kmeans", ["--features", "age,income,city,score", *PREPARED[:4], SCALED.replace("income,", ""), "--clusters", "4"]),
}
TOLERANCE = {"onnx": 1e-12, "mlflow": 1e-12, "pmml": 1e-9, "pfa": 1e-9}
CITIES = ["Kiel", "Graz", 'Łódź "Ł"', "Rome & co"]


def table(seed: int, rows: int, cities: list[str], nulls: float) -> pa.Table:
    """People whose labels depend on all of their columns; `score` and `other` are never missing."""
    rng = random.Random(seed)
    columns: dict[str, list] = {}

    def put(name, value, gaps=nulls):
        columns.setdefault(name, []).append(None if rng.random() < gaps else value)

    for n in range(rows):
        age, income, member, rooms = rng.uniform(18, 90), rng.randrange(-40, 900), rng.random() < 0.4, rng.choice([-1, 2, 3, 10])
        city, score, other = rng.choice(cities), rng.gauss(-3, 0.25), rng.gauss(0, 1)
        z = (age - 50) / 30 + (income - 400) / 500 + member - (city == "Kiel") + rooms / 10 + 2 * (score + 3) + other / 2
        noisy = z + rng.gauss(0, 1)
        put("age", age)
        put("income", income)
        put("member", member)
        put("city", city)
        put("rooms", rooms)
        put("score", score, 0)
        put("other", other, 0)
        put("two", int(noisy > 0), 0)
        put("flag", noisy > 0.3, 0)
        put("word", "ja" if noisy > -0.5 else "nein", 0)
        put("kind", "ant" if noisy < -0.7 else "bee" if noisy < 0.7 else "cow", 0)
        put("amount", 100 + 30 * noisy, 0)
    return pa.table(columns)


@pytest.fixture(scope="module")
def mill(tmp_path_factory) -> Shardmill:
    """One data folder with the data and every model, and the predictions that exports must give."""
    folder = tmp_path_factory.mktemp("exports")
    mill = Shardmill(data_dir=folder / "data", work=folder / "work")
    # Towns and numbers of rooms that training did not see, too.
    for name, data in {"people": table(1, 600, CITIES, 0.08), "fresh": table(2, 200, [*CITIES, "Oslo"], 0.2)}.items():
        pq.write_table(data, mill.work / f"{name}.parquet", row_group_size=150)
        mill.ingest(name, mill.work / f"{name}.parquet")
    for model, (verb, options) in TRAININGS.items():
        mill.run("train", verb, "people", "--model", model, *options)
        mill.run("predict", model, "fresh", f"{model}_out")
    return mill


@pytest.fixture(scope="module")
def python():
    """The Python that has a format's reader."""
    made = {}

    def of(kind: str) -> str:
        if kind == "pmml" and shutil.which("java") is None:
            pytest.skip("pypmml needs Java")
        name, packages = ("interop-titus", TITUS) if kind == "pfa" else ("interop-readers", READERS)
        return made.setdefault(name, python_with(name, packages))

    return of


def read_back(python: str, kind: str, path: Path, shown: dict, rows: list[dict]) -> dict:
    request = path.parent / f"{path.name}.request"
    request.write_text(json.dumps({"model": shown, "rows": rows}))
    reader = Path(__file__).with_name("export_readers.py")
    done = subprocess.run([python, reader, kind, path, request], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def text(value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def largest_difference(got: list, wanted: list) -> float:
    """Absolute below 1, relative above."""
    assert len(got) == len(wanted)
    assert all(isinstance(g, (int, float)) and math.isfinite(g) for g in got)
    return max(abs(g - w) / max(1.0, abs(w)) for g, w in zip(got, wanted))


@pytest.mark.parametrize("kind", TOLERANCE)
@pytest.mark.parametrize("model", TRAININGS)
def test_a_reader_predicts_what_shardmill_predicts(mill, python, model, kind):
    interpreter = python(kind)
    shown = mill.run("model", "show", model)
    path = mill.work / f"{model}.{kind}"
    mill.run("model", "export", model, "--format", kind, "--to", path)
    predicted = mill.table(f"{model}_out")
    rows = predicted.select(shown["columns"]).to_pylist()
    got = read_back(interpreter, kind, path, shown, rows)
    if shown["algorithm"] == "linear":
        assert largest_difference(got["prediction"], predicted["prediction"].to_pylist()) <= TOLERANCE[kind]
    elif shown["algorithm"] == "kmeans":
        assert got["label"] == predicted["prediction"].to_pylist()
        assert largest_difference(got["distance"], predicted["distance"].to_pylist()) <= TOLERANCE[kind]
    else:
        for at, value in enumerate(shown["classes"]):
            wanted = predicted[f"probability_{text(value)}"].to_pylist()
            assert largest_difference([p[at] for p in got["probabilities"]], wanted) <= TOLERANCE[kind], value
        assert [text(v) for v in got["label"]] == [text(v) for v in predicted["prediction"].to_pylist()]


def test_the_json_is_enough_to_predict(mill):
    """docs/models.md in Python."""
    for model in TRAININGS:
        path = mill.work / f"{model}.json"
        mill.run("model", "export", model, "--to", path)
        m = json.loads(path.read_text())
        predicted = mill.table(f"{model}_out").to_pylist()
        for row in predicted[:50]:
            x = []
            for f in m["encoder"]:
                value = row[f["column"]]
                missing = value is None
                value = f.get("fill") if missing else value
                if f["encoding"] == "numeric":
                    scaling = f.get("scaling") or {"mean": 0.0, "scale": 1.0}
                    x.append((float(value) - scaling["mean"]) / scaling["scale"])
                else:
                    x += [float(text(value) == c) for c in f["categories"]]
                if f["indicator"]:
                    x.append(float(missing))
            assert len(x) == len(m["feature_names"])
            if m["algorithm"] == "kmeans":
                squares = [sum((a - b) ** 2 for a, b in zip(x, center)) for center in m["centers"]]
                assert row["prediction"] == squares.index(min(squares))
                continue
            if m["algorithm"] == "linear":
                wanted = m["intercept"] + sum(a * b for a, b in zip(x, m["coefficients"]))
                assert math.isclose(row["prediction"], wanted, rel_tol=1e-11)
                continue
            if m["algorithm"] == "naive-bayes":
                z = [
                    math.log(prior) - sum(math.log(2 * math.pi * v) + (a - mean) ** 2 / v for a, mean, v in zip(x, means, variances)) / 2
                    for prior, means, variances in zip(m["priors"], m["means"], m["variances"])
                ]
            elif len(m["classes"]) == 2:
                z = [0.0, m["intercept"] + sum(a * b for a, b in zip(x, m["coefficients"]))]
            else:
                z = [b + sum(a * c for a, c in zip(x, coefficients)) for b, coefficients in zip(m["intercept"], m["coefficients"])]
            e = [math.exp(v - max(z)) for v in z]
            for value, p in zip(m["classes"], e):
                assert math.isclose(row[f"probability_{text(value)}"], p / sum(e), abs_tol=1e-12)


def test_what_exists_is_replaced_only_by_force(mill, tmp_path):
    for kind in ("onnx", "mlflow"):
        path = tmp_path / f"model.{kind}"
        first = mill.run("model", "export", "plain", "--format", kind, "--to", path)
        assert first["model"] == "plain@1" and first["format"] == kind
        assert "--force" in mill.run("model", "export", "plain", "--format", kind, "--to", path, status=1)["error"]
        mill.run("model", "export", "plain", "--format", kind, "--to", path, "--force")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.mlflow", "model.onnx"]
    assert "--format" in mill.run("model", "export", "plain", "--to", tmp_path / "model.bin", status=2)["error"]


def test_the_registry_lists_compares_and_moves_aliases(mill):
    mill.run("train", "logistic", "people", "--model", "moved", "--label", "two", "--features", "score,other")
    mill.run("train", "logistic", "people", "--model", "moved", "--label", "two", "--features", "score,other", "--c", "0.01")
    assert [m["model"] for m in mill.run("model", "list", "moved")["models"]] == ["moved@2", "moved@1"]
    assert mill.run("model", "alias", "moved", "champion=1")["aliases"] == {"champion": 1}
    assert mill.run("model", "alias", "moved", "champion=2", "staging=1")["aliases"] == {"champion": 2, "staging": 1}
    assert mill.run("model", "show", "moved@champion")["version"] == 2
    assert mill.run("model", "rollback", "moved")["version"] == 1
    assert mill.run("model", "alias", "moved", "--remove", "staging")["aliases"] == {"champion": 1}
    compared = mill.run("model", "compare", "moved@1", "moved@2")
    assert [m["model"] for m in compared["models"]] == ["moved@1", "moved@2"]
    assert compared["options"]["c"] == [1.0, 0.01]
    differences = [c["difference"] for c in compared["coefficients"]]
    assert differences == sorted(differences, reverse=True) and len(differences) == 3
    assert mill.run("model", "rm", "moved@2")["removed"] == ["moved@2"]
    assert "champion" in mill.run("model", "rm", "moved", status=1)["error"]
    assert mill.run("model", "alias", "moved", "--remove", "champion")["aliases"] == {}
    assert mill.run("model", "rm", "moved")["removed"] == ["moved@1"]
