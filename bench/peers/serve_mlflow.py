"""MLflow's own scoring server with a scikit-learn model. `serve_mlflow.py TRAIN.csv PORT FOLDER`"""

import shutil
import sys

import mlflow.sklearn
import pandas as pd
import uvicorn
from mlflow.pyfunc import load_model, scoring_server
from sklearn.linear_model import LogisticRegression

data = pd.read_csv(sys.argv[1])
model = LogisticRegression(solver="newton-cholesky", tol=1e-12).fit(data.drop(columns="y").to_numpy(), data["y"])
shutil.rmtree(sys.argv[3], ignore_errors=True)
mlflow.sklearn.save_model(model, sys.argv[3], pyfunc_predict_fn="predict_proba", serialization_format="cloudpickle")
uvicorn.run(scoring_server.init(load_model(sys.argv[3])), host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", access_log=False)
