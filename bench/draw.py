#!/usr/bin/env python3
"""Draws a results file of run.py: times and peak memory of the two tasks, a bar for each system.

    python3 bench/draw.py RESULTS.json PICTURE.png

Needs matplotlib.
"""

import json
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

OURS, THEIRS, LIMIT = "#d1495b", "#8d99ae", "#2b2d42"
TITLES = {"A": "Read, clean, drop duplicates, store", "B": "Outer merge with indicator, 7 columns"}


def draw(results, picture):
    tasks = [t for t in ("A", "B") if results["tasks"].get(t)]
    figure, grid = plt.subplots(2, len(tasks), figsize=(6 * len(tasks), 6.4), squeeze=False)
    for column, task in enumerate(tasks):
        rows = sorted(results["tasks"][task].items(), key=lambda item: -item[1]["best_seconds"])
        names = [f"{results['systems'][name]['label']} {results['systems'][name]['version']}" for name, _ in rows]
        colours = [OURS if name == "shardmill" else THEIRS for name, _ in rows]
        panels = [
            ("seconds, best of " + str(results["repeat"]), [r["best_seconds"] for _, r in rows], "{:.1f} s"),
            ("peak memory in GiB, all processes", [r["peak_bytes"] / 2**30 for _, r in rows], "{:.2f} GiB"),
        ]
        for line, (label, values, form) in enumerate(panels):
            axes = grid[line][column]
            bars = axes.barh(names, values, color=colours, height=0.7)
            axes.bar_label(bars, [form.format(v) for v in values], padding=4, fontsize=9)
            axes.set_xlim(0, max(values) * 1.22)
            axes.set_xlabel(label)
            axes.spines[["top", "right"]].set_visible(False)
            if line == 0:
                axes.set_title(f"{task}: {TITLES[task]}", fontsize=11, loc="left", color=LIMIT)
    machine = results["machine"]
    figure.suptitle(
        f"{results['rows'] / 1e6:g} million rows, {results['bytes'] / 1e6:.0f} MB of dirty CSV; whole processes on {machine['cores']} cores; less is better",
        fontsize=11, x=0.01, ha="left",
    )
    figure.tight_layout(rect=(0, 0, 1, 0.98))
    figure.savefig(picture, dpi=130)


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        draw(json.load(file), sys.argv[2])
