#!/usr/bin/env bash
# Runs the interop suite: Shardmill against pandas and pyarrow.
#
#     tests/interop/run.sh [BINARY] [PYTEST ARGUMENTS...]
#
# BINARY is the shardmill to test (default: $SHARDMILL_BIN, then the release build, then the debug build). The Python
# packages go to a virtual environment in ${SHARDMILL_CACHE:-$HOME/.cache/shardmill}, which is kept until
# requirements.txt changes.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

binary=${SHARDMILL_BIN:-}
if [[ $# -gt 0 && $1 != -* && -f $1 && -x $1 ]]; then
    binary=$1
    shift
fi
if [[ -z $binary ]]; then
    for candidate in "${CARGO_TARGET_DIR:-$root/target}"/{release,debug}/shardmill; do
        if [[ -x $candidate ]]; then
            binary=$candidate
            break
        fi
    done
fi
if [[ -z $binary || ! -x $binary ]]; then
    echo "no shardmill to test: give its path, or set SHARDMILL_BIN" >&2
    exit 2
fi
SHARDMILL_BIN=$(cd "$(dirname "$binary")" && pwd)/$(basename "$binary")
export SHARDMILL_BIN

cache=${SHARDMILL_CACHE:-$HOME/.cache/shardmill}
venv=$cache/interop-venv
wanted=$(cat "$here/requirements.txt"; python3 --version)
mkdir -p "$cache"
# Two runs at once make the environment once.
exec 9>"$cache/interop-venv.lock"
flock 9
if [[ ! -x $venv/bin/python || "$(cat "$venv/.made-from" 2>/dev/null || true)" != "$wanted" ]]; then
    rm -rf "$venv"
    if ! python3 -m venv "$venv" 2>/dev/null; then
        # Debian and its kin ship Python without ensurepip.
        rm -rf "$venv"
        python3 -m pip install --quiet --user virtualenv \
            || python3 -m pip install --quiet --user --break-system-packages virtualenv
        python3 -m virtualenv --quiet "$venv"
    fi
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    printf '%s\n' "$wanted" >"$venv/.made-from"
fi
flock -u 9
exec 9>&-

# Nothing is left in the source tree.
export PYTHONDONTWRITEBYTECODE=1
cd "$root"
echo "interop: $SHARDMILL_BIN"
exec "$venv/bin/python" -m pytest tests/interop -q -p no:cacheprovider "$@"
