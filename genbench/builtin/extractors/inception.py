"""The extractor `inception`: the network that defines FID, with the weights of 2015-12-05 as pytorch-fid ships them.

Only a file whose sha256 begins with 6726825d earns the name ``fid``; any other weights in the same network make an
``fd-inception-<hash>``. Resizing, scaling and layer are pytorch-fid's own (`pytorch_fid.inception.InceptionV3`).
"""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from pytorch_fid import inception as pytorch_fid_inception
from torch import Tensor

from genbench import ExtractorUnavailable

URL: str = pytorch_fid_inception.FID_WEIGHTS_URL
FILE_NAME = "pt_inception-2015-12-05-6726825d.pth"
SHA256_PREFIX = "6726825d"  # of the published file; it is in its name
VARIABLE = "GENBENCH_INCEPTION_WEIGHTS"  # environment variable that names another file
TIMEOUT = 5.0  # seconds without a byte before a download is given up


class Inception:
    """The loaded extractor; see `genbench.Extractor`."""

    def __init__(self, network: torch.nn.Module, device: torch.device, sha256: str) -> None:
        published = sha256.startswith(SHA256_PREFIX)
        self.name = "fid" if published else f"fd-inception-{sha256[:8]}"
        self.whiten = False  # FID is defined on the features as they are
        # channels_last is a quarter faster on a CPU, and its features agree to float rounding
        self.network = network.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)
        self.device = device
        self.protocol: Mapping[str, str | int | float | bool] = {
            "weights_sha256": sha256[:16],
            "layer": "final average pooling, 2048 features",
            "resize": "299x299, bilinear without antialias, as pytorch-fid",
            "grey_repeated": True,  # one channel, where there is only one, is given three times
        }

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return features (N, 2048) of uint8 images (N, 1 or 3, height, width)."""
        images = pixels.to(self.device).float() / 255
        if images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        features: Tensor = self.network(images.contiguous(memory_format=torch.channels_last))[0]
        return features.flatten(1)


def load(device: torch.device) -> Inception:
    """Return the extractor on `device`; raise `ExtractorUnavailable`, with the cure, where its weights are missing."""
    path = find_weights()
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        network = build_network(state)
    except Exception as error:  # what an unpickler raises on a file that is no pickle can be anything
        first_line = str(error).partition("\n")[0] or type(error).__name__
        raise ExtractorUnavailable(
            f"{path} does not hold the Inception weights of pytorch-fid ({first_line}): replace it by {URL}"
        ) from error
    return Inception(network, device, sha256)


def find_weights() -> Path:
    """Return the weights' file: the one that $GENBENCH_INCEPTION_WEIGHTS names, torch hub's, or a fresh download.

    Raises `ExtractorUnavailable` with one line that says what to put where.
    """
    named = os.environ.get(VARIABLE)
    if named:
        path = Path(named).expanduser()
        if not path.is_file():
            raise ExtractorUnavailable(f"{VARIABLE} names {named}, which is not a file: correct it, or unset it.")
        return path
    path = Path(torch.hub.get_dir()) / "checkpoints" / FILE_NAME
    if not path.is_file():
        _download(path)
    return path


def build_network(state: dict[str, Any]) -> torch.nn.Module:
    """Return pytorch-fid's InceptionV3 with these weights, without the download that its constructor makes."""
    with _weights_instead_of_download(state):
        network: torch.nn.Module = pytorch_fid_inception.InceptionV3()
    return network


def _download(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _socket_timeout(TIMEOUT):
            torch.hub.download_url_to_file(URL, str(path), hash_prefix=SHA256_PREFIX, progress=False)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        cause = str(error) or type(error).__name__
        raise ExtractorUnavailable(
            f"the Inception weights are missing ({cause}): download {URL} to {path}, "
            f"or set {VARIABLE} to where you have them"
        ) from error


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    # torch.hub takes no timeout, and a network that swallows packets would hold the cell until its own limit
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextmanager
def _weights_instead_of_download(state: dict[str, Any]) -> Iterator[None]:
    download = pytorch_fid_inception.load_state_dict_from_url
    pytorch_fid_inception.load_state_dict_from_url = lambda *_args, **_kwargs: state
    try:
        yield
    finally:
        pytorch_fid_inception.load_state_dict_from_url = download
