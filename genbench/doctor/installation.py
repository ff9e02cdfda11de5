"""Python, torch, genbench and plugins: which versions, how installed, and whether they fit together."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import re
from platform import python_version

from genbench.doctor.finding import Figure, Finding, failed, one_line, passed
from genbench.system.abilities import ABILITIES

_REINSTALL = "Install torch and torchvision again, together: pip install --force-reinstall torch torchvision."


def versions(device: str) -> Finding:
    """Return the versions; fail where one is too old or mixed up, or torch or torchvision cannot be imported."""
    figures = [
        Figure("python", python_version()),
        Figure("genbench", f"{_version('genbench')} ({_how_installed('genbench')})"),
    ]
    too_old = [
        f"{name} {found} is older than {least}"
        for name, least in _least_versions().items()
        if (found := _version(name)) and _numbers(found) < _numbers(least)
    ]
    if too_old:
        return failed(f"{'; '.join(too_old)}.", "Upgrade: pip install --upgrade genbench.", *figures)
    try:
        import torch

        torchvision = importlib.import_module("torchvision").__version__ if _version("torchvision") else "not installed"
    except Exception as error:  # a wrong pair fails with RuntimeError while it registers operators
        return failed(f"torch or torchvision cannot be imported: {one_line(error)}.", _REINSTALL, *figures)
    figures += [
        Figure("torch", f"{torch.__version__} ({_how_installed('torch')})"),
        Figure("CUDA", torch.version.cuda or "not built in"),
        Figure("torchvision", str(torchvision)),
    ]
    imported, installed = str(torch.__version__).partition("+")[0], _version("torch").partition("+")[0]
    if installed and imported != installed:
        return failed(
            f"The torch that is imported is {imported}, the installed one {installed}.",
            f"Two copies of torch are mixed up; check PYTHONPATH. {_REINSTALL}",
            *figures,
        )
    if float(torch.ones(3) @ torch.ones(3)) != 3.0:
        return failed("torch computes 1 + 1 + 1 incorrectly.", _REINSTALL, *figures)
    return passed(*figures)


def platform(device: str) -> Finding:
    """Return what there is on this system of what depends on it."""
    return passed(*(Figure(ability.name, ability.here) for ability in ABILITIES))


def plugins(device: str) -> Finding:
    """Load every plugin, third-party ones in a process of their own; fail where one is quarantined."""
    from genbench.plugins.catalogue import discover

    catalogue = discover()
    figures = [
        Figure("plugins", len(catalogue.plugins)),
        Figure("models", len(catalogue.models)),
        Figure("losses", len(catalogue.losses)),
        Figure("datasets", len(catalogue.datasets)),
    ]
    broken = [plugin for plugin in catalogue.plugins if plugin.quarantined]
    if broken:
        names = ", ".join(plugin.title for plugin in broken)
        return failed(
            " ".join(f"The {plugin.explanation}" for plugin in broken),
            f"See `genbench plugin list` for the traceback; repair, upgrade or uninstall {names}.",
            *figures,
        )
    return passed(*figures)


def _version(package: str) -> str:
    """Return the installed version, or an empty string."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _how_installed(package: str) -> str:
    """Return how pip installed a package, from its record (PEP 610)."""
    try:
        record = importlib.metadata.distribution(package).read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
    if record is None:
        return "package"
    source = json.loads(record)
    if source.get("dir_info", {}).get("editable"):
        return "editable"
    return "version control" if "vcs_info" in source else "local file or URL"


def _least_versions() -> dict[str, str]:
    """Return the least version of each package that genbench always requires."""
    try:
        required = importlib.metadata.requires("genbench") or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    found = (re.match(r"([\w.-]+)\s*>=\s*([\d.]+)\s*$", text) for text in required if ";" not in text)
    return {match[1]: match[2] for match in found if match}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3])
