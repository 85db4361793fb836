"""Models of scikit-learn and XGBoost, imported from ONNX files, predict what onnxruntime predicts: in batch, on demand, with values
missing; and what cannot be imported is refused in words."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers import Cluster, wait_until
from test_endpoints import get, post
from venvs import python_with

MAKERS = [
    "numpy==2.4.*", "onnx==1.23.*", "onnxmltools==1.16.*", "onnxruntime==1.31.*", "pandas==3.1.*", "scikit-learn==1.9.*",
    "skl2onnx==1.20.*", "xgboost-cpu==3.2.*",
]  # fmt: skip
# Graphs compute in float32.
CLOSE = 1e-6
COLUMNS = ["f0", "f1", "f2", "f3"]
NUMBERS = ["linear", "forest_number", "boosted_number", "linear_double", "xgb_number"]
CLASSES = [
    "logistic", "logistic3", "scaled", "minmax", "normalised", "components", "network", "bayes", "tree", "forest", "forest2", "extra",
    "boosted", "boosted3", "forest_double", "xgb", "xgb3",
]  # fmt: skip


class Imported:
    """A cluster with every model imported, and what onnxruntime said."""

    def __init__(self, cluster: Cluster, files: Path):
        self.cluster, self.mill, self.files = cluster, cluster.shardmill, files
        self.expected = json.loads((files / "expected.json").read_text())
        for data in ("plain", "gaps"):
            told = json.loads((files / f"{data}.json").read_text())
            columns = {name: pa.array([row[n] for row in told["rows"]], pa.float64()) for n, name in enumerate(COLUMNS)}
            path = files / f"{data}.parquet"
            pq.write_table(pa.table({**columns, "two": told["two"]}), path, row_group_size=1500)
            self.mill.ingest(data, path)
        for name in self.expected:
            self.mill.run("model", "import", name, self.file(name), "--label", "two")

    def file(self, name: str) -> Path:
        return self.files / f"{name}.onnx"

    def predicted(self, name: str):
        out = f"{name}_out"
        self.mill.run("predict", name, self.expected[name]["data"], out)
        return self.mill.table(out)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("onnx")
    python = python_with("interop-onnx", MAKERS)
    made = subprocess.run([python, Path(__file__).with_name("onnx_models.py"), folder], capture_output=True, text=True, timeout=300)
    assert made.returncode == 0, made.stderr[-4000:]
    return folder


@pytest.fixture(scope="module")
def imported(tmp_path_factory, files):
    cluster = Cluster(tmp_path_factory.mktemp("importing") / "cluster", workers=2, options=("--serve", "127.0.0.1:0"))
    try:
        yield Imported(cluster, files)
    finally:
        cluster.stop()


def probabilities(table: pa.Table) -> np.ndarray:
    names = [name for name in table.column_names if name.startswith("probability_")]
    return np.column_stack([table[name].to_numpy() for name in names])


def assert_close(got: np.ndarray, wanted: np.ndarray, close=CLOSE):
    """Absolute below 1, relative above."""
    assert got.shape == wanted.shape
    difference = np.abs(got - wanted) / np.maximum(1, np.abs(wanted))
    assert np.isfinite(difference).all() and difference.max() <= close, difference.max()


def assert_same_classes(predicted: list, wanted: list, numbers: np.ndarray):
    """The same class, but for rows of which two classes are as probable as can be told in float32."""
    first, second = np.sort(numbers, axis=1)[:, ::-1][:, :2].T
    for one, other, gap in zip(predicted, wanted, first - second):
        assert one == other or gap < CLOSE


@pytest.mark.parametrize("name", CLASSES)
def test_a_classifier_predicts_the_same_in_batch(imported, name):
    table, wanted = imported.predicted(name), imported.expected[name]
    numbers = np.array(wanted["numbers"])
    assert table.num_rows == len(numbers)
    # Rows far off the training data have logarithms in the thousands, of which float32 keeps few digits.
    assert_close(probabilities(table), numbers, 1e-4 if name == "bayes" else CLOSE)
    assert_same_classes(table["prediction"].to_pylist(), wanted["labels"], numbers)


@pytest.mark.parametrize("name", NUMBERS)
def test_a_regressor_predicts_the_same_in_batch(imported, name):
    numbers = np.array(imported.expected[name]["numbers"])[:, 0]
    assert_close(imported.predicted(name)["prediction"].to_numpy(), numbers)


def test_a_clustering_finds_the_same_clusters(imported):
    table, wanted = imported.predicted("clusters"), imported.expected["clusters"]
    distances = np.array(wanted["numbers"])
    assert table["prediction"].to_pylist() == wanted["labels"]
    # The square of a distance is a difference of large numbers.
    assert_close(table["distance"].to_numpy(), distances.min(axis=1), 1e-3)
    refused = imported.mill.run("evaluate", "clusters", "plain", status=1)
    assert "cannot be evaluated" in refused["error"]


def test_an_evaluation_counts_what_onnxruntime_gets_right(imported):
    truth = json.loads((imported.files / "plain.json").read_text())["two"]
    got = imported.mill.run("evaluate", "forest2", "plain")
    wanted = np.mean(np.array(imported.expected["forest2"]["labels"]) == truth)
    assert got["metrics"]["accuracy"] == pytest.approx(wanted, abs=1e-12)
    assert imported.mill.run("model", "compare", "forest2", "extra")["models"][0]["data"] is None


def test_endpoints_answer_with_the_same_bits_as_batch_prediction(imported):
    mill = imported.mill
    rows = json.loads((imported.files / "gaps.json").read_text())["rows"][:200]
    body = "".join(",".join("" if x is None else repr(x) for x in row) + "\n" for row in rows)
    batch = probabilities(imported.predicted("xgb"))[: len(rows)]
    mill.run("endpoint", "create", "boosted", "--variant", "a=xgb")

    def serving():
        shown = mill.run("endpoint", "show", "boosted")
        nodes = [n for n in shown["nodes"] if n["revision"] >= shown["endpoint"]["revision"]]
        return nodes if len(nodes) == 3 else None

    for node in wait_until(serving, 30, "coordinator and workers that serve"):
        reply = post(f"{node['url']}/endpoints/boosted/invocations", body)
        assert reply.status == 200, reply.body
        answered = np.array([[float(x) for x in line.split(",")] for line in reply.body.decode().split()])
        np.testing.assert_array_equal(answered[:, -2:], batch)
        # One row alone says what it says among others.
        alone = post(f"{node['url']}/endpoints/boosted/invocations", body.split("\n")[7])
        np.testing.assert_array_equal([float(x) for x in alone.body.decode().strip().split(",")], answered[7])
        assert get(f"{node['url']}/healthz").status == 200
    mill.run("endpoint", "delete", "boosted")


def test_rows_with_gaps_are_refused_by_models_that_are_not_made_for_them(imported):
    got = imported.mill.run("predict", "forest2", "gaps", "forest2_gaps")
    assert got["counters"]["rejected"] > 1000
    imported.mill.run("model", "import", "refusing", imported.file("xgb"), "--missing", "refuse")
    strict = imported.mill.run("predict", "refusing", "gaps", "refusing_gaps")
    assert strict["counters"]["rejected"] == got["counters"]["rejected"]


def test_a_file_is_given_back_as_it_was(imported, tmp_path):
    mill, file = imported.mill, imported.file("forest")
    mill.run("model", "export", "forest", "--to", tmp_path / "back.onnx")
    assert (tmp_path / "back.onnx").read_bytes() == file.read_bytes()
    for kind in ("pmml", "pfa"):
        refused = mill.run("model", "export", "forest", "--to", tmp_path / f"back.{kind}", status=1)
        assert "imported from an ONNX file" in refused["error"]
    shown = mill.run("model", "show", "forest")
    assert shown["algorithm"] == "onnx" and shown["data"] is None and shown["spec"] is None
    assert shown["graph"]["bytes"] == file.stat().st_size and shown["graph"]["producer"].startswith("skl2onnx")
    record = mill.run("record", "show", shown["job"])
    assert record["kind"] == "import" and record["parameters"]["graph"]["digest"] == shown["graph"]["digest"]


def test_a_training_cannot_go_on_from_an_imported_model(imported):
    for how in (["--warm-start", "logistic", "--model", "logistic", "--label", "two"], ["--update", "logistic"]):
        refused = imported.mill.run("train", "logistic", "plain", *how, status=1)
        assert "imported from an ONNX file" in refused["error"]


def test_names_and_classes_can_be_given(imported):
    mill = imported.mill
    mill.run("model", "import", "named", imported.file("columns"), "--classes", "no,yes")
    shown = mill.run("model", "show", "named")
    assert shown["columns"] == ["a", "b"] and shown["classes"] == ["no", "yes"]
    mill.run("model", "import", "named", imported.file("columns"), "--classes", "false,true", "--features", "f0,f3")
    mill.run("predict", "named", "plain", "named_out")
    table = mill.table("named_out")
    z = table["f0"].to_numpy().astype(np.float32) - 2 * table["f3"].to_numpy().astype(np.float32)
    assert_close(table["probability_true"].to_numpy(), 1 / (1 + np.exp(-z.astype(float))))
    assert table["prediction"].to_pylist() == (table["probability_true"].to_numpy() > 0.5).tolist()


def test_an_export_that_is_imported_again_predicts_the_same(imported, tmp_path):
    mill = imported.mill
    trainings = {
        "own_logistic": ("logistic", ["--label", "two"]),
        "own_linear": ("linear", ["--label", "two", "--standardise"]),
        "own_bayes": ("naive-bayes", ["--label", "two"]),
        "own_kmeans": ("kmeans", ["--clusters", "5"]),
    }
    for name, (verb, options) in trainings.items():
        mill.run("train", verb, "gaps", "--model", name, "--features", ",".join(COLUMNS), "--impute", "mean", *options)
        path = tmp_path / f"{name}.onnx"
        mill.run("model", "export", name, "--to", path)
        mill.run("model", "import", f"{name}_again", path)
        told = [mill.run("model", "show", n) for n in (name, f"{name}_again")]
        assert told[0]["columns"] == told[1]["columns"] and told[0]["classes"] == told[1]["classes"]
        assert told[0]["label"] == told[1]["label"]
        tables = []
        for n in (name, f"{name}_again"):
            mill.run("predict", n, "gaps", f"{n}_out", "--keep", "none")
            tables.append(mill.table(f"{n}_out"))
        assert tables[0].schema.equals(tables[1].schema) and tables[0].num_rows == tables[1].num_rows == 6000
        for column in tables[0].column_names:
            one, other = tables[0][column].to_pylist(), tables[1][column].to_pylist()
            if isinstance(one[0], float):
                assert_close(np.array(other), np.array(one), 1e-12)
            else:
                assert one == other


@pytest.mark.parametrize(
    ("name", "options", "wanted"),
    [
        ("unsupported", [], "operator `TfIdfVectorizers` (domain `ai.onnx.ml`) is not supported; supported are"),
        ("text", [], "its input `t` takes text"),
        ("apart", [], "lies in another file"),
        ("logistic", ["--features", "a,b"], "it takes 4 features, and --features names 2"),
        ("logistic", ["--features", "a,b,c,a"], "two features are called `a`"),
        ("logistic", ["--classes", "a,b,c"], "--classes names 3 classes"),
        ("logistic", ["--label", "f1"], "cannot be the label and a feature"),
        ("logistic", ["--output", "nothing"], "it has no output `nothing`"),
        ("linear", ["--classes", "a,b,c"], "--classes names 3 classes"),
        ("expected", [], "it is no ONNX model"),
    ],
)
def test_what_cannot_be_imported_is_refused_in_words(imported, name, options, wanted):
    file = imported.files / ("expected.json" if name == "expected" else f"{name}.onnx")
    refused = imported.mill.run("model", "import", "bad", file, *options, status=1)
    assert wanted in refused["error"], refused["error"]
    assert "bad" not in {m["model"].split("@")[0] for m in imported.mill.run("model", "list")["models"]}


def test_a_file_goes_with_the_last_model_that_has_it(imported):
    mill, folder = imported.mill, imported.cluster.folder / "coordinator" / "graphs"
    before = {p.name for p in folder.iterdir()}
    for n in (1, 2):
        mill.run("model", "import", f"twice{n}", imported.file("tree"), "--features", "a,b,c,d")
    # `tree` itself has the file, too.
    assert {p.name for p in folder.iterdir()} == before
    for name in ("twice1", "twice2", "tree"):
        mill.run("model", "rm", name)
    assert len(before - {p.name for p in folder.iterdir()}) == 1
    mill.run("model", "import", "tree", imported.file("tree"), "--label", "two")
    assert {p.name for p in folder.iterdir()} == before


def test_an_imported_model_outlives_the_process_and_uploads_that_came_to_nothing_do_not(imported, mill):
    # Every command is a coordinator of its own here.
    mill.ingest("plain", imported.files / "plain.parquet")
    mill.run("model", "import", "forest", imported.file("forest"))
    left = Path(mill.data_dir) / "coordinator" / "graphs" / f"{0:032x}.onnx"
    left.write_bytes(b"left over")
    mill.run("predict", "forest", "plain", "out")
    assert mill.table("out").column("probability_bee").equals(imported.predicted("forest").column("probability_bee"))
    assert not left.exists() and len(list(left.parent.iterdir())) == 1
