"""Text files as lines: a row of one column each, as they are; and back."""

import gzip
import random

import pyarrow as pa
import pytest

LINES = ["", "plain", "a,b", '"quoted', "it's", "tab\there", " padded ", "Ünï", "日本語", "🦀", "NA", "null", "x" * 500, "cr\rinside", "\\N", "#"]


def texts(mill, name):
    table = mill.table(name)
    assert table.column_names == ["line"] and str(table.schema.field("line").type) in ("string", "large_string")
    assert table.column("line").null_count == 0
    return table.column("line").to_pylist()


def write(path, lines, newline="\n", last=True):
    text = newline.join(lines) + (newline if last else "")
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_every_line_is_a_row(mill, tmp_path, newline, last):
    lines = [*LINES, "", "the end"]
    result = mill.ingest("t", write(tmp_path / "a.log", lines, newline, last), format="lines")
    assert result["rows"] == len(lines) and result["counters"]["rejected"] == 0
    assert texts(mill, "t") == lines
    assert mill.types("t") == {"line": "string"}


def test_chunks_are_cut_at_line_ends(mill, tmp_path):
    rng = random.Random(3)
    lines = [rng.choice(LINES) * rng.randrange(3) for _ in range(5000)]
    plain = write(tmp_path / "a.txt", lines)
    packed = tmp_path / "b.txt.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    with pa.CompressedOutputStream(str(tmp_path / "c.txt.zst"), "zstd") as out:
        out.write(plain.read_bytes())
    for n, source in enumerate(sorted(tmp_path.glob("*.txt*"))):
        mill.ingest(f"t{n}", source, format="text", shard_size="16KiB")
        assert mill.shards(f"t{n}") > 10
        assert texts(mill, f"t{n}") == lines, source
    mill.ingest("all", tmp_path / "a.txt", packed, format="lines")
    assert texts(mill, "all") == lines * 2


def test_standard_input_and_clusters_that_take_uploads(mill, cluster, tmp_path):
    lines = LINES * 20
    path = write(tmp_path / "a.log", lines)
    mill.run("ingest", "t", "-", "--format", "lines", stdin=path.read_bytes())
    assert texts(mill, "t") == lines
    cluster.shardmill.ingest("t", path, format="lines", shard_size="1KiB")
    assert texts(cluster.shardmill, "t") == lines


def test_lines_that_are_no_utf8_are_rejected(mill, tmp_path):
    path = tmp_path / "a.log"
    path.write_bytes(b"good\n" + b"bad \xff\n" + "späť\n".encode() * 200)
    result = mill.ingest("t", path, format="lines")
    assert (result["rows"], result["counters"]["rejected"]) == (201, 1)
    rejects = mill.table("t.rejects").to_pylist()
    assert [(r["line"], r["reason"]) for r in rejects] == [(2, "not valid UTF-8")]
    path.write_bytes("späť ä\n".encode("utf-8")[:3] + b"\n" + "\xe4\n".encode("latin1"))
    mill.ingest("l", path, format="lines", encoding="latin1")
    assert texts(mill, "l")[1] == "ä"


def test_empty_files_have_the_column(mill, tmp_path):
    empty = tmp_path / "empty.txt"
    empty.write_bytes(b"")
    packed = tmp_path / "empty.txt.gz"
    packed.write_bytes(gzip.compress(b""))
    assert mill.ingest("t", empty, packed, format="lines")["rows"] == 0
    assert texts(mill, "t") == []
    one = write(tmp_path / "one.txt", [""])
    mill.ingest("t", empty, one, format="lines")
    assert texts(mill, "t") == [""]


def test_lines_are_cleaned_and_deduplicated_in_the_same_pass(mill, tmp_path):
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nop = "trim"\ncolumns = ["line"]\n')
    path = write(tmp_path / "a.txt", [" a", "a ", "b", "a"])
    mill.ingest("t", path, format="lines", clean=rules, dedup=True)
    assert texts(mill, "t") == ["a", "b"]


def test_text_goes_out_as_it_came_in(mill, tmp_path):
    path = write(tmp_path / "a.txt", LINES * 3)
    mill.ingest("t", path, format="lines", shard_size="1KiB")
    out = tmp_path / "b.txt"
    mill.run("dataset", "export", "t", "--to", out, "--format", "lines")
    assert out.read_bytes() == path.read_bytes()
    mill.run("dataset", "export", "t", "--to", tmp_path / "c.txt.gz", "--format", "text")
    assert gzip.decompress((tmp_path / "c.txt.gz").read_bytes()) == path.read_bytes()


def test_what_lines_cannot_be_is_refused(mill, tmp_path):
    path = write(tmp_path / "a.txt", ["x"])
    for option in (["--delimiter", ";"], ["--null", "NA"], ["--schema", "line=string"], ["--no-header"]):
        error = mill.run("ingest", "t", path, "--format", "lines", *option, status=2)["error"]
        assert option[0] in error
    (tmp_path / "two.csv").write_text("a,b\nx,y\n")
    (tmp_path / "n.csv").write_text("a\n1\n")
    mill.ingest("two", tmp_path / "two.csv")
    mill.ingest("n", tmp_path / "n.csv")
    for name, part in (("two", "one column"), ("n", "int64")):
        out = tmp_path / f"{name}.txt"
        error = mill.run("dataset", "export", name, "--to", out, "--format", "lines", status=2)["error"]
        assert part in error and not out.exists()
    broken = tmp_path / "broken.csv"
    broken.write_text('t\n"a\nb"\n')
    mill.ingest("broken", broken)
    out = tmp_path / "broken.txt"
    assert "line break" in mill.run("dataset", "export", "broken", "--to", out, "--format", "lines", status=1)["error"]
    assert not out.exists()
