"""What endpoints were asked and answered, kept in a dataset, and evaluated once the truth is known."""

import json
import random
import shutil
import time
import urllib.request

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from helpers import Cluster, Failed, Process, free_ports, wait_until

FEATURES = ["age", "income", "plan", "member"]
ROWS = 600


def people(seed=1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "id": np.arange(ROWS) + 1000,
            "age": rng.integers(18, 80, ROWS),
            "income": np.round(rng.normal(50, 12, ROWS), 3),
            "plan": rng.choice(["basic", "pro", "12"], ROWS),
            "member": rng.random(ROWS) < 0.5,
        }
    )
    z = 0.05 * (frame.age - 45) - 0.04 * (frame.income - 50) + (frame.plan == "pro") * 0.8 + rng.logistic(size=ROWS)
    frame["left"] = np.where(z > 0, "yes", "no")
    return frame


class Served:
    """A cluster whose coordinator and workers answer, with two versions of a model."""

    def __init__(self, mill, url):
        self.mill, self.url = mill, url
        self.people = people()
        path = self.mill.work / "people.csv"
        self.people.to_csv(path, index=False)
        self.mill.ingest("people", path)
        for c in (1.0, 0.001):
            self.mill.run("train", "logistic", "people", "--model", "churn", "--label", "left", "--features", ",".join(FEATURES), "--c", c)

    def deploy(self, name, *options, variants=("a=churn@1",)):
        chosen = [x for v in variants for x in ("--variant", v)]
        self.mill.run("endpoint", "create", name, *chosen, "--capture", f"{name}_seen", *options)

    def ask(self, name, body, content_type="application/json", url=None, **headers):
        data = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
        request = urllib.request.Request(f"{url or self.url}/endpoints/{name}/invocations", data=data, method="POST")
        request.add_header("Content-Type", content_type)
        for key, value in headers.items():
            request.add_header("X-Amzn-SageMaker-" + key.replace("_", "-"), value)
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.headers, reply.read()

    def seen(self, name, flush=True) -> pd.DataFrame:
        if flush:
            self.mill.run("endpoint", "flush")
        return self.mill.table(f"{name}_seen").to_pandas()

    def worker_urls(self, name):
        return [n["url"] for n in self.mill.run("endpoint", "show", name)["nodes"] if n["node"] != "coordinator"]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("capture") / "cluster", workers=2, options=("--serve", "127.0.0.1:0"))
    try:
        yield Served(cluster.shardmill, cluster.http)
    finally:
        cluster.stop()


def records(frame) -> list[dict]:
    return json.loads(frame.to_json(orient="records", double_precision=15))


def test_captured_rows_are_what_was_sent_and_answered(served):
    served.deploy("kept")
    people = served.people
    plain = people[FEATURES].head(20)
    served.ask("kept", plain.to_csv(index=False, header=False), "text/csv")
    named = people[["id", *FEATURES]].iloc[20:45]
    served.ask("kept", {"dataframe_records": records(named)}, Inference_Id="call 7")
    mill = served.mill
    mill.run("predict", "churn@1", "people", "people_predicted")
    batch = mill.table("people_predicted").to_pandas()
    seen = served.seen("kept")
    assert list(seen.columns[:7]) == ["_time", "_endpoint", "_variant", "_model", "_request", "_inference_id", "_row"]
    types = mill.types("kept_seen")
    assert [types[c] for c in ("_time", "_row", "age", "income", "plan", "member", "id")] == [
        "datetime_utc", "int64", "int64", "float64", "string", "boolean", "int64",
    ]  # fmt: skip
    assert set(seen._endpoint) == {"kept"} and set(seen._variant) == {"a"} and set(seen._model) == {"churn@1"}
    first, second = seen[seen.id.isna()].sort_values("_row"), seen[seen.id.notna()].sort_values("_row")
    assert first._request.nunique() == 1 and second._request.nunique() == 1
    assert first._inference_id.isna().all() and set(second._inference_id) == {"call 7"}
    answers = ["prediction", "probability_no", "probability_yes"]
    for got, sent, rows in ((first, plain, batch.head(20)), (second, named, batch.iloc[20:45])):
        assert list(got._row) == list(range(len(sent)))
        for column in sent:
            assert list(got[column]) == list(sent[column]), column
        for column in answers:
            assert list(got[column]) == list(rows[column]), column
    age = pd.Timestamp.now("UTC") - seen._time
    assert age.min() > pd.Timedelta(0) and age.max() < pd.Timedelta("2min")


def test_types_hold_where_values_come_later(served):
    served.deploy("later")
    row = {"age": 30, "income": 50.0, "plan": "12", "member": True, "note": None}
    # The model takes no missing age, but a further column may have no value for a while, and the inference id always.
    served.ask("later", {"dataframe_records": [row]})
    assert "note" not in served.seen("later")
    served.ask("later", {"dataframe_records": [{**row, "note": 3, "prediction": "mine", "_row": 9}]})
    served.ask("later", {"dataframe_records": [{**row, "age": 30.5, "note": 2.5, "_time": "now"}]})
    seen = served.seen("later").sort_values("_time")
    types = served.mill.types("later_seen")
    assert [types[c] for c in ("note", "age", "plan", "input_prediction", "input__row", "input__time")] == [
        "float64", "float64", "string", "string", "int64", "string",
    ]  # fmt: skip
    assert seen.note.fillna(-1).tolist() == [-1, 3, 2.5] and seen.age.tolist() == [30, 30, 30.5]
    assert seen.prediction.isin(["yes", "no"]).all() and seen._row.tolist() == [0, 0, 0]


def test_a_rate_keeps_its_share_of_the_requests(served):
    served.deploy("half", "--capture-rate", 0.5)
    body = served.people[FEATURES].head(2).to_csv(index=False, header=False)
    for _ in range(400):
        served.ask("half", body, "text/csv")
    seen = served.seen("half")
    # A binomial of 400 and a half: five standard deviations are 50.
    assert 150 <= seen._request.nunique() <= 250
    assert len(seen) == 2 * seen._request.nunique()


def test_rows_are_published_by_themselves(served):
    served.deploy("soon")
    body = served.people[FEATURES].head(3).to_csv(index=False, header=False)
    urls = wait_until(lambda: len(u := served.worker_urls("soon")) == 2 and u, 20, "two workers that serve")
    wait_until(lambda: len({n["revision"] for n in served.mill.run("endpoint", "show", "soon")["nodes"]}) == 1, 20, "one revision")
    begun = time.monotonic()
    # All nodes want to publish at the same time; one after another gets to.
    for url in [served.url, *urls]:
        served.ask("soon", body, "text/csv", url=url)

    def published():
        try:
            return served.mill.run("dataset", "show", "soon_seen")["rows"] == 9
        except Failed:
            return False

    wait_until(published, 20, "published rows", pause=0.2)
    assert time.monotonic() - begun > 1.5, "rows gather before they are published"


def test_every_node_captures_and_every_node_is_flushed(served):
    served.deploy("nodes")
    body = served.people[FEATURES].head(1).to_csv(index=False, header=False)
    urls = wait_until(lambda: len(u := served.worker_urls("nodes")) == 2 and u, 20, "two workers that serve")
    wait_until(lambda: len({n["revision"] for n in served.mill.run("endpoint", "show", "nodes")["nodes"]}) == 1, 20, "one revision")
    for url in [served.url, *urls]:
        served.ask("nodes", body, "text/csv", url=url)
    assert served.seen("nodes")._request.nunique() == 3


def test_old_versions_go_and_others_stay(served):
    served.deploy("many")
    mill, body = served.mill, served.people[FEATURES].head(1).to_csv(index=False, header=False)
    served.ask("many", body, "text/csv")
    mill.run("endpoint", "flush")
    # A version of someone else's making.
    path = mill.work / "extra.jsonl"
    path.write_text('{"_row": 5}\n')
    mill.ingest("many_seen", path, append=True)
    for _ in range(12):
        served.ask("many", body, "text/csv")
        assert mill.run("endpoint", "flush")["rows"] == 1
    versions = [int(v["dataset"].split("@")[1]) for v in mill.run("dataset", "show", "many_seen")["versions"]]
    assert versions == [2, *range(5, 15)]
    assert len(served.seen("many")) == 14
    # While it is captured into, the dataset stays.
    for name in ("many_seen", "many_seen@14"):
        assert "endpoint `many` captures into `many_seen`" in mill.run("dataset", "rm", name, status=1)["error"]


def score(frame, label="left") -> dict:
    yes = frame[label] == "yes"
    return {
        "accuracy": metrics.accuracy_score(frame[label], frame.prediction),
        "f1": metrics.f1_score(yes, frame.prediction == "yes"),
        "roc_auc": metrics.roc_auc_score(yes, frame.probability_yes),
        "average_precision": metrics.average_precision_score(yes, frame.probability_yes),
        "log_loss": metrics.log_loss(yes, frame.probability_yes),
        "brier": metrics.brier_score_loss(yes, frame.probability_yes),
    }


def test_what_was_served_is_evaluated_by_variant(served):
    served.deploy("judged", variants=("a=churn@1:0.5", "b=churn@2:0.5"))
    people, mill = served.people, served.mill
    for at in range(0, 500, 5):
        served.ask("judged", {"dataframe_records": records(people[["id", *FEATURES]].iloc[at : at + 5])})
    # The truth of those asked, but for the first ten, and of some who were never asked.
    truth = people[["id", "left"]].iloc[10:560]
    path = mill.work / "truth.csv"
    truth.to_csv(path, index=False)
    mill.ingest("truth", path)
    found = mill.run("evaluate", "--captured", "judged", "--labels", "truth", "--on", "id")
    assert (found["rows_with_label"], found["rows_without_label"], found["labels_without_row"]) == (490, 10, 60)
    assert found["labelled"] == "judged.labelled@1"
    joined = served.seen("judged").merge(truth, on="id")
    assert {e["served"]["variant"]: e["model"] for e in found["evaluations"]} == {"a": "churn@1", "b": "churn@2"}
    for one in found["evaluations"]:
        own = joined[joined._variant == one["served"]["variant"]]
        assert one["rows"] == len(own) > 150
        for name, value in score(own).items():
            assert one["metrics"][name] == pytest.approx(value, abs=1e-9), name
    kept = mill.run("model", "show", "churn@1")["evaluations"][-1]
    assert kept["served"] == {"endpoint": "judged", "variant": "a"}
    again = mill.run("evaluate", "--captured", "judged", "--labels", "truth", "--on", "id", "--variant", "b")
    assert again["labelled"] == "judged.labelled@2" and [e["model"] for e in again["evaluations"]] == ["churn@2"]
    names = {d["dataset"].split("@")[0] for d in mill.run("dataset", "list")["datasets"]}
    assert not any(n.startswith("judged.labelled.") for n in names), "nothing intermediate is left"


def test_an_inference_id_is_a_key_and_labels_may_be_elsewhere(served):
    served.deploy("named")
    people, mill = served.people, served.mill
    for _, row in people.head(30).iterrows():
        body = pd.DataFrame([row[FEATURES]]).to_csv(index=False, header=False)
        served.ask("named", body, "text/csv", Inference_Id=str(row.id))
    path = mill.work / "outcome.csv"
    people.head(30).rename(columns={"id": "who", "left": "outcome"})[["who", "outcome", "age"]].to_csv(path, index=False)
    mill.ingest("outcome", path)
    found = mill.run(
        "evaluate", "--captured", "named", "--labels", "outcome", "--on", "_inference_id=who", "--label", "outcome",
        "--plot", str(mill.work / "plots") + "/",
    )  # fmt: skip
    [one] = found["evaluations"]
    seen = served.seen("named").merge(people.assign(key=people.id.astype(str)), left_on="_inference_id", right_on="key")
    assert one["metrics"]["accuracy"] == pytest.approx(metrics.accuracy_score(seen.left, seen.prediction))
    assert (mill.work / "plots" / "roc.svg").exists()
    assert "age_label" in mill.types("named.labelled")


def test_what_cannot_be_evaluated_says_why(served):
    mill = served.mill
    mill.run("endpoint", "create", "blind", "--variant", "a=churn@1")

    def refused(*args, status=1):
        return mill.run("evaluate", *args, status=status)["error"]

    assert "does not capture" in refused("--captured", "blind", "--labels", "people", "--on", "id")
    served.deploy("silent")
    assert "captured nothing yet" in refused("--captured", "silent", "--labels", "people", "--on", "id")
    served.ask("silent", served.people[FEATURES].head(1).to_csv(index=False, header=False), "text/csv")
    text = refused("--captured", "silent", "--labels", "people", "--on", "id", status=2)
    assert "no captured request had a column `id`" in text and "X-Amzn-SageMaker-Inference-Id" in text
    text = refused("--captured", "silent", "--labels", "people", "--on", "age", "--label", "nothing", status=2)
    assert "`nothing`" in text
    text = refused("--captured", "silent", "--labels", "people", "--on", "age", "--variant", "z")
    assert "variant `z`" in text
    assert "--labels" in refused("--captured", "silent", status=2)


def test_rows_go_in_once_whatever_is_killed(own_cluster):
    cluster = own_cluster(workers=1)
    served, mill = Served(cluster.shardmill, cluster.http), cluster.shardmill
    served.deploy("hard")
    folder = cluster.folder / "coordinator" / "capture" / "hard_seen"
    sent = []

    def ask(n):
        for at in range(n):
            headers, _ = served.ask("hard", served.people[FEATURES].iloc[at : at + 2].to_csv(index=False, header=False), "text/csv")
            sent.append(headers)

    def keys():
        return list(map(tuple, served.seen("hard", flush=False)[["_request", "_row"]].itertuples(index=False)))

    ask(20)
    mill.run("endpoint", "flush")
    assert len(keys()) == len(set(keys())) == 40
    # These wait for the next minute; they are in their file within a second.
    ask(30)
    time.sleep(1.2)
    cluster.coordinator.kill()
    left = list(folder.glob("*.part"))
    assert len(left) == 1 and left[0].read_text().count("\n") == 60
    # Half a row, as a process leaves it that dies while it writes.
    with open(left[0], "a") as file:
        file.write('{"_time":"2026-')
    cluster.coordinator.start()
    cluster.wait_for_workers(1)
    wait_until(lambda: len(keys()) == 100, 30, "rows of the killed coordinator", pause=0.3)
    assert len(set(keys())) == 100
    wait_until(lambda: not list(folder.iterdir()), 10, "an empty folder")
    # It dies after the commit, before the file is gone: the file comes back, and is not taken again.
    ask(10)
    time.sleep(0.6)
    cluster.coordinator.kill()
    [part] = folder.glob("*.part")
    copies = cluster.folder / "copies"
    copies.mkdir()
    for file in folder.iterdir():
        shutil.copy(file, copies / file.name.replace(".part", ".jsonl"))
    cluster.coordinator.start()
    cluster.wait_for_workers(1)
    wait_until(lambda: len(keys()) == 120, 30, "rows of the second time", pause=0.3)
    wait_until(lambda: not list(folder.iterdir()), 10, "an empty folder")
    cluster.coordinator.kill()
    for file in copies.iterdir():
        shutil.copy(file, folder / file.name)
    cluster.coordinator.start()
    cluster.wait_for_workers(1)
    wait_until(lambda: not list(folder.iterdir()), 30, "an empty folder")
    assert len(keys()) == len(set(keys())) == 120
    # An orderly end publishes what is there, and the coordinator goes first here: there is nobody to publish to but itself.
    ask(5)
    cluster.coordinator.stop()
    assert not list(folder.iterdir()), cluster.coordinator.tail()
    cluster.coordinator.start()
    cluster.wait_for_workers(1)
    assert len(keys()) == len(set(keys())) == 130


def test_a_coordinator_killed_while_it_publishes(own_cluster):
    cluster = own_cluster(workers=1)
    served, mill = Served(cluster.shardmill, cluster.http), cluster.shardmill
    served.deploy("often")
    body, chance, sent = served.people[FEATURES].head(3).to_csv(index=False, header=False), random.Random(7), 0
    for _ in range(6):
        wait_until(lambda: answers(f"{served.url}/healthz"), 20, "the coordinator")
        for _ in range(5):
            wait_until(lambda: asked(served, "often", body, "text/csv"), 20, "an answer")
            sent += 1
        # Rows are in their file by now.
        time.sleep(0.5)
        flush = mill.start("endpoint", "flush")
        time.sleep(chance.uniform(0, 0.5))
        cluster.coordinator.kill()
        flush.communicate(timeout=30)
        cluster.coordinator.start()
    cluster.wait_for_workers(1)
    folder = cluster.folder / "coordinator" / "capture" / "often_seen"
    wait_until(lambda: not list(folder.iterdir()), 40, "an empty folder")
    seen = served.seen("often")
    assert seen._request.nunique() == sent == 30
    assert len(seen) == 90 and not seen.duplicated(["_request", "_row"]).any()


def test_a_local_cluster_publishes_when_it_ends_and_what_it_left_later(mill, tmp_path):
    grpc, http = free_ports(2)
    arguments = ["--data-dir", str(mill.data_dir), "local", "--listen", f"127.0.0.1:{grpc}", "--http", f"127.0.0.1:{http}"]
    served = Served(mill, f"http://127.0.0.1:{http}")
    served.deploy("home")
    body = served.people[["id", *FEATURES]].head(9).to_csv(index=False)

    def ask_and(end):
        process = Process("local", arguments, tmp_path / "local.log")
        try:
            wait_until(lambda: answers(f"http://127.0.0.1:{http}/healthz"), 30, "a local cluster")
            wait_until(lambda: asked(served, "home", body, "text/csv;header=present"), 30, "an answer")
            time.sleep(0.6)
        finally:
            end(process)
        return served.mill

    ask_and(Process.stop)
    folder = mill.data_dir / "capture" / "home_seen"
    assert not list(folder.iterdir()), (tmp_path / "local.log").read_text()[-3000:]
    assert mill.run("dataset", "show", "home_seen")["rows"] == 9
    # Killed, it leaves its rows to the next command that needs them, which is the cluster for a moment.
    ask_and(Process.kill)
    assert list(folder.glob("*.part"))
    found = mill.run("evaluate", "--captured", "home", "--labels", "people", "--on", "id")
    assert found["rows_with_label"] == 18 and not list(folder.iterdir())
    assert found["evaluations"][0]["rows"] == 18


def answers(url) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return reply.status == 200
    except OSError:
        return False


def asked(served, name, body, content_type) -> bool:
    try:
        served.ask(name, body, content_type)
        return True
    except OSError:
        return False
