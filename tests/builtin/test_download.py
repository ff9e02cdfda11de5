"""Downloads are complete and verified, or say what went wrong, and go on where they stopped."""

from __future__ import annotations

import hashlib
import http.client
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_server import Files, file_server

from genbench.api.images import loading_shown
from genbench.builtin import download
from genbench.builtin.download import Download, DownloadError

CONTENT = random.Random(0).randbytes(700_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def server() -> Iterator[Files]:
    with file_server() as files:
        files.content["/faces.zip"] = CONTENT
        yield files


def fetch(server: Files, root: Path, *paths: str) -> list[float]:
    """Download; return the pauses before further attempts."""
    pauses: list[float] = []
    Download([server.url + path for path in paths or ("/faces.zip",)], "celeba/faces.zip", MD5).fetch(
        root, pauses.append
    )
    assert (root / "celeba" / "faces.zip").read_bytes() == CONTENT
    assert [file.name for file in (root / "celeba").iterdir()] == ["faces.zip"]
    return pauses


def test_a_file_is_fetched_once_with_its_progress(
    server: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_SHOWN_EVERY", 0.0)
    monkeypatch.setattr(download, "_MEGABYTE", 1000)
    shown: list[tuple[str, int, int]] = []
    with loading_shown(lambda *said: shown.append(said)):
        fetch(server, tmp_path)
    fetch(server, tmp_path)
    assert server.asked == [("/faces.zip", "")]
    assert {(what, total) for what, _, total in shown} == {("downloading faces.zip, MB", 700)}
    assert [done for _, done, _ in shown] == sorted(done for _, done, _ in shown)
    assert shown[-1][1] == 700


def test_a_connection_that_ends_early_is_resumed(server: Files, tmp_path: Path) -> None:
    server.cut_after = [100_000, 0, 250_000]
    assert fetch(server, tmp_path) == [1.0, 2.0, 1.0]  # longer after an attempt that brought nothing
    assert [wanted for _, wanted in server.asked] == ["", "bytes=100000-", "bytes=100000-", "bytes=350000-"]


def test_a_server_that_knows_no_parts_sends_everything_again(server: Files, tmp_path: Path) -> None:
    server.cut_after, server.ranges = [100_000], False
    fetch(server, tmp_path)


def test_what_arrived_is_kept_for_the_next_call(server: Files, tmp_path: Path) -> None:
    server.cut_after = [300_000] + [0] * (download.ATTEMPTS - 1)
    with pytest.raises(DownloadError, match=r"ended after 300,000 of 700,000 bytes; the first 300,000 bytes are kept"):
        fetch(server, tmp_path)
    assert not (tmp_path / "celeba" / "faces.zip").exists()
    server.asked.clear()
    assert fetch(server, tmp_path) == []
    assert server.asked == [("/faces.zip", "bytes=300000-")]


def test_a_stop_keeps_what_arrived(server: Files, tmp_path: Path) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with loading_shown(stop), pytest.raises(KeyboardInterrupt):
        fetch(server, tmp_path)
    assert (tmp_path / "celeba" / "faces.zip.part").stat().st_size > 0
    fetch(server, tmp_path)


def test_a_beginning_of_something_else_is_dropped(server: Files, tmp_path: Path) -> None:
    part = tmp_path / "celeba" / "faces.zip.part"
    part.parent.mkdir()
    for length in (1000, len(CONTENT), len(CONTENT) + 5):
        part.write_bytes(bytes(length))
        fetch(server, tmp_path)
        (tmp_path / "celeba" / "faces.zip").unlink()


def test_a_file_that_has_changed_is_told_from_one_that_arrives_damaged(
    server: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.content["/faces.zip"] = b"a new edition"
    with pytest.raises(
        DownloadError, match=f"faces.zip has changed: it has 13 bytes and the md5 .*, the published .* {MD5}"
    ):
        fetch(server, tmp_path)
    damaged = iter([b"a new editi0n", b"a n3w edition"])
    answer = Files.answer

    def damage(files: Files, handler: object) -> None:
        files.content["/faces.zip"] = next(damaged)
        answer(files, handler)  # type: ignore[arg-type]

    monkeypatch.setattr(Files, "answer", damage)
    with pytest.raises(DownloadError, match="arrived damaged twice"):
        fetch(server, tmp_path)
    assert list((tmp_path / "celeba").iterdir()) == []


def test_a_busy_server_is_asked_again_and_a_refusal_is_not(server: Files, tmp_path: Path) -> None:
    server.statuses = [503, 429]
    assert fetch(server, tmp_path / "busy") == [1.0, 2.0]
    for status, reason in (
        (404, "is not there any more"),
        (410, "is not there any more"),
        (403, "refused .HTTP status 403"),
    ):
        server.statuses = [status]
        with pytest.raises(DownloadError, match=reason):
            fetch(server, tmp_path / str(status))
        assert server.statuses == []


def test_redirections_are_followed_but_not_to_a_page(server: Files, tmp_path: Path) -> None:
    server.redirects = {"/old": f"{server.url}/faces.zip", "/limited": f"{server.url}/quota"}
    server.pages = {"/quota": b"<html>Too many users have downloaded this file"}
    fetch(server, tmp_path / "moved", "/old")
    with pytest.raises(DownloadError, match=r"/limited led to http://127.*/quota, which answered with a web page"):
        fetch(server, tmp_path / "limited", "/limited")


WARNING = """<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head><body>
<form action="/search" method="get"><input type="hidden" name="q" value="another form"></form>
<p>img.zip (1.3G) is too large for Google to scan for viruses. Would you still like to download this file?</p>
<form id="download-form" action="%s" method="get"><input type="submit" id="uc-download-link" value="Download anyway"/>
<input type="hidden" name="id" value="0B7E"><input type="hidden" name="export" value="download">
<input type="hidden" name="confirm" value="t"><input type="hidden" name="uuid" value="5f0e-aa&amp;b"></form>
</body></html>
"""
CONFIRMED = "/download?id=0B7E&export=download&confirm=t&uuid=5f0e-aa%26b"


def test_the_form_that_confirms_a_large_file_of_google_drive_is_followed(server: Files, tmp_path: Path) -> None:
    """Also when the download is resumed, with the part that is missing."""
    server.pages = {"/large": (WARNING % f"{server.url}/download").encode()}
    server.content[CONFIRMED] = CONTENT
    fetch(server, tmp_path / "whole", "/large")
    assert server.asked == [("/large", ""), (CONFIRMED, "")]
    server.asked.clear()
    server.cut_after = [10, len(server.pages["/large"]), 100_000]  # the page too may arrive in part
    fetch(server, tmp_path / "resumed", "/large")
    assert server.asked[3:] == [("/large", "bytes=100000-"), (CONFIRMED, "bytes=100000-")]


def test_a_confirmation_that_leads_to_a_page_again_is_a_limit_of_downloads(server: Files, tmp_path: Path) -> None:
    server.pages = {
        "/large": (WARNING % "/download").encode(),
        CONFIRMED: b"<title>Google Drive - Quota exceeded</title>",
    }
    with pytest.raises(DownloadError, match=r"/large led to http.*/download.*web page, not the file: .* a limit"):
        fetch(server, tmp_path, "/large")
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("page", "address"),
    [
        (WARNING % "https://drive.usercontent.google.com/download", f"https://drive.usercontent.google.com{CONFIRMED}"),
        (WARNING % "/download", f"https://drive.google.com{CONFIRMED}"),
        (WARNING % "http://drive.usercontent.google.com/download", None),  # it would not be encrypted any more
        (WARNING % "file:///etc/passwd", None),
        (WARNING.replace('method="get"', 'method="post"') % "/download", None),
        ("<html><form id='login' action='/login'></form></html>", None),
    ],
)
def test_the_address_of_a_confirmation(page: str, address: str | None) -> None:
    assert download.confirmed_address(page, "https://drive.google.com/uc?id=0B7E") == address


def test_an_encrypted_connection_is_not_left(server: Files) -> None:
    request = download.urllib.request.Request("https://example.invalid/faces.zip")
    headers = http.client.HTTPMessage()
    with pytest.raises(DownloadError, match=r"redirects to http://example\.invalid/faces.zip, which is not encrypted"):
        download._Redirects().redirect_request(request, None, 302, "", headers, "http://example.invalid/faces.zip")


def test_the_next_address_is_tried(server: Files, tmp_path: Path) -> None:
    fetch(server, tmp_path, "/gone", "/faces.zip")
    with pytest.raises(DownloadError, match=r"/gone is not .*; http.*/lost is not"):
        fetch(server, tmp_path / "neither", "/gone", "/lost")


def test_without_a_network_nothing_waits(tmp_path: Path) -> None:
    with file_server() as server:
        pass
    with pytest.raises(DownloadError, match="Connection refused"):
        Download([f"{server.url}/faces.zip"], "faces.zip", MD5).fetch(tmp_path, sleep=lambda _: pytest.fail("it waits"))


def test_a_folder_that_cannot_be_written_is_named(server: Files, tmp_path: Path) -> None:
    (tmp_path / "celeba").write_text("a file", encoding="ascii")
    with pytest.raises(DownloadError, match=f"{tmp_path}/celeba cannot be written"):
        Download([f"{server.url}/faces.zip"], "celeba/faces.zip", MD5).fetch(tmp_path)


def test_a_full_disk_is_no_fault_of_the_network(server: Files, tmp_path: Path) -> None:
    (tmp_path / "faces.zip.part").symlink_to("/dev/full")
    with pytest.raises(DownloadError, match="cannot be written: No space left"):
        Download([f"{server.url}/faces.zip"], "faces.zip", MD5).fetch(tmp_path)
