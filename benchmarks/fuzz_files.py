"""Damaged files and killed writers: what load makes of them, and what it costs.

100,000 files: ``python benchmarks/fuzz_files.py --count 100000 --kills 60``.
"""

from __future__ import annotations

import argparse
import faulthandler
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from _damage import damaged
from _files import KINDS, Outcome, Samples, limit_memory, try_file
from _kills import kill_savers, kill_zoos


def fuzz(samples: Samples, kind: str, path: Path, count: int, seed: int) -> list[Outcome]:
    """Try damaged files of one kind; what breaks a promise is printed with its number."""
    outcomes = []
    for number in range(count):
        rng = random.Random(f"{seed} {kind} {number}")
        path.write_bytes(damaged(rng.choice(samples.files[kind]), rng))
        faulthandler.dump_traceback_later(60, exit=True)
        outcomes.append(try_file(path, samples))
        faulthandler.cancel_dump_traceback_later()
        if not outcomes[-1].good:
            print(f"{kind} {number}: {outcomes[-1]}", flush=True)
        if number % 5000 == 4999:
            print(f"... {number + 1} files, {Counter(o.kind for o in outcomes)}", flush=True)
    return outcomes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1500, help="damaged files in all")
    parser.add_argument("--kills", type=int, default=4, help="killed writers, half of them zoos")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    options = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        samples = Samples(Path(folder))
        limit_memory()
        print(f"{'files':12}{'number':>8}{'loaded':>8}{'refused':>9}{'other':>7}", end="")
        print(f"{'most MB':>9}{'most s':>8}{'s':>7}")
        for kind in options.kinds:
            started = time.perf_counter()
            count = options.count // len(options.kinds)
            found = fuzz(samples, kind, Path(folder) / "file", count, options.seed)
            kinds = Counter(outcome.kind for outcome in found)
            other = sum(not outcome.good for outcome in found)
            bad += other
            print(f"{kind:12}{count:8}{kinds['loaded']:8}{kinds['refused']:9}{other:7}", end="")
            print(
                f"{max(o.megabytes for o in found):9.1f}{max(o.seconds for o in found):8.2f}",
                end="",
            )
            print(f"{time.perf_counter() - started:7.0f}", flush=True)
        for what, kill in (("save", kill_savers), ("make_zoo", kill_zoos)):
            count = options.kills // 2
            lost = kill(Path(folder) / what, count, options.seed)
            bad += lost
            print(f"{what}: {count} killed writers, {lost} lost something")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
