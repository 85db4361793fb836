"""Endpoints asked by the clients that people use already: boto3, MLflow's, Triton's, and plain HTTP."""

import json
import urllib.request
from urllib.error import HTTPError

import boto3
import numpy as np
import pandas as pd
import pytest
import tritonclient.http as triton
from botocore.config import Config
from botocore.exceptions import ClientError
from mlflow.pyfunc.scoring_server.client import ScoringServerClient
from sklearn.linear_model import LogisticRegression

from test_training import NEWTON, features_of, generated, ingest, titanic, train

ROWS = 500


class Asked:
    """A reply over plain HTTP."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


def post(url, body, content_type=None, **headers) -> Asked:
    # The library would make up a content type where none is given.
    all_headers = {k.replace("_", "-"): v for k, v in headers.items()}
    request = urllib.request.Request(url, data=body if isinstance(body, bytes) else body.encode(), headers=all_headers, method="POST")
    request.add_header("Content-type", content_type or "text/csv")
    return sent(request)


def get(url) -> Asked:
    return sent(urllib.request.Request(url))


def sent(request) -> Asked:
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return Asked(reply.status, reply.headers, reply.read())
    except HTTPError as e:
        return Asked(e.code, e.headers, e.read())


class Deployed:
    """A cluster with a model of two classes (and the same in scikit-learn), one of three, one of numbers and one of clusters."""

    def __init__(self, cluster, real_data):
        self.cluster, mill = cluster, cluster.shardmill
        self.mill, self.url = mill, cluster.http
        self.frame = generated(rows=ROWS, features=5, scales=1.0)
        self.columns = features_of(self.frame)
        ingest(mill, "two", self.frame)
        train(mill, "logistic", "two", "--label", "y", "--features", ",".join(self.columns), model="two")
        train(mill, "logistic", "two", "--label", "y", "--features", ",".join(self.columns), "--c", 0.01, model="two")
        self.sklearn = LogisticRegression(**NEWTON).fit(self.frame[self.columns].to_numpy(), self.frame["y"])
        # scikit-learn with the very parameters of the model: both fits reach the optimum, but not the same last digits of it.
        self.same = LogisticRegression(**NEWTON).fit(self.frame[self.columns].to_numpy(), self.frame["y"])
        shown = mill.run("model", "show", "two@1")
        self.same.coef_, self.same.intercept_ = np.array([shown["coefficients"]]), np.atleast_1d(shown["intercept"])
        mill.run("predict", "two@1", "two", "two_predicted")
        self.batch = mill.table("two_predicted").to_pandas()
        three = generated(rows=ROWS, features=4, classes=3, seed=2, scales=1.0)
        three["y"] = three["y"].map({0: "a,b", 1: 'c"d', 2: "e"})
        ingest(mill, "three", three)
        train(mill, "logistic", "three", "--label", "y", "--features", "x0,x1,x2,x3", model="three")
        mill.run("predict", "three", "three", "three_predicted")
        self.three = mill.table("three_predicted").to_pandas()
        train(mill, "linear", "two", "--label", "w", "--features", ",".join(self.columns), model="number")
        train(mill, "kmeans", "two", "--clusters", 3, "--features", ",".join(self.columns), model="cluster")
        for kind in ("number", "cluster"):
            mill.run("predict", kind, "two", f"{kind}_predicted")
        self.titanic = titanic(real_data)
        self.titanic["adult_male"] = (self.titanic["sex"] == "male") & (self.titanic["age"].fillna(30) >= 16)
        ingest(mill, "titanic", self.titanic)
        train(
            mill, "logistic", "titanic", "--label", "survived", "--features", "pclass,sex,age,fare,embarked,adult_male",
            "--categorical", "pclass", "--impute", "age=median", "--impute", "embarked=mode", "--missing-indicator", "--standardise", model="titanic",
        )  # fmt: skip
        mill.run("predict", "titanic", "titanic", "titanic_predicted")
        mill.run("endpoint", "create", "two", "--variant", "a=two@1")
        for name in ("three", "number", "cluster", "titanic"):
            mill.run("endpoint", "create", name, "--variant", f"only={name}")

    def boto(self, url=None):
        return boto3.client(
            "sagemaker-runtime", endpoint_url=url or self.url, region_name="eu-central-1", aws_access_key_id="x",
            aws_secret_access_key="y", config=Config(retries={"total_max_attempts": 1}),
        )  # fmt: skip

    def table(self, name):
        return self.mill.table(name).to_pandas()


@pytest.fixture(scope="module")
def deployed(tmp_path_factory, request):
    from helpers import Cluster

    cluster = Cluster(tmp_path_factory.mktemp("serving") / "cluster", workers=2, options=("--serve", "127.0.0.1:0"))
    try:
        yield Deployed(cluster, request.getfixturevalue("real_data"))
    finally:
        cluster.stop()


def csv(frame, **options):
    return frame.to_csv(index=False, header=False, **options)


def two_classes(deployed, predicted, labels, rows=slice(None)):
    """Exactly what batch prediction says, and what scikit-learn says: to 1e-12 with the same parameters, to 1e-9 with its own fit."""
    wanted = deployed.batch[["probability_0", "probability_1"]].to_numpy()[rows]
    np.testing.assert_array_equal(predicted, wanted)
    asked = deployed.frame[deployed.columns].to_numpy()[rows]
    assert np.abs(predicted - deployed.same.predict_proba(asked)).max() < 1e-12
    assert np.abs(predicted - deployed.sklearn.predict_proba(asked)).max() < 1e-9
    np.testing.assert_array_equal(labels, deployed.batch["prediction"].to_numpy()[rows])


# boto3


def test_boto3_asks_in_csv(deployed):
    reply = deployed.boto().invoke_endpoint(
        EndpointName="two", ContentType="text/csv", Body=csv(deployed.frame[deployed.columns]), CustomAttributes="c=7",
    )  # fmt: skip
    assert reply["ContentType"] == "text/csv" and reply["InvokedProductionVariant"] == "a"
    assert reply["CustomAttributes"] == "c=7" and reply["ResponseMetadata"]["RequestId"]
    cells = [line.split(",") for line in reply["Body"].read().decode().splitlines()]
    assert len(cells) == ROWS and len(cells[0]) == 3
    two_classes(deployed, np.array([[float(x) for x in c[1:]] for c in cells]), np.array([int(c[0]) for c in cells]))


def test_boto3_asks_in_json(deployed):
    for body in (
        {"instances": deployed.frame[deployed.columns].values.tolist()},
        {"instances": [{"features": row} for row in deployed.frame[deployed.columns].values.tolist()]},
        deployed.frame.to_dict(orient="records"),
        {"dataframe_split": deployed.frame.to_dict(orient="split")},
    ):
        reply = deployed.boto().invoke_endpoint(EndpointName="two", ContentType="application/json", Body=json.dumps(body))
        predictions = pd.DataFrame(json.loads(reply["Body"].read())["predictions"])
        assert list(predictions) == ["prediction", "probability_0", "probability_1"]
        two_classes(deployed, predictions.iloc[:, 1:].to_numpy(), predictions["prediction"].to_numpy())
    reply = deployed.boto().invoke_endpoint(EndpointName="two", ContentType="application/json", Accept="text/csv", Body=json.dumps(body))
    assert reply["ContentType"] == "text/csv"


def test_without_a_content_type_it_is_csv(deployed):
    reply = deployed.boto().invoke_endpoint(EndpointName="two", Body=csv(deployed.frame[deployed.columns][:1]))
    assert reply["ContentType"] == "text/csv"


def test_other_models_answer_as_batch_does(deployed):
    boto = deployed.boto()
    frame = deployed.frame[deployed.columns]
    number = boto.invoke_endpoint(EndpointName="number", ContentType="text/csv", Body=csv(frame))["Body"].read().decode()
    np.testing.assert_array_equal([float(x) for x in number.splitlines()], deployed.table("number_predicted")["prediction"])
    cluster = boto.invoke_endpoint(EndpointName="cluster", ContentType="text/csv", Body=csv(frame))["Body"].read().decode()
    cells = np.array([[float(x) for x in line.split(",")] for line in cluster.splitlines()])
    np.testing.assert_array_equal(cells, deployed.table("cluster_predicted")[["prediction", "distance"]].to_numpy())
    three = deployed.three
    reply = boto.invoke_endpoint(EndpointName="three", ContentType="text/csv", Body=csv(three[["x0", "x1", "x2", "x3"]]))
    import io

    got = pd.read_csv(io.StringIO(reply["Body"].read().decode()), header=None)
    assert got[0].tolist() == three["prediction"].tolist()
    np.testing.assert_array_equal(got.iloc[:, 1:].to_numpy(), three[['probability_a,b', 'probability_c"d', "probability_e"]].to_numpy())


def test_categories_and_missing_values_answer_as_batch_does(deployed):
    wanted = deployed.table("titanic_predicted")
    features = ["pclass", "sex", "age", "fare", "embarked", "adult_male"]
    frame = wanted[features]
    reply = deployed.boto().invoke_endpoint(EndpointName="titanic", ContentType="text/csv", Body=csv(frame))
    cells = [line.split(",") for line in reply["Body"].read().decode().splitlines()]
    probabilities = [c for c in wanted if c.startswith("probability")]
    np.testing.assert_array_equal(np.array([[float(x) for x in c[1:]] for c in cells]), wanted[probabilities].to_numpy())
    assert [c[0] for c in cells] == [str(v) for v in wanted["prediction"]]
    records = json.loads(wanted[features].to_json(orient="records", double_precision=15))
    for body in ({"dataframe_records": records}, {"inputs": {f: [r[f] for r in records] for f in features}}):
        reply = post(f"{deployed.url}/endpoints/titanic/invocations", json.dumps(body), "application/json")
        got = pd.DataFrame(reply.json()["predictions"])
        assert np.abs(got[probabilities].to_numpy() - wanted[probabilities].to_numpy()).max() < 1e-12
    # A column of integers that comes as floats is the same category.
    body = {"instances": [{**records[0], "pclass": float(records[0]["pclass"]), "more": "columns"}]}
    got = post(f"{deployed.url}/endpoints/titanic/invocations", json.dumps(body), "application/json").json()["predictions"][0]
    assert got[probabilities[0]] == wanted[probabilities[0]][0]


def code_of(boto, **options):
    with pytest.raises(ClientError) as failed:
        boto.invoke_endpoint(**{"EndpointName": "two", "ContentType": "text/csv", **options})
    reply = failed.value.response
    return reply["ResponseMetadata"]["HTTPStatusCode"], reply["Error"]["Code"], reply["Error"]["Message"], reply


@pytest.mark.parametrize("options,wanted", [
    ({"EndpointName": "nowhere", "Body": b"1"}, (400, "ValidationError", "there is no endpoint `nowhere`")),
    ({"TargetVariant": "z", "Body": b"1"}, (400, "ValidationError", "has no variant `z`; it has a")),
    ({"TargetModel": "z", "Body": b"1"}, (400, "ValidationError", "target-model is not supported")),
    ({"InferenceId": "x" * 65, "Body": b"1,2,3,4,5"}, (424, "ModelError", "the inference id has 65 bytes; at most 64 are taken")),
    ({"Body": b"1,2,3"}, (424, "ModelError", "the rows have 3 columns and no names; the model takes 5 in this order: `x0`")),
    ({"Body": b"1,2,3,4,5\n1,2\n"}, (424, "ModelError", "line 2 of the body has 2 cells")),
    ({"Body": b"1,2,3,4,what"}, (424, "ModelError", "row 1: column `x4` is a number, and `what` is none")),
    ({"Body": b"1,2,3,4,"}, (424, "ModelError", "row 1: column `x4` has no value")),
    ({"Body": b"1,2,3,4,inf"}, (424, "ModelError", "row 1: column `x4` is infinite")),
    ({"Body": b""}, (424, "ModelError", "the body has no rows")),
    ({"Body": b"{", "ContentType": "application/json"}, (424, "ModelError", "the body is not JSON")),
    ({"Body": b'[{"x0": 1}]', "ContentType": "application/json"}, (424, "ModelError", "missing: `x1`, `x2`, `x3`, `x4`")),
    ({"Body": b"1", "ContentType": "image/png"}, (424, "ModelError", "the content type `image/png` is not spoken here")),
    ({"Body": b"1,2,3,4,5", "Accept": "image/png"}, (424, "ModelError", "asks for what is not spoken here")),
    ({"Body": b"1" * 6_291_457}, (413, "ValidationError", "the body has 6291457 bytes; at most 6291456 are taken")),
])  # fmt: skip
def test_errors_have_the_services_shape(deployed, options, wanted):
    status, code, message, reply = code_of(deployed.boto(), **options)
    assert (status, code) == wanted[:2], message
    assert wanted[2] in message
    if code == "ModelError":
        assert reply["OriginalStatusCode"] in (400, 415) and reply["OriginalMessage"] in message


# MLflow


def test_mlflows_client_scores(deployed):
    host, port = deployed.url.removeprefix("http://").split(":")
    client = ScoringServerClient(host, port)
    with pytest.raises(Exception, match="error code 404.*none of them is the default"):
        client.invoke(deployed.frame)
    deployed.mill.run("endpoint", "update", "two", "--default")
    client.ping()
    assert client.get_version()
    predictions = client.invoke(deployed.frame[deployed.columns]).get_predictions()
    two_classes(deployed, predictions[["probability_0", "probability_1"]].to_numpy(), predictions["prediction"].to_numpy())
    reply = post(f"{deployed.url}/invocations", deployed.frame[deployed.columns].to_csv(index=False), "text/csv")
    two_classes(deployed, pd.DataFrame(reply.json()["predictions"]).iloc[:, 1:].to_numpy(), deployed.batch["prediction"].to_numpy())
    for body, content_type, status, wanted in [
        (b"1", "image/png", 415, "image/png"),
        (b"[[1]]", "application/json", 400, "the body is not an object with one of dataframe_split"),
        (b'{"inputs": [[1]], "instances": [[1]]}', "application/json", 400, "give one of them"),
        (b"x0,x1\n1,2\n", "text/csv", 400, "missing: `x2`, `x3`, `x4`; the rows have `x0`, `x1`"),
        (b"x0,x0\n1,2\n", "text/csv", 400, "both named `x0`"),
    ]:
        refused = post(f"{deployed.url}/invocations", body, content_type)
        assert refused.status == status and wanted in refused.json()["message"], refused.body
        assert refused.json()["error_code"] == "BAD_REQUEST"


# Open Inference Protocol


def test_tritons_client_infers(deployed):
    client = triton.InferenceServerClient(deployed.url.removeprefix("http://"))
    try:
        assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("two")
        assert client.is_model_ready("two", "a") and not client.is_model_ready("two", "z") and not client.is_model_ready("no")
        assert client.get_server_metadata()["name"] == "shardmill"
        about = client.get_model_metadata("two")
        assert about["versions"] == ["a"] and [i["name"] for i in about["inputs"]] == deployed.columns
        assert about["outputs"][1] == {"name": "probabilities", "datatype": "FP64", "shape": [-1, 2]}
        for binary in (True, False):
            inputs = []
            for column in deployed.columns:
                values = deployed.frame[column].to_numpy().reshape(-1, 1)
                inputs.append(triton.InferInput(column, values.shape, "FP64"))
                inputs[-1].set_data_from_numpy(values, binary_data=binary)
            outputs = [triton.InferRequestedOutput(n, binary_data=binary) for n in ("probabilities", "prediction")]
            for asked in (outputs, None):
                reply = client.infer("two", inputs, outputs=asked, request_id="7")
                assert reply.get_response()["id"] == "7" and reply.get_response()["model_version"] == "a"
                two_classes(deployed, reply.as_numpy("probabilities"), reply.as_numpy("prediction"))
        whole = triton.InferInput("everything", [ROWS, 5], "FP64")
        whole.set_data_from_numpy(deployed.frame[deployed.columns].to_numpy())
        two_classes(deployed, client.infer("two", [whole], model_version="a").as_numpy("probabilities"), deployed.batch["prediction"])
        half = triton.InferInput("everything", [ROWS, 5], "FP32")
        values = deployed.frame[deployed.columns].to_numpy().astype("float32")
        half.set_data_from_numpy(values)
        wanted = deployed.sklearn.predict_proba(values.astype("float64"))
        assert np.abs(client.infer("two", [half]).as_numpy("probabilities") - wanted).max() < 1e-9
        with pytest.raises(triton.InferenceServerException, match="no endpoint `nowhere`"):
            client.infer("nowhere", [whole])
        with pytest.raises(triton.InferenceServerException, match="there is no output `z`"):
            client.infer("two", [whole], outputs=[triton.InferRequestedOutput("z")])
    finally:
        client.close()


def test_tritons_client_sends_text(deployed):
    frame = deployed.table("titanic_predicted").dropna(subset=["age", "embarked"]).head(50)
    client = triton.InferenceServerClient(deployed.url.removeprefix("http://"))
    types = {"pclass": "INT64", "sex": "BYTES", "age": "FP64", "fare": "FP64", "embarked": "BYTES", "adult_male": "BOOL"}
    try:
        described = {i["name"]: i["datatype"] for i in client.get_model_metadata("titanic")["inputs"]}
        assert described == types
        inputs = []
        for column, datatype in types.items():
            values = frame[column].to_numpy()
            values = values.astype(object) if datatype == "BYTES" else values
            inputs.append(triton.InferInput(column, [50], datatype))
            inputs[-1].set_data_from_numpy(values)
        got = client.infer("titanic", inputs).as_numpy("probabilities")
        np.testing.assert_array_equal(got, frame[[c for c in frame if c.startswith("probability")]].to_numpy())
    finally:
        client.close()


# Commands


def test_variants_share_by_weight_and_can_be_named(deployed):
    mill, url = deployed.mill, f"{deployed.url}/endpoints/shared/invocations"
    made = mill.run("endpoint", "create", "shared", "--variant", "a=two@1:3", "--variant", "b=two@2:1", "--variant", "c=two@1:0")
    assert [v["model"] for v in made["endpoint"]["variants"]] == ["two@1", "two@2", "two@1"]
    body = csv(deployed.frame[deployed.columns][:1])
    seen = [post(url, body).headers["x-Amzn-Invoked-Production-Variant"] for _ in range(400)]
    # Within six standard deviations of 300.
    assert 248 < seen.count("a") < 352 and seen.count("c") == 0
    named = {v: post(url, body, **{"X-Amzn-SageMaker-Target-Variant": v}) for v in "abc"}
    assert named["a"].body == named["c"].body != named["b"].body
    assert named["c"].headers["X-Shardmill-Model"] == "two@1"
    mill.run("endpoint", "update", "shared", "--weight", "a=0")
    assert {post(url, body).headers["x-Amzn-Invoked-Production-Variant"] for _ in range(50)} == {"b"}
    mill.run("endpoint", "update", "shared", "--variant", "new=two@champion", status=1)
    mill.run("endpoint", "update", "shared", "--variant", "new=two@1")
    assert post(url, body).headers["x-Amzn-Invoked-Production-Variant"] == "new"
    listed = {e["endpoint"]["name"] for e in mill.run("endpoint", "list")["endpoints"]}
    assert "shared" in listed
    mill.run("endpoint", "delete", "shared")
    assert post(url, body).status == 400


def test_what_commands_refuse(deployed):
    mill = deployed.mill

    def refused(*args, status=1):
        return mill.run("endpoint", *args, status=status)["error"]

    assert "there is an endpoint `two` already" in refused("create", "two", "--variant", "a=two@1")
    assert "no model two@9" in refused("create", "e", "--variant", "a=two@9")
    assert "no model `nothing`" in refused("create", "e", "--variant", "a=nothing")
    assert "the weights sum to 0" in refused("create", "e", "--variant", "a=two@1:0", "--variant", "b=two@2:0")
    assert "not negative" in refused("create", "e", "--variant", "a=two@1:-1")
    assert "the weight `nan` of `a` is not a number" in refused("create", "e", "--variant", "a=two@1:nan", status=2)
    assert "two variants called `a`" in refused("create", "e", "--variant", "a=two@1", "--variant", "a=two@2")
    assert "is not NAME=MODEL" in refused("create", "e", "--variant", "two@1", status=2)
    assert "no endpoint `nowhere`" in refused("update", "nowhere", "--default")
    assert "nothing to change" in refused("update", "two", status=2)
    assert "no variant `z`; it has a" in refused("update", "two", "--weight", "z=1")
    assert "no endpoint `nowhere`" in refused("delete", "nowhere")
    assert "no endpoint `nowhere`" in refused("show", "nowhere")
    assert "the capture rate is 2" in refused("update", "two", "--capture", "seen", "--capture-rate", 2)
    assert "answers requests to endpoint `two`" in mill.run("model", "rm", "two@1", status=1)["error"]
    mill.run("model", "rm", "two@9", status=1)


def test_workers_serve_as_the_coordinator_does(deployed):
    nodes = deployed.mill.run("endpoint", "show", "two")["nodes"]
    assert len(nodes) == 3 and nodes[0]["revision"] == nodes[1]["revision"] == nodes[2]["revision"]
    body = csv(deployed.frame[deployed.columns])
    replies = {post(f"{node['url']}/endpoints/two/invocations", body).body for node in nodes}
    assert len(replies) == 1
    for node in nodes:
        assert get(f"{node['url']}/healthz").status == 200 and get(f"{node['url']}/readyz").status == 200
        assert get(f"{node['url']}/nothing").status == 404
        assert get(f"{node['url']}/endpoints/two/invocations").status == 405
