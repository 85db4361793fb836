"""What is watched of endpoints: counts against what was sent, drift against numpy, metrics against Prometheus' own parser."""

import json
import time

import numpy as np
import pandas as pd
import pytest
from prometheus_client.parser import text_string_to_metric_families

from helpers import Cluster, wait_until
from test_endpoints import get, post
from test_training import ingest, train

ROWS = 6000
FLOOR = 1e-4
FEATURES = ["x", "member", "city", "same", "k"]


def people(rows, seed, shift=0.0):
    """A number with gaps, a boolean, a category with gaps, a constant, and a whole number with many ties."""
    rng = np.random.default_rng(seed)
    x = rng.normal(shift, 1.0 + shift / 4, rows)
    frame = pd.DataFrame({"x": x})
    frame["member"] = rng.random(rows) < 0.3 + shift / 4
    frame["city"] = rng.choice(["Bonn", "Oslo", "Rome"], rows, p=[0.5 - shift / 5, 0.3, 0.2 + shift / 5])
    frame["same"] = 7
    frame["k"] = rng.poisson(0.6 + shift, rows)
    frame["y"] = (rng.random(rows) < 1 / (1 + np.exp(-x))).astype(int)
    frame.loc[rng.random(rows) < 0.1 + shift / 10, "x"] = np.nan
    frame.loc[rng.random(rows) < 0.05, "city"] = None
    return frame


def records(frame):
    return [{k: None if pd.isna(v) else v for k, v in row.items()} for row in frame.to_dict(orient="records")]


def psi(expected, came):
    e, a = np.array(expected, float), np.array(came, float)
    e, a = np.maximum(e / e.sum(), FLOOR), np.maximum(a / a.sum(), FLOOR)
    return float(((a - e) * np.log(a / e)).sum())


def binned(edges, column):
    """Counts by the baseline's bins, and how many have no value."""
    values = column.dropna().to_numpy(float)
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    return counts.tolist(), int(column.isna().sum())


class Watched:
    def __init__(self, cluster):
        self.cluster, self.mill = cluster, cluster.shardmill
        self.training = people(ROWS, 1)
        ingest(self.mill, "people", self.training)
        self.train("--impute", "x=mean", "--impute", "city=mode", "--features", ",".join(FEATURES))
        self.model = self.mill.run("model", "show", "m")
        self.mill.run("endpoint", "create", "m", "--variant", "a=m@1:3", "--variant", "b=m@1:0")
        self.nodes = [n["url"] for n in self.mill.run("endpoint", "show", "m")["nodes"]]

    def train(self, *options, model="m"):
        return train(self.mill, "logistic", "people", "--label", "y", "--constant-features", "keep", *options, model=model)

    def ask(self, url, frame, name="m", variant=None, content_type="application/json"):
        body = json.dumps(records(frame[FEATURES]))
        headers = {"X_Amzn_SageMaker_Target_Variant": variant} if variant else {}
        return post(f"{url}/endpoints/{name}/invocations", body, content_type, **headers)

    def shown(self, requests, name="m", since="1h"):
        """What `show` says of each variant, once so many requests have arrived in it."""

        def all_there():
            watched = self.mill.run("endpoint", "show", name, "--since", since)["watched"]
            if sum(w["tally"]["requests"] + sum(w["tally"]["errors"].values()) for w in watched) >= requests:
                return {w["variant"]: w for w in watched}

        return wait_until(all_there, 20, f"{requests} requests in `endpoint show`", pause=0.3)


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("watch") / "cluster", workers=2, options=("--serve", "127.0.0.1:0"))
    try:
        yield Watched(cluster)
    finally:
        cluster.stop()


def baseline(model):
    return dict(zip(model["columns"], model["baseline"]["features"])), model["baseline"]


def test_a_model_knows_its_training_data(watched):
    features, whole = baseline(watched.model)
    assert whole["rows"] == ROWS, "of so few rows all are in the sample"
    for name in ("x", "member", "same", "k"):
        of = features[name]
        assert of["kind"] == "numeric" and of["edges"] == sorted(set(of["edges"]))
        counts, missing = binned(of["edges"], watched.training[name])
        assert (of["counts"], of["missing"]) == (counts, missing)
    deciles = np.nanquantile(watched.training["x"], np.arange(1, 10) / 10, method="higher")
    assert np.abs(np.array(features["x"]["edges"]) - deciles).max() < 0.01
    assert features["member"]["counts"][0] == 0 and len(features["member"]["counts"]) == 4
    assert [c for c in features["same"]["counts"] if c] == [ROWS]
    cities = watched.training["city"].value_counts().sort_index()
    assert features["city"] == {
        "kind": "categories", "counts": cities.tolist(), "missing": int(watched.training["city"].isna().sum()), "unseen": 0,
    }  # fmt: skip


def test_an_update_keeps_the_baseline_and_a_sample_is_even(watched):
    mill = watched.mill
    ingest(mill, "more", people(500, 9, shift=1.0))
    mill.run("train", "logistic", "more", "--update", "m@1", "--model", "m")
    assert mill.run("model", "show", "m@2")["baseline"] == baseline(watched.model)[1]
    rows = 25_000
    ramp = pd.DataFrame({"x": np.arange(rows) % 24, "z": np.arange(rows) / rows, "y": np.arange(rows) * 1.0})
    ingest(mill, "ramp", ramp)
    mill.run("train", "linear", "ramp", "--label", "y", "--features", "x,z", "--model", "ramp")
    features, whole = baseline(mill.run("model", "show", "ramp"))
    assert 5_000 < whole["rows"] <= 10_000
    # Deciles of the sample are those of the data, within what a sample of thousands can miss.
    assert np.abs(np.array(features["z"]["edges"][:9]) - np.arange(1, 10) / 10).max() < 0.02
    assert np.abs(np.array(whole["label_edges"][:9]) / rows - np.arange(1, 10) / 10).max() < 0.02
    assert len(features["x"]["edges"]) in (9, 10), "a period of 24 rows does not hide from the sample"


def test_counts_are_what_was_sent_and_drift_is_numpys(watched):
    frame = people(1500, 2, shift=0.8)
    frame.loc[:40, "city"] = "Paris"
    pieces = [frame.iloc[start : start + 50] for start in range(0, len(frame), 50)]
    assert len(watched.nodes) == 3
    for n, piece in enumerate(pieces):
        reply = watched.ask(watched.nodes[n % 3], piece)
        assert reply.status == 200, reply.body
    other = watched.ask(watched.nodes[0], frame.iloc[:5], variant="b")
    assert other.status == 200 and other.headers["x-Amzn-Invoked-Production-Variant"] == "b"
    assert watched.ask(watched.nodes[1], frame.iloc[:1], content_type="image/png").status >= 400
    assert post(f"{watched.nodes[2]}/endpoints/m/invocations", "{", "application/json").status >= 400
    told = watched.shown(len(pieces) + 3)
    a, b = told["a"], told["b"]
    tally = a["tally"]
    assert (tally["requests"], tally["rows"]) == (len(pieces), len(frame))
    assert (b["tally"]["requests"], b["tally"]["rows"]) == (1, 5)
    errors = [sum(t["tally"]["errors"].get(kind, 0) for t in told.values()) for kind in ("bad_content_type", "bad_request")]
    assert errors == [1, 1]
    assert sum(tally["latency"]["counts"]) == len(pieces)
    assert 0 < a["latency"]["p50"] <= a["latency"]["p99"] < 10 and a["latency"]["mean"] > 0
    assert sum(p["rows"] for p in a["predictions"]) == len(frame) and [p["value"] for p in a["predictions"]] == ["0", "1"]
    features, _ = baseline(watched.model)
    drift = {d["feature"]: d for d in a["drift"]}
    assert [d["psi"] for d in a["drift"]] == sorted((d["psi"] for d in a["drift"]), reverse=True)
    for name, of in features.items():
        column = frame[name]
        if of["kind"] == "numeric":
            counts, missing = binned(of["edges"], column)
            expected, came = [*of["counts"], of["missing"]], [*counts, missing]
            unseen = None
        else:
            counts = [int((column == c).sum()) for c in ("Bonn", "Oslo", "Rome")]
            missing, unseen = int(column.isna().sum()), int((column == "Paris").sum())
            expected, came = [*of["counts"], of["missing"], 0], [*counts, missing, unseen]
        assert drift[name]["psi"] == pytest.approx(psi(expected, came), rel=1e-12, abs=1e-15), name
        assert drift[name]["missing"] == pytest.approx(missing / len(frame))
        assert drift[name]["unseen"] == (None if unseen is None else pytest.approx(unseen / len(frame)))
        assert drift[name]["training_missing"] == pytest.approx(int(watched.training[name].isna().sum()) / ROWS)
    assert drift["x"]["psi"] > 0.25 and drift["same"]["psi"] == 0


def samples(url):
    """Of each metric its samples by labels, as Prometheus' parser reads them; each metric is there once."""
    reply = get(f"{url}/metrics")
    assert reply.status == 200 and reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    text = reply.body.decode()
    heads = [line for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(heads) == len({h.split()[2] for h in heads}), "a metric has one head"
    out = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = frozenset(sample.labels.items())
            assert (sample.name, labels) not in out, "no sample is there twice"
            out[sample.name, labels] = sample.value
    return out


def test_prometheus_reads_every_node(watched):
    told = watched.shown(33)["a"]
    labels = {"endpoint": "m", "variant": "a", "model": "m@1"}

    def at(node, name, **more):
        return node[name, frozenset({**labels, **more}.items())]

    nodes = [samples(url) for url in watched.nodes]
    total = lambda name, **more: sum(at(node, name, **more) for node in nodes)  # noqa: E731
    tally = told["tally"]
    assert total("shardmill_endpoint_requests_total") == tally["requests"]
    assert total("shardmill_endpoint_rows_total") == tally["rows"]
    assert total("shardmill_endpoint_latency_seconds_count") == tally["requests"]
    assert total("shardmill_endpoint_latency_seconds_sum") == pytest.approx(tally["latency"]["sum_micros"] / 1e6)
    assert [total("shardmill_endpoint_predictions_total", **{"class": c}) for c in "01"] == tally["outcomes"]["counts"]
    assert total("shardmill_endpoint_probability_sum") == pytest.approx(tally["outcomes"]["sum"])
    assert np.cumsum(tally["outcomes"]["probabilities"]).tolist() == [
        total("shardmill_endpoint_probability_bucket", le=f"{n / 10}") for n in range(1, 11)
    ]
    place = {f["column"]: n for n, f in enumerate(watched.model["encoder"])}
    for name in ("x", "city"):
        seen = tally["features"][place[name]]
        assert total("shardmill_endpoint_feature_missing_total", feature=name) == seen["missing"] > 0
        if name == "city":
            assert total("shardmill_endpoint_feature_unseen_total", feature=name) == seen["unseen"] > 0
    weights = {dict(key[1])["variant"]: v for key, v in nodes[0].items() if key[0] == "shardmill_variant_weight"}
    assert weights == {"a": 3, "b": 0}
    # The cluster's drift is told by the coordinator alone.
    coordinator = samples(watched.cluster.http)
    for drift in told["drift"]:
        assert at(coordinator, "shardmill_endpoint_feature_psi", feature=drift["feature"]) == pytest.approx(drift["psi"])
    assert at(coordinator, "shardmill_endpoint_drift_rows") == tally["rows"]
    others = [node for url, node in zip(watched.nodes, nodes) if url != watched.cluster.http]
    assert len(others) == 2 and not any(name == "shardmill_endpoint_feature_psi" for node in others for name, _ in node)


def test_the_metric_over_time_adds_up(watched):
    told = watched.shown(33)["a"]
    for every in ("1m", "1h"):
        series = watched.mill.run("endpoint", "metrics", "m", "--since", "3h", "--every", every)
        assert series["every"] == {"1m": 60, "1h": 3600}[every]
        windows = [w for w in series["windows"] if w["variant"] == "a"]
        assert sum(w["requests"] for w in windows) == told["tally"]["requests"]
        assert sum(w["rows"] for w in windows) == told["tally"]["rows"]
        starts = [w["start"] for w in windows]
        assert starts == sorted(starts)
        assert all(w["max_psi"] > 0.25 and w["max_psi_feature"] in ("x", "k") for w in windows)
        positive = sum(w["positive_share"] * w["rows"] for w in windows)
        assert positive == pytest.approx(told["tally"]["outcomes"]["counts"][1])
    assert watched.mill.run("endpoint", "metrics", "nobody", status=1)["error"].startswith("there is no endpoint `nobody`")


def test_what_was_counted_survives_the_coordinator_and_the_endpoint(own_cluster):
    cluster = own_cluster(workers=1)
    mill = cluster.shardmill
    ingest(mill, "people", people(300, 3))
    train(mill, "logistic", "people", "--label", "y", "--features", "x,k", "--impute", "x=mean", model="m")
    mill.run("endpoint", "create", "gone", "--variant", "a=m@1")
    body = json.dumps(records(people(10, 4)[["x", "k"]]))
    asked = 0

    def ask(times):
        nonlocal asked
        for _ in range(times):
            assert post(f"{cluster.http}/endpoints/gone/invocations", body, "application/json").status == 200
            asked += 1

    def requests():
        return sum(w["requests"] for w in mill.run("endpoint", "metrics", "gone", "--every", "1h")["windows"])

    for _ in range(2):
        ask(20)
        cluster.coordinator.stop()
        cluster.coordinator.start()
        cluster.wait_for_workers(1)
        assert requests() == asked, "a coordinator that stops writes all it counted"
    wait_until(lambda: get(f"{cluster.http}/readyz").status == 200, 20, "ready coordinator")
    ask(5)
    wait_until(lambda: requests() == asked, 20, "counts")
    mill.run("endpoint", "delete", "gone")
    assert requests() == asked, "an endpoint that is gone has what it left"


def test_a_coordinator_that_is_killed_loses_seconds_at_most(own_cluster):
    cluster = own_cluster(workers=1, options=("--serve", "127.0.0.1:0"))
    mill = cluster.shardmill
    ingest(mill, "people", people(300, 3))
    train(mill, "logistic", "people", "--label", "y", "--features", "k", model="m")
    mill.run("endpoint", "create", "e", "--variant", "a=m@1")
    nodes = mill.run("endpoint", "show", "e")["nodes"]
    worker = next(n["url"] for n in nodes if n["node"] != "coordinator")
    body = json.dumps([{"k": 1}])

    def ask(url, times):
        for _ in range(times):
            assert post(f"{url}/endpoints/e/invocations", body, "application/json").status == 200

    def requests():
        return sum(w["requests"] for w in mill.run("endpoint", "metrics", "e")["windows"])

    for url in (cluster.http, worker):
        ask(url, 10)
    # What was counted is in the journal ten seconds later, and was told by the worker before.
    time.sleep(12.5)
    cluster.coordinator.kill()
    ask(worker, 7)
    cluster.coordinator.start()
    cluster.wait_for_workers(1)
    # While there was no coordinator, the worker went on answering and counting.
    wait_until(lambda: requests() == 27, 30, "27 requests", pause=0.3)
