"""Error rates of `genbench ab` by each quantity on a machine that other programs keep busy.

    python benchmarks/gate/error_rates_busy.py --pairs 25 --live 10 --out results/reference/gate-error-rates-busy.json

The loads are 0, 2 and 8 processes of `busy_processes.py`, in turns. Under each, a pair of fresh processes with one
thread times a long series of alternating windows of the same code, and a shorter one in which one side uses 5 % more
processor time (a busy loop after each step), with the protocol of `genbench ab` on a busy machine.

10,000 decisions of each kind are replayed by each quantity (a block bootstrap): a block of a decision is a run of
neighbouring windows, as long as those of `genbench ab`, from anywhere in the series of the same code of a random pair,
for the slowdown shifted so that their mean is exactly 5 %. The series of the slowed step shows that such a slowdown is
seen as what it is. `genbench ab` starts a pair for every block;
here a pair serves for several, because starting takes most of the time. How much pairs of processes differ is then
known from the pairs only. How long a decision takes follows from its blocks and the median time of a block, with the
start of its processes and the control. What `--decide-by auto` would have chosen follows from the same blocks as
pilots.

The live decisions run the code of `genbench ab` itself, with the pilot, `--decide-by auto` and no shift; the step is
slowed by the kind of time that was chosen.

`--from FILE` replays the recorded series of a file and measures nothing. The file is written after every pair, so that
Ctrl-C loses nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
from busy_processes import BusyProcesses, busy_processes

from genbench.ab.arm import installed_arm
from genbench.ab.comparison import Comparing
from genbench.ab.pilot import plan_quantity
from genbench.ab.session import BUSY, ArmWorker, Measured, Session
from genbench.ab.wire import Prepare
from genbench.gate.quantity import NAMES, QUANTITIES, choose, log_ratio, spreads
from genbench.gate.replay import recentred, replay
from genbench.gate.sequential import LookSchedule
from genbench.gate.verdict import Verdict
from genbench.measure import machine
from genbench.results.comparison import Quantity

LOADS = (0, 2, 8)
SLOWDOWN = 0.05
QUESTIONS = ((0.0, 0.05), (SLOWDOWN, 0.0))  # true slowdown, and the limit of the decision
MINUTES = {0: 5, 2: 5, 8: 10}  # in which a decision is wanted
LOOKS = LookSchedule()


def main() -> None:
    """Measure or read blocks, replay decisions, and write the error rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="gan")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--pairs", type=int, default=25, help="of processes, under each load")
    parser.add_argument("--blocks", type=int, default=3, help="of the same code that each pair has time for")
    parser.add_argument("--live", type=int, default=10, help="live decisions of each kind under each load")
    parser.add_argument("--decisions", type=int, default=10_000, help="replayed decisions of each kind")
    parser.add_argument("--put-in", type=float, default=SLOWDOWN, help="share of processor time to add to a step")
    parser.add_argument("--from", dest="recorded", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    report = json.loads(arguments.recorded.read_text()) if arguments.recorded else begun(arguments)
    if not arguments.recorded:
        try:
            record(report, arguments)
        except KeyboardInterrupt:
            print("interrupted: continuing with what has been measured")
    report["replayed"] = [
        one for load in LOADS for one in replay_decisions(of_load(report, load), load, arguments.decisions)
    ]
    report["chosen"] = {str(load): choices(of_load(report, load)) for load in LOADS}
    show(report)
    write(report, arguments.out)


def begun(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return a report without measurements."""
    return {
        "command": " ".join(["python", *sys.argv]),
        "model": arguments.model,
        "batch_size": arguments.batch_size,
        "looks": {"blocks": LOOKS.blocks, "errors": LOOKS.errors},
        "threads": 1,
        "put_in": arguments.put_in,
        "machine": machine.describe(),
        "unmeasured": {},
        "protocol": {"window_seconds": BUSY.window_seconds, "rounds": BUSY.rounds},
        "pairs": [],
        "live": [],
    }


def write(report: dict[str, Any], out: Path | None) -> None:
    """Write the report, if it is wanted."""
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(report, indent=1) + "\n")


def record(report: dict[str, Any], arguments: argparse.Namespace) -> None:
    """Measure blocks and make live decisions, under each load in turn."""
    given = {"models": arguments.model, "batch_size": arguments.batch_size, "profile": "smoke", "metrics": "none"}
    question = Prepare(given=given, threads=1)
    live_question = msgspec.structs.replace(question, threads=machine.default_threads())  # as `genbench ab` begins
    with tempfile.TemporaryDirectory() as place, busy_processes(max(LOADS)) as processes:
        arms = installed_arm("base", Path(place)), installed_arm("head", Path(place))
        sessions = {load: Session(*arms, question, BUSY, slowed_by="processor") for load in LOADS}
        report["unmeasured"] = dict(sessions[0].survey().unmeasured)
        for number in range(arguments.pairs):
            for load in random.Random(number).sample(LOADS, len(LOADS)):
                processes.let_work(load)
                pair = measure_pair(sessions[load], arguments)
                processes.let_work(0)
                report["pairs"].append({"busy": load, **pair})
                print(f"[{number + 1}/{arguments.pairs}] {load} busy: {in_words(pair)}", flush=True)
                write(report, arguments.out)
        for number in range(arguments.live):
            for load in LOADS:
                for slowdown, limit in QUESTIONS:
                    share = arguments.put_in if slowdown else 0.0
                    session = Session(*arms, live_question, slowdown=share, seed=1_000 + number)
                    report["live"].append(decide_live(session, processes, load, slowdown, limit))
                    write(report, arguments.out)


def measure_pair(session: Session, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure the control, the series of the same code and that of the slowed step with one pair of fresh processes."""
    found: dict[str, Any] = {}
    begin = time.perf_counter()
    with ArmWorker(session.base) as base, ArmWorker(session.head) as head:
        session.ready(base, head)
        found["control"] = windows(session.control(base, head))
        session.open(arguments.model, base, head)
        started = time.perf_counter() - begin
        begin = time.perf_counter()
        blocks = [session.time(arguments.model, base, head) for _ in range(arguments.blocks)]
        seconds = (time.perf_counter() - begin) / arguments.blocks
        slowed = session.time(arguments.model, base, head, arguments.put_in)
    return {
        "block_seconds": started + seconds,
        "load_average": machine.load_average(),
        "same": [windows(block) for block in blocks],
        "slowed": [windows(slowed)],
        **found,
    }


def windows(measured: Measured) -> dict[str, Any]:
    """Return the windows of a measurement as plain data."""
    return {
        "steps": measured.steps,
        "order": measured.order,
        "seconds": list(measured.seconds),
        "processor_seconds": list(measured.processor_seconds),
        "instructions": list(measured.instructions),
    }


def in_words(pair: dict[str, Any]) -> str:
    """Return the log ratios of a pair's blocks by each quantity."""
    parts = []
    for quantity in QUANTITIES:
        ratios = [log_ratio(SimpleNamespace(**one), quantity) for one in [*pair["same"], *pair["slowed"]]]
        if all(map(math.isfinite, ratios)):
            parts.append(f"{' '.join(f'{100 * ratio:+.1f} %' for ratio in ratios)} {NAMES[quantity]}")
    return f"{'; '.join(parts)}; {pair['block_seconds']:.0f} s, load {pair['load_average']:.1f}"


def of_load(report: dict[str, Any], load: int) -> list[dict[str, Any]]:
    """Return the pairs that were measured under a load."""
    return [pair for pair in report["pairs"] if pair["busy"] == load]


def runs_of_windows(blocks: Sequence[dict[str, Any]]) -> Iterator[SimpleNamespace]:
    """Yield all runs of windows as long as a block from the series that these blocks are, which is closed to a ring."""
    length = len(blocks[0]["order"])
    ring = {
        name: [value for block in blocks for value in block[name]] * 2
        for name in ("order", "seconds", "processor_seconds", "instructions")
    }
    for start in range(0, length * len(blocks), 4):  # ABBA or BAAB stays together
        run: dict[str, Any] = {name: values[start : start + length] for name, values in ring.items()}
        yield SimpleNamespace(**{**run, "order": "".join(run["order"])})


def decide_live(session: Session, processes: BusyProcesses, load: int, slowdown: float, limit: float) -> dict[str, Any]:
    """Make one decision with live measurements, as `genbench ab` does."""
    processes.let_work(load)
    begin = time.perf_counter()
    sides = session.survey()
    decided_by = plan_quantity("auto", session, sides, fixed_threads=False)
    session.slowed_by = "wall" if decided_by.quantity == "wall" else "processor"
    comparison = Comparing(session, sides, limit, LOOKS, decided_by)
    comparison.run(seconds=60 * MINUTES[load] - (time.perf_counter() - begin))
    (found,) = comparison.decisions()
    seconds = time.perf_counter() - begin
    processes.let_work(0)
    print(
        f"live, {load} busy: {slowdown:g} against {limit:g}: {found.verdict} by {NAMES[found.quantity]}, "
        f"{found.blocks} blocks, {seconds:.0f} s; load {machine.load_average():.1f}",
        flush=True,
    )
    return {
        "busy": load,
        "slowdown": slowdown,
        "limit": limit,
        "seconds": seconds,
        "load_average": machine.load_average(),
        "decision": msgspec.to_builtins(found),
        "decided_by": msgspec.to_builtins(decided_by),
        "log_ratios": {quantity: comparison.log_ratios(found.cell, quantity) for quantity in QUANTITIES},
    }


def replay_decisions(pairs: Sequence[dict[str, Any]], load: int, decisions: int) -> list[dict[str, Any]]:
    """Replay decisions of each kind by each quantity from the pairs that were measured under a load."""
    if not pairs:
        return []
    block_seconds = statistics.median(pair["block_seconds"] for pair in pairs)
    within = int(60 * MINUTES[load] / block_seconds) - 1  # one is the pilot
    found = []
    for quantity in QUANTITIES:
        for slowdown, limit in QUESTIONS:
            ratios = [log_ratio(run, quantity) for pair in pairs for run in runs_of_windows(pair["same"])]
            put_in = [log_ratio(SimpleNamespace(**one), quantity) for pair in pairs for one in pair["slowed"]]
            if not all(map(math.isfinite, ratios)):
                continue
            shifted = recentred(ratios, slowdown) if slowdown else ratios
            made = replay(shifted, limit, LOOKS, decisions, random.Random(0))
            found.append(
                {
                    "busy": load,
                    "load_average": statistics.median(pair["load_average"] for pair in pairs),
                    "quantity": quantity,
                    "slowdown": slowdown,
                    "limit": limit,
                    "pairs": len(pairs),
                    "decisions": decisions,
                    "shares": {str(verdict): share for verdict, share in made.shares.items()},
                    "minutes": MINUTES[load],
                    "blocks_in_time": max(within, 0),
                    "regressed_in_time": made.share(Verdict.REGRESSED, within),
                    "block_seconds": block_seconds,
                    "median_blocks": made.median_blocks,
                    "mean": statistics.mean(ratios),
                    "spread": statistics.pstdev(ratios),
                    "spread_of_neighbours": spreads(SimpleNamespace(**one) for pair in pairs for one in pair["same"])[
                        quantity
                    ],
                    "slowed_mean": statistics.mean(put_in),
                }
            )
    return found


def choices(pairs: Sequence[dict[str, Any]]) -> dict[Quantity, int]:
    """Return how often `auto` would have chosen each quantity, with each block of the same code as the pilot."""
    return dict(Counter(choose(spreads([SimpleNamespace(**block)])) for pair in pairs for block in pair["same"]))


def show(report: dict[str, Any]) -> None:
    """Print the results."""
    for name, reason in report["unmeasured"].items():
        print(f"{name} not measured: {reason}")
    for found in report["replayed"]:
        shares = ", ".join(f"{verdict} {100 * share:.2f} %" for verdict, share in sorted(found["shares"].items()))
        print(
            f"{found['busy']} busy (load average {found['load_average']:.1f}), {NAMES[found['quantity']]}, "
            f"{100 * found['slowdown']:g} % slower, limit {100 * found['limit']:g} %: {shares}; regressed within "
            f"{found['minutes']} min ({found['blocks_in_time']} blocks) {100 * found['regressed_in_time']:.2f} %; "
            f"median {found['median_blocks']:g} blocks of {found['block_seconds']:.0f} s; {found['pairs']} pairs, "
            f"{100 * math.expm1(found['mean']):+.1f} %, spread {100 * found['spread']:.1f} %, of neighbouring windows "
            f"{100 * found['spread_of_neighbours']:.1f} %, slowed {100 * math.expm1(found['slowed_mean']):+.1f} %"
        )
    print(f"auto, by load: {report['chosen']}")
    for load in LOADS:
        for slowdown, limit in QUESTIONS:
            live = [
                one for one in report["live"] if (one["busy"], one["slowdown"], one["limit"]) == (load, slowdown, limit)
            ]
            if live:
                counts = Counter(one["decision"]["verdict"] for one in live)
                seconds = [one["seconds"] for one in live]
                print(
                    f"live, {load} busy, {100 * slowdown:g} % slower, limit {100 * limit:g} %: {dict(counts)}; "
                    f"median {statistics.median(seconds):.0f} s, at most {max(seconds):.0f} s"
                )


if __name__ == "__main__":
    main()
