"""Programs of any kind as map and reduce: the formats, what goes wrong with them, and what they may not do."""

import collections
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers import wait_until

PROGRAMS = Path(__file__).parent / "programs"
PYTHON = sys.executable
WORDS = "a ant bee cat dog eel fox gnu hen ibis jay kiwi lion mole newt owl pig ñandú ram 猫".split()


@pytest.fixture(scope="module")
def lines():
    rng = random.Random(11)
    return [" ".join(rng.choices(WORDS, weights=range(20, 0, -1), k=rng.randint(0, 9))) for _ in range(3000)]


@pytest.fixture(scope="module")
def wanted(lines):
    return collections.Counter(" ".join(lines).split())


def put_text(mill, lines, folder, shard_size=20000):
    (folder / "text.txt").write_text("\n".join(lines) + "\n")
    mill.ingest("text", folder / "text.txt", format="lines", shard_size=shard_size)
    return mill


@pytest.fixture
def text(mill, lines, tmp_path):
    return put_text(mill, lines, tmp_path)


@pytest.fixture
def one(mill, tmp_path):
    """Three lines in one shard."""
    return put_text(mill, ["first line", "second line", "third line"], tmp_path)


def files(*names):
    return [part for name in names for part in ("--file", PROGRAMS / name)]


def run(mill, *args, status=0):
    return mill.run("mapreduce", "out", "--input", "text", *args, status=status)


def fails(mill, command, *args) -> str:
    return run(mill, "--map-program", command, *args, status=1)["error"]


def shell(script: str) -> str:
    return "sh -c '" + script.replace("'", "'\\''") + "'"


def counts(mill, name="out") -> dict:
    found = mill.table(name).to_pydict()
    assert len(set(found["word"])) == len(found["word"])
    return dict(zip(found["word"], found["n"]))


# ------------------------------------------------------------------------------------------------------------- formats


def test_words_in_lines(text, wanted, lines):
    result = run(
        text, "--map-program", f"{PYTHON} words_map.py", "--map-columns", "word,n=int64", "--key", "word",
        "--reduce-program", f"{PYTHON} words_reduce.py", "--columns", "word,n=int64", *files("words_map.py", "words_reduce.py"),
    )  # fmt: skip
    assert text.shards("text") > 2
    assert counts(text) == wanted
    assert result["counters"]["text"] == {"lines": len(lines), "words": sum(wanted.values())}


def test_keys_and_values_where_nothing_is_said(text, wanted):
    run(
        text, "--map-program", f"{PYTHON} words_map.py", "--key", "key", "--reduce-program", f"{PYTHON} words_reduce.py",
        *files("words_map.py", "words_reduce.py"),
    )  # fmt: skip
    found = text.table("out").to_pydict()
    assert list(found) == ["key", "value"]
    assert dict(zip(found["key"], map(int, found["value"]))) == wanted


def test_words_in_json_lines(text, wanted):
    run(
        text, "--map-program", f"{PYTHON} words_map_jsonl.py", "--key", "word", "--reduce-program", f"{PYTHON} words_reduce_jsonl.py",
        "--format", "jsonl", *files("words_map_jsonl.py", "words_reduce_jsonl.py"),
    )  # fmt: skip
    assert counts(text) == wanted
    # What only some lines have is a column all the same.
    assert text.types("out") == {"word": "string", "n": "int64", "long": "boolean"}
    found = text.table("out").to_pydict()
    assert found["long"] == [True if len(word) > 3 else None for word in found["word"]]


@pytest.mark.parametrize("reducer", ["words_reduce_pandas.py", "words_reduce_polars.py"])
def test_words_in_arrow(text, wanted, reducer):
    if "polars" in reducer:
        pytest.importorskip("polars")
    run(
        text, "--map-program", f"{PYTHON} words_map_arrow.py", "--key", "word", "--reduce-program", f"{PYTHON} {reducer}",
        "--format", "arrow", *files("words_map_arrow.py", reducer),
    )  # fmt: skip
    assert counts(text) == wanted
    assert text.types("out") == {"word": "string", "n": "int64"}


def test_programs_and_sql_in_one_job(text, wanted):
    summed = "SELECT word, SUM(n) AS n FROM input GROUP BY word"
    run(
        text, "--map-program", f"{PYTHON} words_map.py", "--map-columns", "word,n=int64", "--key", "word", "--combine", summed,
        "--reduce", summed, *files("words_map.py"),
    )  # fmt: skip
    assert counts(text) == wanted


def test_what_comes_in_goes_out(mill, tmp_path):
    """Every type and awkward text through `cat`, in the formats that can carry them."""
    csv = 'n,x,d,t,b,s\n1,0.1,2024-02-29,2024-02-29 12:00:00,true,"a ""q"" \\ é"\n,,,,,\n-5,1e300,1969-12-31,1969-12-31 23:59:59.5,false,猫\n'
    (tmp_path / "t.csv").write_text(csv)
    mill.ingest("text", tmp_path / "t.csv")
    columns = ",".join(f"{name}={kind}" for name, kind in mill.types("text").items())
    whole = mill.table("text")
    for form in ["tsv", "jsonl", "arrow"]:
        run(mill, "--map-program", "cat", "--columns", columns, "--format", form)
        assert mill.table("out").equals(whole), form
    run(mill, "--map-program", "cat", "--format", "jsonl")
    assert mill.types("out") == mill.types("text")
    assert mill.table("out").equals(whole)


def test_order_is_kept_without_a_reduce(text, lines):
    run(text, "--map-program", shell('sed "s/^/=/"'), "--columns", "line")
    assert text.table("out").column("line").to_pylist() == [f"={line}" for line in lines]


def test_the_number_of_workers_changes_nothing(mills, lines, tmp_path):
    made = []
    for workers in [1, 3]:
        mill = put_text(mills("--workers", workers), lines, tmp_path)
        run(
            mill, "--map-program", f"{PYTHON} words_map.py", "--map-columns", "word,n=int64", "--key", "word",
            "--reduce-program", f"{PYTHON} words_reduce.py", "--columns", "word,n=int64", *files("words_map.py", "words_reduce.py"),
        )  # fmt: skip
        made.append(mill.csv("out"))
    assert made[0] == made[1]


# ------------------------------------------------------------------------------------------------------- what they say


def test_logs_and_failures(one):
    result = run(one, "--map-program", shell("cat; echo a note >&2"), "--columns", "line")
    logs = one.run("job", "logs", result["job"])["attempts"]
    assert [log["text"] for log in logs] == ["a note\n"]
    error = fails(one, shell("cat >/dev/null; echo the reason >&2; exit 7"))
    assert "exit status 7" in error and "the reason" in error and "text@1" in error
    error = fails(one, shell("kill -ABRT $$"))
    assert "SIGABRT" in error
    error = fails(one, shell("head -c 1 >/dev/null"))
    assert "before it had read all of its input" in error, error


def test_what_cannot_be_run_is_told_at_once(one, tmp_path):
    (tmp_path / "plain.py").write_text("print(1)\n")
    (tmp_path / "lost.py").write_text("#!/no/such/python\n")
    (tmp_path / "lost.py").chmod(0o755)
    for command, file, said in [
        ("no-such-program x", None, "was not found"),
        ("./other.py", None, "none of the files that came along"),
        ("./plain.py", tmp_path / "plain.py", "not executable"),
        ("./lost.py", tmp_path / "lost.py", "/no/such/python"),
        ("python3 'x", None, "quote"),
    ]:
        begun = time.monotonic()
        result = run(one, "--map-program", command, *(["--file", file] if file else []), status=1)
        assert said in result["error"], result
        assert "times" not in result["error"], "tried once"
        assert time.monotonic() - begun < 10
    for paths, said in [([tmp_path], "not a file"), ([tmp_path / "plain.py"] * 2, "same name"), ([tmp_path / "none"], "cannot be read")]:
        args = [part for path in paths for part in ("--file", path)]
        assert said in run(one, "--map-program", "cat", *args, status=2)["error"]


def test_output_that_is_not_what_it_should_be(one):
    assert "line 2 of its output is not text (UTF-8): `b\\xff\\x00d`" in fails(one, shell("cat >/dev/null; printf 'a\\nb\\377\\0d\\n'"))
    assert "`first line` is not an int64" in fails(one, "cat", "--columns", "n=int64")
    assert "line 1 of its output: expected 2 cells" in fails(one, "cat", "--columns", "n,m")
    assert "not valid JSON" in fails(one, shell("cat >/dev/null; echo {"), "--format", "jsonl")
    assert "it starts with `noise" in fails(one, shell("cat >/dev/null; echo noise noise"), "--format", "arrow")


# --------------------------------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize(
    "script, option, value, said",
    [
        ("yes", "--max-output", "1MiB", "to standard output; raise --max-output"),
        ("cat >/dev/null; sleep 30", "--task-timeout", 1, "took longer than 1 s; raise --task-timeout"),
        ("sleep 30", "--task-timeout", 1, "took longer than 1 s; raise --task-timeout"),
        ("while :; do :; done", "--program-cpu", 1, "raise --program-cpu"),
        ("cat >/dev/null; x=y; while :; do x=$x$x; done", "--program-memory", "64MiB", "raise --program-memory"),
        ("for i in 1 2 3 4 5 6 7 8 9; do sleep 30 & done; wait", "--max-processes", 5, "raise --max-processes"),
    ],
)
def test_limits(one, script, option, value, said):
    assert said in fails(one, shell(script), option, value)


def alive(mark: str) -> list[int]:
    """Processes that have this argument."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                arguments = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if mark.encode() in arguments:
                found.append(int(folder.name))
    return found


def test_no_process_is_left(one):
    mark = f"7{os.getpid()}.25"
    # The shell's own end is the program's; what it left behind is ended.
    run(one, "--map-program", shell(f"setsid sleep {mark} </dev/null >/dev/null 2>&1 & cat"), "--columns", "line")
    assert alive(mark) == []
    assert "still had its standard output" in fails(one, shell(f"cat; sleep {mark} &"))
    assert alive(mark) == []
    # It doubles eight times at most: the machine is not the test's alone, should the limit fail.
    bomb = f"bomb() {{ [ $1 -gt 0 ] || exit; sleep {mark} & bomb $(($1-1)) & bomb $(($1-1)) & wait; }}; bomb 8"
    assert "raise --max-processes" in fails(one, shell(bomb), "--max-processes", 40)
    assert alive(mark) == []


def test_a_command_that_is_killed_takes_its_programs_along(one):
    mark = f"8{os.getpid()}.25"
    command = one.start("mapreduce", "out", "--input", "text", "--map-program", shell(f"setsid sleep {mark} & sleep {mark}"))
    wait_until(lambda: len(alive(mark)) == 2, 20, "running program")
    command.kill()
    command.wait()
    wait_until(lambda: alive(mark) == [], 10, "end of the program")


# --------------------------------------------------------------------------------------------------------- confinement


def test_programs_see_nothing_of_the_worker(one, monkeypatch):
    # A token in the worker's environment is none of the program's business.
    script = "cat >/dev/null; env | grep -i -e token -e secret; echo done"
    run(one, "--map-program", shell(script), "--columns", "line")
    assert one.table("out").column("line").to_pylist() == ["done"]


def has_landlock() -> bool:
    try:
        return "landlock" in Path("/sys/kernel/security/lsm").read_text()
    except OSError:
        # Not mounted here: ask the kernel for the version of the rules it knows.
        import ctypes

        return ctypes.CDLL(None).syscall(444, None, 0, 1) > 0


@pytest.mark.skipif(not has_landlock(), reason="this kernel has no Landlock")
def test_programs_reach_nothing_else(one, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("a secret")
    places = [one.data_dir, secret, Path.home() / ".ssh", Path.home(), "/etc/shadow", "/tmp", f"/proc/{os.getpid()}/environ"]
    looks = "; ".join(f'if ls "{p}/" >/dev/null 2>&1 || cat "{p}" >/dev/null 2>&1; then echo "open {p}"; fi' for p in places)
    writes = "; ".join(f'if (echo x > "{p}/mill-was-here") 2>/dev/null; then echo "wrote {p}"; fi' for p in [one.data_dir, tmp_path, "/tmp", "/usr", "/dev/shm"])
    run(one, "--map-program", shell(f"cat >/dev/null; {looks}; {writes}; echo mine > own && cat own"), "--columns", "line")
    assert one.table("out").column("line").to_pylist() == ["mine"]
    # The worker's environment, too: its process is the parent of the program's parent.
    peek = "cat >/dev/null; cat /proc/$(cut -d ' ' -f 4 /proc/$PPID/stat)/environ || echo refused"
    run(one, "--map-program", shell(peek), "--columns", "line")
    assert one.table("out").column("line").to_pylist() == ["refused"]


# ------------------------------------------------------------------------------------------------------------ bad input


def test_bad_records_are_skipped_and_kept(text, lines):
    bad = [n for n, line in enumerate(lines, 1) if "猫 a" in line][:3]
    assert len(bad) == 3
    kept = [line if n not in bad else line.replace("猫", "poison") for n, line in enumerate(lines, 1)]
    put_text(text, kept, text.work)
    command = ["--map-program", f"{PYTHON} fails_on_a_word.py poison", "--columns", "line", *files("fails_on_a_word.py")]
    assert "cannot read" in run(text, *command, status=1)["error"]
    result = run(text, *command, "--skip-bad", 3)
    assert result["counters"]["skipped"] == 3
    assert text.table("out").column("line").to_pylist() == [line or None for line in kept if "poison" not in line]
    rejects = text.table("out.rejects").to_pydict()
    assert rejects["line"] == bad
    assert all("cannot read" in reason for reason in rejects["reason"])
    assert "2" in run(text, *command, "--skip-bad", 2, status=1)["error"]


# -------------------------------------------------------------------------------------------------------------- clusters


def test_workers_refuse_unless_they_allow(own_cluster, lines, tmp_path):
    cluster = own_cluster(workers=1)
    put_text(cluster.shardmill, lines[:10], tmp_path)
    error = run(cluster.shardmill, "--map-program", "cat", status=1)["error"]
    assert "--allow-programs" in error


def test_a_worker_that_is_killed_changes_nothing(own_cluster, mill, lines, wanted, tmp_path):
    cluster = own_cluster(workers=3, options=("--allow-programs",))
    mine = cluster.shardmill
    put_text(mine, lines, tmp_path, shard_size=4000)
    args = [
        "mapreduce", "out", "--input", "text", "--map-program", shell(f"sleep 0.3; exec {PYTHON} words_map.py"),
        "--map-columns", "word,n=int64", "--key", "word", "--reduce-program", f"{PYTHON} words_reduce.py",
        "--columns", "word,n=int64", *files("words_map.py", "words_reduce.py"), "--replicas", 2,
    ]  # fmt: skip
    job = mine.start(*args)
    time.sleep(1.2)
    cluster.workers[0].kill()
    out, err = job.communicate(timeout=60)
    assert job.returncode == 0, (out, err)
    assert counts(mine) == wanted
    put_text(mill, lines, tmp_path, shard_size=4000)
    mill.run(*args[:-2])
    assert mine.csv("out") == mill.csv("out")
