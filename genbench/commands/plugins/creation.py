"""`genbench.new_plugin`: an installable package with a working example."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path

from genbench.errors import UsageError, near_miss
from genbench.plugins.catalogue import LIKELIHOOD, discover
from genbench.plugins.loader import Kind
from genbench.plugins.metric_names import is_reserved
from genbench.scaffold.project import FAMILIES, FAMILY_KINDS, KINDS, Project

REGISTERS: dict[str, tuple[Kind, ...]] = {
    "model": ("models",),
    "loss": ("losses",),
    "dataset": ("datasets",),
    "metric": ("metrics",),
    "family": ("families", "models", "losses"),
    "executor": ("executors",),
}


@dataclass(frozen=True)
class NewPlugin:
    """A package that was created; printed, it says what to do next."""

    path: Path
    project: Project

    def __str__(self) -> str:
        project = self.project
        steps = (
            f"cd {shlex.quote(str(self.path))}",
            'pip install -e ".[test]"',
            "pytest",
            f"genbench run {project.arguments} --profile smoke",
        )
        head = f"{self.path} contains a plugin with the {project.kind} '{project.name}'. "
        return f"{head}Edit src/{project.module}/{project.work}, then run:\n\n" + "".join(f"    {s}\n" for s in steps)


def new_plugin(
    name: str, kind: str = "model", *, family: str | None = None, out: str | Path | None = None
) -> NewPlugin:
    """Create an installable package with a working example, as `genbench plugin new`.

    Raises `UsageError` for a name that is not valid or is taken, and for a folder that exists or cannot be written.

    Args:
        name: of the model, loss, dataset, metric, family or executor, and of the package.
        kind: what the plugin provides: ``model``, ``loss``, ``dataset``, ``metric``, ``family`` or ``executor``.
        family: of a model or loss: ``adversarial``, the default, or ``variational``.
        out: the new folder; by default, the name.
    """
    for what, given, known in (("kind", kind, KINDS), ("family", family, FAMILIES)):
        if given is not None and given not in known:
            raise UsageError(
                f"Unknown {what} '{given}'.{near_miss(given, known)}", f"Choose from: {', '.join(known)}.", code="GB101"
            )
    if family and kind not in FAMILY_KINDS:
        raise UsageError(f"--family does not apply to a {kind}.", "Remove it.", code="GB104")
    project = Project(name, kind, family or "adversarial")  # type: ignore[arg-type]
    _require_free(project)
    folder = Path(out or name)
    project.write(folder)
    return NewPlugin(folder, project)


def _require_free(project: Project) -> None:
    """Raise `UsageError` for a name that would quarantine the plugin or shadow an installed package."""
    catalogue = discover()
    for kind in REGISTERS[project.kind]:
        taken = catalogue.entries(kind).get(project.name)
        if taken is not None:
            raise UsageError(
                f"{taken.plugin.title} already registers the {project.kind} '{project.name}'.",
                "Choose another name.",
                code="GB205",
            )
    named = next((plugin for plugin in catalogue.plugins if plugin.name == project.name), None)
    if named is not None:
        raise UsageError(
            f"A plugin '{named.name}' ({named.distribution}) is already installed.",
            "Choose another name.",
            code="GB205",
        )
    if project.kind == "metric" and project.name in (LIKELIHOOD, "none"):
        raise UsageError(
            f"'{project.name}' is reserved: it has a meaning in --metrics.", "Choose another name.", code="GB205"
        )
    if project.kind == "metric" and is_reserved(project.name):
        raise UsageError(
            f"'{project.name}' is reserved: fid, kid and is need the Inception weights of 2015.",
            "Choose another name.",
            code="GB205",
        )
    if project.module in packages_distributions():
        raise UsageError(f"A package '{project.module}' is already installed.", "Choose another name.", code="GB205")
