#!/usr/bin/env bash
# Makes the golden files of the format that a program writes: a journal with every kind of row in it, some of a job that was under
# way when the coordinator died, and the files of two models, one of them with a curvature.
#
#     coordinator/golden/make.sh target/release/shardmill coordinator/golden/format-N
#
# They are made once for each format and never again: a later program must open them as they are. Needs Linux and root (for a host
# name that is nobody's).
set -euo pipefail
program=$(realpath "$1")
out=$(realpath -m "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export program out work USER=ana LOGNAME=ana
unshare --uts bash -euo pipefail -c '
hostname desk
cd "$work"
mill() { "$program" --data-dir data "$@" >/dev/null; }
mill demo
mill endpoint create golden --variant a=engine@champion
seq 1 30000 | sed "s/.*/&,name &,&.5/;1i id,name,amount" > big.csv
mill ingest big big.csv --shard-size 100KB
mill train linear big --model line --label amount --features id
"$program" --data-dir data mapreduce slow --input big --map "SELECT name, amount FROM input" --key name \
    --reduce-program "sh -c \"sleep 60; cat\"" --columns "name,amount=float64" >/dev/null &
sleep 5
kill -9 $!
'
mkdir -p "$out"
gzip -9 -n -c "$work/data/coordinator/journal.redb" > "$out/journal.redb.gz"
rm -rf "$out/models"
cp -r "$work/data/coordinator/models" "$out/models"
# A job under way for each kind of task, from the simulation.
(cd "$(dirname "$0")/../.." && SHARDMILL_GOLDEN="$out" cargo test --quiet -p shardmill-core --test simulation golden_jobs)
