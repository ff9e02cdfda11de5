"""The tutorials, as somebody follows them who has the documentation and the wheels, but not the repository.

Their commands are read from docs/ and typed in an empty folder. `pip install genbench` finds the wheels that are built
here; what genbench needs is there already. Trainings are shortened by flags that the pages name.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import tutorial_reader
from tutorial_reader import ROOT, SHORT, Newcomer, Typed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    tutorial_reader.build_wheels(folder)
    return folder


@pytest.fixture(scope="module")
def stranger(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Newcomer:
    variables = tutorial_reader.variables(wheels, tmp_path_factory.mktemp("environment"))
    cache = str(ROOT / ".mypy_cache" / "plugins")  # of torch's types
    variables |= {"OMP_NUM_THREADS": "1", "MYPY_CACHE_DIR": cache}
    return Newcomer(tmp_path_factory.mktemp("home"), variables)


@pytest.fixture(scope="module")
def followed(stranger: Newcomer) -> Iterator[dict[str, Future[list[Typed]]]]:
    """What was typed for each page; after the first, which installs genbench, two at a time."""
    first, *others = tutorial_reader.PAGES
    with ThreadPoolExecutor(2) as pool:
        installed = pool.submit(stranger.follow, first)
        installed.exception()
        yield {first: installed, **{page: pool.submit(stranger.follow, page) for page in others}}


def test_the_wheel_has_every_file_of_the_package_and_no_others(wheels: Path) -> None:
    (wheel,) = wheels.glob("genbench-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
        licences = {name.partition("/licenses/")[2] for name in archive.namelist() if "/licenses/" in name}
    expected = {path.relative_to(ROOT).as_posix() for path in (ROOT / "genbench").rglob("*") if path.is_file()}
    assert packed == {name for name in expected if "__pycache__" not in name}
    assert {Path(name).name for name in licences} == {"LICENSE", "LICENSE-fashion-mnist"}
    assert len(licences) == 3


def test_a_package_index_can_follow_the_links_of_the_description(wheels: Path) -> None:
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            description = archive.read(name).decode()
        targets = re.findall(r"\]\(([^)\s]+)\)", description)
        assert targets or not wheel.name.startswith("genbench-")
        assert all(target.startswith(("https://", "#")) for target in targets)
        for target in targets:
            if target.startswith(tutorial_reader.ADDRESS):
                path = target.removeprefix(tutorial_reader.ADDRESS).partition("#")[0]
                assert (ROOT / re.sub(r"^/(raw|blob|tree)/main/", "", path)).exists(), target


@pytest.mark.parametrize("page", tutorial_reader.PAGES)
def test_every_command_of_the_tutorial_works(followed: dict[str, Future[list[Typed]]], page: str) -> None:
    typed = followed[page].result()
    assert typed
    for done in typed:
        assert done.as_expected, f"{done.command}\n{done.output}"


def test_nothing_came_from_the_repository(followed: dict[str, Future[list[Typed]]], stranger: Newcomer) -> None:
    followed["faces"].result()
    code = "import genbench, genbench_orl_faces, sys; print(genbench.__file__, genbench_orl_faces.__file__, sys.path)"
    for command in (f'python -c "{code}"', "command -v genbench", "genbench plugin list --verbose"):
        done = stranger.type("", command)
        assert done.exit_code == 0, done.output
        assert str(ROOT) not in done.output
    assert str(stranger.home / "env") in stranger.type("", "command -v genbench").output


def test_the_comparison_has_its_report(followed: dict[str, Future[list[Typed]]], stranger: Newcomer) -> None:
    followed["report"].result()
    assert b"uPlot" in (stranger.home / "results" / "first" / "report.html").read_bytes()
    assert (stranger.home / "comparison.html").stat().st_size > 100_000


def test_photographs_become_faces(followed: dict[str, Future[list[Typed]]], stranger: Newcomer) -> None:
    typed = {done.command: done.output for done in followed["faces"].result()}
    assert "400 photographs in photos" in typed["python -m genbench_orl_faces photos"]
    written = {path.name for path in (stranger.home / "faces").glob("*.png")}
    assert {"faces.png", "between.png", "vae.png", "again.png", "faces-128.png"} <= written


def test_a_new_package_becomes_a_wheel_in_a_clean_environment(
    followed: dict[str, Future[list[Typed]]],
) -> None:
    said = {done.command: done.output for done in followed["plugins"].result()}
    assert "[my-gan 0.1.0]" in said["clean/bin/genbench list models"]
    # 100·128 + 128, 128·256 + 256 and 256·784 + 784: the generator with the layer that was put in.
    assert "generator 247,440" in said["clean/bin/genbench plugin show my-gan"]
    (table,) = (text for command, text in said.items() if command.startswith("genbench run"))
    assert {"my-gan", "gan"} <= set(table.split())


def test_the_gate_finds_a_planted_slowdown(followed: dict[str, Future[list[Typed]]], stranger: Newcomer) -> None:
    followed["ci"].result(), followed["plugins"].result()
    assert {"baseline.json", "junit.xml", "summary.md", "history.svg"} <= {
        path.name for path in (stranger.home / "ci").iterdir()
    }
    typed = stranger.guard_a_plugin()
    assert all(done.as_expected for done in typed), [done.output for done in typed]
    assert typed[-1].exit_code == 1
    assert "flops_per_image" in typed[-1].output


def test_the_pages_name_the_flags_that_shorten_them() -> None:
    for (page, _), flags in SHORT.items():
        text = re.sub(r"\s+", " ", (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8"))
        assert f"`{flags}`" in text
