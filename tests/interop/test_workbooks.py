"""Sheets of workbooks, written by openpyxl and odfpy, and read as pandas reads them."""

from __future__ import annotations

import datetime as dt

import openpyxl
import pandas as pd
import pytest

WHEN = dt.datetime(2024, 1, 5, 10, 30)


def book(path, sheets: dict[str, list[list]], change=None):
    made = openpyxl.Workbook()
    made.remove(made.active)
    for name, rows in sheets.items():
        sheet = made.create_sheet(name)
        for row in rows:
            sheet.append(row)
    if change:
        change(made)
    made.save(path)


def columns(mill, name) -> dict[str, list]:
    return mill.table(name).to_pydict()


def test_cells_have_the_types_that_they_have(mill, tmp_path):
    rows = [
        ["id", "price", "zip", "day", "when", "ok", "note", "tm"],
        [1, 1.5, "01234", dt.date(2024, 1, 5), WHEN, True, 'say "hi",\nyou', dt.time(10, 30)],
        [2, 2, "5", dt.date(1999, 12, 31), WHEN + dt.timedelta(milliseconds=250), False, None, dt.time(0, 0, 1)],
        [3, None, "77", None, None, None, " x ", None],
    ]
    book(tmp_path / "b.xlsx", {"People": rows})
    done = mill.ingest("t", tmp_path / "b.xlsx", types="tm=time")
    assert done["notices"] == []
    assert mill.types("t") == {
        "id": "int64", "price": "float64", "zip": "string", "day": "date", "when": "datetime", "ok": "boolean",
        "note": "string", "tm": "time",
    }  # fmt: skip
    got = columns(mill, "t")
    assert got["id"] == [1, 2, 3] and got["price"] == [1.5, 2.0, None] and got["zip"] == ["01234", "5", "77"]
    assert got["day"] == [dt.date(2024, 1, 5), dt.date(1999, 12, 31), None]
    assert got["when"] == [WHEN, WHEN + dt.timedelta(milliseconds=250), None]
    assert got["ok"] == [True, False, None] and got["note"] == ['say "hi",\nyou', None, " x "]
    assert got["tm"] == [dt.time(10, 30), dt.time(0, 0, 1), None]


def test_sheets_and_ranges_are_chosen(mill, tmp_path):
    book(tmp_path / "b.xlsx", {"a": [["x"], [1]], "b": [["Report"], [], [None, "y", "z"], [None, 2, 3], [None, 4, 5], ["end"]]})
    done = mill.ingest("t", tmp_path / "b.xlsx")
    assert columns(mill, "t") == {"x": [1]} and any("has the sheets a, b" in n for n in done["notices"])
    for sheet in ("b", "2"):
        mill.ingest("t", tmp_path / "b.xlsx", sheet=sheet, range="B3:C5")
        assert columns(mill, "t") == {"y": [2, 4], "z": [3, 5]}
    assert "its sheets are a, b" in mill.ingest("t", tmp_path / "b.xlsx", sheet="c", status=2)["error"]
    assert "not a range of cells" in mill.ingest("t", tmp_path / "b.xlsx", range="B3", status=2)["error"]


def test_all_sheets_of_one_shape(mill, tmp_path):
    book(tmp_path / "b.xlsx", {str(y): [["month", "n"], [1, y], [2, y + 1]] for y in (2023, 2024)})
    mill.ingest("t", tmp_path / "b.xlsx", sheet="all")
    assert columns(mill, "t") == {"month": [1, 2, 1, 2], "n": [2023, 2024, 2024, 2025]}


def test_titles_merged_cells_and_errors_are_told(mill, tmp_path):
    def change(made):
        made["s"].merge_cells("A1:C1")
        made["s"]["B4"] = "#DIV/0!"

    book(tmp_path / "b.xlsx", {"s": [["Sales of the year"], ["id", "n", "c"], [1, 5, "x"], [2, None, "y"], [3, 7, "z"]]}, change)
    done = mill.ingest("t", tmp_path / "b.xlsx")
    assert columns(mill, "t") == {"id": [1, 2, 3], "n": [5, None, 7], "c": ["x", "y", "z"]}
    notices = " ".join(done["notices"])
    assert "A1:C1" in notices and "#DIV/0! in B4" in notices


def test_rejected_rows_have_the_row_of_the_sheet(mill, tmp_path):
    book(tmp_path / "b.xlsx", {"s": [[], [], ["n"], [1], ["x"], [3]]})
    mill.ingest("t", tmp_path / "b.xlsx", types="n=int64", max_rejects=5)
    assert mill.table("t.rejects").to_pydict()["line"] == [5]


@pytest.mark.parametrize("kind", ["xlsx", "ods"])
def test_as_pandas_writes_and_reads(mill, tmp_path, kind):
    frame = pd.DataFrame({
        "i": range(300), "x": [n / 7 for n in range(300)], "s": [f"word {n % 7}" for n in range(300)],
        "d": pd.date_range("2024-01-01", periods=300, freq="7h"), "b": [n % 3 == 0 for n in range(300)],
    })  # fmt: skip
    # A workbook is told by what is in it: one of the two has the other's name.
    frame.to_excel(str(tmp_path / f"t.{kind}"), index=False, engine="odf" if kind == "ods" else "openpyxl")
    (tmp_path / f"t.{kind}").rename(tmp_path / "t.xlsx")
    kind = "xlsx"
    mill.ingest("t", tmp_path / f"t.{kind}")
    read = frame
    back = mill.table("t").to_pandas()
    assert back["i"].tolist() == read["i"].tolist() and back["s"].tolist() == read["s"].tolist()
    assert back["b"].tolist() == read["b"].tolist()
    assert [abs(a - b) < 1e-12 for a, b in zip(back["x"], read["x"])] == [True] * 300
    assert [abs((a - b).total_seconds()) < 0.002 for a, b in zip(back["d"], read["d"])] == [True] * 300


def test_damaged_workbooks_are_refused(mill, tmp_path):
    book(tmp_path / "b.xlsx", {"s": [["x", "y"]] + [[n, f"text {n}"] for n in range(50)]})
    whole = (tmp_path / "b.xlsx").read_bytes()
    for at in range(30, len(whole), max(1, len(whole) // 60)):
        (tmp_path / "c.xlsx").write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        done = mill.start("ingest", "t", tmp_path / "c.xlsx")
        out, err = done.communicate(timeout=60)
        assert done.returncode in (0, 1, 2) and b"panic" not in err + out, (at, err)
    (tmp_path / "c.xlsx").write_bytes(whole[: len(whole) // 2])
    assert mill.ingest("t", tmp_path / "c.xlsx", status=2)["error"]


def test_cells_far_apart_are_no_table_of_nothing(mill, tmp_path):
    made = openpyxl.Workbook()
    made.active["A1"], made.active["A2"], made.active["XFD1048576"] = "x", 1, "far"
    made.save(tmp_path / "b.xlsx")
    assert "very far from one another" in mill.ingest("t", tmp_path / "b.xlsx", status=2)["error"]
    mill.ingest("t", tmp_path / "b.xlsx", range="A1:A2")
    assert columns(mill, "t") == {"x": [1]}
