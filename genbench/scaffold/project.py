"""What a new plugin package consists of: text for each file, made from a template, a kind and a name."""

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

ProjectKind = Literal["model", "loss", "dataset", "metric", "family"]
ProjectFamily = Literal["adversarial", "variational"]

KINDS: tuple[str, ...] = get_args(ProjectKind)
FAMILIES: tuple[str, ...] = get_args(ProjectFamily)
OF_A_FAMILY = ("model", "loss")  # kinds that exist for each built-in family

# A spec's name, less what the name of a distribution and of a module cannot be. Nothing in it needs quoting anywhere.
_NAME = re.compile(r"[a-z]([a-z0-9_-]*[a-z0-9])?")
_LONGEST = 40
_WORDS = {  # what the one-line summary says, and the module that does the work
    "model-adversarial": ("a generator and a discriminator of dense layers", "networks.py"),
    "model-variational": ("an encoder and a decoder of dense layers", "networks.py"),
    "loss-adversarial": ("hinge loss with a margin", "loss.py"),
    "loss-variational": ("evidence lower bound with Laplace-distributed pixels", "loss.py"),
    "dataset": ("small and large discs", "data.py"),
    "metric": ("difference of mean brightness between samples and held-out images", "metric.py"),
    "family": ("matching of the images' mean and variance", "family.py"),
}
_BESIDE = {"adversarial": "gan", "variational": "vae"}  # the built-in model that the first run trains too


@dataclass(frozen=True)
class Project:
    """A plugin package that is to be written; raises `UsageError` for a name that cannot be one."""

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
        """The folder of templates."""
        return f"{self.kind}-{self.family}" if self.kind in OF_A_FAMILY else self.kind

    @property
    def work(self) -> str:
        """The module that does the work: what an author changes first."""
        return _WORDS[self.template][1]

    @property
    def arguments(self) -> str:
        """What follows `genbench run` to see it beside what is built in."""
        beside = _BESIDE[self.family]
        return {
            "model": f"--models {self.name},{beside}",
            "loss": f"--models {beside} --losses {self.name}",
            "dataset": f"--models gan --datasets {self.name}",
            "metric": f"--models gan --metrics {self.name}",
            "family": f"--models {self.name},gan",
        }[self.kind]

    def files(self) -> dict[str, str]:
        """Return the text of every file by its path inside the project's folder."""
        summary, work = _WORDS[self.template][0], self.work
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
        """Write the project into a new folder; raise `UsageError` where there is something already."""
        if folder.exists() or folder.is_symlink():
            raise UsageError(f"{folder} exists already.", "Remove it, or name another folder with --out DIR.")
        try:
            for path, text in self.files().items():
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{folder} cannot be written: {error.strerror}.", "Name another with --out DIR.") from None


def _require_name(name: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        allowed = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-0123456789")
        hint = f" Did you mean '{allowed}'?" if _NAME.fullmatch(allowed) and len(allowed) <= _LONGEST else ""
        raise UsageError(
            f"'{name}' cannot be the name of a plugin.{hint}",
            "Use lower-case letters, digits, '-' and '_', beginning with a letter, ending with a letter or digit.",
        )
    module = name.replace("-", "_")
    taken = module in sys.stdlib_module_names or keyword.iskeyword(module)
    if taken or module in ("genbench", "torch", "tests", "test", "src"):
        raise UsageError(
            f"A package named '{module}' would stand in the way of Python's own, or of torch's.",
            f"Choose another name, such as 'my-{name}'.",
        )


def _read(source: str) -> str:
    return (resources.files("genbench.scaffold") / "templates" / f"{source}.txt").read_text(encoding="utf-8")


def _fill(text: str, words: dict[str, str]) -> str:
    """Put words in the place of ``@WORD@``; an unknown one is a fault of the template."""
    return re.sub(r"@([A-Z]+)@", lambda found: words[found[1]], text)
