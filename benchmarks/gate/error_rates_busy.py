"""Error rates of `genbench ab` by each quantity on a machine that other programs keep busy.

    python benchmarks/gate/error_rates_busy.py --pairs 25 --live 10 --out results/reference/gate-error-rates-busy.json

The loads are 0, 2 and 8 processes of `busy_processes.py`, in turns: one block under each, in random order, and again.
Under each, a pair of fresh processes with one thread times blocks of the same code against itself, and against a step
that uses 5 % more processor time (a busy loop after each step), in alternating windows as `genbench ab` does. From the
blocks of a load, 10,000 decisions of each kind are replayed by each quantity, as in `error_rates.py`, after shifting
the slowed blocks so that their mean is a slowdown of exactly 5 %; and from every block, what `--decide-by auto` would
have chosen if it had been the pilot. How long a decision takes follows from its blocks and the median time of a block,
with the start of its processes. `genbench ab` starts a pair for every block; here a pair measures several, because
starting takes most of the time on a busy machine. How much pairs of processes differ is then known from the pairs only.

The live decisions run the code of `genbench ab` itself, with the pilot, `--decide-by auto` and no shift; the step is
slowed by the kind of time that was chosen.

`--from FILE` replays the recorded blocks of a file and measures nothing. The file is written after every round, so
that Ctrl-C loses nothing.
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
from genbench.ab.session import ArmWorker, Measured, Session
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
    parser.add_argument("--blocks", type=int, default=4, help="of each pair")
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
        one for load in LOADS for one in replay_decisions(report["blocks"], load, arguments.decisions)
    ]
    report["chosen"] = {str(load): choices(report["blocks"], load) for load in LOADS}
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
        "blocks": [],
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
        sessions = {load: Session(*arms, question, slowed_by="processor") for load in LOADS}
        report["unmeasured"] = dict(sessions[0].survey().unmeasured)
        for number in range(arguments.pairs):
            for load in random.Random(number).sample(LOADS, len(LOADS)):
                processes.let_work(load)
                for block in measure_blocks(sessions[load], arguments, number):
                    report["blocks"].append({"busy": load, "pair": number, **block})
                    print(f"[{number + 1}/{arguments.pairs}] {load} busy: {in_words(block)}", flush=True)
                processes.let_work(0)
                write(report, arguments.out)
        for number in range(arguments.live):
            for load in LOADS:
                for slowdown, limit in QUESTIONS:
                    share = arguments.put_in if slowdown else 0.0
                    session = Session(*arms, live_question, slowdown=share, seed=1_000 + number)
                    report["live"].append(decide_live(session, processes, load, slowdown, limit))
                    write(report, arguments.out)


def measure_blocks(session: Session, arguments: argparse.Namespace, number: int) -> Iterator[dict[str, Any]]:
    """Measure blocks of the same code and of the slowed step, in random order, with one pair of fresh processes."""
    begin = time.perf_counter()
    draws = random.Random(number)
    with ArmWorker(session.base) as base, ArmWorker(session.head) as head:
        session.ready(base, head)
        session.open(arguments.model, base, head)
        started = time.perf_counter() - begin
        for _ in range(arguments.blocks):
            begin = time.perf_counter()
            found = {"control": windows(session.control(base, head))}
            control = time.perf_counter() - begin
            begin = time.perf_counter()
            for slowdown in draws.sample([0.0, SLOWDOWN], 2):
                share = arguments.put_in if slowdown else 0.0
                found[f"{slowdown:g}"] = windows(session.time(arguments.model, base, head, share))
            seconds = started + control + (time.perf_counter() - begin) / 2  # of one kind, with a start
            yield {"seconds": seconds, "load_average": machine.load_average(), **found}


def windows(measured: Measured) -> dict[str, Any]:
    """Return the windows of a measurement as plain data."""
    return {
        "steps": measured.steps,
        "order": measured.order,
        "seconds": list(measured.seconds),
        "processor_seconds": list(measured.processor_seconds),
        "instructions": list(measured.instructions),
    }


def in_words(block: dict[str, Any]) -> str:
    """Return the log ratios of a block by each quantity."""
    parts = []
    for kind in ("0", f"{SLOWDOWN:g}", "control"):
        ratios = {NAMES[q]: log_ratio(SimpleNamespace(**block[kind]), q) for q in QUANTITIES}
        shown = ", ".join(f"{100 * ratio:+.1f} % {name}" for name, ratio in ratios.items() if math.isfinite(ratio))
        parts.append(f"{kind}: {shown}")
    return f"{'; '.join(parts)}; {block['seconds']:.1f} s, load {block['load_average']:.1f}"


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
        "spreads": {pilot.threads: pilot.spreads for pilot in decided_by.pilots},
        "threads": decided_by.threads,
        "log_ratios": {quantity: comparison.log_ratios(found.cell, quantity) for quantity in QUANTITIES},
    }


def replay_decisions(blocks: Sequence[dict[str, Any]], load: int, decisions: int) -> list[dict[str, Any]]:
    """Replay decisions of each kind by each quantity from the blocks under a load."""
    chosen = [block for block in blocks if block["busy"] == load]
    if not chosen:
        return []
    block_seconds = statistics.median(block["seconds"] for block in chosen)
    within = int(60 * MINUTES[load] / block_seconds) - 1  # one is the pilot
    found = []
    for quantity in QUANTITIES:
        for slowdown, limit in QUESTIONS:
            ratios = [log_ratio(SimpleNamespace(**block[f"{slowdown:g}"]), quantity) for block in chosen]
            if not all(map(math.isfinite, ratios)):
                continue
            shifted = recentred(ratios, slowdown) if slowdown else ratios
            made = replay(shifted, limit, LOOKS, decisions, random.Random(0))
            found.append(
                {
                    "busy": load,
                    "quantity": quantity,
                    "slowdown": slowdown,
                    "limit": limit,
                    "blocks": len(chosen),
                    "pairs": len({block["pair"] for block in chosen}),
                    "decisions": decisions,
                    "shares": {str(verdict): share for verdict, share in made.shares.items()},
                    "regressed_in_time": made.share(Verdict.REGRESSED, within),
                    "minutes": MINUTES[load],
                    "median_minutes": (made.median_blocks + 1) * block_seconds / 60,
                    "block_seconds": block_seconds,
                    "median_blocks": made.median_blocks,
                    "load_average": statistics.median(block["load_average"] for block in chosen),
                    "spread": statistics.stdev(ratios) if len(ratios) > 1 else None,
                    "mean": statistics.mean(ratios),
                }
            )
    return found


def choices(blocks: Sequence[dict[str, Any]], load: int) -> dict[Quantity, int]:
    """Return how often `auto` would have chosen each quantity, with each block of the same code as the pilot."""
    pilots = [SimpleNamespace(**block["0"]) for block in blocks if block["busy"] == load]
    return dict(Counter(choose(spreads([pilot])) for pilot in pilots))


def show(report: dict[str, Any]) -> None:
    """Print the results."""
    for name, reason in report["unmeasured"].items():
        print(f"{name} not measured: {reason}")
    for found in report["replayed"]:
        shares = ", ".join(f"{verdict} {100 * share:.2f} %" for verdict, share in sorted(found["shares"].items()))
        print(
            f"{found['busy']} busy (load average {found['load_average']:.1f}), {NAMES[found['quantity']]}, "
            f"{100 * found['slowdown']:g} % slower, limit {100 * found['limit']:g} %: {shares}; regressed within "
            f"{found['minutes']} min {100 * found['regressed_in_time']:.2f} %; median {found['median_blocks']:g} "
            f"blocks, {found['median_minutes']:.1f} min; {found['blocks']} blocks of {found['block_seconds']:.1f} s "
            f"from {found['pairs']} pairs, "
            f"{100 * math.expm1(found['mean']):+.1f} %, spread {100 * (found['spread'] or math.nan):.1f} %"
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
