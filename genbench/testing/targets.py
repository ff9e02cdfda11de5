"""From a name to what is to be examined: everything that a plugin registers, or one model, loss, dataset …"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from genbench.api.specs import ConfigurableSpec, Spec
from genbench.errors import UsageError, near_miss
from genbench.plan.settings import Settings, check_settings
from genbench.plugins.catalogue import SINGULAR, Catalogue
from genbench.plugins.loader import SPEC_TYPES, Kind, Plugin
from genbench.testing.check import Outcome
from genbench.testing.findings import NotApplicable
from genbench.testing.subject import Subject


@dataclasses.dataclass(frozen=True)
class Targets:
    """What a name stands for."""

    subjects: list[Subject]  # from the descriptions of plugins: enough to say what is needed, not to try anything
    quarantined: list[Plugin]
    settings: Settings

    @property
    def plugins(self) -> list[dict[str, Any]]:
        """The third-party plugins that have to be imported to try them, as fields of `Plugin`."""
        needed = {plugin.target: plugin for subject in self.subjects for plugin in _needed(subject)}
        return [dataclasses.asdict(plugin) for plugin in needed.values() if plugin.origin != "builtin"]

    @property
    def refusals(self) -> list[Outcome]:
        """What there is to say of the quarantined plugins."""
        return [Outcome("plugins", plugin.title, "loads", "failed", _refusal(plugin)) for plugin in self.quarantined]


def find_targets(
    names: Sequence[str], catalogue: Catalogue, kind: Kind | None = None, settings: Settings | None = None
) -> Targets:
    """Return what the names mean: plugins by name, distribution or file, or specs; raise `UsageError` for others."""
    subjects: dict[tuple[Kind, str], Subject] = {}
    quarantined: list[Plugin] = []
    for name in names:
        plugins = [p for p in catalogue.plugins if name in (p.name, p.distribution, p.target)]
        quarantined += [plugin for plugin in plugins if plugin.quarantined]
        sound = [plugin for plugin in plugins if not plugin.quarantined]
        found = [(k, spec) for plugin in sound for k in SPEC_TYPES for spec in plugin.registers.get(k, [])]
        if not plugins:
            found = [(k, name) for k in SPEC_TYPES if name in catalogue.entries(k)]
            for k in SPEC_TYPES:
                quarantined += catalogue.quarantined_claims(k, name)
        found = [(k, spec) for k, spec in found if kind in (None, k)]
        if not found and not quarantined:
            raise _unknown(name, kind, catalogue, plugins)
        subjects |= {(k, spec): Subject(k, spec, catalogue, settings or {}) for k, spec in found}
    given = settings or {}
    check_settings(given, [spec for subject in subjects.values() for spec in _configurable(subject)], catalogue)
    return Targets([*subjects.values()], quarantined, given)


def _needed(subject: Subject) -> Iterable[Plugin]:
    """Return the plugins of a subject, and of the model, loss and family that it is tried with."""
    yield subject.entry.plugin
    if subject.kind not in ("models", "losses", "families"):
        return
    try:
        model, loss = subject.model, subject.loss
    except (NotApplicable, UsageError):  # the checks will say so
        return
    for kind, name in (("models", model.name), ("losses", loss.name), ("families", model.family)):
        found = subject.catalogue.entries(kind).get(name)  # type: ignore[arg-type]
        if found is not None:
            yield found.plugin


def _configurable(subject: Subject) -> list[ConfigurableSpec]:
    """Return the specs with options that take part where this subject is tried."""
    specs: list[Spec] = [subject.spec]
    with contextlib.suppress(NotApplicable, UsageError):
        if subject.kind in ("models", "losses", "families"):
            specs += [subject.model, subject.loss]
    return [spec for spec in specs if isinstance(spec, ConfigurableSpec)]


def _refusal(plugin: Plugin) -> str:
    return f"{plugin.reason}\n{plugin.traceback}".strip()


def _unknown(name: str, kind: Kind | None, catalogue: Catalogue, plugins: Sequence[Plugin]) -> UsageError:
    if kind and plugins:
        there = [SINGULAR[k] for k in SPEC_TYPES for plugin in plugins if plugin.registers.get(k)]
        return UsageError(
            f"There is nothing to test: {plugins[0].title} registers no {SINGULAR[kind]}.",
            f"Leave --kind out, or say one that it has: {', '.join(dict.fromkeys(there))}.",
        )
    kinds = [kind] if kind else list(SPEC_TYPES)
    known = {n for k in kinds for n in catalogue.entries(k)} | {plugin.name for plugin in catalogue.plugins}
    what = f"no {SINGULAR[kind]} is" if kind else "nothing is"
    return UsageError(
        f"There is nothing to test: {what} named '{name}'.{near_miss(name, known)}",
        "\n".join(
            [
                *catalogue.suspicions(),
                "Name a plugin, its distribution, a file ending in .py, or what a plugin registers "
                "(`genbench plugin list`).",
            ]
        ),
    )
