"""The steps that `genbench check` and `genbench compare` share."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from genbench.cli.output import echo, record_exit_code
from genbench.errors import UsageError
from genbench.gate.from_file import measurements_of_baseline, measurements_of_benchmarks, merged
from genbench.gate.from_run import measurements_of_run
from genbench.gate.judge import judge, overall
from genbench.gate.limits import Limits, parse_share, read_limits
from genbench.gate.measurements import Measurements
from genbench.report.gate import stored as shown
from genbench.results.baseline import read_baseline
from genbench.results.files import atomic_write
from genbench.results.store import RunDirectory


def resolve_limits(config: str | None, max_slowdown: str | None) -> Limits:
    """Return the limits in `[gate]` of a TOML file, overridden by --max-slowdown; raise `UsageError`."""
    table: object = {}
    if config is not None:
        try:
            table = tomllib.loads(Path(config).expanduser().read_text(encoding="utf-8")).get("gate")
        except OSError as error:
            raise UsageError(f"Cannot read {config}: {error.strerror}.") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{config} is not valid TOML: {error}.") from None
        if table is None:
            raise UsageError(f"{config} has no [gate] table.", 'Add [gate], and below it: max-slowdown = "5%".')
    if max_slowdown is not None:
        parse_share(max_slowdown, "--max-slowdown")
        table = {**(table if isinstance(table, dict) else {}), "max-slowdown": max_slowdown}
    try:
        return read_limits(table)
    except UsageError as error:
        raise UsageError(f"{config}: {error.cause}" if config else error.cause, error.cure) from None


def read_measurements(text: str) -> Measurements:
    """Read the measurements of a run directory, a baseline file, or pytest-benchmark JSON; raise `UsageError`.

    A folder of such JSON files is one result, each file one process.
    """
    path = Path(text)
    if path.is_dir() and not (path / "run.json").exists() and (files := sorted(path.glob("*.json"))):
        return merged([_read_file(file) for file in files], text)
    if not path.is_file():
        return measurements_of_run(RunDirectory.open(path).read())
    return _read_file(path)


def _read_file(path: Path) -> Measurements:
    text = str(path)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"Cannot read {text}: {error}.", "Give a run directory or a JSON file.") from None
    if isinstance(document, dict) and "baseline_version" in document:
        return measurements_of_baseline(read_baseline(path), text)
    return measurements_of_benchmarks(document, text)


def report_verdict(
    base: Measurements,
    head: Measurements,
    limits: Limits,
    as_json: bool,
    everything: bool,
    summary: str | None,
    junit: str | None,
    strict: bool,
) -> int:
    """Judge `head` against `base`, print and write the findings, and return the exit code."""
    findings = judge(base, head, limits, strict)
    names = base.name, head.name
    verdict = overall(findings)
    text = shown.as_json(findings, names) if as_json else shown.text(findings, names, everything)
    record_exit_code(verdict.exit_code)
    echo(text, nl=False, as_json=as_json)
    try:
        if summary:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(shown.summary(findings, names))
        if junit:
            atomic_write(Path(junit), shown.cases(findings, "genbench").encode())
    except OSError as error:
        echo(f"Warning: cannot write {error.filename or 'a file'}: {error.strerror}", err=True)
    return verdict.exit_code
