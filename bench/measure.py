"""Runs a command and measures its whole tree of processes: wall time, CPU time, peak memory. Linux only."""

import ctypes
import os
import resource
import signal
import subprocess
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

EVERY = 0.02
PAGE = os.sysconf("SC_PAGE_SIZE")
PR_SET_CHILD_SUBREAPER = 36


@dataclass
class Measured:
    seconds: float  # from the start to the end of the first process
    cpu_seconds: float  # user and system time of every process of the tree
    peak_bytes: int  # most resident memory of the tree at one time
    peak_private_bytes: int  # the same without pages of files and shared memory
    processes: int  # most processes at one time
    status: int
    output: str
    errors: str

    def numbers(self):
        kept = asdict(self)
        for name in ("output", "errors", "status"):
            del kept[name]
        return kept


class Sampler(threading.Thread):
    """Adds up the memory of a process and all its descendants, every 20 milliseconds."""

    def __init__(self, root):
        super().__init__(daemon=True)
        self.tree, self.others = {root}, set()
        self.ended = threading.Event()
        self.peak = self.private = self.processes = 0

    def run(self):
        rounds = 0
        while not self.ended.wait(EVERY):
            rounds += 1
            if rounds % 50 == 0:
                # Process ids come again.
                self.others.clear()
            self.sample()

    def sample(self):
        for name in os.listdir("/proc"):
            if name.isdigit() and (pid := int(name)) not in self.tree and pid not in self.others:
                parent = parent_of(pid)
                # An orphan of the tree is a child of this process, which has no other children meanwhile.
                belongs = parent in self.tree or parent == os.getpid()
                (self.tree if belongs else self.others).add(pid)
        total = private = alive = 0
        for pid in list(self.tree):
            try:
                fields = Path(f"/proc/{pid}/statm").read_text().split()
            except OSError:
                self.tree.discard(pid)
                continue
            resident, shared = int(fields[1]), int(fields[2])
            alive += resident > 0
            total += resident
            private += resident - shared
        self.peak = max(self.peak, total * PAGE)
        self.private = max(self.private, private * PAGE)
        self.processes = max(self.processes, alive)


def parent_of(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name in brackets may hold anything, brackets included.
    return int(stat.rpartition(")")[2].split()[1])


def cpu_of_children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(command, env=None, cwd=None):
    """Runs `command` to its end. What it leaves running is ended, and counts too."""
    # Descendants whose parents end become children of this process, so that their time is counted.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    os.sync()
    before = cpu_of_children()
    begun = time.perf_counter()
    child = subprocess.Popen(
        [str(c) for c in command], env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    sampler = Sampler(child.pid)
    sampler.start()
    texts = {}
    readers = [threading.Thread(target=lambda n, f: texts.update({n: f.read()}), args=a, daemon=True)
               for a in [("out", child.stdout), ("err", child.stderr)]]
    for reader in readers:
        reader.start()
    _, status, used = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - begun
    child.returncode = os.waitstatus_to_exitcode(status)
    sampler.ended.set()
    sampler.join()
    reap(sampler.tree)
    for reader in readers:
        reader.join(5)
    # The kernel knows the true maximum of the largest process, between samples too.
    peak = max(sampler.peak, used.ru_maxrss * 1024)
    return Measured(
        seconds, cpu_of_children() - before, peak, sampler.private, max(1, sampler.processes), child.returncode,
        texts.get("out", ""), texts.get("err", ""),
    )


def reap(pids):
    """Waits for the rest of the tree, and ends what does not end by itself."""
    begun = time.perf_counter()
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid:
            continue
        if time.perf_counter() - begun > 5:
            for left in pids:
                if Path(f"/proc/{left}").exists() and parent_of(left) == os.getpid():
                    os.kill(left, signal.SIGKILL)
        time.sleep(0.02)
