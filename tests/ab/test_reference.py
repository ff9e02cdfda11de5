"""How the versions of a comparison are named, and the errors for those that do not exist."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from genbench.ab.reference import find_reference, uncommitted
from genbench.errors import UsageError


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with two commits, a branch `topic` on the first, and a folder of that name."""
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    (root / "pyproject.toml").write_text("[project]\nname = 'x'\nversion = '1'\n")
    git(root, "add", ".")
    git(root, "commit", "-qm", "one")
    git(root, "branch", "topic")
    (root / "more.txt").write_text("more")
    git(root, "add", ".")
    git(root, "commit", "-qm", "two")
    (root / "topic").mkdir()
    return root


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(root), *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_a_branch_a_commit_and_a_relative_revision(repository: Path) -> None:
    first, last = git(repository, "rev-parse", "HEAD~1"), git(repository, "rev-parse", "HEAD")
    assert find_reference("topic", repository).commit == first
    assert find_reference("HEAD~1", repository).commit == first
    assert find_reference(last[:8], repository).commit == last
    assert find_reference("main", repository / "topic").path == repository  # also from within a folder


def test_a_label_names_the_commit_once(repository: Path) -> None:
    commit = git(repository, "rev-parse", "main")
    assert find_reference("main", repository).label == f"main ({commit[:10]})"
    assert find_reference(commit[:8], repository).label == commit[:8]


def test_a_misspelt_revision_gets_the_near_miss(repository: Path) -> None:
    with pytest.raises(UsageError, match=r"no revision 'tpoic'.*topic"):
        find_reference("tpoic", repository)


@pytest.mark.parametrize("text", ["--upload-pack=x", "-h", "HEAD^{tree}", "", "main..topic"])
def test_what_does_not_name_a_commit_is_refused(repository: Path, text: str) -> None:
    with pytest.raises(UsageError, match="no revision"):
        find_reference(text, repository)


def test_outside_a_repository_a_revision_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not in a git repository"):
        find_reference("main", tmp_path)


def test_a_directory_has_its_commit_and_whether_it_was_changed(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    (repository / "topic").rmdir()
    clean = find_reference(".", repository)
    assert (clean.kind, clean.dirty) == ("directory", False)
    (repository / "more.txt").write_text("changed")
    dirty = find_reference(".", repository)
    assert dirty.dirty
    assert dirty.label.endswith("with uncommitted changes")
    assert uncommitted(repository)


def test_a_directory_that_cannot_be_installed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no pyproject\.toml"):
        find_reference(str(tmp_path), tmp_path)
    with pytest.raises(UsageError, match="no directory"):
        find_reference("./nothing", tmp_path)


def test_a_wheel_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="no wheel"):
        find_reference("mine-1-py3-none-any.whl", tmp_path)
    (tmp_path / "mine-1-py3-none-any.whl").write_bytes(b"")
    assert find_reference("mine-1-py3-none-any.whl", tmp_path).kind == "wheel"
