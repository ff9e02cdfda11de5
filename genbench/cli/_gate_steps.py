"""The steps that `genbench check` and `genbench compare` share."""

from __future__ import annotations

from pathlib import Path

from genbench.cli.output import echo, record_exit_code
from genbench.errors import UsageError
from genbench.gate.from_file import ACCEPTED, measurements_of_baseline, measurements_of_benchmarks, merged
from genbench.gate.from_run import measurements_of_run
from genbench.gate.judge import judge, overall
from genbench.gate.limits import Limits, parse_share, read_limits
from genbench.gate.measurements import Measurements
from genbench.report.gate import stored as shown
from genbench.results.baseline import read_baseline
from genbench.results.files import atomic_write
from genbench.results.input_files import cannot_read, path_kind, read_json, read_toml
from genbench.results.store import RunDirectory, runs_nearby


def resolve_limits(config: str | None, max_slowdown: str | None) -> Limits:
    """Return the limits in `[gate]` of a TOML file, overridden by --max-slowdown; raise `UsageError`."""
    table: object = {}
    if config is not None:
        table = read_toml(Path(config)).get("gate")
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
    kind = path_kind(path)
    if kind == "missing":
        raise UsageError(f"{path} does not exist.", f"{ACCEPTED} {runs_nearby(path)}")
    if kind == "directory" and path_kind(path / "run.json") == "missing" and (files := _json_files(path)):
        return merged([_read_process(file) for file in files], text)
    if kind == "directory":
        return measurements_of_run(RunDirectory.open(path).read())
    return _read_file(path)


def _json_files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".json" and not path.name.startswith("."))
    except OSError as error:
        raise cannot_read(folder, error) from None


def _read_process(path: Path) -> Measurements:
    document = read_json(path, ACCEPTED)
    if isinstance(document, dict) and "baseline_version" in document:
        raise UsageError(
            f"{path} is a baseline file, and a folder is read as files of pytest-benchmark, one for each process.",
            "Give the baseline file itself.",
        )
    return measurements_of_benchmarks(document, str(path))


def _read_file(path: Path) -> Measurements:
    text = str(path)
    document = read_json(path, ACCEPTED)
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
            with Path(summary).open("a", encoding="utf-8", errors="replace") as file:
                file.write(shown.summary(findings, names))
        if junit:
            atomic_write(Path(junit), shown.cases(findings, "genbench").encode())
    except (OSError, ValueError) as error:  # a ValueError: NUL in a path
        place, reason = (error.filename, error.strerror) if isinstance(error, OSError) else (None, error)
        echo(f"Warning: cannot write {place or 'a file'}: {reason}", err=True)
    return verdict.exit_code
