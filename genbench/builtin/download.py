"""Downloads of published files: resumed where they stopped, verified by checksum, with their progress shown."""

from __future__ import annotations

import contextlib
import hashlib
import html.parser
import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
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
_FORM = "download-form"  # on the page with which Google Drive warns of a file too large to be scanned for viruses
_LARGEST_PAGE = 1 << 20  # bytes


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
    try:
        response = _file(url, {"Range": f"bytes={have}-"} if have else {})
    except urllib.error.HTTPError as error:
        if error.code == _NOT_SATISFIABLE and have:  # it was complete, or is longer than the file: the checksum decides
            return
        raise
    with response:
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


def _file(url: str, headers: Mapping[str, str]) -> Any:
    """Return the response with the file, also where a page asks whether to download it although it was not scanned.

    Raises `DownloadError` for any other page, as of a login or of a limit of downloads.
    """
    response = _open(url, headers)
    if not _is_page(response):
        return response
    with response:
        content, at = response.read(_LARGEST_PAGE), response.geturl()
    length = response.headers.get("Content-Length", "")
    if length.isdecimal() and len(content) < min(int(length), _LARGEST_PAGE):
        raise ConnectionError(f"the connection ended after {len(content):,} of {length} bytes of a web page")
    page = content.decode("utf-8", "replace")
    confirmed = confirmed_address(page, at)
    if confirmed is not None:
        response = _open(confirmed, headers)
        if not _is_page(response):
            return response
        response.close()
        at = response.geturl()
    led = f" led to {at}, which" if at != url else ""
    raise DownloadError(f"{url}{led} answered with a web page, not the file: a login, or a limit of downloads")


def confirmed_address(page: str, at: str) -> str | None:
    """Return the address to which the form of Google Drive's warning leads; None for another page.

    The form `download-form` is sent by GET, with an action and hidden fields: id, export, confirm, uuid, and for some
    files at. An encrypted page is not left for an unencrypted address.
    """
    form = _Form()
    form.feed(page)
    if form.action is None or form.method != "get":
        return None
    address = urllib.parse.urljoin(at, form.action)
    scheme = urllib.parse.urlsplit(address).scheme
    if scheme not in ("http", "https") or (at.startswith("https:") and scheme != "https"):
        return None
    return f"{address}?{urllib.parse.urlencode(form.fields)}"


class _Form(html.parser.HTMLParser):
    """Finds the action and the hidden fields of the form in which a download is confirmed."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.method, self.fields, self._inside = "get", dict[str, str](), False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the form, or a field inside it."""
        values = {name: value or "" for name, value in attrs}
        if tag == "form" and values.get("id") == _FORM:
            self.action, self.method, self._inside = values.get("action", ""), values.get("method", "get").lower(), True
        elif tag == "input" and self._inside and values.get("type") == "hidden" and "name" in values:
            self.fields[values["name"]] = values.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        """Note the end of the form."""
        if tag == "form":
            self._inside = False


def _open(url: str, headers: Mapping[str, str]) -> Any:
    asked = {"User-Agent": "genbench", "Accept-Encoding": "identity", **headers}
    return _OPENER.open(urllib.request.Request(url, headers=asked), timeout=TIMEOUT)


def _is_page(response: Any) -> bool:
    return bool(response.headers.get_content_type() == "text/html")


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
