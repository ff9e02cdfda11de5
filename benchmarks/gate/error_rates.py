"""Error rates of `genbench ab` on this machine, from recorded blocks and live decisions, and those of other rules.

    python benchmarks/gate/error_rates.py --blocks 150 --live 10 --out results/reference/gate-error-rates.json

Each block is a pair of fresh processes. It times the same code against itself, and against itself with a delay of 4 %
and 8.5 % added to every step (the processor is kept busy for that share of the step's own time), each in alternating
windows as in `genbench ab`. The added delay costs more than its own duration, because waiting threads have to be woken:
the step becomes about 5 % and 10 % slower, and the blocks measure by how much. From the blocks of each kind, 10,000
decisions are replayed with the interim looks of `genbench ab`, after shifting the blocks so that their mean is a
slowdown of exactly 5 % or 10 %. The live decisions run the code of `genbench ab` itself, with their own blocks and no
shift.

The other rules see the same windows as if measured without pairing, base first and head later:

- a threshold of 5 % on the median (pytest-benchmark's `--benchmark-compare-fail=median:5%`), one process each;
- the same with 7 % (torchbench's regression detector);
- asv's `continuous`: Mann-Whitney U with p < 0.002 and a factor of 1.1, five processes each.

`--from FILE` replays the recorded blocks of a file and measures nothing.
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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from scipy.stats import mannwhitneyu

from genbench.ab.arm import installed_arm
from genbench.ab.comparison import Comparing
from genbench.ab.session import ArmWorker, Measured, Session
from genbench.ab.wire import Prepare
from genbench.gate.replay import recentred, replay
from genbench.gate.sequential import LookSchedule
from genbench.measure import machine
from genbench.stats import alternating

DELAYS = {0.0: 0.0, 0.05: 0.04, 0.10: 0.085}  # resulting slowdown: added share of the step's own time
QUESTIONS = ((0.0, 0.05), (0.05, 0.0), (0.10, 0.05))  # true slowdown, and the limit of the decision
LOOKS = LookSchedule()
Rule = Callable[[Sequence[Any], Sequence[Any]], bool]


def main() -> None:
    """Measure or read blocks, replay decisions, and write the error rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="gan")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=150)
    parser.add_argument("--live", type=int, default=10, help="live decisions per kind")
    parser.add_argument("--decisions", type=int, default=10_000, help="replayed decisions per kind")
    parser.add_argument("--threads", type=int, default=machine.default_threads())
    parser.add_argument("--from", dest="recorded", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    report = json.loads(arguments.recorded.read_text()) if arguments.recorded else record(arguments)
    report |= {
        "replayed": replay_decisions(report["blocks"], arguments.decisions),
        "other_rules": apply_other_rules(report["blocks"]),
    }
    show(report)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


def record(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure blocks, make live decisions, and return both."""
    given = {"models": arguments.model, "batch_size": arguments.batch_size, "profile": "smoke", "metrics": "none"}
    question = Prepare(given=given, threads=arguments.threads)
    with tempfile.TemporaryDirectory() as place:
        arms = installed_arm("base", Path(place)), installed_arm("head", Path(place))
        session = Session(*arms, question)
        blocks = [
            measure_block(session, arguments.model, number, arguments.blocks) for number in range(arguments.blocks)
        ]
        live = [
            decide_live(arms, question, slowdown, limit, number)
            for number in range(arguments.live)
            for slowdown, limit in QUESTIONS
        ]
    return {
        "command": " ".join(["python", *sys.argv]),
        "model": arguments.model,
        "batch_size": arguments.batch_size,
        "protocol": {"window_seconds": session.protocol.window_seconds, "rounds": session.protocol.rounds},
        "looks": {"blocks": LOOKS.blocks, "errors": LOOKS.errors},
        "threads": arguments.threads,
        "put_in": {f"{slowdown:g}": share for slowdown, share in DELAYS.items()},
        "machine": machine.describe(),
        "blocks": blocks,
        "live": live,
    }


def measure_block(session: Session, cell: str, number: int, of: int) -> dict[str, Any]:
    """Measure all slowdowns once, in random order, with one pair of fresh processes."""
    begin = time.perf_counter()
    order = random.Random(number).sample(list(DELAYS), len(DELAYS))
    with ArmWorker(session.base) as base, ArmWorker(session.head) as head:
        session.ready(base, head)
        control = session.control(base, head)
        session.open(cell, base, head)
        measured = {f"{share:g}": session.time(cell, base, head, DELAYS[share]) for share in order}
    seconds = time.perf_counter() - begin
    kept = {share: windows(m) for share, m in [*measured.items(), ("control", control)]}
    summary = "  ".join(f"{share} {100 * log_ratio(found):+.1f} %" for share, found in sorted(kept.items()))
    print(f"[{number + 1}/{of}] {summary}  {seconds:.1f} s", flush=True)
    return {"seconds": seconds, "load": machine.load_average(), **kept}


def windows(measured: Measured) -> dict[str, Any]:
    """Return the windows of a measurement as plain data."""
    return {"steps": measured.steps, "order": measured.order, "seconds": list(measured.seconds)}


def decide_live(arms: tuple[Any, Any], question: Prepare, slowdown: float, limit: float, number: int) -> dict[str, Any]:
    """Make one decision with live measurements, as `genbench ab` does."""
    begin = time.perf_counter()
    session = Session(*arms, question, slowdown=DELAYS[slowdown], seed=1_000 + number)
    comparison = Comparing(session, session.survey(), limit, LOOKS)
    comparison.run()
    (found,) = comparison.decisions()
    seconds = time.perf_counter() - begin
    print(f"live {number + 1}: {slowdown:g} against {limit:g}: {found.verdict}, {found.blocks} blocks, {seconds:.0f} s")
    return {
        "slowdown": slowdown,
        "limit": limit,
        "seconds": seconds,
        "decision": msgspec.to_builtins(found),
        "log_ratios": comparison.log_ratios(found.cell),
        "control": comparison.control,
    }


def log_ratio(kept: dict[str, Any]) -> float:
    """Return the log ratio of recorded windows."""
    return alternating.log_ratio(kept["order"], kept["seconds"])


def replay_decisions(blocks: Sequence[dict[str, Any]], decisions: int) -> list[dict[str, Any]]:
    """Replay decisions of each kind from the recorded blocks."""
    found = []
    for slowdown, limit in QUESTIONS:
        ratios = [log_ratio(one[f"{slowdown:g}"]) for one in blocks]
        shifted = recentred(ratios, slowdown) if slowdown else ratios
        made = replay(shifted, limit, LOOKS, decisions, random.Random(0))
        found.append(
            {
                "slowdown": slowdown,
                "limit": limit,
                "decisions": decisions,
                "shares": {str(verdict): share for verdict, share in made.shares.items()},
                "median_blocks": made.median_blocks,
                "spread": statistics.stdev(ratios),
                "mean": statistics.mean(ratios),
            }
        )
    return found


def apply_other_rules(blocks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Apply the other rules to base windows of some processes and head windows of the following ones."""
    rules: list[tuple[str, int, Rule]] = [
        ("median above 5 % (pytest-benchmark)", 1, lambda base, head: ratio_of_medians(base, head) > 1.05),
        ("median above 7 % (torchbench)", 1, lambda base, head: ratio_of_medians(base, head) > 1.07),
        ("Mann-Whitney and a factor of 1.1 (asv)", 5, asv),
    ]
    found = []
    for name, processes, rule in rules:
        for slowdown in DELAYS:
            alarms = [
                rule(
                    times(blocks[start : start + processes], "0", "A"),
                    times(blocks[start + processes : start + 2 * processes], f"{slowdown:g}", "B"),
                )
                for start in range(len(blocks) - 2 * processes + 1)
            ]
            found.append(
                {
                    "rule": name,
                    "slowdown": slowdown,
                    "alarms": sum(alarms) / len(alarms) if alarms else math.nan,
                    "decisions": len(alarms),
                }
            )
    return found


def times(blocks: Sequence[dict[str, Any]], share: str, arm: str) -> list[float]:
    """Return the seconds per step of every window of one arm."""
    return [
        seconds / one[share]["steps"]
        for one in blocks
        for seconds, whose in zip(one[share]["seconds"], one[share]["order"], strict=True)
        if whose == arm
    ]


def ratio_of_medians(base: Sequence[float], head: Sequence[float]) -> float:
    """Return median head time / median base time."""
    return statistics.median(head) / statistics.median(base)


def asv(base: Sequence[float], head: Sequence[float]) -> bool:
    """Return whether the rule of asv's `continuous` raises an alarm."""
    significant = mannwhitneyu(base, head, alternative="two-sided").pvalue < 0.002
    return bool(significant and ratio_of_medians(base, head) > 1.1)


def show(report: dict[str, Any]) -> None:
    """Print the results."""
    seconds = statistics.median(one["seconds"] for one in report["blocks"])
    print(f"\n{len(report['blocks'])} blocks of {seconds:.1f} s (three kinds in each); replayed decisions:")
    for found in report["replayed"]:
        shares = ", ".join(f"{verdict} {100 * share:.2f} %" for verdict, share in sorted(found["shares"].items()))
        print(
            f"  {100 * found['slowdown']:g} % slower, limit {100 * found['limit']:g} %: {shares}; "
            f"median {found['median_blocks']:g} blocks; recorded {100 * math.expm1(found['mean']):+.1f} %, spread "
            f"{100 * found['spread']:.1f} %"
        )
    for slowdown, limit in QUESTIONS:
        live = [one for one in report["live"] if (one["slowdown"], one["limit"]) == (slowdown, limit)]
        if live:
            verdicts = [one["decision"]["verdict"] for one in live]
            counts = ", ".join(f"{verdict} {verdicts.count(verdict)}" for verdict in sorted(set(verdicts)))
            median = statistics.median(one["seconds"] for one in live)
            print(f"  live: {100 * slowdown:g} % slower, limit {100 * limit:g} %: {counts}; median {median:.0f} s")
    print("Alarm rates of other rules on the same windows, without pairing:")
    for found in report["other_rules"]:
        alarms = f"{100 * found['alarms']:.1f} % of {found['decisions']}"
        print(f"  {found['rule']}: {100 * found['slowdown']:g} % slower: {alarms}")


if __name__ == "__main__":
    main()
