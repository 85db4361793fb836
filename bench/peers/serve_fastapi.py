"""A FastAPI server with a scikit-learn model behind it, as people write one. `serve_fastapi.py TRAIN.csv PORT`"""

import sys

import numpy as np
import pandas as pd
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sklearn.linear_model import LogisticRegression

data = pd.read_csv(sys.argv[1])
model = LogisticRegression(solver="newton-cholesky", tol=1e-12).fit(data.drop(columns="y").to_numpy(), data["y"])
app = FastAPI()


class Rows(BaseModel):
    instances: list[list[float]]


@app.get("/ping")
def ping():
    return {}


@app.post("/invocations")
async def invocations(rows: Rows):
    return {"predictions": model.predict_proba(np.array(rows.instances)).tolist()}


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", access_log=False)
