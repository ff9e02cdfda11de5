"""Resolving a name to the subjects to check: everything that a plugin registers, or one model, loss, dataset …"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from genbench.api.specs import ConfigurableSpec, Spec
from genbench.errors import UsageError, near_miss
from genbench.planning.settings import Settings, check_settings
from genbench.plugins.catalogue import SINGULAR, Catalogue
from genbench.plugins.loader import SPEC_TYPES, Kind, Plugin
from genbench.testing.check import Outcome
from genbench.testing.findings import NotApplicable
from genbench.testing.subject import Subject


@dataclasses.dataclass(frozen=True)
class Targets:
    """The subjects that some names refer to."""

    subjects: list[Subject]  # made from descriptions of plugins, without importing them: they cannot run
    quarantined: list[Plugin]
    settings: Settings

    @property
    def plugins(self) -> list[dict[str, Any]]:
        """The third-party plugins that have to be imported for the checks, as fields of `Plugin`."""
        needed = {plugin.target: plugin for subject in self.subjects for plugin in _needed_plugins(subject)}
        return [dataclasses.asdict(plugin) for plugin in needed.values() if plugin.origin != "builtin"]

    @property
    def refusals(self) -> list[Outcome]:
        """A failed outcome for each quarantined plugin."""
        return [
            Outcome("plugins", plugin.title, "loads", "failed", _describe_quarantine(plugin))
            for plugin in self.quarantined
        ]


def find_targets(
    names: Sequence[str], catalogue: Catalogue, kind: Kind | None = None, settings: Settings | None = None
) -> Targets:
    """Find plugins by name, distribution or file, or specs by name; raise `UsageError` for an unknown name."""
    subjects: dict[tuple[Kind, str], Subject] = {}
    quarantined: list[Plugin] = []
    for name in names:
        plugins = [p for p in catalogue.plugins if name in (p.name, p.distribution, p.target)]
        quarantined += [plugin for plugin in plugins if plugin.quarantined]
        usable = [plugin for plugin in plugins if not plugin.quarantined]
        found = [(k, spec) for plugin in usable for k in SPEC_TYPES for spec in plugin.registers.get(k, [])]
        if not plugins:
            found = [(k, name) for k in SPEC_TYPES if name in catalogue.entries(k)]
            for k in SPEC_TYPES:
                quarantined += catalogue.quarantined_claims(k, name)
        found = [(k, spec) for k, spec in found if kind in (None, k)]
        if not found and not quarantined:
            raise _unknown_name(name, kind, catalogue, plugins)
        subjects |= {(k, spec): Subject(k, spec, catalogue, settings or {}) for k, spec in found}
    given = settings or {}
    check_settings(given, [spec for subject in subjects.values() for spec in _configurable_specs(subject)], catalogue)
    return Targets([*subjects.values()], quarantined, given)


def _needed_plugins(subject: Subject) -> Iterable[Plugin]:
    """Return the plugins of a subject, and of the model, loss and family that it is checked with."""
    yield subject.entry.plugin
    if subject.kind not in ("models", "losses", "families"):
        return
    try:
        model, loss = subject.model, subject.loss
    except (NotApplicable, UsageError):  # the checks will report it
        return
    for kind, name in (("models", model.name), ("losses", loss.name), ("families", model.family)):
        found = subject.catalogue.entries(kind).get(name)  # type: ignore[arg-type]
        if found is not None:
            yield found.plugin


def _configurable_specs(subject: Subject) -> list[ConfigurableSpec]:
    """Return the specs with options that are used when this subject is checked."""
    specs: list[Spec] = [subject.spec]
    with contextlib.suppress(NotApplicable, UsageError):
        if subject.kind in ("models", "losses", "families"):
            specs += [subject.model, subject.loss]
    return [spec for spec in specs if isinstance(spec, ConfigurableSpec)]


def _describe_quarantine(plugin: Plugin) -> str:
    return f"{plugin.reason}\n{plugin.traceback}".strip()


def _unknown_name(name: str, kind: Kind | None, catalogue: Catalogue, plugins: Sequence[Plugin]) -> UsageError:
    if kind and plugins:
        registered = [SINGULAR[k] for k in SPEC_TYPES for plugin in plugins if plugin.registers.get(k)]
        return UsageError(
            f"There is nothing to test: {plugins[0].title} registers no {SINGULAR[kind]}.",
            f"Omit --kind, or give a kind that it registers: {', '.join(dict.fromkeys(registered))}.",
            code="GB101",
        )
    kinds = [kind] if kind else list(SPEC_TYPES)
    known = {n for k in kinds for n in catalogue.entries(k)} | {plugin.name for plugin in catalogue.plugins}
    what = f"no {SINGULAR[kind]} is" if kind else "nothing is"
    return UsageError(
        f"There is nothing to test: {what} named '{name}'.{near_miss(name, known)}",
        "\n".join(
            [
                *catalogue.quarantine_hints(),
                "Name a plugin, a distribution, a file ending in .py, or something that a plugin registers "
                "(see `genbench plugin list -v`).",
            ]
        ),
        code="GB101",
    )
