"""Each cleaning rule against pandas' or numpy's way to do the same."""

import datetime as dt
import math
import random
import re
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from helpers import NAN, assert_rows, assert_table, cell, columns_of, from_pandas, rows_of, take, write

RELATIVE = 1e-12


def missing(value):
    return value is None or (isinstance(value, float) and math.isnan(value))


def floats(values) -> pd.Series:
    return pd.Series([NAN if missing(v) else float(v) for v in values], dtype="float64")


def assert_close(got, wanted, what=""):
    assert len(got) == len(wanted)
    for n, (g, w) in enumerate(zip(got, wanted)):
        if missing(w):
            assert g is None if w is None else missing(g), f"{what} row {n}: {g}, not {w}"
        else:
            assert g is not None and math.isclose(g, w, rel_tol=RELATIVE, abs_tol=0 if w else 1e-15), f"{what} row {n}: {g!r}, not {w!r}"


WORDS = ["  Anna ", "bob\t", "\u00a0Çelik\u2003", "ÉMILE  ZOLA", "o'neill-smith", "ﬁne", "e\u0301té", "", "   ", None, "ß", "İstanbul", "a\n b", "x1y22", "$5"]


@pytest.fixture
def words(mill, tmp_path):
    rng = random.Random(81)
    truth = {"t": [rng.choice(WORDS) for _ in range(400)], "n": list(range(400)), "u": [rng.choice(["A b", "c", None]) for _ in range(400)]}
    write(tmp_path / "words.csv", truth)
    mill.ingest("t", tmp_path / "words.csv", shard_size=1024)
    assert mill.shards("t") > 3
    return mill, truth


def each(function):
    return lambda series: series.map(lambda v: v if v is None else function(v))


TEXT_RULES = [
    ('op = "trim"', lambda s: s.str.strip()),
    ('op = "trim"\nside = "start"', lambda s: s.str.lstrip()),
    ('op = "trim"\nside = "end"', lambda s: s.str.rstrip()),
    ('op = "collapse"', lambda s: s.str.replace(r"\s+", " ", regex=True)),
    ('op = "case"\nto = "lower"', lambda s: s.str.lower()),
    ('op = "case"\nto = "upper"', lambda s: s.str.upper()),
    *((f'op = "normalize"\nform = "{f}"', lambda s, f=f: s.str.normalize(f.upper())) for f in ("nfc", "nfd", "nfkc", "nfkd")),
    ('op = "replace"\nfind = " "\nwith = "_"', lambda s: s.str.replace(" ", "_", regex=False)),
    ('op = "replace"\nfind = ""\nwith = "none"\nwhole = true', lambda s: s.replace("", "none")),
    (r"""op = "replace"
find = '(\d)(\w)'
with = '$2<${1}>'
regex = true""", lambda s: s.str.replace(r"(\d)(\w)", r"\2<\1>", regex=True)),
    ("""op = "replace"
find = '$5'
with = '$$'
""", lambda s: s.str.replace("$5", "$$", regex=False)),
    ('op = "null_if"\nvalues = ["", "   ", "c"]', lambda s: s.where(~s.isin(["", "   ", "c"]), None)),
    ('op = "null_if"\nvalues = ["ß", "ÇELIK", "a B"]\nignore_case = true', lambda s: s.where(~s.str.lower().isin(["ß", "çelik", "a b"]), None)),
    ("op = \"pattern\"\ncolumns = [\"t\", \"u\"]\npattern = '\\s*\\p{L}+\\s*|c'", None),
]  # fmt: skip


@pytest.mark.parametrize("rule,pandas", TEXT_RULES, ids=[r[0].replace("\n", "; ") for r in TEXT_RULES])
def test_text(words, rule, pandas):
    mill, truth = words
    result = mill.clean("t", "u", f"[[rule]]\n{rule}\n")
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in truth.items()})
    for name in ("t", "u"):
        if pandas is None:
            matches = re.compile(r"\s*[^\W\d_]+\s*|c")
            frame[name] = [v if v is None or matches.fullmatch(v) else None for v in truth[name]]
        else:
            frame[name] = pandas(frame[name])
    wanted = from_pandas(frame)
    changed = sum(a != b for name in ("t", "u") for a, b in zip(truth[name], wanted[name]))
    assert changed > 0, "the data does not test the rule"
    assert_table(mill.table("u"), wanted, rule)
    assert list(result["counters"]["cells_changed"].values()) == [changed]


def numbers(seed, rows=500):
    rng = random.Random(seed)
    x = [rng.choice([None, NAN]) if rng.random() < 0.15 else rng.lognormvariate(3, 1.5) * rng.choice([-1, 1, 1]) for _ in range(rows)]
    offset = [1e9 + v for v in (rng.random() for _ in range(rows))]
    i = [None if rng.random() < 0.1 else rng.randrange(-40, 60) for _ in range(rows)]
    s = [rng.choice(["b", "a", "c", None, ""]) for _ in range(rows)]
    d = [None if rng.random() < 0.1 else dt.date(2020, 1, 1) + dt.timedelta(days=rng.randrange(40)) for _ in range(rows)]
    ok = [rng.choice([True, False, None]) for _ in range(rows)]
    x[5], x[6] = 1e6, -1e6
    return {"x": x, "offset": offset, "i": i, "s": s, "d": d, "ok": ok}


@pytest.fixture
def numeric(mill, tmp_path):
    truth = numbers(82)
    write(tmp_path / "n.csv", truth)
    mill.ingest("t", tmp_path / "n.csv", shard_size=2048)
    assert mill.shards("t") > 5
    return mill, truth


@pytest.mark.parametrize("column", ["x", "i", "offset"])
@pytest.mark.parametrize("how", ["mean", "median"])
def test_fill_with_a_statistic(numeric, column, how):
    mill, truth = numeric
    mill.clean("t", "u", f'[[rule]]\nop = "fill"\ncolumns = ["{column}"]\nwith = "{how}"\n')
    series = floats(truth[column])
    # pandas' mean loses digits where numpy's pairwise sum does not; fsum is exact.
    value = math.fsum(series.dropna()) / series.count() if how == "mean" else series.median()
    assert math.isclose(value, getattr(series, how)(), rel_tol=1e-11)
    got = columns_of(mill.table("u"))
    assert_close(got.pop(column), series.fillna(value).tolist(), how)
    assert_rows(rows_of(got), rows_of({k: v for k, v in truth.items() if k != column}))


@pytest.mark.parametrize("column", ["x", "i", "s", "d", "ok"])
def test_fill_with_the_mode(numeric, column):
    mill, truth = numeric
    truth = {**truth}
    mill.clean("t", "u", f'[[rule]]\nop = "fill"\ncolumns = ["{column}"]\nwith = "mode"\n')
    series = pd.Series([None if missing(v) else v for v in truth[column]], dtype=object)
    mode = series.dropna().mode()[0]
    truth[column] = [mode if missing(v) else v for v in truth[column]]
    assert_table(mill.table("u"), truth)


@pytest.mark.parametrize("column", ["x", "i", "s", "d", "ok"])
def test_fill_forward(mill, tmp_path, column):
    truth = numbers(83)
    # Whole shards without a value, at the start too.
    truth[column][:60] = [None] * 60
    truth[column][100:320] = [None] * 220
    write(tmp_path / "n.csv", truth)
    mill.ingest("t", tmp_path / "n.csv", shard_size=2048)
    mill.clean("t", "u", f'[[rule]]\nop = "fill"\ncolumns = ["{column}"]\nwith = "forward"\n')
    series = pd.Series([None if missing(v) else v for v in truth[column]], dtype=object).ffill()
    truth[column] = [None if pd.isna(v) else v for v in series]
    assert_table(mill.table("u"), truth)


def test_fill_with_values(numeric):
    mill, truth = numeric
    rules = "".join(
        f'[[rule]]\nop = "fill"\ncolumns = ["{c}"]\nvalue = {v}\n'
        for c, v in [("x", "-1.5"), ("i", "7"), ("s", '"none"'), ("d", "1999-12-31"), ("ok", "false")]
    )
    result = mill.clean("t", "u", rules)
    values = {"x": -1.5, "i": 7, "s": "none", "d": dt.date(1999, 12, 31), "ok": False}
    wanted = {c: [values[c] if c in values and missing(v) else v for v in vs] for c, vs in truth.items()}
    assert_table(mill.table("u"), wanted)
    assert list(result["counters"]["cells_changed"].values()) == [sum(map(missing, truth[c])) for c in values]


@pytest.mark.parametrize("on_error", ["null", "drop", "reject"])
@pytest.mark.parametrize("rule,column", [("zscore", "x"), ("zscore", "i"), ("iqr", "x"), ("iqr", "i"), ("range", "i"), ("range", "d")])
def test_outliers_and_ranges(numeric, rule, column, on_error):
    mill, truth = numeric
    options = {
        "zscore": "limit = 1.25",
        "iqr": "factor = 0.2",
        "range": "min = -20\nmax = 41" if column == "i" else "min = 2020-01-08\nmax = 2020-02-01",
    }[rule]
    result = mill.clean("t", "u", f'[[rule]]\nop = "{rule}"\ncolumns = ["{column}"]\n{options}\non_error = "{on_error}"\n')
    if rule == "range":
        low, high = (-20, 41) if column == "i" else (dt.date(2020, 1, 8), dt.date(2020, 2, 1))
        wrong = [not missing(v) and not low <= v <= high for v in truth[column]]
    else:
        series = floats(truth[column])
        if rule == "zscore":
            bad = ((series - series.mean()) / series.std(ddof=0)).abs() > 1.25
        else:
            first, third = series.quantile(0.25), series.quantile(0.75)
            bad = (series < first - 0.2 * (third - first)) | (series > third + 0.2 * (third - first))
        wrong = bad.tolist()
    assert 0 < sum(wrong) < len(wrong) / 2
    counters = result["counters"]
    if on_error == "null":
        wanted = {**truth, column: [None if w else v for v, w in zip(truth[column], wrong)]}
        assert list(counters["cells_changed"].values()) == [sum(wrong)]
    else:
        wanted = take(truth, [n for n, w in enumerate(wrong) if not w])
        name = "rows_dropped" if on_error == "drop" else "rows_rejected"
        assert list(counters[name].values()) == [sum(wrong)]
    assert_table(mill.table("u"), wanted)
    if on_error == "reject":
        assert mill.table("u.rejects").column("line").to_pylist() == [n + 1 for n, w in enumerate(wrong) if w]


def test_the_deviation_is_that_of_the_population(mill, tmp_path):
    """Of few values ddof 0 and ddof 1 differ: the 10 is 3.0 deviations away, not 2.85."""
    truth = {"x": [0.0] * 9 + [10.0], "n": list(range(10))}
    series = pd.Series(truth["x"])
    far = {ddof: (10 - series.mean()) / series.std(ddof=ddof) for ddof in (0, 1)}
    assert far[0] > 2.9 > far[1]
    write(tmp_path / "x.csv", truth)
    mill.ingest("t", tmp_path / "x.csv")
    mill.clean("t", "u", '[[rule]]\nop = "zscore"\ncolumns = ["x"]\nlimit = 2.9\n')
    assert_table(mill.table("u"), {**truth, "x": [0.0] * 9 + [None]})


def test_clip(numeric):
    mill, truth = numeric
    rules = '[[rule]]\nop = "clip"\ncolumns = ["x"]\nmin = -10.0\nmax = 50.0\n[[rule]]\nop = "clip"\ncolumns = ["i"]\nmin = 0\n'
    result = mill.clean("t", "u", rules + '[[rule]]\nop = "clip"\ncolumns = ["d"]\nmax = 2020-01-20\n')
    wanted = {**truth}
    clipped = floats(truth["x"]).clip(-10, 50)
    wanted["x"] = [v if missing(v) else c for v, c in zip(truth["x"], clipped)]
    wanted["i"] = [v if v is None else max(v, 0) for v in truth["i"]]
    wanted["d"] = [v if v is None else min(v, dt.date(2020, 1, 20)) for v in truth["d"]]
    assert_table(mill.table("u"), wanted)
    changed = [sum(cell(a) != cell(b) for a, b in zip(truth[c], wanted[c])) for c in "xid"]
    assert list(result["counters"]["cells_changed"].values()) == changed


@pytest.mark.parametrize("column", ["x", "i", "offset"])
def test_standardise(numeric, column):
    mill, truth = numeric
    mill.clean("t", "u", f'[[rule]]\nop = "standardise"\ncolumns = ["{column}"]\n')
    series = floats(truth[column])
    values = np.array(series.dropna(), dtype=np.longdouble)
    mean = values.mean()
    deviation = np.sqrt(((values - mean) ** 2).mean())
    assert math.isclose(deviation, series.std(ddof=0), rel_tol=1e-6)
    wanted = [v if missing(v) else float((np.longdouble(v) - mean) / deviation) for v in truth[column]]
    got = mill.table("u").column(column).to_pylist()
    # A mean of 1e9 is known to 6e-8, and so are differences from it, whoever takes them.
    tolerance = 1e-6 if column == "offset" else RELATIVE
    for g, w in zip(got, wanted):
        assert missing(g) == missing(w)
        if not missing(w):
            assert math.isclose(g, w, rel_tol=tolerance, abs_tol=tolerance), (g, w)


@pytest.mark.parametrize("how", ["any", "all"])
def test_drop_nulls(numeric, how):
    mill, truth = numeric
    for n, columns in enumerate([None, ["x", "s"]]):
        names = "" if columns is None else f"columns = {columns}\n".replace("'", '"')
        result = mill.clean("t", f"u{n}", f'[[rule]]\nop = "drop_nulls"\n{names}how = "{how}"\n')
        frame = pd.DataFrame({c: pd.Series([None if missing(v) else v for v in vs], dtype=object) for c, vs in truth.items()})
        index = frame.dropna(subset=columns, how=how).index
        assert_table(mill.table(f"u{n}"), take(truth, index))
        assert list(result["counters"]["rows_dropped"].values()) == [len(frame) - len(index)]


CASTS = [
    # cells, options, what pandas or Python makes of them (an exception: wrong)
    (["1", " 2 ", "3.0", "-4", "5.5", "x", "", "1e3x", "99999999999999999999"], 'to = "integer"', None),
    (["1.5", "-2", " 3e2 ", "abc", "inf", "NaN", "", "1_0"], 'to = "float"', None),
    (["1.234,5", "12", "-1.000.000,25", "x"], 'to = "float"\nthousands = "."\ndecimal = ","', None),
    (["yes", "N", "TRUE", "off", "1", "0", "maybe", "", "2"], 'to = "boolean"', None),
    (["2024-02-29", "2023-02-29", " 2024-01-01", "", "01/02/2024"], 'to = "date"', None),
    (["29/02/2024", "1/2/2024", "31.12.1999", "2024-01-01", "30/02/2024"], 'to = "date"\nformats = ["%d/%m/%Y", "%d.%m.%Y"]', None),
    (["2024-02-29 10:11:12", "29 Feb 2024 3:04 PM", "29 Feb 2024 12:00 AM", "29 Foo 2024 1:00 AM"],
     'to = "datetime"\nformats = ["%Y-%m-%d %H:%M:%S", "%d %b %Y %I:%M %p"]', None),
]  # fmt: skip


def read_cast(text, options):
    """The value of a cell by the documented rules, made with pandas; ValueError where it is wrong."""
    text = text.strip()
    if text == "":
        return None
    formats = re.findall(r'"([^"]*%[^"]*)"', options)
    if 'to = "integer"' in options:
        if not re.fullmatch(r"[+-]?\d+(\.0*)?", text) or not -(2**63) <= int(text.split(".")[0]) < 2**63:
            raise ValueError
        return int(text.split(".")[0])
    if 'to = "float"' in options:
        if "thousands" in options:
            text = text.replace(".", "").replace(",", ".")
        if text.lower() == "nan":
            return None
        if "_" in text:
            raise ValueError
        return float(pd.to_numeric(text))
    if 'to = "boolean"' in options:
        words = {**dict.fromkeys("true t yes y on 1".split(), True), **dict.fromkeys("false f no n off 0".split(), False)}
        if text.lower() not in words:
            raise ValueError
        return words[text.lower()]
    for form in formats or ["ISO8601"]:
        try:
            stamp = pd.to_datetime(text, format=form)
        except ValueError:
            continue
        if not formats and not re.match(r"\d{4}-", text):
            continue
        return stamp.date() if 'to = "date"' in options else stamp.to_pydatetime()
    raise ValueError


@pytest.mark.parametrize("cells,options,_", CASTS, ids=[c[1].replace("\n", "; ") for c in CASTS])
@pytest.mark.parametrize("on_error", ["null", "reject", "fail"])
def test_cast(mill, tmp_path, cells, options, _, on_error):
    cells = cells * 30
    truth = {"c": cells, "n": list(range(len(cells)))}
    write(tmp_path / "c.csv", truth)
    mill.ingest("t", tmp_path / "c.csv", schema="c=string,n=int64", shard_size=1024)
    values, wrong = [], []
    for text in cells:
        try:
            values.append(read_cast(text, options))
            wrong.append(False)
        except ValueError:
            values.append(None)
            wrong.append(True)
    assert any(wrong)
    rule = f'[[rule]]\nop = "cast"\ncolumns = ["c"]\n{options}\non_error = "{on_error}"\n'
    if on_error == "fail":
        error = mill.clean("t", "u", rule, status=1)["error"]
        # Shards are cleaned side by side: the first one to fail is the one that is told of.
        assert "`c`" in error and any(cell in error for cell, bad in zip(cells, wrong) if bad)
        mill.run("dataset", "show", "u", status=1)
        return
    mill.clean("t", "u", rule)
    wanted = {"c": values, "n": truth["n"]}
    if on_error == "reject":
        wanted = take(wanted, [n for n, w in enumerate(wrong) if not w])
        assert mill.table("u.rejects").num_rows == sum(wrong)
    assert_table(mill.table("u"), wanted)


def test_cast_in_a_time_zone(mill, tmp_path):
    zone = ZoneInfo("Europe/Berlin")
    good = [dt.datetime(2024, m, d, h, 30) for m in range(1, 13) for d in (1, 15, 28) for h in (0, 5, 23)]
    skipped, twice = "2024-03-31 02:30:00", "2024-10-27 02:30:00"
    texts = [t.isoformat(sep=" ") for t in good] + [skipped, twice, "2024-06-01 12:00:00+05:30"]
    write(tmp_path / "z.csv", {"t": texts, "n": list(range(len(texts)))})
    mill.ingest("t", tmp_path / "z.csv", schema="t=string,n=int64")
    mill.clean("t", "u", '[[rule]]\nop = "cast"\ncolumns = ["t"]\nto = "datetime"\ntimezone = "Europe/Berlin"\non_error = "null"\n')
    local = pd.Series(good).dt.tz_localize(zone).dt.tz_convert("UTC")
    wanted = [t.to_pydatetime() for t in local] + [None, None, dt.datetime(2024, 6, 1, 6, 30, tzinfo=dt.timezone.utc)]
    assert mill.types("u")["t"] == "datetime_utc"
    assert [cell(v) for v in mill.table("u").column("t").to_pylist()] == [cell(v) for v in wanted]


def test_columns_and_sql(numeric):
    mill, truth = numeric
    mill.clean("t", "u", """
[[rule]]
op = "rename"
columns = { x = "i", i = "x" }
[[rule]]
op = "drop"
columns = ["off*"]
[[rule]]
op = "filter"
sql = "x > 0 AND s <> 'a'"
[[rule]]
op = "derive"
column = "y"
sql = "x * 2 + COALESCE(i, 0.5)"
[[rule]]
op = "derive"
column = "s"
sql = "upper(s)"
""")
    frame = pd.DataFrame({c: pd.Series(v, dtype=object) for c, v in truth.items()}).rename(columns={"x": "i", "i": "x"}).drop(columns="offset")
    keep = [x is not None and x > 0 and s is not None and s != "a" for x, s in zip(frame["x"], frame["s"])]
    rows = take({c: frame[c].tolist() for c in frame.columns}, [n for n, k in enumerate(keep) if k])
    rows = {c: [None if v is pd.NaT else v for v in vs] for c, vs in rows.items()}
    rows["x"] = [int(v) for v in rows["x"]]
    rows["y"] = [x * 2 + (0.5 if i is None else i) for x, i in zip(rows["x"], rows["i"])]
    rows["s"] = [s.upper() for s in rows["s"]]
    assert 0 < sum(keep) < len(keep)
    assert_table(mill.table("u"), rows)


EVERYTHING = """
[[rule]]
op = "fill"
columns = ["x"]
with = "mean"
[[rule]]
op = "zscore"
columns = ["x"]
limit = 2.5
[[rule]]
op = "fill"
columns = ["x", "i"]
with = "median"
[[rule]]
op = "iqr"
columns = ["offset"]
factor = 0.9
[[rule]]
op = "fill"
columns = ["s", "d"]
with = "mode"
[[rule]]
op = "fill"
columns = ["ok"]
with = "forward"
[[rule]]
op = "standardise"
columns = ["x", "i", "offset"]
"""


def test_results_are_the_same_bit_for_bit_however_the_work_is_divided(mills, tmp_path, own_cluster):
    """One worker or three, one slot or four, in one process or over a cluster: the same bytes of CSV."""
    truth = numbers(84, 1500)
    write(tmp_path / "n.csv", truth)
    divided = [mills(), mills("--slots", 1), mills("--slots", 4), mills("--workers", 3), mills("--workers", 3, "--slots", 2)]
    divided.append(own_cluster(workers=3, slots=2).shardmill)
    results = []
    for mill in divided:
        mill.ingest("t", tmp_path / "n.csv", shard_size=4096)
        assert mill.shards("t") > 8
        mill.clean("t", "u", EVERYTHING)
        results.append(mill.csv("u"))
    assert len(results[0].splitlines()) > 1000
    for n, other in enumerate(results[1:], 1):
        assert other == results[0], f"division {n} differs"


def test_in_the_pass_of_the_ingest_as_afterwards(mill, tmp_path):
    truth = numbers(85)
    write(tmp_path / "n.csv", truth)
    rules = '[[rule]]\nop = "case"\nto = "upper"\n[[rule]]\nop = "range"\ncolumns = ["i"]\nmin = 0\non_error = "drop"\n'
    (tmp_path / "r.toml").write_text(rules)
    mill.ingest("t", tmp_path / "n.csv", shard_size=2048)
    mill.clean("t", "u", rules)
    mill.ingest("v", tmp_path / "n.csv", shard_size=2048, clean=tmp_path / "r.toml")
    assert mill.csv("u") == mill.csv("v")
    (tmp_path / "e.toml").write_text(EVERYTHING)
    mill.clean("t", "w", EVERYTHING)
    mill.ingest("x", tmp_path / "n.csv", shard_size=2048, clean=tmp_path / "e.toml")
    assert mill.csv("w") == mill.csv("x")


def test_real_data_cleaned(mill, real_data):
    """The weather of New York: nulls, numbers, times; rules of each kind at once."""
    path = real_data / "nycflights13-weather.csv"
    mill.ingest("t", path, null=["NA"], shard_size=path.stat().st_size // 6)
    mill.clean("t", "u", """
[[rule]]
op = "fill"
columns = ["temp", "humid"]
with = "median"
[[rule]]
op = "clip"
columns = ["wind_speed"]
max = 40.0
[[rule]]
op = "standardise"
columns = ["pressure"]
[[rule]]
op = "drop_nulls"
columns = ["wind_dir"]
[[rule]]
op = "case"
columns = ["origin"]
to = "lower"
""")
    frame = pd.read_csv(path, keep_default_na=False, na_values=["", "NA"])
    for name in ("temp", "humid"):
        frame[name] = frame[name].fillna(frame[name].median())
    frame["wind_speed"] = frame["wind_speed"].clip(upper=40.0)
    frame["pressure"] = (frame["pressure"] - frame["pressure"].mean()) / frame["pressure"].std(ddof=0)
    frame = frame.dropna(subset="wind_dir")
    got = mill.table("u").to_pandas()
    assert len(got) == len(frame)
    assert got["origin"].tolist() == frame["origin"].str.lower().tolist()
    for name in ("temp", "humid", "wind_speed"):
        assert np.array_equal(got[name].to_numpy(float), frame[name].to_numpy(float), equal_nan=True), name
    assert np.allclose(got["pressure"].to_numpy(float), frame["pressure"].to_numpy(float), rtol=1e-9, atol=1e-9, equal_nan=True)
