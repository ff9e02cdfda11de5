"""`genbench.check_machine` and `describe_machine`: the machine and the installation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from genbench.commands.arguments import names_of
from genbench.commands.device import parse_device
from genbench.commands.printed import Printable
from genbench.doctor.checklist import Check, chosen
from genbench.doctor.isolated import examine_all
from genbench.doctor.report import CheckReport, Report, as_data, lines, summary
from genbench.measure import machine
from genbench.runner.pool import WorkerPool
from genbench.runner.supervisor import ask_devices


@dataclass(frozen=True, repr=False)
class MachineCheck(Printable):
    """What each check of the machine and the installation found."""

    report: Report

    @property
    def passed(self) -> bool:
        """Whether no check failed; warnings do not count as failures."""
        return self.report.passed

    def text(self) -> str:
        """Return a row per check, and below it what is wrong and what to do."""
        width = max(len(check.name) for check in self.report.checks)
        rows = [f"{one.name:<{width}}" + "\n".join(lines(one, width)) for one in self.report.checks]
        return "".join(f"{row}\n" for row in [*rows, self.summary()])

    def summary(self) -> str:
        """Return how many checks have each status."""
        return summary(self.report)

    def as_data(self) -> dict[str, object]:
        """Return the report as plain data, with its verdict."""
        return as_data(self.report)


@dataclass(frozen=True, repr=False)
class MachineDescription(Printable):
    """The hardware and software that results depend on."""

    facts: dict[str, Any]

    def text(self) -> str:
        """Return a line per fact."""
        found = []
        for name, value in self.facts.items():
            if isinstance(value, dict):
                found += [f"{name}:", *(f"  {key}: {inner}" for key, inner in value.items())]
            else:
                found.append(f"{name}: {', '.join(map(str, value)) if isinstance(value, list) else value}")
        return "".join(f"{line}\n" for line in found)

    def as_data(self) -> dict[str, Any]:
        """Return the facts."""
        return self.facts


def check_machine(
    device: str = "auto",
    *,
    only: str | Sequence[str] = (),
    quick: bool = False,
    on_start: Callable[[str, int], object] = lambda name, width: None,
    on_report: Callable[[CheckReport, int], object] = lambda report, width: None,
) -> MachineCheck:
    """Check this machine and installation, each check in a process of its own, as `genbench doctor`.

    Raises `UsageError` with the nearest name for an unknown check or device.

    Args:
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, …, ``mps`` or ``xpu``.
        only: only these checks.
        quick: leave out the checks that take longer than a few seconds.
        on_start: called before each check with its name, and the length of the longest name.
        on_report: called after each check with what it found, and that length.
    """
    checks = chosen(names_of(only), quick)
    width = max(len(check.name) for check in checks)

    def start(check: Check) -> None:
        on_start(check.name, width)

    def report(found: CheckReport) -> None:
        on_report(found, width)

    return MachineCheck(examine_all(checks, parse_device(device), start, report))


def describe_machine() -> MachineDescription:
    """Return processor, memory, devices and versions, which results depend on, as `genbench env`."""
    with WorkerPool() as pool:
        facts = {**machine.describe(), "default_threads": machine.default_threads(), **ask_devices(pool)}
    return MachineDescription(facts)
