"""`genbench.check_plugin`: a plugin against the rules of docs/conformance.md."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from genbench.commands.arguments import OptionValues, PluginSource, names_of, plugin_paths, request_with_options
from genbench.commands.printed import Printable
from genbench.errors import UsageError, near_miss
from genbench.planning.request import parse_setting
from genbench.plugins.catalogue import SINGULAR, discover
from genbench.plugins.loader import Kind
from genbench.testing.check import Outcome, Verdict
from genbench.testing.checks import BY_NAME
from genbench.testing.in_child import CHECK_SECONDS, examine_isolated
from genbench.testing.targets import find_targets


@dataclass(frozen=True, repr=False)
class PluginCheck(Printable):
    """The outcome of each rule."""

    outcomes: tuple[Outcome, ...]

    @property
    def verdict(self) -> Verdict:
        """``failed`` if a rule is broken, else ``undecided`` if the time of one ran out, else ``ok``."""
        verdicts = {outcome.verdict for outcome in self.outcomes}
        return "failed" if "failed" in verdicts else "undecided" if "undecided" in verdicts else "ok"

    def text(self) -> str:
        """Return a line per rule, why a broken one matters and how to fix it, and the counts."""
        lines, before = [], ""
        for outcome in self.outcomes:
            lines.append(outcome_text(outcome, before))
            before = outcome_heading(outcome)
        return "".join(f"{line}\n" for line in [*lines, "", self.summary()])

    def summary(self) -> str:
        """Return how many rules have each verdict."""
        counts = Counter(outcome.verdict for outcome in self.outcomes)
        shown = [verdict for verdict in get_args(Verdict) if verdict != "undecided" or counts[verdict]]
        return ", ".join(f"{counts[verdict]} {verdict}" for verdict in shown)

    def as_data(self) -> list[dict[str, Any]]:
        """Return each outcome with its rule as plain data."""
        rules = map(_describe_rule, self.outcomes)
        # "mend" is the former name of "fix", kept for scripts that read it.
        return [
            {**dataclasses.asdict(outcome), **rule, "mend": rule["fix"]}
            for outcome, rule in zip(self.outcomes, rules, strict=True)
        ]


def check_plugin(
    name: str,
    *,
    plugins: PluginSource | Sequence[PluginSource] = (),
    kind: str | None = None,
    only: str | Sequence[str] = (),
    set: OptionValues = (),
    timeout: float = CHECK_SECONDS,
    progress: Callable[[Outcome], None] = lambda outcome: None,
) -> PluginCheck:
    """Check a plugin against the rules of docs/conformance.md in a child process, as `genbench plugin test`.

    Raises `UsageError` with the nearest name for an unknown plugin or rule.

    Args:
        name: a plugin, a distribution, a file ending in .py, or something that a plugin registers.
        plugins: plugin files, or imported modules with a file of their own.
        kind: of `name`, such as ``model``, if a model and a loss share it.
        only: check these rules only.
        set: options of the plugin under test, as ``{"my-gan.width": 8}``.
        timeout: seconds per rule.
        progress: called with each outcome as it arrives.
    """
    rules = names_of(only)
    for rule in rules:
        if rule not in BY_NAME:
            raise UsageError(
                f"Unknown rule '{rule}'.{near_miss(rule, BY_NAME)}", f"Rules: {', '.join(BY_NAME)}.", code="GB101"
            )
    if not timeout > 0:
        raise UsageError(f"--timeout {timeout:g} is not positive.", "Give a number of seconds above 0.")
    singular = {word: known for known, word in SINGULAR.items()}
    if kind is not None and kind not in singular:
        raise UsageError(
            f"Unknown kind '{kind}'.{near_miss(kind, singular)}", f"Kinds: {', '.join(singular)}.", code="GB101"
        )
    files = plugin_paths(plugins)
    if name.endswith(".py"):
        name = str(Path(name).expanduser().resolve())
        files = [*files, name]
    chosen: Kind | None = None if kind is None else singular[kind]
    targets = find_targets([name], discover(files), chosen, _options(set))
    for refusal in targets.refusals:
        progress(refusal)
    return PluginCheck((*targets.refusals, *examine_isolated(targets, rules, timeout, progress)))


def outcome_heading(outcome: Outcome) -> str:
    """Return what an outcome is about."""
    return f"{SINGULAR.get(outcome.kind, 'plugin')} {outcome.subject}"  # type: ignore[call-overload]


def outcome_text(outcome: Outcome, before: str) -> str:
    """Return the lines about an outcome, below its heading if that is not the one of `before`."""
    heading = outcome_heading(outcome)
    lines = ([""] if before else []) + [heading] if heading != before else []
    reason = outcome.reason.replace("\n", "\n           ")
    lines.append(f"  {outcome.verdict:<7}  {outcome.check}{': ' if reason else ''}{reason}")
    if outcome.verdict in ("failed", "undecided"):
        lines += [f"{'':<11}{key + ':':<6}{text}" for key, text in _describe_rule(outcome).items()]
    return "\n".join(lines)


def _options(given: OptionValues) -> dict[str, dict[str, Any]]:
    """Return options by owner; a list is a value here, not a sweep."""
    if not isinstance(given, str) and isinstance(given, Sequence):
        found: dict[str, dict[str, Any]] = {}
        for owner, option, value in map(parse_setting, given):
            found.setdefault(owner, {})[option] = value
        return found
    return {owner: dict(values) for owner, values in request_with_options({}, given).set.items()}


def _describe_rule(outcome: Outcome) -> dict[str, str]:
    rule = BY_NAME[outcome.check]
    return {"rule": rule.what, "why": rule.why, "fix": outcome.fix or rule.fix}
