"""Virtual environments for readers that do not go together with the suite's own packages; kept until their list changes."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path


def cache() -> Path:
    return Path(os.environ.get("SHARDMILL_CACHE") or Path.home() / ".cache" / "shardmill")


def python_with(name: str, packages: list[str]) -> str:
    """The Python of an environment `name` that has `packages`; two runs at once make it once."""
    folder = cache() / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    python = folder / "bin" / "python"
    wanted = "\n".join([*packages, sys.version])
    made_from = folder / ".made-from"
    with open(cache() / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not python.exists() or not made_from.exists() or made_from.read_text() != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            if subprocess.run([sys.executable, "-m", "venv", folder], capture_output=True).returncode != 0:
                # Debian and its kin ship Python without ensurepip.
                shutil.rmtree(folder, ignore_errors=True)
                subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "virtualenv"], check=True)
                subprocess.run([sys.executable, "-m", "virtualenv", "--quiet", folder], check=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages], check=True)
            made_from.write_text(wanted)
    return str(python)
