"""Fixtures: an embedded Shardmill, clusters of real processes, and the real datasets."""

import os
from pathlib import Path

import pytest

from helpers import ROOT, Cluster, Shardmill


@pytest.fixture
def mill(tmp_path) -> Shardmill:
    """Shardmill inside its command, over an empty data folder."""
    return Shardmill(data_dir=tmp_path / "data", work=tmp_path / "work")


@pytest.fixture
def mills(tmp_path):
    """Makes embedded Shardmills with options of their own: `mills("--workers", 3)`."""
    made = []

    def make(*options) -> Shardmill:
        made.append(options)
        n = len(made)
        return Shardmill(data_dir=tmp_path / f"data{n}", work=tmp_path / f"work{n}", options=options)

    return make


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A coordinator and three workers that the tests of a module share; none of them may kill a process."""
    running = None
    try:
        running = Cluster(tmp_path_factory.mktemp("cluster") / "cluster", workers=3)
        yield running
    finally:
        if running is not None:
            running.stop()


@pytest.fixture
def own_cluster(tmp_path):
    """Makes clusters that end with the test."""
    made = []

    def make(**options) -> Cluster:
        made.append(Cluster(tmp_path / f"cluster{len(made)}", **options))
        return made[-1]

    try:
        yield make
    finally:
        for one in made:
            one.stop()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real datasets; without it, the tests that need it are skipped."""
    folder = Path(os.environ.get("SHARDMILL_TEST_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real datasets: {folder} is not there (set SHARDMILL_TEST_DATA)")
    return folder
