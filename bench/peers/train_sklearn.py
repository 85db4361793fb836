"""scikit-learn: logistic regression from CSV with pandas and pyarrow; prediction from Parquet to Parquet."""

import json
import sys
import time

import pandas as pd


def train(data, out, solver):
    from sklearn.linear_model import LogisticRegression

    frame = pd.read_csv(data, engine="pyarrow")
    y = frame.pop("y").to_numpy()
    x = frame.to_numpy()
    begun = time.perf_counter()
    # newton-cholesky is taken to the optimum. lbfgs, the default, is run as it comes: on features of differing scales it needs
    # thousands of iterations, and stops before.
    model = LogisticRegression(solver=solver, **({"tol": 1e-8} if solver == "newton-cholesky" else {})).fit(x, y)
    seconds = time.perf_counter() - begun
    found = {"fit_seconds": seconds, "coefficients": model.coef_[0].tolist(), "intercept": model.intercept_[0], "rounds": int(model.n_iter_[0])}
    with open(out, "w") as f:
        json.dump(found, f)


def predict(data, model, out):
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    with open(model) as f:
        found = json.load(f)
    fitted = LogisticRegression()
    fitted.coef_, fitted.intercept_ = np.array([found["coefficients"]]), np.array([found["intercept"]])
    fitted.classes_ = np.array([0, 1])
    frame = pd.read_parquet(data)
    p = fitted.predict_proba(frame.drop(columns="y").to_numpy())
    frame["prediction"] = fitted.classes_[p.argmax(axis=1)]
    frame["probability_0"], frame["probability_1"] = p[:, 0], p[:, 1]
    frame.to_parquet(out)


{"train": train, "predict": predict}[sys.argv[1]](*sys.argv[2:])
