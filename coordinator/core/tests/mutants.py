#!/usr/bin/env python3
"""Breaks the core in one place at a time and sees the simulation turn red: a harness that cannot fail proves nothing.

    python3 coordinator/core/tests/mutants.py [NAME ...] [--seeds N]

Each mutant is a text of one file and what takes its place. They are applied to a copy of the tracked files, one after another, and
built into a target folder of their own. Ends with status 1 if one survives, or if a text is not where it was: then the mutant is to be
brought up to date. Needs git and Rust, and some minutes.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
CORE = "coordinator/core/src/"

MUTANTS = {
    "a finished task has no row": (
        "scheduler/step.rs",
        "self.ledger.put::<Tasks>(&(job_id, stage, task), &done);",
        "",
    ),
    "an accepted job has no row": (
        "scheduler/step.rs",
        "self.ledger.put::<Jobs>(&job, &row);",
        "",
    ),
    "dataset versions are told before they are on disk, and so is all that is published with them": (
        "tables.rs",
        "const PROMISED: bool = tables!(@promised $($progress)?);",
        "const PROMISED: bool = false;",
    ),
    "endpoints are forgotten at replay": (
        "replay.rs",
        "Endpoints::NAME => load(&mut core.endpoints.all, key, value),",
        "Endpoints::NAME => Ok(()),",
    ),
    "tasks are forgotten at replay": (
        "replay.rs",
        "Tasks::NAME => take::<Tasks>(&mut self.tasks, key, value),",
        "Tasks::NAME => Ok(()),",
    ),
    "the tasks of a round that was forgotten stay in the journal": (
        "scheduler/plan.rs",
        "rows.remove_all::<Tasks>(&(id, n));",
        "",
    ),
    "an output that was lost is still believed after a crash": (
        "scheduler/outputs.rs",
        "self.ledger.remove::<Tasks>(&(id.job, id.stage, id.task));",
        "",
    ),
    "a job that is over stays among those under way": (
        "scheduler/plan.rs",
        "self.ledger.remove::<Jobs>(&id);",
        "",
    ),
    "a job that is over leaves no last status": (
        "publish.rs",
        "self.ledger.put::<Finished>(&status.job, &status);",
        "",
    ),
    "a restart does not count: attempts from before have the same names": (
        "scheduler/state.rs",
        "AttemptId { task, epoch: self.epoch, number: self.next_attempt }",
        "AttemptId { task, epoch: 1, number: self.next_attempt }",
    ),
    "job numbers are not kept": (
        "core.rs",
        "self.counters.put(&mut self.ledger, name.to_owned(), next);",
        "self.counters.put(&mut Ledger::default(), name.to_owned(), next);",
    ),
    "a restart does not know what versions refer to": (
        "replay.rs",
        "core.scheduler.restore_published(core.catalog.objects().collect::<Vec<_>>());",
        "",
    ),
    "a restart does not know what finished tasks wrote": (
        "scheduler/state.rs",
        "for object in &done.output.wrote {\n                    self.objects.use_by_job(object);",
        "for object in &done.output.wrote {",
    ),
    "nobody notices that a launch or a report was lost": (
        "scheduler/step.rs",
        "self.attempt_failed(attempt, Failure::AttemptLost { worker });",
        "let _ = attempt;",
    ),
    "what tasks share has no row": (
        "scheduler/plan.rs",
        "rows.put_as::<Parts>(&(id, part.digest), &&*part.json);",
        "let _ = part;",
    ),
    "what no task shares any more stays in the journal": (
        "scheduler/plan.rs",
        "gone.iter().for_each(|digest| rows.remove::<Parts>(&(id, *digest)));",
        "",
    ),
    "a launch comes without what it names": (
        "scheduler/assign.rs",
        "parts.extend(peers.part().ok().cloned());",
        "",
    ),
    "a renamed dataset keeps its old row": (
        "catalog.rs",
        "if let Some(manifest) = self.versions.remove(ledger, &(from.clone(), version)) {",
        "if let Some(manifest) = self.versions.remove(&mut Ledger::default(), &(from.clone(), version)) {",
    ),
}


def copy(to):
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    for name in filter(None, files.split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            # With the time of now: what a mutant left in the target folder is not taken for it.
            shutil.copyfile(ROOT / name, to / name)


def simulation(folder, seeds):
    """Whether the simulation passes, and what it said last."""
    env = {**os.environ, "SHARDMILL_SEEDS": str(seeds), "RUST_BACKTRACE": "0"}
    env["CARGO_TARGET_DIR"] = str(Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "mutants")
    command = ["cargo", "test", "--locked", "-p", "shardmill-core", "--test", "simulation"]
    built = subprocess.run([*command, "--no-run"], cwd=folder, env=env, capture_output=True, text=True)
    if built.returncode != 0:
        sys.exit(f"it does not build:\n{built.stderr[-3000:]}")
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if "panicked at" in line]
    said = done.stdout.splitlines()[done.stdout.splitlines().index(lines[0]) + 1] if lines else ""
    return done.returncode == 0, said[:160]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="words of the mutants' names; all without one")
    parser.add_argument("--seeds", type=int, default=60)
    args = parser.parse_args()
    survived = []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        copy(folder)
        passes, said = simulation(folder, args.seeds)
        if not passes:
            sys.exit(f"the simulation fails without any mutant: {said}")
        for name, (file, text, instead) in MUTANTS.items():
            if args.names and not any(word in name for word in args.names):
                continue
            path = folder / CORE / file
            whole = path.read_text()
            if whole.count(text) != 1:
                sys.exit(f"{name}: `{text}` is {whole.count(text)} times in {file}")
            path.write_text(whole.replace(text, instead))
            passes, said = simulation(folder, args.seeds)
            path.write_text(whole)
            print(f"{'SURVIVED' if passes else 'killed  '}  {name}{'' if passes else ': ' + said}", flush=True)
            survived += [name] * passes
    if survived:
        sys.exit(f"{len(survived)} survived")
    print("all were killed")


if __name__ == "__main__":
    main()
