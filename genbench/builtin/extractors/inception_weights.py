"""Finding the weights of the 2015-12-05 Inception network: a given file, torch's cache, or a download.

Only the published bytes, whose SHA-256 begins with 6726825d as in their file name, give a value called FID.
Importing this does not import torch.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genbench import ExtractorUnavailable

FILE_NAME = "pt_inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{FILE_NAME}"
SHA256_PREFIX = "6726825d"  # of the published file, as in its name
VARIABLE = "GENBENCH_INCEPTION_WEIGHTS"  # environment variable that names another file; --weights sets it
TIMEOUT = 5.0  # seconds without data until a download is aborted


def at_hand() -> bool:
    """Whether there is a weights file on this machine, so that none is downloaded."""
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser().is_file() if named else cached_path().is_file()


def find_weights() -> Path:
    """Return the weights file: $GENBENCH_INCEPTION_WEIGHTS, that of torch hub, or a new download.

    Raises `ExtractorUnavailable`, which names the file to provide and its path.
    """
    named = os.environ.get(VARIABLE)
    if named:
        path = Path(named).expanduser()
        if not path.is_file():
            raise ExtractorUnavailable(f"{VARIABLE} is {named}, which is not a file: correct it, or unset it.")
        return path
    path = cached_path()
    if not path.is_file():
        _download(path)
    return path


def cached_path() -> Path:
    """Return where torch hub, and so pytorch-fid, stores the weights: in $TORCH_HOME or the user's cache."""
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_HOME") or str(Path(caches) / "torch")
    return Path(home).expanduser() / "hub" / "checkpoints" / FILE_NAME


def checked_sha256(path: Path) -> str:
    """Return the SHA-256 of a weights file; refuse one whose name contains the published hash, but with another hash.

    Raises `ExtractorUnavailable` for such a file, which is damaged or incomplete, and for one that cannot be read.
    """
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ExtractorUnavailable(f"{path} cannot be read ({error.strerror}): replace it with {URL}") from error
    if SHA256_PREFIX in path.name and not published(sha256):
        raise ExtractorUnavailable(
            f"{path} has sha256 {sha256[:8]}… instead of the {SHA256_PREFIX}… of its name: it is damaged, or contains "
            f"other weights; delete it to download it again, or rename it to use it as it is."
        )
    return sha256


def published(sha256: str) -> bool:
    """Whether these are the weights that define FID."""
    return sha256.startswith(SHA256_PREFIX)


def _download(path: Path) -> None:
    import http.client

    import torch

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shown = sys.stderr is not None and sys.stderr.isatty()
        with _socket_timeout(TIMEOUT):  # the file is renamed only after its hash is verified
            torch.hub.download_url_to_file(URL, str(path), hash_prefix=SHA256_PREFIX, progress=shown)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        cause = str(error) or type(error).__name__
        raise ExtractorUnavailable(
            f"the Inception weights are missing ({cause}): download {URL} to {path}, "
            f"or pass the path of your copy with --weights or {VARIABLE}"
        ) from error


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    # torch.hub has no timeout, and a network that drops packets would block the cell until its time limit
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
