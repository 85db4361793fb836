"""Training on a cluster of real processes, of which one is killed in the middle: the same bits as without any fault."""

import json
import random
import time

import pytest

from helpers import sleep_amid
from test_cluster import finish, running_job, settle
from test_training import features_of, generated, ingest, shown

KINDS = {
    "logistic": (["--label", "y", "--penalty", "l1", "--solver", "owlqn", "--tol", "1e-12"], ["coefficients", "intercept"]),
    "kmeans": (["-k", "9", "--tol", "0"], ["centers", "inertia"]),
}


def arguments(kind, columns, model):
    return ["train", kind, "t", "--model", model, "--features", ",".join(columns), *KINDS[kind][0]]


def bits(mill, kind, model):
    found = shown(mill, model)
    return json.dumps([found[key] for key in KINDS[kind][1]])


@pytest.mark.parametrize("victim", ["worker", "coordinator"])
@pytest.mark.parametrize("kind", KINDS)
def test_killed_between_rounds_and_within(own_cluster, mill, kind, victim):
    cluster = own_cluster(workers=3)
    over = cluster.shardmill
    frame = generated(rows=6000, features=6, classes=3, seed=3, scales=1.0)
    columns = features_of(frame)
    for one in (mill, over):
        ingest(one, "t", frame, shards=12)
    mill.run(*arguments(kind, columns, "alone"))
    wanted = bits(mill, kind, "alone")
    begun = time.monotonic()
    over.run(*arguments(kind, columns, "calm"))
    length = time.monotonic() - begun
    assert bits(over, kind, "calm") == wanted, "a cluster alone makes a difference"
    rng = random.Random(f"{kind} {victim}")
    fired = 0
    for attempt in range(10):
        model = f"m{attempt}"
        args = arguments(kind, columns, model)
        process = over.start(*args)
        found = None
        while found is None and process.poll() is None:
            found = running_job(cluster)
        sleep_amid(rng, length, 0.1, 0.7, misses=attempt - fired)
        if victim == "worker":
            rng.choice(cluster.workers).kill()
        else:
            cluster.coordinator.kill()
        running = process.poll() is None
        fired += running
        if victim == "coordinator":
            cluster.coordinator.start()
        try:
            finish(cluster, process, args)
        except Exception:
            # A command whose coordinator died before it answered cannot know its job.
            if victim == "worker":
                raise
        cluster.wait_for_workers(2)
        if found is not None:
            assert over.run("job", "wait", found)["state"] == "done"
            assert bits(over, kind, model) == wanted, f"attempt {attempt}"
        settle(cluster)
        if fired == 2:
            break
    assert fired, f"no {victim} was killed while the job ran"
