"""Compaction: the same rows in the same order, in fewer shards."""

from helpers import assert_table, concat, generate, take, to_pandas, write, write_csv


def test_small_shards_become_few_and_rows_stay(mill, tmp_path):
    truth = generate(71, 3000)
    write_csv(tmp_path / "t.csv", truth)
    mill.ingest("t", tmp_path / "t.csv", shard_size=2000)
    assert mill.shards("t") > 50
    before = mill.csv("t")
    done = mill.run("compact", "t")
    assert done["dataset"] == "t@2" and done["rows"] == 3000
    counters = mill.counters(done)
    assert counters["shards_in"] > 50 and counters["shards_out"] == mill.shards("t@2") == 1
    assert counters["rows_in"] == counters["rows_out"] == 3000
    assert mill.csv("t@2") == before
    assert_table(mill.table("t@2"), truth)
    # The version before is what it was, and what is compact stays so.
    assert mill.shards("t@1") > 50 and mill.csv("t@1") == before
    assert mill.run("compact", "t", "again")["dataset"] == "again@1"
    assert mill.csv("again") == before


def test_dropped_rows_stay_dropped(mill, tmp_path):
    truth = generate(72, 2000, duplicates=0.3)
    write_csv(tmp_path / "t.csv", truth)
    mill.ingest("t", tmp_path / "t.csv", shard_size=20_000)
    mill.run("dedup", "t", "d", "--keys", "id")
    mill.run("compact", "d", "c")
    kept = take(truth, to_pandas(truth).drop_duplicates(subset=["id"]).index)
    assert mill.shards("c") == 1
    assert_table(mill.table("c"), kept)


def test_a_dataset_that_is_added_to_again_and_again_stays_small(mill, tmp_path):
    parts = [generate(1000 + n, 20) for n in range(70)]
    most = 0
    for n, part in enumerate(parts):
        write(tmp_path / f"{n}.parquet", part)
        done = mill.ingest("t", tmp_path / f"{n}.parquet", append=True)
        assert done["rows"] == 20 * (n + 1)
        most = max(most, mill.shards("t"))
    assert most == 63 and mill.shards("t") < 20
    assert_table(mill.table("t"), concat(parts))


def test_a_plan_says_what_becomes_of_the_shards(mill, tmp_path):
    write_csv(tmp_path / "t.csv", generate(73, 500))
    mill.ingest("t", tmp_path / "t.csv", shard_size=2000)
    plan = mill.run("explain", "compact", "t")
    assert [stage["name"] for stage in plan["stages"]] == ["compact"] and plan["stages"][0]["tasks"] == 1
    assert "become 1" in plan["notes"][0]
