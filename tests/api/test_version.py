"""A plugin for another version of the interface is quarantined before it is imported, with a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from plugin_packages import expose, temp_plugin

import genbench
from genbench.api.version import declared_api, require_api
from genbench.errors import SpecError
from genbench.plugins.catalogue import discover

LOSS = """
    import genbench
    {first}

    @genbench.hookimpl
    def genbench_losses():
        yield genbench.LossSpec(name="acme-{name}", family="adversarial", create=len)
"""


@pytest.mark.parametrize("declared", [None, "2", "2.0", "2.3"])
def test_the_same_major_version_and_no_newer_minor_version_is_accepted(declared: str | None) -> None:
    require_api(declared, "2.3")


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ("1.9", "it was written for version 1.9 .*; this genbench has 2.3.*\n.*newer version of the plugin"),
        ("3", "it needs version 3 .*; this genbench has 2.3.*\n.*newer genbench"),
        ("2.4", "it needs version 2.4 .*; this genbench has 2.3.*\n.*newer genbench"),
        ("", "is not a version"),
        ("two", 'Write it as text, such as requires_api = "2.3"'),
        (2.3, "is not a version"),
    ],
)
def test_any_other_version_is_rejected_with_a_remedy(declared: object, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        require_api(declared, "2.3")


@pytest.mark.parametrize(
    ("text", "declared"),
    [
        ('requires_api = "1.0"', "1.0"),
        ('"""Doc."""\nimport a_module_of_later\nrequires_api: str = "9"', "9"),
        ("requires_api = ask()", None),
        ("x = 1", None),
        ("def broken(:", None),
    ],
)
def test_the_version_is_read_from_the_source_text(tmp_path: Path, text: str, declared: str | None) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    assert declared_api(str(path), is_file=True) == declared


def test_installed_plugins_are_used_or_quarantined_by_their_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = {
        "acme-now": f'requires_api = "{genbench.API_VERSION}"',
        "acme-later": 'requires_api = "9.0"\n    from genbench import SomethingOfLater',
        "acme-early": 'requires_api = "0.3"',
        "acme-computed": 'requires_api = ".".join(["9", "1"])',
    }
    for name, first in sources.items():
        temp_plugin(tmp_path, LOSS.format(first=first, name=name), name=name)
    expose(tmp_path, monkeypatch)
    catalogue = discover()
    reasons = {plugin.name: plugin.reason for plugin in catalogue.plugins}
    assert "acme-acme-now" in catalogue.losses
    assert reasons["acme-later"].startswith("it needs version 9.0 of genbench's plugin interface")
    assert reasons["acme-early"].startswith("it was written for version 0.3 of genbench's plugin interface")
    assert reasons["acme-computed"].startswith("it needs version 9.1")
