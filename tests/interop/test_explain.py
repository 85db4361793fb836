"""`explain` and `--dry-run`: everything is checked, the plan is shown, and nothing is done."""

import subprocess

import pytest

from helpers import environment

RULES = '[[rule]]\nop = "fill"\ncolumns = ["x"]\nwith = "median"\n\n[[rule]]\nop = "trim"\ncolumns = ["s"]\n'


@pytest.fixture(scope="module")
def ready(cluster, tmp_path_factory):
    """A dataset of several shards, its twin, rules, and a model."""
    folder = tmp_path_factory.mktemp("explained")
    mill = cluster.shardmill
    (folder / "a.csv").write_text("id,x,s,y\n" + "".join(f"{n},{n * 0.5},t{n % 3},{'yes' if n % 2 else 'no'}\n" for n in range(400)))
    (folder / "rules.toml").write_text(RULES)
    for name in ("a", "b"):
        mill.ingest(name, folder / "a.csv", shard_size="2KiB")
    mill.run("train", "logistic", "a", "--model", "m", "--label", "y", "--features", "x")
    return mill, folder, mill.shards("a")


def verbs(folder):
    return {
        "clean": ["clean", "a", "o", "--rules", str(folder / "rules.toml")],
        "dedup": ["dedup", "a", "o"],
        "compare": ["compare", "a", "b", "o", "--on", "id"],
        "split": ["split", "a", "--into", "o=0.5,p=0.5", "--stratify", "s"],
        "sort": ["sort", "a", "o", "--by", "x"],
        "aggregate": ["aggregate", "a", "o", "--by", "s", "--agg", "n=count()"],
        "join": ["join", "a", "b", "o", "--on", "id"],
        "train": ["train", "linear", "a", "--model", "o", "--label", "x", "--features", "id"],
        "predict": ["predict", "m", "a", "o"],
        "evaluate": ["evaluate", "m", "a"],
        "mapreduce": ["mapreduce", "o", "--input", "input=a", "--key", "s", "--reduce", "SELECT s, COUNT(*) AS n FROM input GROUP BY s"],
    }


# The stages that must be named, and how many tasks the first has ("shards": one a shard of a).
PLANS = {
    "clean": (["summarise", "merge statistics", "clean"], "shards"),
    # Small shards are read by one task.
    "dedup": (["hash", "find duplicates", "drop duplicates"], 1),
    "compare": (["hash", "match", "deliver", "merge"], 2),
    "split": (["count", "split"], "shards"),
    "sort": (["sort"], 1),
    "aggregate": (["aggregate", "groups"], 1),
    "join": (["look up"], 1),
    "train": (["profile", "round"], "shards"),
    "predict": (["predict"], 1),
    "evaluate": (["assess", "rank"], "shards"),
    "mapreduce": (["check", "map", "reduce"], 1),
}


@pytest.mark.parametrize("verb", PLANS)
def test_the_plan_is_shown_and_nothing_is_done(ready, verb):
    mill, folder, shards = ready
    command = verbs(folder)[verb]
    before = (mill.run("dataset", "list"), mill.run("model", "list"), mill.run("job", "list"), mill.run("record", "list"))
    plan = mill.run("explain", *command)
    again = mill.run(*command, "--dry-run")
    assert {k: v for k, v in plan.items() if k != "seconds"} == {k: v for k, v in again.items() if k != "seconds"}
    stages, tasks = PLANS[verb]
    assert plan["dry_run"] is True and plan["kind"] == verb
    assert [s["name"] for s in plan["stages"]] == [*stages, *(["copy"] if plan["outputs"] else [])]
    assert plan["stages"][0]["tasks"] == {"shards": shards}.get(tasks, tasks)
    assert all(len(s["does"]) > 10 for s in plan["stages"])
    assert plan["inputs"][0]["dataset"] == "a@1" and plan["inputs"][0]["rows"] == 400 and plan["inputs"][0]["bytes"] > 0
    after = (mill.run("dataset", "list"), mill.run("model", "list"), mill.run("job", "list"), mill.run("record", "list"))
    assert [{k: v for k, v in x.items() if k != "seconds"} for x in after] == [{k: v for k, v in x.items() if k != "seconds"} for x in before]


@pytest.mark.parametrize("verb", ["dedup", "join", "aggregate", "sort", "split"])
def test_the_stages_that_run_are_those_of_the_plan(ready, verb):
    mill, folder, _ = ready
    command = verbs(folder)[verb]
    planned = [s["name"] for s in mill.run("explain", *command)["stages"]]
    ran = mill.run("job", "show", mill.run(*command)["job"])
    names = [s["name"] for s in ran["stages"]]
    # A stage with nothing to do is left out.
    assert [n for n in planned if n in names] == names and names[0] == planned[0]


def test_mistakes_are_told_as_if_it_ran(ready):
    mill, folder, _ = ready
    for command, part in [
        (["dedup", "a", "o", "--keys", "nope"], "`nope`"),
        (["join", "a", "b", "o", "--on", "id=s"], "int64"),
        (["sort", "none", "o", "--by", "x"], "none"),
        (["predict", "m@9", "a", "o"], "m"),
        (["dedup", "a", "o", "--replicas", "9"], "replicas"),
        (["split", "a", "--into", "x=0.5,y=0.6"], "sum to 1"),
    ]:
        told = mill.run("explain", *command, status=1)["error"]
        assert part in told and told == mill.run(*command, "--dry-run", status=1)["error"]
        assert told == mill.run(*command, status=1)["error"]


def test_why_a_join_is_broadcast_or_not(ready):
    mill, _, _ = ready
    note = lambda *options: " ".join(mill.run("explain", "join", "a", "b", "o", "--on", "id", *options)["notes"])
    assert "b@1 is broadcast" in note() and "64.0 MiB" in note()
    assert "shuffled" in note("--broadcast-limit", "0") and "--broadcast-limit" in note("--broadcast-limit", "0")
    assert "a@1 is broadcast" in note("--how", "right")
    assert "shuffled" in note("--how", "outer")


def test_an_ingest_is_not_explained(ready):
    mill, folder, _ = ready
    assert "ingest" in mill.run("explain", "ingest", "x", str(folder / "a.csv"), "--format", "csv", status=2)["error"]
    assert "file" in mill.run("predict", "m", "--from", str(folder / "a.csv"), "--to", str(folder / "o.csv"), "--dry-run", status=2)["error"]
    assert not (folder / "o.csv").exists()


def test_people_see_tables(ready):
    mill, _, _ = ready
    command = [c for c in mill.command("explain", "join", "a", "b", "o", "--on", "id") if c != "--json"]
    shown = subprocess.run(command, capture_output=True, env=environment(), cwd=mill.work, timeout=60)
    assert shown.returncode == 0
    for part in ("look up", "a@1", "what it does", "is broadcast"):
        assert part in shown.stdout.decode()
    assert "nothing was run" in shown.stderr.decode()
