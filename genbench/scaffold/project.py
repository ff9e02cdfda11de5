"""The files of a new plugin package, generated from templates for a kind and a name."""

from __future__ import annotations

import keyword
import re
import sys
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal, get_args

from genbench.api.hookspecs import API_VERSION
from genbench.errors import UsageError

ProjectKind = Literal["model", "loss", "dataset", "metric", "family", "executor"]
ProjectFamily = Literal["adversarial", "variational"]

KINDS: tuple[str, ...] = get_args(ProjectKind)
FAMILIES: tuple[str, ...] = get_args(ProjectFamily)
FAMILY_KINDS = ("model", "loss")  # kinds with one template per built-in family

# Names that are valid for a spec, a distribution and (with underscores) a module, and that never need quoting.
_NAME = re.compile(r"[a-z]([a-z0-9_-]*[a-z0-9])?")
_MAX_LENGTH = 40
_SUMMARIES = {  # by template: the one-line summary, and the module with the implementation
    "model-adversarial": ("a generator and a discriminator of dense layers", "networks.py"),
    "model-variational": ("an encoder and a decoder of dense layers", "networks.py"),
    "loss-adversarial": ("hinge loss with a margin", "loss.py"),
    "loss-variational": ("evidence lower bound with Laplace-distributed pixels", "loss.py"),
    "dataset": ("small and large discs", "data.py"),
    "metric": ("difference of mean brightness between samples and held-out images", "metric.py"),
    "family": ("matching of the images' mean and variance", "family.py"),
    "executor": ("a process for each cell", "executor.py"),
}
_BASELINES = {"adversarial": "gan", "variational": "vae"}  # the built-in model that the first run trains as well


@dataclass(frozen=True)
class Project:
    """A new plugin package; raises `UsageError` for an invalid name."""

    name: str
    kind: ProjectKind = "model"
    family: ProjectFamily = "adversarial"

    def __post_init__(self) -> None:
        _require_name(self.name)

    @property
    def module(self) -> str:
        """The package's import name."""
        return self.name.replace("-", "_")

    @property
    def template(self) -> str:
        """The folder with the templates."""
        return f"{self.kind}-{self.family}" if self.kind in FAMILY_KINDS else self.kind

    @property
    def work(self) -> str:
        """The module with the implementation, which an author changes first."""
        return _SUMMARIES[self.template][1]

    @property
    def arguments(self) -> str:
        """The arguments of `genbench run` that compare it with built-in plugins."""
        baseline = _BASELINES[self.family]
        return {
            "model": f"--models {self.name},{baseline}",
            "loss": f"--models {baseline} --losses {self.name}",
            "dataset": f"--models gan --datasets {self.name}",
            "metric": f"--models gan --metrics {self.name}",
            "family": f"--models {self.name},gan",
            "executor": f"--models gan --executor {self.name} --device cpu",
        }[self.kind]

    def files(self) -> dict[str, str]:
        """Return the text of every file, by its path in the project folder."""
        summary, work = _SUMMARIES[self.template][0], self.work
        words = {
            "NAME": self.name,
            "MODULE": self.module,
            "API": API_VERSION,
            "SUMMARY": summary,
            "WORK": work,
            "ARGUMENTS": self.arguments,
            "QUICK": "" if self.kind == "metric" else " --metrics none",
        }
        sources = {
            "pyproject.toml": "common/pyproject.toml",
            "README.md": "common/README.md",
            ".gitignore": "common/gitignore",
            ".github/workflows/test.yml": "common/workflow.yml",
            f"src/{self.module}/__init__.py": f"{self.template}/__init__.py",
            f"src/{self.module}/{work}": f"{self.template}/{work}",
            f"tests/test_{self.module}.py": "common/test.py",
        }
        return {path: _fill(_read(source), words) for path, source in sources.items()}

    def write(self, folder: Path) -> None:
        """Write the project to a new folder; raise `UsageError` if the path exists."""
        if folder.exists() or folder.is_symlink():
            raise UsageError(
                f"{folder} already exists.", "Remove it, or choose another folder with --out DIR.", code="GB706"
            )
        try:
            for path, text in self.files().items():
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(
                f"{folder} cannot be written: {error.strerror}.", "Choose another with --out DIR.", code="GB702"
            ) from None


def _require_name(name: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > _MAX_LENGTH:
        allowed = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-0123456789")
        hint = f" Did you mean '{allowed}'?" if _NAME.fullmatch(allowed) and len(allowed) <= _MAX_LENGTH else ""
        raise UsageError(
            f"'{name}' is not a valid name for a plugin.{hint}",
            "Use lower-case letters, digits, '-' and '_'; begin with a letter, and end with a letter or digit.",
        )
    module = name.replace("-", "_")
    taken = module in sys.stdlib_module_names or keyword.iskeyword(module)
    if taken or module in ("genbench", "torch", "tests", "test", "src"):
        raise UsageError(
            f"A package named '{module}' would conflict with an existing package or keyword.",
            f"Choose another name, such as 'my-{name}'.",
            code="GB205",
        )


def _read(source: str) -> str:
    return (resources.files("genbench.scaffold") / "templates" / f"{source}.txt").read_text(encoding="utf-8")


def _fill(text: str, words: dict[str, str]) -> str:
    """Replace each ``@WORD@``; raises KeyError for an unknown word."""
    return re.sub(r"@([A-Z]+)@", lambda found: words[found[1]], text)
