"""Training against scikit-learn: the same optimum of the same objective, whatever the data look like."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn import datasets
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import ElasticNet, Lasso, LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

NEWTON = {"solver": "newton-cholesky", "tol": 1e-12, "max_iter": 1000}


def ingest(mill, name, frame: pd.DataFrame, shards=7):
    """A dataset of several shards, its values exactly those of the frame."""
    path = mill.work / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    pq.write_table(table, path, row_group_size=max(1, len(frame) // shards))
    mill.ingest(name, path, shard_size=1024)
    assert len(frame) < 100 or mill.shards(name) > 1


def train(mill, kind, data, *options, model="m", status=0):
    return mill.run("train", kind, data, "--model", model, *options, status=status)


def shown(mill, model="m"):
    return mill.run("model", "show", model)


def coefficients(mill, model="m"):
    found = shown(mill, model)
    return np.array(found["coefficients"]), np.array(found["intercept"])


def generated(rows=2000, features=6, classes=2, seed=1, scales=4.0):
    """Rows whose features' scales span 10^scales, with labels that are not separable."""
    rng = np.random.default_rng(seed)
    scale = 10.0 ** np.linspace(-scales / 2, scales / 2, features)
    x = rng.normal(size=(rows, features)) * scale + rng.normal(size=features) * scale
    w = rng.normal(size=(features, classes)) / scale[:, None]
    z = x @ w
    z = 1.5 * (z - z.mean(axis=0)) / z.std(axis=0) + rng.gumbel(size=(rows, classes))
    frame = pd.DataFrame(x, columns=[f"x{n}" for n in range(features)])
    frame["y"] = z.argmax(axis=1)
    frame["w"] = rng.integers(0, 5, size=rows) + rng.random(rows)
    return frame


def features_of(frame):
    return [c for c in frame if c.startswith("x")]


def agree(got, wanted, what="", tolerance=1e-6):
    """Equal to 1e-6, relative to the largest of a coefficient and 1."""
    got, wanted = np.asarray(got, dtype=float), np.asarray(wanted, dtype=float)
    assert got.shape == wanted.shape, f"{what}: {got.shape} instead of {wanted.shape}"
    worst = np.max(np.abs(got - wanted) / np.maximum(1, np.abs(wanted)), initial=0)
    assert worst < tolerance, f"{what}: off by {worst}\n{got}\n{wanted}"


def logistic_agrees(mill, frame, options, reference, weights=None, model="m"):
    columns = features_of(frame)
    train(mill, "logistic", "t", "--label", "y", "--features", ",".join(columns), *options, model=model)
    fitted = reference.fit(frame[columns].to_numpy(), frame["y"].to_numpy(), sample_weight=weights)
    got, intercept = coefficients(mill, model)
    if len(fitted.classes_) == 2:
        agree(got, fitted.coef_[0], f"coefficients {options}")
        agree(intercept, fitted.intercept_[0], f"intercept {options}")
    else:
        agree(got, fitted.coef_, f"coefficients {options}")
        agree(intercept, fitted.intercept_, f"intercept {options}")
    return fitted


@pytest.mark.parametrize("seed", range(4))
def test_logistic_of_two_classes(mill, seed):
    frame = generated(seed=seed, rows=[50, 400, 2000, 5000][seed], features=[2, 5, 6, 12][seed])
    ingest(mill, "t", frame)
    for n, c in enumerate([1.0, 0.01, 100.0]):
        logistic_agrees(mill, frame, ["--c", c], LogisticRegression(C=c, **NEWTON), model=f"c{n}")
    logistic_agrees(mill, frame, ["--penalty", "none"], LogisticRegression(C=np.inf, **NEWTON), model="none")
    logistic_agrees(mill, frame, ["--fit-intercept", "false"], LogisticRegression(fit_intercept=False, **NEWTON), model="no")
    balanced = LogisticRegression(class_weight="balanced", **NEWTON)
    logistic_agrees(mill, frame, ["--class-weight", "balanced"], balanced, model="balanced")
    weighted = LogisticRegression(class_weight={0: 3, 1: 0.5}, **NEWTON)
    logistic_agrees(mill, frame, ["--class-weight", '{"0": 3, "1": 0.5}'], weighted, model="weighted")
    logistic_agrees(mill, frame, ["--weight-column", "w"], LogisticRegression(**NEWTON), frame["w"], model="rows")
    both = LogisticRegression(class_weight="balanced", C=0.3, **NEWTON)
    logistic_agrees(mill, frame, ["--weight-column", "w", "--class-weight", "balanced", "--c", 0.3], both, frame["w"], model="both")


@pytest.mark.parametrize("solver", ["newton", "lbfgs", "owlqn", "linfa"])
def test_every_solver_finds_the_same(mill, solver):
    frame = generated(rows=600, features=4, seed=7, scales=0.5)
    ingest(mill, "t", frame)
    columns = features_of(frame)
    extra = ["--tol", "1e-10"] if solver != "newton" else []
    train(mill, "logistic", "t", "--label", "y", "--features", ",".join(columns), "--solver", solver, *extra)
    wanted = LogisticRegression(**NEWTON).fit(frame[columns].to_numpy(), frame["y"])
    got, intercept = coefficients(mill)
    # linfa's stopping rule is coarser than ours.
    tolerance = 1e-3 if solver == "linfa" else 1e-6
    agree(got, wanted.coef_[0], solver, tolerance)
    agree(intercept, wanted.intercept_[0], solver, tolerance)


def test_the_objective_of_liblinear(mill):
    frame = generated(rows=800, features=5, seed=9, scales=1.0)
    ingest(mill, "t", frame)
    reference = LogisticRegression(solver="liblinear", tol=1e-12, max_iter=10_000)
    logistic_agrees(mill, frame, ["--penalise-intercept"], reference)


@pytest.mark.parametrize("classes,solver", [(3, "auto"), (5, "newton"), (4, "lbfgs")])
def test_logistic_of_several_classes(mill, classes, solver):
    frame = generated(rows=1500, features=4, classes=classes, seed=classes, scales=1.0)
    ingest(mill, "t", frame)
    tight = ["--tol", "1e-10", "--solver", solver]
    logistic_agrees(mill, frame, tight, LogisticRegression(**NEWTON), model="plain")
    logistic_agrees(mill, frame, ["--c", 0.05, *tight], LogisticRegression(C=0.05, **NEWTON), model="strong")
    balanced = LogisticRegression(class_weight="balanced", **NEWTON)
    logistic_agrees(mill, frame, ["--class-weight", "balanced", *tight], balanced, model="balanced")


def gradient(x, y, w, b, weights=None):
    """Of sum s_i log(1 + exp(-y_i z_i)), labels 0 and 1."""
    p = 1 / (1 + np.exp(-(x @ w + b)))
    r = (p - y) * (1 if weights is None else weights)
    return x.T @ r, r.sum()


@pytest.mark.parametrize("solver", ["newton", "owlqn"])
@pytest.mark.parametrize("ratio", [1.0, 0.4])
def test_l1_and_elastic_net_satisfy_their_conditions(mill, solver, ratio):
    """scikit-learn's saga stops early; the conditions of an optimum are exact: zero is in the subdifferential."""
    frame = generated(rows=700, features=9, seed=17, scales=0.5)
    ingest(mill, "t", frame)
    columns = features_of(frame)
    c = 0.02
    penalty = ["--penalty", "l1"] if ratio == 1 else ["--penalty", "elasticnet", "--l1-ratio", ratio]
    train(mill, "logistic", "t", "--label", "y", "--features", ",".join(columns), "--c", c, *penalty, "--solver", solver, "--tol", 1e-10)
    w, b = coefficients(mill)
    x, y = frame[columns].to_numpy(), frame["y"].to_numpy()
    g, gb = gradient(x, y, w, b)
    g = c * g + (1 - ratio) * w
    scale = x.std(axis=0)
    assert abs(c * gb) < 1e-6
    zero = w == 0
    assert 0 < zero.sum() < len(w), w
    assert np.all(np.abs(g[~zero] + ratio * np.sign(w[~zero])) / scale[~zero] < 1e-6)
    assert np.all(np.abs(g[zero]) <= ratio * (1 + 1e-6))


@pytest.mark.parametrize("name", ["iris", "breast_cancer", "digits", "wine"])
def test_the_classic_datasets(mill, name):
    data = getattr(datasets, f"load_{name}")()
    keep = data.data.std(axis=0) > 0
    frame = pd.DataFrame(data.data[:, keep], columns=[f"x{n}" for n in range(keep.sum())])
    frame["y"] = data.target
    ingest(mill, "t", frame)
    logistic_agrees(mill, frame, ["--tol", "1e-10"], LogisticRegression(**NEWTON))
    bayes = GaussianNB().fit(frame[features_of(frame)].to_numpy(), frame["y"])
    train(mill, "naive-bayes", "t", "--label", "y", model="nb")
    found = shown(mill, "nb")
    agree(found["means"], bayes.theta_, "means", 1e-10)
    agree(found["variances"], bayes.var_, "variances", 1e-10)
    agree(found["priors"], bayes.class_prior_, "priors", 1e-12)


def titanic(real_data):
    frame = pd.read_csv(real_data / "seaborn-titanic.csv")
    return frame[["survived", "pclass", "sex", "age", "sibsp", "parch", "fare", "embarked", "deck"]]


@pytest.mark.parametrize("how", ["mean", "median", "mode", "constant=29.5"])
def test_titanic_with_categories_and_missing_values(mill, real_data, how):
    frame = titanic(real_data)
    ingest(mill, "t", frame)
    numeric, text = ["age", "sibsp", "parch", "fare"], ["sex", "embarked", "deck"]
    strategy, fill = {"mode": ("most_frequent", None)}.get(how, (how.split("=")[0], 29.5))
    numbers = SimpleImputer(strategy=strategy, fill_value=fill)
    categories = SimpleImputer(strategy="most_frequent")
    pipe = make_pipeline(
        ColumnTransformer([
            ("number", make_pipeline(numbers, StandardScaler()), numeric),
            ("class", OneHotEncoder(), ["pclass"]),
            ("text", make_pipeline(categories, OneHotEncoder(handle_unknown="ignore")), text),
        ]),
        LogisticRegression(**NEWTON),
    )
    pipe.fit(frame, frame["survived"])
    imputes = [v for c in numeric for v in ("--impute", f"{c}={how}")]
    train(
        mill, "logistic", "t", "--label", "survived", "--features", ",".join([*numeric, "pclass", *text]),
        "--categorical", "pclass", "--standardise", *imputes, "--impute", "mode",
    )  # fmt: skip
    got, intercept = coefficients(mill)
    agree(got, pipe[-1].coef_[0], how)
    agree(intercept, pipe[-1].intercept_[0], how)
    # The same probabilities for every row, by a batch job over raw columns.
    mill.run("predict", "m", "t", "p")
    predicted = mill.table("p").to_pandas()
    wanted = pipe.predict_proba(frame)
    agree(predicted["probability_1"], wanted[:, 1], "probabilities", 1e-7)
    assert (predicted["prediction"] == pipe.predict(frame)).all()


def test_indicators_of_missing_values(mill, real_data):
    frame = titanic(real_data)
    ingest(mill, "t", frame)
    columns = ["age", "fare"]
    x = np.hstack([
        SimpleImputer().fit_transform(frame[["age"]]), MissingIndicator().fit_transform(frame[["age"]]), frame[["fare"]],
    ])  # fmt: skip
    wanted = LogisticRegression(**NEWTON).fit(x, frame["survived"])
    train(mill, "logistic", "t", "--label", "survived", "--features", ",".join(columns), "--impute", "mean", "--missing-indicator")
    assert shown(mill)["feature_names"] == ["age", "age_missing", "fare"]
    agree(coefficients(mill)[0], wanted.coef_[0])


def test_penguins(mill, real_data):
    """Three classes of text, rows without a label or a value left out, a weight for each class by name."""
    frame = pd.read_csv(real_data / "seaborn-penguins.csv")
    frame.loc[::17, "species"] = None
    ingest(mill, "t", frame)
    columns = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]
    weights = {"Adelie": 1.0, "Chinstrap": 2.5, "Gentoo": 0.5}
    result = train(
        mill, "logistic", "t", "--label", "species", "--features", ",".join([*columns, "island"]), "--impute", "drop-row",
        "--unlabelled", "skip", "--class-weight", json.dumps(weights), "--standardise",
    )  # fmt: skip
    used = frame[frame["species"].notna()].dropna(subset=columns)
    pipe = make_pipeline(
        ColumnTransformer([("n", StandardScaler(), columns), ("c", OneHotEncoder(), ["island"])]),
        LogisticRegression(class_weight=weights, **NEWTON),
    ).fit(used, used["species"])
    assert result["rows"] == len(used)
    got, intercept = coefficients(mill)
    assert shown(mill)["classes"] == list(weights)
    agree(got, pipe[-1].coef_)
    agree(intercept, pipe[-1].intercept_)


def test_linear_models(mill, real_data):
    frame = pd.read_csv(real_data / "seaborn-diamonds.csv")
    ingest(mill, "t", frame)
    columns = ["carat", "depth", "table", "x"]
    x, y = frame[columns].to_numpy(), frame["price"].to_numpy(dtype=float)
    weights = frame["z"].to_numpy()
    for n, (options, reference, weight) in enumerate([
        ([], LinearRegression(), None),
        (["--fit-intercept", "false"], LinearRegression(fit_intercept=False), None),
        (["--weight-column", "z"], LinearRegression(), weights),
        (["--penalty", "l2", "--alpha", 10], Ridge(alpha=10), None),
        (["--penalty", "l2", "--alpha", 3, "--weight-column", "z"], Ridge(alpha=3), weights),
        (["--penalty", "l1", "--alpha", 50], Lasso(alpha=50, tol=1e-14, max_iter=100_000), None),
        (["--penalty", "elasticnet", "--alpha", 0.5, "--l1-ratio", 0.3], ElasticNet(alpha=0.5, l1_ratio=0.3, tol=1e-14, max_iter=100_000), None),
        (["--penalty", "l1", "--alpha", 50, "--weight-column", "z"], Lasso(alpha=50, tol=1e-14, max_iter=100_000), weights),
    ]):  # fmt: skip
        fitted = reference.fit(x, y, sample_weight=weight)
        train(mill, "linear", "t", "--label", "price", "--features", ",".join(columns), *options, model=f"l{n}")
        got, intercept = coefficients(mill, f"l{n}")
        agree(got, fitted.coef_, f"{options}")
        agree(intercept, fitted.intercept_, f"{options}")


def test_naive_bayes_is_updated_to_what_all_rows_teach(mill):
    frame = generated(rows=900, features=3, classes=3, seed=5, scales=1.0)
    ingest(mill, "a", frame[:400])
    ingest(mill, "b", frame[400:])
    ingest(mill, "all", frame)
    columns = features_of(frame)
    given = ["--label", "y", "--features", ",".join(columns), "--weight-column", "w"]
    train(mill, "naive-bayes", "a", *given)
    result = mill.run("train", "naive-bayes", "b", "--update", "m@1")
    assert result["model"] == "m@2"
    wanted = GaussianNB(var_smoothing=1e-9).fit(frame[columns].to_numpy(), frame["y"], frame["w"])
    found = shown(mill, "m@2")
    agree(found["means"], wanted.theta_, "means", 1e-10)
    agree(found["variances"], wanted.var_, "variances", 1e-7)
    assert found["parent"] == "m@1"


def test_updating_logistic_and_linear_models(mill):
    """Least squares know all they need of the rows that are gone; logistic regression comes close."""
    frame = generated(rows=3000, features=3, seed=23, scales=1.0)
    frame["t"] = frame[features_of(frame)] @ [1.0, -2.0, 0.5] + frame["w"]
    ingest(mill, "a", frame[:2000])
    ingest(mill, "b", frame[2000:])
    names = ",".join(features_of(frame))
    x = frame[features_of(frame)].to_numpy()
    train(mill, "linear", "a", "--label", "t", "--features", names, model="lin")
    mill.run("train", "linear", "b", "--update", "lin@1")
    wanted = LinearRegression().fit(x, frame["t"])
    got, intercept = coefficients(mill, "lin@2")
    agree(got, wanted.coef_)
    agree(intercept, wanted.intercept_)
    train(mill, "logistic", "a", "--label", "y", "--features", names, model="log")
    before = coefficients(mill, "log@1")[0]
    mill.run("train", "logistic", "b", "--update", "log")
    wanted = LogisticRegression(**NEWTON).fit(x, frame["y"]).coef_[0]
    after = coefficients(mill, "log@2")[0]
    scale = x.std(axis=0)
    assert np.linalg.norm((after - wanted) * scale) < 0.2 * np.linalg.norm((before - wanted) * scale)


def test_a_warm_start_needs_fewer_rounds(mill):
    frame = generated(rows=2000, features=5, seed=29, scales=1.0)
    ingest(mill, "t", frame)
    given = ["--label", "y", "--features", ",".join(features_of(frame))]
    cold = train(mill, "logistic", "t", *given)
    warm = train(mill, "logistic", "t", *given, "--warm-start", "m@1")
    assert len(warm["rounds"]) < len(cold["rounds"])
    agree(coefficients(mill, "m@2")[0], coefficients(mill, "m@1")[0], tolerance=1e-9)


@pytest.mark.parametrize("clusters", [1, 3, 8])
def test_kmeans_ends_where_lloyd_ends(mill, clusters):
    rng = np.random.default_rng(clusters)
    centers = rng.normal(size=(clusters, 4)) * 20
    x = np.vstack([rng.normal(size=(150, 4)) + c for c in centers])
    rng.shuffle(x)
    frame = pd.DataFrame(x, columns=list("abcd"))
    ingest(mill, "t", frame)
    train(mill, "kmeans", "t", "--clusters", clusters, "--tol", 0)
    found = shown(mill)
    got = np.array(found["centers"])
    once = KMeans(clusters, init=got, n_init=1, max_iter=1, tol=0).fit(x)
    agree(once.cluster_centers_, got, "a step more changes nothing", 1e-9)
    best = KMeans(clusters, n_init=10, random_state=0, tol=0).fit(x)
    assert found["inertia"] <= best.inertia_ * (1 + 1e-9)
    mill.run("predict", "m", "t", "p")
    predicted = mill.table("p").to_pandas()
    assert (predicted["prediction"] == once.predict(x)).all()
    assert np.bincount(predicted["prediction"], minlength=clusters).tolist() == found["sizes"]


def test_the_same_bits_on_any_number_of_workers(mills):
    frame = generated(rows=3000, features=5, classes=3, seed=41)
    seen = {}
    for workers in (1, 2, 3):
        mill = mills("--workers", workers)
        ingest(mill, "t", frame, shards=11)
        given = ["--label", "y", "--features", ",".join(features_of(frame))]
        train(mill, "logistic", "t", *given, model="log")
        train(mill, "linear", "t", "--label", "w", "--features", ",".join(features_of(frame)), model="lin")
        train(mill, "naive-bayes", "t", *given, model="nb")
        train(mill, "kmeans", "t", "--features", "x0,x1,x2", "-k", 5, model="km")
        for name, keys in {
            "log": ["coefficients", "intercept"], "lin": ["coefficients", "intercept"],
            "nb": ["means", "variances"], "km": ["centers", "inertia"],
        }.items():  # fmt: skip
            found = shown(mill, name)
            bits = json.dumps([found[key] for key in keys])
            assert seen.setdefault(name, bits) == bits, f"{name} on {workers} workers"


ERRORS = {
    "an unknown label": (["logistic", "--label", "nope"], "no column `nope`"),
    "an unknown feature": (["logistic", "--label", "y", "--features", "a,nope"], "no column `nope`"),
    "a label among the features": (["logistic", "--label", "y", "--features", "a,y"], "`y`"),
    "a constant label": (["logistic", "--label", "one", "--features", "a"], "`one`"),
    "a label of floats": (["logistic", "--label", "a", "--features", "b"], "has the value"),
    "text to predict by least squares": (["linear", "--label", "s", "--features", "a"], "string"),
    "missing values": (["logistic", "--label", "y", "--features", "holes"], "--impute"),
    "missing labels": (["logistic", "--label", "gaps", "--features", "a"], "--unlabelled"),
    "all values missing": (["logistic", "--label", "y", "--features", "void", "--impute", "mean"], "`void`"),
    "infinite values": (["logistic", "--label", "y", "--features", "inf"], "`inf`"),
    "a constant feature, refused": (["logistic", "--label", "y", "--features", "a,flat", "--constant-features", "refuse"], "`flat`"),
    "nothing but a constant feature": (["logistic", "--label", "y", "--features", "flat"], "`flat`"),
    "too many categories": (["logistic", "--label", "y", "--features", "s", "--max-categories", "3"], "--max-categories"),
    "separated classes": (["logistic", "--label", "y", "--features", "a,leak", "--penalty", "none"], "separate"),
    "half separated classes": (["logistic", "--label", "y", "--features", "half", "--penalty", "none"], "separate"),
    "a negative weight": (["logistic", "--label", "y", "--features", "a", "--weight-column", "b"], "`b`"),
    "rows that weigh nothing": (["logistic", "--label", "y", "--features", "a", "--class-weight", "1=0"], "weigh 0"),
    "values too large to square": (["linear", "--label", "b", "--features", "huge"], "`huge`"),
    "two features of one name": (["linear", "--label", "b", "--features", "s=v1,s"], "`s=v1`"),
    "more parameters than rows": (["linear", "--label", "a", "--features", "s", "--penalty", "none"], "rows"),
    "more clusters than rows": (["kmeans", "--features", "a", "-k", "1000"], "1000"),
    "a class that is not there": (["logistic", "--label", "y", "--features", "a", "--class-weight", "7=2"], "7"),
    "an unknown dataset": (["logistic", "--label", "y"], "no dataset"),
}


@pytest.mark.parametrize("what", ERRORS)
def test_what_cannot_be_learnt_says_why(mill, what):
    rng = np.random.default_rng(3)
    n = 40
    y = rng.integers(0, 2, n)
    frame = pd.DataFrame({
        "a": rng.normal(size=n), "b": rng.normal(size=n), "y": y, "one": 1, "flat": 2.5, "leak": y * 2.0 - 0.7 + rng.random(n) / 9,
        "half": np.where(y == 1, rng.integers(0, 2, n), 0), "s": [f"v{i}" for i in range(n)], "holes": rng.normal(size=n),
        "gaps": pd.array(y, dtype="Int64"), "void": pd.array([None] * n, dtype="Float64"), "inf": rng.normal(size=n),
        "huge": 1e200 * rng.normal(size=n), "s=v1": rng.normal(size=n),
    })  # fmt: skip
    frame.loc[3, "holes"] = None
    frame.loc[5, "gaps"] = None
    frame.loc[7, "inf"] = np.inf
    ingest(mill, "t", frame)
    (kind, *options), wanted = ERRORS[what]
    failed = train(mill, kind, "none" if what == "an unknown dataset" else "t", *options, status=1)
    print(failed["error"])
    assert wanted in failed["error"]
    # Nothing is left behind.
    assert mill.run("model", "list")["models"] == []


@pytest.mark.parametrize("options,wanted", [
    (["logistic", "--c", "0"], "--c"), (["logistic", "--c", "inf"], "--penalty none"), (["logistic", "--tol", "nan"], "--tol"),
    (["logistic", "--class-weight", "a=inf"], "inf"), (["linear", "--alpha", "3"], "--penalty"), (["linear", "--alpha", "-1"], "--alpha"),
    (["logistic", "--penalty", "elasticnet"], "--l1-ratio"), (["logistic", "--solver", "sag"], "sag"), (["kmeans", "-k", "0"], "0"),
])  # fmt: skip
def test_options_that_make_no_sense_are_wrong_usage(mill, options, wanted):
    kind, *rest = options
    label = [] if kind == "kmeans" else ["--label", "y"]
    assert wanted in train(mill, kind, "t", *label, *rest, status=2)["error"]


def test_an_update_refuses_what_its_version_settles(mill):
    ingest(mill, "t", generated(rows=60, features=2, seed=1))
    train(mill, "logistic", "t", "--label", "y", "--features", "x0,x1", "--penalty", "none")
    for options in (["--penalty", "l2"], ["--features", "x0"], ["--standardise"], ["--impute", "mean"], ["--fit-intercept", "false"]):
        failed = mill.run("train", "logistic", "t", "--update", "m@1", *options, status=2)
        assert options[0] in failed["error"]
    result = mill.run("train", "logistic", "t", "--update", "m@1")
    assert result["converged"] and result["notices"] == []
    # What an update needs of the rows that are gone lies beside the model.
    folder = next((mill.data_dir / "coordinator" / "models").glob("*/curvature.parquet")).parent
    assert json.loads((folder / "model.json").read_text())["parameters"]["form"] == "logistic"
    curvature = pd.read_parquet(folder / "curvature.parquet")
    assert curvature[["row", "column"]].to_numpy().tolist() == [[0, 0], [0, 1], [0, 2], [1, 1], [1, 2], [2, 2]]


def test_a_model_that_is_in_use_is_not_removed(mill):
    ingest(mill, "t", generated(rows=60, features=2, seed=1))
    for _ in range(2):
        train(mill, "linear", "t", "--label", "w", "--features", "x0")
    mill.run("model", "alias", "m", "champion=1")
    assert "champion" in mill.run("model", "rm", "m", status=1)["error"]
    mill.run("model", "alias", "m", "--remove", "champion")
    mill.run("model", "rm", "m")
    assert mill.run("model", "list")["models"] == []
    assert not list((mill.data_dir / "coordinator" / "models").iterdir())


def test_a_feature_that_says_nothing_is_left_out_and_named(mill):
    frame = generated(rows=200, features=2, seed=2)
    frame["flat"] = 3
    ingest(mill, "t", frame)
    train(mill, "logistic", "t", "--label", "y", "--features", "x0,x1,flat")
    found = shown(mill)
    assert found["feature_names"] == ["x0", "x1"]
    assert any("flat" in n for n in found["training"]["notices"])
