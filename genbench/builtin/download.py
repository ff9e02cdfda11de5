"""Downloads of published files: resumed where they stopped, verified by checksum, with their progress shown."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genbench import show_loading

ATTEMPTS = 4  # in succession without a new byte
TIMEOUT = 20.0  # seconds without data
_BLOCK = 1 << 18
_SHOWN_EVERY = 0.5  # seconds
_MEGABYTE = 1_000_000
_GONE, _NOT_SATISFIABLE = (404, 410), 416


class DownloadError(Exception):
    """A file could not be downloaded; the text says why, and what became of it."""


@dataclass(frozen=True)
class Download:
    """A published file: where it is offered, and the checksum of its content."""

    urls: Sequence[str]  # of the same content; the next one is tried where one does not have it
    path: str  # under the root of the dataset
    md5: str

    def fetch(self, root: Path, sleep: Callable[[float], object] = time.sleep) -> None:
        """Write the file under `root`, complete and verified, or raise `DownloadError`; an existing one is kept.

        What arrived before a failure stays beside it as ``<name>.part``, and the next call goes on from there.
        """
        file = root / self.path
        if file.is_file():
            return
        reasons = []
        for url in self.urls:
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                _fetch(url, file, self.md5, sleep)
            except DownloadError as error:
                reasons.append(str(error))
            except OSError as error:  # of the disk; those of the network are known by then
                raise DownloadError(f"{error.filename or file} cannot be written: {error.strerror or error}") from error
            else:
                return
        raise DownloadError("; ".join(reasons))


def _fetch(url: str, file: Path, md5: str, sleep: Callable[[float], object]) -> None:
    """Download until the checksum is right; after a wrong one, once more from the beginning."""
    part = file.with_name(f"{file.name}.part")
    found = []
    for _ in range(2):
        _complete(url, part, sleep)
        size = part.stat().st_size
        with part.open("rb") as stream:
            found.append(hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest())
        if found[-1] == md5:
            part.replace(file)
            return
        part.unlink()
    if found[0] == found[1]:
        raise DownloadError(
            f"the file at {url} has changed: it has {size:,} bytes and the md5 {found[0]}, the published one has {md5}"
        )
    raise DownloadError(f"{url} arrived damaged twice, with the md5 {found[0]} and {found[1]}, not {md5}")


def _complete(url: str, part: Path, sleep: Callable[[float], object]) -> None:
    """Bring `part` to the length that the server states, in as many attempts as bring something new."""
    failed, reached = 0, False
    while True:
        before = _size(part)
        try:
            _continue(url, part)
            return
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            if isinstance(error, urllib.error.HTTPError) and not _temporary(error):
                raise DownloadError(_refusal(url, error)) from error
            reached = reached or type(error) is not urllib.error.URLError
            failed = 1 if _size(part) > before else failed + 1
            if failed >= ATTEMPTS or not reached:  # without a network, waiting would not help
                kept = f"; the first {_size(part):,} bytes are kept, and the next try goes on from there"
                raise DownloadError(f"{url}: {_cause(error)}{kept if _size(part) else ''}") from error
            sleep(min(2.0**failed, 30.0) / 2)


def _continue(url: str, part: Path) -> None:
    """Append to `part` what is missing; raise the network's error where the connection ends before."""
    have = _size(part)
    request = urllib.request.Request(url, headers={"User-Agent": "genbench", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = _OPENER.open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == _NOT_SATISFIABLE and have:  # it was complete, or is longer than the file: the checksum decides
            return
        raise
    with response:
        _refuse_page(url, response)
        resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT and _starts_at(response, have)
        if have and response.status == http.HTTPStatus.PARTIAL_CONTENT and not resumed:
            part.unlink()  # a server that answers with another part than was asked for
            raise ConnectionError("the server sent another part of the file than was asked for")
        length = response.headers.get("Content-Length", "")
        total = int(length) + (have if resumed else 0) if length.isdecimal() else 0
        with part.open("ab" if resumed else "wb") as stream:
            _receive(response, stream, total, have if resumed else 0, part.name.removesuffix(".part"))


def _receive(response: Any, stream: Any, total: int, have: int, name: str) -> None:
    shown = 0.0
    while block := _read(response):
        stream.write(block)
        have += len(block)
        if time.monotonic() - shown >= _SHOWN_EVERY:
            shown = time.monotonic()
            show_loading(f"downloading {name}, MB", have // _MEGABYTE, max(total, have) // _MEGABYTE)
    if have < total:
        raise ConnectionError(f"the connection ended after {have:,} of {total:,} bytes")


def _read(response: Any) -> bytes:
    try:
        block: bytes = response.read(_BLOCK)
    except OSError as error:  # of the network, not of the disk
        raise ConnectionError(str(error) or type(error).__name__) from error
    return block


def _refuse_page(url: str, response: Any) -> None:
    """Raise `DownloadError` for a web page in place of the file, as of a login or of a limit of downloads."""
    if response.headers.get_content_type() == "text/html":
        at = response.geturl()
        led = f" led to {at}, which" if at != url else ""
        raise DownloadError(f"{url}{led} answered with a web page, not the file: a login, or a limit of downloads")


def _starts_at(response: Any, first: int) -> bool:
    return bool(response.headers.get("Content-Range", "").removeprefix("bytes ").startswith(f"{first}-"))


def _temporary(error: urllib.error.HTTPError) -> bool:
    return error.code >= http.HTTPStatus.INTERNAL_SERVER_ERROR or error.code in (408, 425, 429)


def _refusal(url: str, error: urllib.error.HTTPError) -> str:
    if error.code in _GONE:
        return f"{url} is not there any more (HTTP status {error.code})"
    return f"{url} was refused (HTTP status {error.code} {error.reason})"


def _cause(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return str(getattr(reason, "strerror", None) or reason) or type(error).__name__


def _size(part: Path) -> int:
    with contextlib.suppress(OSError):
        return part.stat().st_size
    return 0


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow redirections, but not from an encrypted connection to a plain one."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """Return the request for the new address, or raise `DownloadError`."""
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise DownloadError(f"{req.full_url} redirects to {newurl}, which is not encrypted")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_OPENER = urllib.request.build_opener(_Redirects)
