"""Running each check in a process of its own: one that crashes, hangs or is killed has failed, and the rest goes on."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable, Sequence

import msgspec

from genbench import __version__
from genbench.doctor.checklist import Check
from genbench.doctor.finding import Finding, failed, one_line
from genbench.doctor.report import CheckReport, Report
from genbench.errors import GenbenchError
from genbench.process.child import MARK, answering, ask_child

STARTING_SECONDS = 60.0  # additional time for importing torch from a cold, slow disk
_SHOWN_OUTPUT = 500  # characters at the end of what a check printed
_REPORT = "Run it again alone with --only. If it fails again, report it with the output of `genbench doctor --json`."


class Question(msgspec.Struct, frozen=True):
    """What a child is to check."""

    examine: str
    device: str


def examine_all(
    checks: Sequence[Check],
    device: str,
    on_start: Callable[[Check], None] = lambda check: None,
    on_report: Callable[[CheckReport], None] = lambda report: None,
    starting: float = STARTING_SECONDS,
) -> Report:
    """Run the checks one after another; call `on_start` before and `on_report` after each.

    `device` is as asked for, `auto` included; `starting` is the time in seconds that a process may take to start.
    """
    checked = _device_to_check(checks, device, starting)
    reports = []
    for check in checks:
        on_start(check)
        begin = time.monotonic()
        found = examine(check, checked, starting)
        report = CheckReport(
            name=check.name,
            question=check.question,
            status=found.status,
            seconds=round(time.monotonic() - begin, 2),
            figures=found.figures,
            reason=found.reason,
            remedy=found.remedy,
        )
        reports.append(report)
        on_report(report)
    return Report(genbench=__version__, device=device, checked=checked, checks=reports)


def _device_to_check(checks: Sequence[Check], device: str, starting: float) -> str:
    """Return the device for `auto`: the first GPU if there is one, else the CPU. Any other device is returned as is."""
    if device != "auto":
        return device
    if not any(check.on_device for check in checks):
        return "cpu"
    found = examine(Check("auto", "", "genbench.doctor.devices:automatic"), device, starting)
    return "cpu" if found.status == "not applicable" else "cuda"


def examine(check: Check, device: str, starting: float) -> Finding:
    """Run one check in a child process."""
    answers: list[Finding] = []
    ending = ask_child(
        "genbench.doctor.isolated",
        msgspec.json.encode(Question(check.examine, device)),
        1,
        check.seconds,
        lambda line: answers.append(msgspec.json.decode(line, type=Finding)),
        "checking",
        starting,
    )
    if answers:
        return answers[0]
    output = ending.text.strip()
    printed = f"; the end of its output: {output[-_SHOWN_OUTPUT:].strip()}" if output else ""
    return failed(f"{ending.reason}{printed}.", _REPORT)


def serve(descriptor: int) -> None:
    """Run in the child: answer the question on standard input with one finding, written to the descriptor."""
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
    os.environ.pop(MARK, None)  # this child is no plugin, and may load plugins itself
    with answering(descriptor) as answer:
        answer(msgspec.json.encode(_finding(question)))


def _finding(question: Question) -> Finding:
    """Return what the check finds; an exception is a failure."""
    module, _, function = question.examine.partition(":")
    try:
        found: Finding = getattr(importlib.import_module(module), function)(question.device)
    except GenbenchError as error:
        return failed(error.cause, error.cure or _REPORT)
    except Exception as error:
        from genbench.measure.user_frame import error_location  # imports torch, which most checks do without

        return failed(f"The check itself failed: {one_line(error)}{error_location(error, or_machinery=True)}.", _REPORT)
    return found
