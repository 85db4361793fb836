#!/usr/bin/env python3
"""The 43 queries of ClickBench beside DuckDB, on a made table of that shape: `shardmill sql` as whole commands, DuckDB inside this
process, over a Parquet file. Answers are compared, also without their LIMIT where ties leave it open which rows are the first.

    cargo build --release
    python3 bench/clickbench.py CLICKBENCH/duckdb

CLICKBENCH is a copy of github.com/ClickHouse/ClickBench, which has the queries and the columns. `duckdb` comes from PyPI, into a
virtual environment of its own.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import tpch

HERE = Path(__file__).resolve().parent

# What the queries look for is there, some of it often; everything else follows from the row's number.
SPECIAL = {
    "Title": "CASE r % 7 WHEN 0 THEN 'Google search ' || (r % 900) WHEN 1 THEN '' ELSE 'Title ' || (r % 5003) END",
    "URL": "CASE h % 11 WHEN 0 THEN 'http://google.ru/?q=' || (h % 7001) WHEN 1 THEN '' ELSE 'https://www.site' || (h % 97) || '.com/page/' || (h % 20011) END",
    "Referer": "CASE h % 5 WHEN 0 THEN '' ELSE 'https://' || CASE h % 3 WHEN 0 THEN 'www.' ELSE '' END || 'ref' || (h % 7) || '.org/a/' || (h % 3001) END",
    "SearchPhrase": "CASE WHEN h % 10 < 7 THEN '' ELSE 'phrase ' || (h % 15013) END",
    "MobilePhoneModel": "CASE WHEN h % 20 < 18 THEN '' ELSE 'Model ' || (h % 61) END",
    "EventTime": "TIMESTAMP '2013-07-01' + INTERVAL (h % 2678400) SECOND",
    "EventDate": "CAST(TIMESTAMP '2013-07-01' + INTERVAL (h % 2678400) SECOND AS DATE)",
    "CounterID": "CASE WHEN h % 3 = 0 THEN 62 ELSE h % 4001 END",
    "UserID": "CASE WHEN h % 5001 = 0 THEN 435090932899640449 ELSE (h % 170003) * 7919000001 END",
    "WatchID": "h * 4611686018 + r",
    "ClientIP": "h % 2000003 - 1000000",
    "RegionID": "h % 997",
    "AdvEngineID": "CASE WHEN h % 50 = 0 THEN h % 19 ELSE 0 END",
    "SearchEngineID": "CASE WHEN h % 4 = 0 THEN h % 37 ELSE 0 END",
    "TraficSourceID": "h % 9 - 1",
    "RefererHash": "CASE WHEN h % 7 = 0 THEN 3594120000172545465 ELSE h * 31 END",
    "URLHash": "CASE WHEN h % 6 = 0 THEN 2868770270353813622 ELSE h * 37 END",
    "ResolutionWidth": "h % 2560",
    "IsRefresh": "CAST(h % 9 = 0 AS INTEGER)",
    "DontCountHits": "CAST(h % 8 = 0 AS INTEGER)",
    "IsLink": "CAST(h % 4 = 0 AS INTEGER)",
    "IsDownload": "CAST(h % 12 = 0 AS INTEGER)",
}


def column(n, name, dtype):
    if name in SPECIAL:
        return SPECIAL[name]
    if dtype.startswith(("TEXT", "VARCHAR", "CHAR")):
        return f"'v' || (h % {5 + n * 3})"
    if dtype.startswith("TIMESTAMP"):
        return "TIMESTAMP '2013-07-01' + INTERVAL (h % 2678400) SECOND"
    return f"h % {3 + n * 7}"


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("source", type=Path, help="the folder with `create.sql` and `queries.sql`")
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--repeat", type=int, default=3)
    options.add_argument("--program", default=str(HERE.parent / "target" / "release" / "shardmill"))
    options.add_argument("--dir", type=Path, help="where data goes and stays")
    given = options.parse_args()
    tpch.in_venv()
    import duckdb

    folder = given.dir or Path(tempfile.mkdtemp(prefix="clickbench-"))
    folder.mkdir(parents=True, exist_ok=True)
    con = duckdb.connect()
    made, data = folder / f"hits-{given.rows}.parquet", folder / f"data-{given.rows}"
    if not made.exists():
        columns = re.findall(r"^ +(\w+) (\w+)", (given.source / "create.sql").read_text(), flags=re.M)
        chosen = ", ".join(f"{column(n, *one)} AS {one[0]}" for n, one in enumerate(columns))
        numbers = f"SELECT r, CAST(hash(r) % 1000000007 AS BIGINT) AS h FROM range({given.rows}) AS t(r)"
        con.sql(f"COPY (SELECT {chosen} FROM ({numbers})) TO '{made}' (FORMAT parquet)")
    where = [given.program, "--data-dir", str(data)]
    if not data.exists():
        subprocess.run([*where, "-q", "ingest", "hits", made], check=True, stdout=subprocess.DEVNULL)
    con.sql(f"CREATE VIEW hits AS SELECT * FROM '{made}'")
    answer = folder / "answer.parquet"

    def asked(text):
        with answer.open("wb") as file:
            return subprocess.run([*where, "sql", "--format", "parquet", text], stdout=file, stderr=subprocess.PIPE)

    def rows(result):
        return [[tpch.told(cell) for cell in row] for row in result.fetchall()]

    def equal(ours, theirs):
        close = lambda a, b: a == b or isinstance(a, float) and isinstance(b, float) and abs(a - b) <= 1e-9 * max(abs(a), abs(b))
        return len(ours) == len(theirs) and all(len(a) == len(b) and all(map(close, a, b)) for a, b in zip(ours, theirs))

    wrong, ties, sums = [], 0, [0.0, 0.0]
    print("| query | shardmill s | duckdb s | ratio |\n|---|---|---|---|")
    for n, text in enumerate((given.source / "queries.sql").read_text().strip().splitlines()):
        text = text.rstrip(";")
        (ours_took, theirs_took), (done, theirs) = tpch.by_turns(given.repeat, lambda: asked(text), lambda: con.sql(text).fetchall())
        if done.returncode != 0:
            wrong.append(f"{n}: {done.stderr.decode()[-300:]}")
            continue
        ours, theirs = rows(con.sql(f"FROM '{answer}'")), [[tpch.told(cell) for cell in row] for row in theirs]
        if not equal(ours, theirs):
            # All rows, in any order; and of those that were given, as many, with the same keys of the order.
            whole = re.sub(r" LIMIT .*$", "", text)
            done = asked(whole)
            key = lambda row: [str(cell) for cell in row]
            all_ours, all_theirs = (sorted(rows(con.sql(q)), key=key) for q in (f"FROM '{answer}'", whole))
            by = re.search(r"ORDER BY (\w+|COUNT\(\*\))", text)
            place = [d[0].lower().replace("count_star()", "count(*)") for d in con.sql(text).description]
            at = place.index(by[1].lower()) if by and by[1].lower() in place else None
            same_keys = at is None or [row[at] for row in ours] == [row[at] for row in theirs]
            if len(ours) != len(theirs) or not same_keys or not equal(all_ours, all_theirs):
                wrong.append(f"{n}: {text}\n  {ours[:2]}\n  {theirs[:2]}")
            else:
                ties += 1
        sums[0] += ours_took
        sums[1] += theirs_took
        print(f"| {n} | {ours_took:.2f} | {theirs_took:.2f} | {ours_took / theirs_took:.2f} |", flush=True)
    print(f"| all | {sums[0]:.2f} | {sums[1]:.2f} | {sums[0] / max(sums[1], 1e-9):.2f} |")
    print(f"{43 - len(wrong)} of 43 equal, {ties} of them but for the choice among ties")
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
