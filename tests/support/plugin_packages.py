"""Throw-away plugin distributions for tests, really installed: found through their entry points, as anybody's are.

    temp_plugin(tmp_path, '''
        import genbench

        @genbench.hookimpl
        def genbench_models():
            yield genbench.ModelSpec(name="acme", family="adversarial", build=build, default_loss="minimax")
    ''', name="acme-models", version="1.2")
    subprocess.run([sys.executable, "-m", "genbench", "list"], env=environment(tmp_path))

Several distributions may share a directory. `expose` makes them visible to the running test too.
"""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest


def temp_plugin(
    site: Path,
    source: str,
    *,
    name: str = "temp-plugin",
    version: str = "1.0",
    entry_points: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
) -> str:
    """Install a distribution of one package into the directory `site` and return the package's import name.

    `source` is the text of the package's ``__init__.py`` (common indentation is removed), `files` further modules of
    the package by relative path. `entry_points` are those of the group ``genbench``, name to ``module:attribute``;
    without them there is one, named as the distribution, that names the package.
    """
    package = name.replace("-", "_")
    texts = _package_files(package, source, files)
    points = {name: package} if entry_points is None else entry_points
    about = f"{package}-{version}.dist-info"
    texts[f"{about}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    texts[f"{about}/INSTALLER"] = "temp_plugin\n"
    texts[f"{about}/entry_points.txt"] = "[genbench]\n" + "".join(f"{k} = {v}\n" for k, v in points.items())
    record = [f"{path},{_hash(text)},{len(text.encode())}" for path, text in texts.items()]
    texts[f"{about}/RECORD"] = "\n".join([*record, f"{about}/RECORD,,"]) + "\n"
    _write(site, texts)
    return package


def pip_install_plugin(site: Path, source: str, project: Path, *, name: str, version: str = "1.0") -> str:
    """Install the same kind of distribution with pip, from a project directory; slower than `temp_plugin`."""
    package = name.replace("-", "_")
    texts = {
        **_package_files(package, source, None),
        "pyproject.toml": textwrap.dedent(f"""\
            [build-system]
            requires = ["setuptools"]
            build-backend = "setuptools.build_meta"
            [project]
            name = "{name}"
            version = "{version}"
            [project.entry-points.genbench]
            {name} = "{package}"
            [tool.setuptools]
            packages = ["{package}"]
        """),
    }
    _write(project, texts)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    command = [*pip, "--no-build-isolation", "--target", str(site), str(project)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return package


def environment(site: Path, **variables: str) -> dict[str, str]:
    """Return this process's environment with `site` in front of PYTHONPATH, for a subprocess."""
    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **variables}


def expose(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make what is installed in `site` visible to this process and to those that it starts, until the test ends."""
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", environment(site)["PYTHONPATH"])


def _package_files(package: str, source: str, files: Mapping[str, str] | None) -> dict[str, str]:
    modules = {"__init__.py": source, **(files or {})}
    return {f"{package}/{path}": textwrap.dedent(text) for path, text in modules.items()}


def _write(directory: Path, texts: Mapping[str, str]) -> None:
    for path, text in texts.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
