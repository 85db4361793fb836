"""Statements made at random, run by Shardmill's SQL and by DuckDB over the same tables, and compared.

    sql_fuzz.py ASK [--count N] [--seed N]

ASK is the example `ask` of the crate shardmill-sql. Rows are compared as they are, whatever their order, numbers with a fraction to
nine digits. Where the documentation says that the two differ, the generator keeps away, or writes each its own way. A statement that
one of them refuses is counted and shown, and is a difference where DuckDB takes it. Ends with status 1 on a difference.
"""

import argparse
import datetime
import decimal
import json
import math
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb
import pyarrow as pa

TEXTS = ["", "a", "b", "ab", "B", "höhe", "x y", "10", " pad ", "a,b", None]


def table(rng, rows):
    def some(of, share=0.2):
        return [None if rng.random() < share else of() for _ in range(rows)]

    day = datetime.date(2024, 1, 1)
    moment = datetime.datetime(2023, 12, 28)
    return pa.table(
        {
            "i": pa.array(some(lambda: rng.randint(-3, 6)), pa.int64()),
            "k": pa.array(some(lambda: rng.randint(0, 3), 0.1), pa.int64()),
            "x": pa.array(some(lambda: rng.choice([-2.5, -1.0, 0.0, 0.25, 1.5, 3.0, 1e6])), pa.float64()),
            "s": pa.array([rng.choice(TEXTS) for _ in range(rows)], pa.string()),
            "b": pa.array(some(lambda: rng.random() < 0.5), pa.bool_()),
            "d": pa.array(some(lambda: day + datetime.timedelta(days=rng.randint(-40, 400))), pa.date32()),
            "t": pa.array(some(lambda: moment + datetime.timedelta(minutes=rng.randint(0, 900_000))), pa.timestamp("us")),
        }
    )


class Maker:
    """Expressions and queries of a kind, from columns that are in sight as (name, kind)."""

    def __init__(self, rng):
        self.rng = rng

    def pick(self, *options):
        return self.rng.choice(options)

    def column(self, sight, kind):
        fit = [name for name, of in sight if of == kind]
        return self.rng.choice(fit) if fit else self.literal(kind)

    def literal(self, kind):
        r = self.rng
        if r.random() < 0.1:
            return {"int": "CAST(NULL AS BIGINT)", "float": "CAST(NULL AS DOUBLE)", "text": "CAST(NULL AS VARCHAR)", "bool": "(NULL = 1)",
                    "date": "CAST(NULL AS DATE)", "time": "CAST(NULL AS TIMESTAMP)"}[kind]
        return {
            "int": lambda: str(r.randint(-3, 5)),
            "float": lambda: r.choice(["CAST(0.5 AS DOUBLE)", "CAST(-2 AS DOUBLE)", "CAST(1e3 AS DOUBLE)"]),
            "text": lambda: r.choice(["'a'", "'B'", "''", "'höhe'", "'x y'", "'10'"]),
            "bool": lambda: r.choice(["TRUE", "FALSE"]),
            "date": lambda: r.choice(["DATE '2024-02-29'", "DATE '2024-01-01'"]),
            "time": lambda: r.choice(["TIMESTAMP '2024-03-01 12:00:00'", "TIMESTAMP '2024-01-01 00:00:00'"]),
        }[kind]()

    def expr(self, sight, kind, depth=2):
        if depth == 0 or self.rng.random() < 0.3:
            return self.column(sight, kind) if self.rng.random() < 0.8 else self.literal(kind)
        e = lambda k: self.expr(sight, k, depth - 1)
        any_kind = self.pick("int", "float", "text", "bool", "date", "time")
        shared = [
            lambda: f"CASE WHEN {e('bool')} THEN {e(kind)} ELSE {e(kind)} END",
            lambda: f"CASE WHEN {e('bool')} THEN {e(kind)} END",
            lambda: f"COALESCE({e(kind)}, {e(kind)})",
            lambda: f"NULLIF({e(kind)}, {e(kind)})",
        ]
        own = {
            "int": [
                lambda: f"({e('int')} {self.pick('+', '-', '*')} {e('int')})",
                lambda: f"({e('int')} {self.pick('%', '//')} {e('int')})",
                lambda: f"LENGTH({e('text')})",
                lambda: f"STRPOS({e('text')}, {self.pick(chr(39) + 'a' + chr(39), chr(39) + chr(39))})",
                lambda: f"CAST({e('float')} AS BIGINT)",
                lambda: f"CAST({e('bool')} AS BIGINT)",
                lambda: f"EXTRACT({self.pick('YEAR', 'MONTH', 'DAY', 'DOW', 'ISODOW', 'QUARTER', 'DOY', 'WEEK')} FROM {e('date')})",
                lambda: f"EXTRACT({self.pick('HOUR', 'MINUTE', 'SECOND', 'YEAR')} FROM {e('time')})",
                lambda: f"DATE_DIFF('{self.pick('day', 'month', 'year', 'week', 'quarter')}', {e('date')}, {e('date')})",
                lambda: f"ABS({e('int')})",
                lambda: f"({e('date')} - {e('date')})",
                lambda: f"GREATEST({e('int')}, {e('int')})",
            ],
            "float": [
                lambda: f"({e('float')} {self.pick('+', '-', '*', '/')} {e('float')})",
                lambda: f"({e('int')} / {e('int')})",
                lambda: f"ROUND({e('float')}, 1)",
                lambda: f"{self.pick('FLOOR', 'CEIL', 'TRUNC', 'ABS', 'EXP')}({self.column(sight, 'float')})",
                lambda: f"CAST({e('int')} AS DOUBLE)",
                lambda: f"LEAST({e('float')}, {e('float')})",
            ],
            "text": [
                lambda: f"({e('text')} || {e('text')})",
                lambda: f"{self.pick('UPPER', 'LOWER', 'TRIM', 'LTRIM', 'RTRIM', 'REVERSE')}({e('text')})",
                # From the end by a length, DuckDB answers by whether the column has letters beyond ASCII.
                lambda: f"SUBSTR({e('text')}, {self.rng.randint(0, 4)}, {self.rng.randint(0, 3)})",
                lambda: f"SUBSTR({e('text')}, {self.rng.randint(-3, 4)})",
                lambda: f"{self.pick('LEFT', 'RIGHT')}({e('text')}, {self.rng.randint(-2, 3)})",
                lambda: f"REPLACE({e('text')}, 'a', {self.pick(chr(39) * 2, chr(39) + 'ZZ' + chr(39))})",
                lambda: f"SPLIT_PART({e('text')}, ',', {self.pick(1, 2, -1)})",
                lambda: f"CONCAT({e('text')}, {e('text')})",
                lambda: f"CONCAT_WS('-', {e('text')}, {e('text')})",
                lambda: f"CAST({e('int')} AS VARCHAR)",
                lambda: f"CAST({e('date')} AS VARCHAR)",
                lambda: f"LPAD({e('text')}, 4, '*')",
                lambda: f"STRFTIME({e('date')}, '%Y/%m/%d')",
            ],
            "bool": [
                lambda: f"({e(any_kind)} {self.pick('=', '<>', '<', '<=', '>', '>=')} {e(any_kind)})",
                lambda: f"({e('bool')} {self.pick('AND', 'OR')} {e('bool')})",
                lambda: f"(NOT {e('bool')})",
                lambda: f"({e(any_kind)} IS {self.pick('', 'NOT ')}NULL)",
                lambda: f"({e('bool')} IS {self.pick('', 'NOT ')}{self.pick('TRUE', 'FALSE')})",
                lambda: f"({e(any_kind)} IS {self.pick('', 'NOT ')}DISTINCT FROM {e(any_kind)})",
                lambda: f"({e('int')} {self.pick('', 'NOT ')}IN ({e('int')}, {e('int')}, {self.literal('int')}))",
                lambda: f"({e('int')} {self.pick('', 'NOT ')}BETWEEN {e('int')} AND {e('int')})",
                lambda: f"({e('text')} {self.pick('', 'NOT ')}LIKE '{self.pick('a%', '%b%', '_', '%', 'A_')}')",
                lambda: f"STARTS_WITH({e('text')}, 'a')",
            ],
            "date": [
                lambda: f"CAST({e('time')} AS DATE)",
                lambda: f"CAST(DATE_TRUNC('{self.pick('month', 'year', 'week', 'quarter')}', {e('date')}) AS DATE)",
                lambda: f"CAST(({e('date')} {self.pick('+', '-')} INTERVAL '{self.pick('1 month', '1 day', '2 years', '13 months')}') AS DATE)",
            ],
            "time": [
                lambda: f"DATE_TRUNC('{self.pick('day', 'hour', 'month')}', {e('time')})",
                lambda: f"({e('time')} {self.pick('+', '-')} INTERVAL '{self.pick('36 hours', '1 month', '90 minutes')}')",
                lambda: f"CAST({e('date')} AS TIMESTAMP)",
            ],
        }[kind]
        return self.rng.choice(own * 2 + shared)()

    def kind(self):
        return self.pick("int", "int", "float", "text", "bool", "date", "time")

    def aggregate(self, sight):
        kind = self.kind()
        value = self.expr(sight, kind, 1)
        filtered = f" FILTER (WHERE {self.expr(sight, 'bool', 1)})" if self.rng.random() < 0.2 else ""
        distinct = "DISTINCT " if self.rng.random() < 0.2 else ""
        whole, fraction = self.expr(sight, "int", 1), self.expr(sight, "float", 1)
        text = self.expr(sight, "text", 1)
        call = self.pick(
            ("COUNT(*)", "int"),
            (f"COUNT({distinct}{value})", "int"),
            (f"SUM({distinct}{whole})", "int"),
            (f"SUM({fraction})", "float"),
            (f"AVG({self.pick(whole, fraction)})", "float"),
            (f"MIN({value})", kind),
            (f"MAX({value})", kind),
            (f"MEDIAN({whole})", "float"),
            (f"{self.pick('STDDEV', 'VARIANCE', 'VAR_POP', 'STDDEV_POP')}({whole})", "float"),
            (f"BOOL_{self.pick('AND', 'OR')}({self.expr(sight, 'bool', 1)})", "bool"),
            (f"STRING_AGG({text}, ';' ORDER BY {text})", "text"),
            (f"QUANTILE_DISC({whole}, {self.pick(0, 0.3, 0.5, 1)})", "int"),
            (f"QUANTILE_CONT({whole}, {self.pick(0.25, 0.5)})", "float"),
        )
        plain = not call[0].startswith(("QUANTILE_DISC", "MEDIAN", "QUANTILE_CONT"))
        return (call[0] + (filtered if plain else ""), call[1])

    def window(self, sight):
        part = self.pick("", f"PARTITION BY {self.column(sight, 'int')} ", f"PARTITION BY {self.column(sight, 'text')} ")
        # All columns, so that the order has no ties but where peers are meant.
        total = "ORDER BY " + ", ".join(name + self.pick("", " DESC") for name, _ in sight)
        peers = f"ORDER BY {self.column(sight, 'int')}"
        frame = self.pick(
            "",
            " ROWS BETWEEN 1 PRECEDING AND CURRENT ROW",
            " ROWS BETWEEN UNBOUNDED PRECEDING AND 1 FOLLOWING",
            " ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING",
            " ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
        )
        whole, fraction = self.expr(sight, "int", 1), self.expr(sight, "float", 1)
        kind = self.kind()
        value = self.expr(sight, kind, 1)
        of_rows = self.pick(
            (f"SUM({whole})", "int"),
            (f"COUNT({value})", "int"),
            (f"AVG({whole})", "float"),
            (f"MIN({whole})", "int"),
            (f"MAX({fraction})", "float"),
        )
        numbered = self.pick(
            ("ROW_NUMBER()", "int"),
            (f"LAG({value})", kind),
            (f"LEAD({value}, 2)", kind),
            (f"FIRST_VALUE({value})", kind),
            (f"LAST_VALUE({value})", kind),
            ("NTILE(3)", "int"),
        )
        ranked = self.pick(("RANK()", "int"), ("DENSE_RANK()", "int"), ("PERCENT_RANK()", "float"), ("CUME_DIST()", "float"))
        call, over = self.pick(
            (of_rows, f"{part}{total}{frame}"),
            (of_rows, f"{part}{peers}"),
            (of_rows, part),
            (numbered, f"{part}{total}"),
            (ranked, f"{part}{peers}"),
        )
        return (f"{call[0]} OVER ({over})", call[1])

    def source(self, depth):
        """A FROM clause and what it brings in sight."""
        r = self.rng
        if depth > 0 and r.random() < 0.25:
            text, kinds = self.query(depth - 1)
            return f"({text}) AS q", [(f"q.c{n}", kind) for n, kind in enumerate(kinds)]
        columns = [("i", "int"), ("k", "int"), ("x", "float"), ("s", "text"), ("b", "bool"), ("d", "date"), ("t", "time")]
        one = lambda name: [(f"{name}.{c}", kind) for c, kind in columns]
        if r.random() < 0.5:
            return f"{self.pick('l', 'r')} AS a", one("a")
        left, right = one("a"), one("z")
        how = self.pick("JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN", "SEMI JOIN", "ANTI JOIN")
        if how == "CROSS JOIN":
            return "l AS a CROSS JOIN r AS z", left + right
        key = self.pick("a.k = z.k", "a.i = z.i", "a.s = z.s", "a.k = z.k AND a.i = z.i", "a.i = z.k + 1", "a.d = z.d")
        further = f" AND {self.expr(left + right, 'bool', 1)}" if r.random() < 0.5 else ""
        if how in ("JOIN", "LEFT JOIN") and r.random() < 0.15:
            key, further = self.pick("a.i < z.i", "a.k = z.k OR a.i = z.i", "TRUE"), ""
        return f"l AS a {how} r AS z ON {key}{further}", left if how in ("SEMI JOIN", "ANTI JOIN") else left + right

    def condition(self, sight):
        if self.rng.random() < 0.2:
            inner, _ = self.pick("l", "r"), None
            column = self.column(sight, "int")
            return self.pick(
                f"{column} {self.pick('', 'NOT ')}IN (SELECT w.i FROM {inner} AS w WHERE w.k > 0)",
                f"{self.pick('', 'NOT ')}EXISTS (SELECT 1 FROM {inner} AS w WHERE w.k = {column} AND w.i > 0)",
                f"{column} > (SELECT AVG(w.i) FROM {inner} AS w)",
                f"{column} = (SELECT MAX(w.i) FROM {inner} AS w WHERE w.k = {column})",
            )
        return self.expr(sight, "bool")

    def query(self, depth=1):
        r = self.rng
        if depth > 0 and r.random() < 0.12:
            kinds = [self.kind() for _ in range(r.randint(1, 2))]
            sides = []
            for _ in range(2):
                source, sight = self.source(0)
                items = ", ".join(f"{self.expr(sight, kind)} AS c{n}" for n, kind in enumerate(kinds))
                sides.append(f"SELECT {items} FROM {source}")
            return f"{sides[0]} {self.pick('UNION', 'UNION ALL', 'INTERSECT', 'EXCEPT')} {sides[1]}", kinds
        source, sight = self.source(depth)
        where = f" WHERE {self.condition(sight)}" if r.random() < 0.5 else ""
        if r.random() < 0.35:
            keys = [(self.expr(sight, kind, 1), kind) for kind in (self.kind() for _ in range(r.randint(0, 2)))]
            aggregates = [self.aggregate(sight) for _ in range(r.randint(1, 3))]
            items = keys + aggregates
            group = ""
            if keys:
                numbers = ", ".join(str(n + 1) for n in range(len(keys)))
                group = f" GROUP BY {numbers}"
            having = f" HAVING COUNT(*) > {r.randint(0, 2)}" if keys and r.random() < 0.3 else ""
            text = ", ".join(f"{expr} AS c{n}" for n, (expr, _) in enumerate(items))
            return f"SELECT {text} FROM {source}{where}{group}{having}", [kind for _, kind in items]
        items = []
        for _ in range(r.randint(1, 3)):
            kind = self.kind()
            # One window: rows that are equal in all columns may be told apart in another order by another one.
            windowed = any(" OVER (" in expr for expr, _ in items)
            items.append((self.expr(sight, kind), kind) if windowed or r.random() < 0.75 else self.window(sight))
        distinct = "DISTINCT " if r.random() < 0.1 else ""
        text = ", ".join(f"{expr} AS c{n}" for n, (expr, _) in enumerate(items))
        return f"SELECT {distinct}{text} FROM {source}{where}", [kind for _, kind in items]


def shown(value, kind):
    """A value so that those of both can be compared."""
    if value is None:
        return None
    if kind == "bool":
        return value if isinstance(value, bool) else value == "true"
    if kind in ("int", "float"):
        number = float(value)
        if math.isnan(number):
            return "NaN"
        return float(f"{number:.9g}") + 0.0
    if kind == "date":
        return str(value)[:10]
    if kind == "time":
        text = str(value).replace("T", " ").split(".")[0]
        return text if len(text) > 10 else f"{text} 00:00:00"
    return str(value)


def rows(found, kinds):
    made = [tuple(shown(v, kind) for v, kind in zip(row, kinds)) for row in found]
    return sorted(made, key=lambda row: [(v is not None, str(v)) for v in row])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("ask")
    parser.add_argument("--queries", action="store_true", help="run them as queries over shards, by several threads")
    parser.add_argument("--spread", action="store_true", help="run them as queries over shards, by several workers")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=10, help="statements to show at most")
    verdicts = ["different", "only Shardmill refuses"]
    parser.add_argument("--tell", action="append", help=f"verdicts of which statements are shown [{', '.join(verdicts)}]")
    args = parser.parse_args()
    args.tell = args.tell or verdicts
    rng = random.Random(args.seed)
    folder = Path(tempfile.mkdtemp(prefix="shardmill-fuzz-"))
    ask = subprocess.Popen([args.ask, *(f"--{way}" for way in ("queries", "spread") if getattr(args, way))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    counts = {"equal": 0, "both refuse": 0, "only DuckDB refuses": 0, "different": 0, "only Shardmill refuses": 0}
    told = []
    con = None
    try:
        for n in range(args.count):
            if n % 200 == 0:
                con = duckdb.connect()
                # With threads the order of sums would differ from run to run.
                con.sql("SET threads = 1")
                # As PostgreSQL, and as Shardmill's documentation says.
                con.sql("SET default_null_order = 'nulls_last_on_asc_first_on_desc'")
                paths = {}
                for name in ("l", "r"):
                    data = table(rng, rng.choice([0, 1, 12, 40]))
                    paths[name] = str(folder / f"{name}{n}.arrow")
                    with pa.OSFile(paths[name], "wb") as sink, pa.ipc.new_file(sink, data.schema) as writer:
                        writer.write_table(data)
                    con.register(f"{name}_rows", data)
                    con.sql(f"CREATE TABLE {name} AS SELECT * FROM {name}_rows")
            statement, kinds = Maker(rng).query()
            try:
                theirs = rows(con.execute(statement).fetchall(), kinds)
            except (duckdb.Error, decimal.DecimalException, OverflowError, ValueError) as error:
                theirs = str(error).splitlines()[0]
            ask.stdin.write(json.dumps({"statement": statement, "tables": paths}) + "\n")
            ask.stdin.flush()
            answer = json.loads(ask.stdout.readline())
            ours = answer["error"] if "error" in answer else rows(answer["rows"], kinds)
            refused = isinstance(theirs, str), isinstance(ours, str)
            if refused == (True, True):
                verdict = "both refuse"
            elif refused == (True, False):
                verdict = "only DuckDB refuses"
            elif refused == (False, True):
                verdict = "only Shardmill refuses"
            else:
                verdict = "equal" if ours == theirs else "different"
            counts[verdict] += 1
            if verdict in args.tell and len(told) < args.show:
                told.append(f"{verdict}: {statement}\n  Shardmill: {str(ours)[:600]}\n  DuckDB:    {str(theirs)[:600]}")
    finally:
        ask.stdin.close()
        ask.wait()
    print("\n".join(told))
    print(f"seed {args.seed}: " + ", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    return 1 if counts["different"] + counts["only Shardmill refuses"] else 0


if __name__ == "__main__":
    sys.exit(main())
