"""`genbench.compare` and `Results.check`: the verdict on one stored result against another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from genbench.commands.printed import Printable
from genbench.errors import UsageError
from genbench.gate.from_file import ACCEPTED, measurements_of_baseline, measurements_of_benchmarks, merged
from genbench.gate.from_run import measurements_of_run
from genbench.gate.judge import Finding, judge, overall
from genbench.gate.limits import Limits, parse_share, parse_share_limit, read_limits
from genbench.gate.measurements import Measurements
from genbench.gate.verdict import Verdict
from genbench.report.gate import stored as shown
from genbench.results.baseline import read_baseline
from genbench.results.input_files import cannot_read, path_kind, read_json, read_toml
from genbench.results.store import RunContents, RunDirectory, runs_nearby


@dataclass(frozen=True, repr=False)
class Judgement(Printable):
    """The verdict on a result against another, with a finding for each quantity of each cell."""

    base: str  # the names of both results
    head: str
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of what is judged: ``ok``, ``improved``, ``regressed``, ``inconclusive``, …."""
        return overall(self.findings)

    def text(self, everything: bool = False) -> str:
        """Return the table that the command prints; with `everything`, also the unchanged counters."""
        return shown.text(self.findings, (self.base, self.head), everything)

    def summary(self) -> str:
        """Return Markdown for a pull request, the worst first."""
        return shown.summary(self.findings, (self.base, self.head))

    def junit(self) -> str:
        """Return JUnit XML with one test case per cell."""
        return shown.cases(self.findings, "genbench")

    def as_data(self) -> dict[str, object]:
        """Return everything, with the verdict and the exit code of the command."""
        return shown.document(self.findings, (self.base, self.head))


def compare(base: str | Path, head: str | Path, *, limit: str | float = "5%") -> Judgement:
    """Compare two stored results, as `genbench compare BASE HEAD`, and return the verdict on the second.

    Each is a run directory, a baseline file, a JSON file of pytest-benchmark, or a folder of such files, one for each
    process. What is not comparable is a finding, not an error. Raises `UsageError` for anything else.

    Args:
        base: the reference.
        head: the result that is judged.
        limit: by how much speed and metrics may get worse, such as ``"5%"`` or 0.05; counters must not grow.
    """
    allowed = parse_share_limit(limit, "--limit")
    limits = Limits(max_slowdown=allowed, other_metrics=allowed)
    return _judged(read_measurements(base), read_measurements(head), limits, strict=True)


def check_run(
    run: RunContents, baseline: str | Path, config: str | Path | None, max_slowdown: str | float | None
) -> Judgement:
    """Return the verdict on a run against a baseline file, see `Results.check`."""
    limits = read_gate_limits(config, max_slowdown)
    base = measurements_of_baseline(read_baseline(Path(baseline)), str(baseline))
    return _judged(base, measurements_of_run(run), limits, strict=False)


def read_gate_limits(config: str | Path | None, max_slowdown: str | float | None) -> Limits:
    """Return the limits in `[gate]` of a TOML file, overridden by `max_slowdown`; raise `UsageError`."""
    table: object = {}
    if config is not None:
        table = read_toml(Path(config)).get("gate")
        if table is None:
            raise UsageError(
                f"{config} has no [gate] table.", 'Add [gate], and below it: max-slowdown = "5%".', code="GB801"
            )
    if max_slowdown is not None:
        parse_share(max_slowdown, "--max-slowdown")
        table = {**(table if isinstance(table, dict) else {}), "max-slowdown": max_slowdown}
    try:
        return read_limits(table)
    except UsageError as error:
        raise UsageError(f"{config}: {error.cause}" if config else error.cause, error.cure, code="GB801") from None


def read_measurements(path: str | Path) -> Measurements:
    """Read the measurements of a run, a baseline file, or pytest-benchmark JSON; raise `UsageError`."""
    text, path = str(path), Path(path)
    kind = path_kind(path)
    if kind == "missing":
        raise UsageError(f"{path} does not exist.", f"{ACCEPTED} {runs_nearby(path)}", code="GB802")
    if kind == "directory" and path_kind(path / "run.json") == "missing" and (files := _json_files(path)):
        return merged([_read_process(file) for file in files], text)
    if kind == "directory":
        return measurements_of_run(RunDirectory.open(path).read())
    return _read_file(path)


def _judged(base: Measurements, head: Measurements, limits: Limits, strict: bool) -> Judgement:
    return Judgement(base.name, head.name, tuple(judge(base, head, limits, strict)))


def _json_files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".json" and not path.name.startswith("."))
    except OSError as error:
        raise cannot_read(folder, error) from None


def _read_process(file: Path) -> Measurements:
    document = read_json(file, ACCEPTED)
    if isinstance(document, dict) and "baseline_version" in document:
        raise UsageError(
            f"{file} is a baseline file, and a folder is read as files of pytest-benchmark, one for each process.",
            "Give the baseline file itself.",
            code="GB802",
        )
    return measurements_of_benchmarks(document, str(file))


def _read_file(file: Path) -> Measurements:
    document = read_json(file, ACCEPTED)
    if isinstance(document, dict) and "baseline_version" in document:
        return measurements_of_baseline(read_baseline(file), str(file))
    return measurements_of_benchmarks(document, str(file))
