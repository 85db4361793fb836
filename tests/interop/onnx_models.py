"""Makes ONNX files as people make them, and what onnxruntime predicts with them: `onnx_models.py FOLDER`, in an environment of
its own. FOLDER gets NAME.onnx, the rows `plain.json` and `gaps.json`, and `expected.json`."""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import xgboost
from onnx import TensorProto, helper
from onnxmltools.convert import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from skl2onnx import to_onnx
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    ExtraTreesClassifier, GradientBoostingClassifier, GradientBoostingRegressor, RandomForestClassifier, RandomForestRegressor,
)  # fmt: skip
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

warnings.filterwarnings("ignore")
ROWS, TRAINED = 6000, 600
folder = Path(sys.argv[1])
rng = np.random.default_rng(3)
X = rng.normal(size=(ROWS, 4)) * [1, 10, 0.1, 3]
gaps = np.where(rng.random(X.shape) < 0.15, np.nan, X)
noisy = X[:, 0] + X[:, 1] / 10 + X[:, 3] / 4 + rng.normal(size=ROWS) / 2
two, bins = (noisy > 0).astype(int), np.digitize(noisy, [-0.7, 0.7])
kinds, amount = np.array(["ant", "bee", "cow"])[bins], noisy * 3 + np.sin(X[:, 3])
single, some = X.astype(np.float32), slice(0, TRAINED)

FLOAT = {
    "logistic": (LogisticRegression(), two),
    "logistic3": (LogisticRegression(), kinds),
    "scaled": (make_pipeline(StandardScaler(), LogisticRegression()), two),
    "minmax": (make_pipeline(MinMaxScaler(), LogisticRegression()), kinds),
    "normalised": (make_pipeline(Normalizer(), LogisticRegression()), two),
    "components": (make_pipeline(SimpleImputer(), StandardScaler(), PCA(2), LogisticRegression()), two),
    "network": (make_pipeline(StandardScaler(), MLPClassifier((16, 8), max_iter=100, random_state=1)), kinds),
    "bayes": (GaussianNB(), kinds),
    "tree": (DecisionTreeClassifier(random_state=1), kinds),
    "forest": (RandomForestClassifier(40, random_state=1), kinds),
    "forest2": (RandomForestClassifier(40, random_state=1), two),
    "extra": (ExtraTreesClassifier(20, random_state=1), two),
    "boosted": (GradientBoostingClassifier(n_estimators=40, random_state=1), two),
    "boosted3": (GradientBoostingClassifier(n_estimators=20, random_state=1), kinds),
    "linear": (LinearRegression(), amount),
    "forest_number": (RandomForestRegressor(30, random_state=1), amount),
    "boosted_number": (GradientBoostingRegressor(random_state=1), amount),
    "clusters": (KMeans(4, n_init=2, random_state=1), None),
}
for name, (model, target) in FLOAT.items():
    fitted = model.fit(single[some], None if target is None else target[some])
    (folder / f"{name}.onnx").write_bytes(to_onnx(fitted, single[:1]).SerializeToString())
DOUBLE = {"linear_double": (LinearRegression(), amount), "forest_double": (RandomForestClassifier(20, random_state=1), kinds)}
for name, (model, target) in DOUBLE.items():
    (folder / f"{name}.onnx").write_bytes(to_onnx(model.fit(X[some], target[some]), X[:1]).SerializeToString())
XGBOOST = {
    "xgb": (xgboost.XGBClassifier(n_estimators=30), two),
    "xgb3": (xgboost.XGBClassifier(n_estimators=20), bins),
    "xgb_number": (xgboost.XGBRegressor(n_estimators=30), amount),
}
for name, (model, target) in XGBOOST.items():
    converted = convert_xgboost(model.fit(gaps[some], target[some]), initial_types=[("input", FloatTensorType([None, 4]))])
    (folder / f"{name}.onnx").write_bytes(converted.SerializeToString())

# A graph in other words: an input for each column, and probabilities without a label.
inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None, 1]) for n in ("a", "b")]
weights = helper.make_tensor("w", TensorProto.FLOAT, [2, 1], [1.0, -2.0])
nodes = [
    helper.make_node("Concat", ["a", "b"], ["ab"], axis=1),
    helper.make_node("MatMul", ["ab", "w"], ["z"]),
    helper.make_node("Sigmoid", ["z"], ["p"]),
]
output = helper.make_tensor_value_info("p", TensorProto.FLOAT, [None, 1])
graph = helper.make_graph(nodes, "columns", inputs, [output], [weights])
(folder / "columns.onnx").write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString())

# What cannot be imported.
scores = to_onnx(LinearSVC().fit(single[some], two[some]), single[:1])
(folder / "unsupported.onnx").write_bytes(scores.SerializeToString().replace(b"LinearClassifier", b"TfIdfVectorizers"))
text = helper.make_graph(
    [helper.make_node("Identity", ["t"], ["p"])], "text", [helper.make_tensor_value_info("t", TensorProto.STRING, [None, 1])],
    [helper.make_tensor_value_info("p", TensorProto.FLOAT, [None, 1])],
)  # fmt: skip
(folder / "text.onnx").write_bytes(helper.make_model(text, ir_version=8).SerializeToString())
apart = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
tensor = apart.graph.initializer[0]
tensor.ClearField("float_data")
tensor.data_location = TensorProto.EXTERNAL
entry = tensor.external_data.add()
entry.key, entry.value = "location", "/etc/passwd"
(folder / "apart.onnx").write_bytes(apart.SerializeToString())

expected = {}
for name in [*FLOAT, *DOUBLE, *XGBOOST]:
    session = onnxruntime.InferenceSession(folder / f"{name}.onnx")
    data = "gaps" if name in XGBOOST else "plain"
    rows = (gaps if data == "gaps" else X).astype(np.float64 if name in DOUBLE else np.float32)
    answers = session.run(None, {session.get_inputs()[0].name: rows})
    labels, numbers = (None, answers[0]) if len(answers) == 1 else answers
    if isinstance(numbers, list):
        numbers = np.array([list(row.values()) for row in numbers])
    expected[name] = {
        "data": data,
        "labels": None if labels is None else np.asarray(labels).ravel().tolist(),
        "numbers": numbers.reshape(len(rows), -1).astype(float).tolist(),
    }
(folder / "expected.json").write_text(json.dumps(expected))
for name, rows in {"plain": X, "gaps": gaps}.items():
    told = [[None if np.isnan(x) else x for x in row] for row in rows.tolist()]
    (folder / f"{name}.json").write_text(json.dumps({"rows": told, "two": two.tolist()}))
