"""Jobs over a cluster of real processes, in which workers and the coordinator are killed with -9.

A fault must fire: each test proves that the job was running when a process was killed, and tries again with another delay if
it was not. The result must be that of the undisturbed run, which the other tests compare with pandas; here pandas is asked too.
"""

import random
import subprocess
import time

import pytest

from helpers import (
    COMMAND_SECONDS, Failed, assert_table, binary, concat, environment, generate, outcome, sleep_amid, take, to_pandas, wait_until, write,
)  # fmt: skip
from test_compare import assert_compared

ROWS = 15_000
RULES = """
[[rule]]
op = "case"
columns = ["s"]
to = "upper"
[[rule]]
op = "fill"
columns = ["id"]
with = "mode"
[[rule]]
op = "zscore"
columns = ["n"]
limit = 1.5
on_error = "drop"
[[rule]]
op = "standardise"
columns = ["n"]
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Two files of some thousand rows, and the truth."""
    folder = tmp_path_factory.mktemp("source")
    parts = [generate(seed, ROWS, duplicates=0.5) for seed in (91, 92)]
    for part in parts:
        part["n"] = [float(n * n % 1009) for n in range(ROWS)]
    # The right side has rows of the left.
    mixed = concat([parts[0], parts[1]])
    rng = random.Random(93)
    parts[1] = take(mixed, [rng.randrange(2 * ROWS) for _ in range(ROWS)])
    for name, part in zip(("l.csv", "r.csv"), parts):
        write(folder / name, part)
    return folder, parts


def load(mill, folder):
    mill.ingest("l", folder / "l.csv", shard_size=20_000)
    mill.ingest("r", folder / "r.csv", shard_size=20_000)


def test_the_same_jobs_as_in_one_process(cluster, mill, source):
    folder, (left, right) = source
    mill_over_cluster = cluster.shardmill
    load(mill_over_cluster, folder)
    load(mill, folder)
    shown = mill_over_cluster.run("dataset", "show", "l")
    assert shown["replicas"] == 2 and shown["shards"] > 10
    for over in (mill_over_cluster, mill):
        over.run("dedup", "l", "d", "--keys", "id,ok", "--keep", "last")
        over.clean("l", "c", RULES)
    for name in ("l", "r", "d", "c"):
        assert mill_over_cluster.csv(name) == mill.csv(name), name
    assert_table(mill_over_cluster.table("l"), left)
    index = to_pandas(left).drop_duplicates(subset=["id", "ok"], keep="last").index
    assert_table(mill_over_cluster.table("d"), take(left, index))
    for how in ("outer", "inner", "left", "right"):
        result = mill_over_cluster.run("compare", "l", "r", f"m_{how}", "--how", how)
        assert_compared(mill_over_cluster, left, right, None, how, mill_over_cluster.table(f"m_{how}"), result)


def commands(folder, rules, n):
    """Every kind of job, with an output of its own for every try."""
    return {
        "ingest": (["ingest", f"ingested{n}", folder / "l.csv", "--shard-size", 5_000], f"ingested{n}"),
        "dedup": (["dedup", "l", f"deduped{n}", "--keys", "id,day"], f"deduped{n}"),
        "compare": (["compare", "l", "r", f"compared{n}", "--on", "id,ok", "--how", "left"], f"compared{n}"),
        "clean": (["clean", "l", f"cleaned{n}", "--rules", rules], f"cleaned{n}"),
    }


def running_job(cluster):
    """The id of a job that the coordinator has accepted and not ended."""
    for job in cluster.shardmill.run("job", "list")["jobs"]:
        if job["state"] == "running":
            return job["job"]
    return None


def finish(cluster, process, args):
    """What the command says, within a bound; where it does not end, the stages at which its job stands."""
    try:
        stdout, stderr = process.communicate(timeout=COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        job = running_job(cluster) or "j1"
        plain = [binary(), "--cluster", cluster.url, "job", "show", job]
        stages = subprocess.run(plain, capture_output=True, env=environment(), timeout=COMMAND_SECONDS).stdout.decode()
        process.kill()
        process.communicate()
        raise AssertionError(f"{args[0]} hangs:\n{stages}\n{cluster.coordinator.tail()}") from None
    return outcome(args, process.returncode, stdout, stderr)


def settle(cluster, workers=3):
    """Starts what was killed and waits until every worker has joined. A worker that starts again has a port of its own."""
    before = {n["url"] for n in cluster.shardmill.run("nodes", "list")["nodes"]}
    dead = [worker for worker in cluster.workers if not worker.alive]
    for worker in dead:
        worker.start()

    def joined():
        alive = {n["url"] for n in cluster.shardmill.run("nodes", "list")["nodes"] if n["state"] == "alive"}
        return len(alive) == workers and len(alive - before) == len(dead)

    if dead:
        wait_until(joined, 40, "worker that joins again", 0.1)


JOBS = ["ingest", "dedup", "compare", "clean"]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("job", JOBS)
def test_a_worker_killed_in_the_middle_changes_nothing(own_cluster, source, tmp_path, job, seed):
    folder, (left, right) = source
    cluster = own_cluster(workers=3)
    mill = cluster.shardmill
    load(mill, folder)
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES)
    args, calm = commands(folder, rules, "calm")[job]
    started = time.monotonic()
    quiet = mill.run(*args)
    length = time.monotonic() - started
    wanted = mill.csv(calm)
    rng = random.Random(seed * 1000 + JOBS.index(job))
    fired = 0
    for attempt in range(10):
        args, name = commands(folder, rules, attempt)[job]
        process = mill.start(*args)
        sleep_amid(rng, length, 0.15, 0.8, misses=attempt - fired)
        victim = rng.choice(cluster.workers)
        victim.kill()
        fired += process.poll() is None
        result = finish(cluster, process, args)
        assert result["counters"] == quiet["counters"]
        assert mill.csv(name) == wanted, f"seed {seed}, attempt {attempt}: the rows differ"
        settle(cluster)
        if fired == 2:
            break
    assert fired, "no worker was killed while the job ran"
    # What was there before is whole, from whichever worker.
    assert_table(mill.table("l"), left)
    assert_table(mill.table("r"), right)


@pytest.mark.parametrize("job", JOBS)
def test_the_coordinator_killed_in_the_middle_keeps_everything(own_cluster, source, tmp_path, job):
    folder, (left, right) = source
    cluster = own_cluster(workers=2)
    mill = cluster.shardmill
    load(mill, folder)
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES)
    args, calm = commands(folder, rules, "calm")[job]
    quiet = mill.run(*args)
    wanted = mill.csv(calm)
    fired, followed, gave_up = 0, 0, []
    for attempt in range(8):
        args, name = commands(folder, rules, attempt)[job]
        before = {d["dataset"] for d in mill.run("dataset", "list")["datasets"]}
        process = mill.start(*args)
        # The job has to be accepted: before that, its command may fail.
        found = None
        while found is None and process.poll() is None:
            found = running_job(cluster)
        cluster.coordinator.kill()
        time.sleep(0.2 * attempt)
        cluster.coordinator.start()
        if found is None:
            finish(cluster, process, args)
        else:
            fired += 1
            try:
                result = finish(cluster, process, args)
                assert result["job"] == found and result["counters"] == quiet["counters"]
                followed += 1
            except Failed as failed:
                # A command whose request was not answered before the kill cannot know that it was accepted.
                if "exit status 3" not in str(failed):
                    gave_up.append(str(failed))
            cluster.wait_for_workers(2)
            assert mill.run("job", "wait", found)["state"] == "done"
        cluster.wait_for_workers(2)
        after = {d["dataset"] for d in mill.run("dataset", "list")["datasets"]}
        assert before < after
        assert mill.csv(name) == wanted, f"attempt {attempt}: the rows differ"
        if fired >= 2 and followed:
            break
    assert fired, "the coordinator was not killed while the job ran"
    assert_table(mill.table("l"), left)
    assert_table(mill.table("r"), right)
    # The job went on; so should the command that follows it.
    assert not gave_up, gave_up[0]
    assert followed, "no command followed its job over the restart"


def test_the_job_goes_on_without_its_command(own_cluster, source):
    """The command and the coordinator are killed; the restarted coordinator ends the job it had accepted."""
    folder, (left, _) = source
    cluster = own_cluster(workers=2)
    mill = cluster.shardmill
    load(mill, folder)
    for attempt in range(8):
        process = mill.start("compare", "l", "r", f"c{attempt}", "--on", "id")
        found = None
        while found is None and process.poll() is None:
            found = running_job(cluster)
        cluster.coordinator.kill()
        process.kill()
        process.communicate()
        cluster.coordinator.start()
        cluster.wait_for_workers(2)
        if found is not None:
            break
    assert found is not None
    assert mill.run("job", "wait", found)["state"] == "done"
    mill.run("compare", "l", "r", "again", "--on", "id")
    assert mill.csv(f"c{attempt}") == mill.csv("again")
    assert mill.run("record", "show", found)["job"] == found


def test_two_of_three_workers_may_go_one_after_the_other(own_cluster, source):
    """What a lost worker held is copied to the third from what is left, and then another may be lost."""
    folder, (left, right) = source
    cluster = own_cluster(workers=3)
    mill = cluster.shardmill
    mill.ingest("l", folder / "l.csv", shard_size=60_000)
    cluster.workers[0].kill()

    def repaired():
        nodes = [n for n in mill.run("nodes", "list")["nodes"] if n["state"] == "alive"]
        shards = mill.shards("l")
        return len(nodes) == 2 and all(n["objects"] >= shards for n in nodes)

    wait_until(repaired, 120, "copies of every shard on both workers", 0.5)
    cluster.workers[1].kill()
    wait_until(lambda: cluster.alive_workers() == 1, 60, "the news of the lost worker", 0.3)
    assert_table(mill.table("l"), left)
    mill.run("dedup", "l", "d", "--replicas", 1)
    assert_table(mill.table("d"), take(left, to_pandas(left).drop_duplicates().index))
