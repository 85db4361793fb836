"""Reads an exported model with a real reader: `export_readers.py FORMAT PATH REQUEST`, in an environment of its own.

REQUEST is a JSON file `{"model": object of model show, "rows": [...]}`; what comes out is `{"label": [...], "probabilities": [...]}`,
`{"prediction": [...]}` or `{"label": [...], "distance": [...]}`, on standard output.
"""

import inspect
import json
import math
import sys


def tensors(model, rows):
    """One `[N, 1]` tensor a column: NaN and the empty text are missing."""
    import numpy as np

    feed = {}
    for feature in model["encoder"]:
        name = feature["column"]
        if feature["type"] == "string":
            feed[name] = np.array([["" if row[name] is None else row[name]] for row in rows], dtype=object)
        else:
            feed[name] = np.array([[math.nan if row[name] is None else float(row[name])] for row in rows])
    return feed


def plain(outputs):
    return {name: value.tolist() for name, value in outputs.items()}


def onnx(path, model, rows):
    import onnx
    import onnxruntime

    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return plain(dict(zip(names, session.run(names, tensors(model, rows)))))


def mlflow(path, model, rows):
    import mlflow.onnx
    import mlflow.pyfunc
    import pandas as pd

    mlflow.onnx.load_model(path)
    frame = pd.DataFrame({f["column"]: [row[f["column"]] for row in rows] for f in model["encoder"]})
    for feature in model["encoder"]:
        if feature["type"] != "string":
            frame[feature["column"]] = frame[feature["column"]].astype(float)
    return plain(mlflow.pyfunc.load_model(path).predict(frame))


def pmml(path, model, rows):
    from pypmml import Model

    loaded = Model.load(path)
    # Records, not a frame: pypmml passes frames as text of ten digits.
    found = [dict(loaded.predict({f["column"]: row[f["column"]] for f in model["encoder"]})) for row in rows]
    if model["algorithm"] == "linear":
        return {"prediction": [f["prediction"] for f in found]}
    if model["algorithm"] == "kmeans":
        return {"label": [int(f["label"]) for f in found], "distance": [f["distance"] for f in found]}
    names = [f"probability({str(c).lower() if isinstance(c, bool) else c})" for c in model["classes"]]
    return {"label": [f["label"] for f in found], "probabilities": [[f[n] for n in names] for f in found]}


def pfa(path, model, rows):
    # Python 3.11 took the old name away.
    inspect.getargspec = inspect.getfullargspec
    from titus.genpy import PFAEngine

    with open(path) as file:
        document = json.load(file)
    (engine,) = PFAEngine.fromJson(document)
    column_of = json.loads(document["metadata"]["columns"])
    types = {f["name"]: f["type"] for f in document["input"]["fields"]}

    def field(name, row):
        value = row[column_of.get(name, name)]
        return value if value is None or isinstance(types[name], str) else {types[name][1]: value}

    found = [engine.action({name: field(name, row) for name in types}) for row in rows]
    if model["algorithm"] == "linear":
        return {"prediction": found}
    return {name: [f[name] for f in found] for name in found[0]}


READERS = {"onnx": onnx, "mlflow": mlflow, "pmml": pmml, "pfa": pfa}

if __name__ == "__main__":
    kind, path, request = sys.argv[1:]
    with open(request) as file:
        asked = json.load(file)
    print(json.dumps(READERS[kind](path, asked["model"], asked["rows"])))
