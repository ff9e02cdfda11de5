"""Which runs of a board have been checked, by the hash of their results: a mark never comes from the run itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from genbench.errors import UsageError
from genbench.gate.reproduction import Verdict
from genbench.results.files import DamagedError, NewerFormatError, atomic_write, decode, encode_json, read_regular_file
from genbench.results.schema import Record

CHECKS_VERSION = 1


class Check(Record, frozen=True, kw_only=True):
    """The outcome of one check."""

    verdict: Verdict
    run: Annotated[str, Meta(description="name of the run")]
    checked: Annotated[str, Meta(description="UTC, ISO 8601")]
    genbench: str
    machine: str
    reason: Annotated[str, Meta(description="what was compared, and what differs")]


class Checks(Record, frozen=True, kw_only=True):
    """The file that ``genbench board --checks`` reads and ``--check`` adds to."""

    checks_version: int = CHECKS_VERSION
    checks: Annotated[dict[str, Check], Meta(description="by the SHA-256 of the plan and the results")] = {}

    def verdict(self, results_hash: str) -> Verdict:
        """Return the mark of a run."""
        found = self.checks.get(results_hash)
        return found.verdict if found is not None else "not checked"

    def about(self, results_hash: str) -> str:
        """Return when and how a run was checked, or ''."""
        found = self.checks.get(results_hash)
        return (
            f"checked {found.checked} with genbench {found.genbench} on {found.machine}: {found.reason}"
            if found
            else ""
        )


def read_checks(path: Path) -> Checks:
    """Return the checks in a file; raise `UsageError` if it is missing or cannot be read."""
    try:
        return decode(read_regular_file(path), Checks, "checks_version", CHECKS_VERSION)
    except FileNotFoundError:
        raise UsageError(
            f"{path} does not exist.", "`genbench board --check RUN --checks FILE` makes it.", code="GB701"
        ) from None
    except NewerFormatError as error:
        raise UsageError(f"{path} {error}.", "Upgrade genbench to read it.", code="GB704") from None
    except DamagedError as error:
        raise UsageError(
            f"{path} is damaged: {error}.", "Restore it from a copy, or name another file.", code="GB703"
        ) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", "Check its permissions.", code="GB701") from None


def add_check(path: Path, results_hash: str, check: Check) -> None:
    """Add a check to a file, in place of an earlier one of the same results; raise `UsageError`."""
    known = read_checks(path) if path.exists() else Checks()
    checks = dict(sorted({**known.checks, results_hash: check}.items()))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, encode_json(msgspec.structs.replace(known, checks=checks)))
    except OSError as error:
        raise UsageError(f"Cannot write {path}: {error.strerror}.", "Choose another --checks.", code="GB702") from error
