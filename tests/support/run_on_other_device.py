"""Run a command of genbench in this process, where `--device auto` is the second device of `other_device`."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from other_device import OTHER, other_device

from genbench.cli import main
from genbench.commands import preparation


def run(arguments: list[str]) -> None:
    real = torch.get_device_module
    single = SimpleNamespace(device_count=lambda: 1, is_available=lambda: True)

    def module(device: Any = None) -> Any:
        return single if str(device).partition(":")[0] == OTHER.type else real(device)

    with (
        other_device(),
        mock.patch.object(preparation, "resolve_auto", lambda name: OTHER.type),
        mock.patch.object(torch, "get_device_module", module),
    ):
        sys.argv = ["genbench", *arguments]
        main()


if __name__ == "__main__":
    run(sys.argv[1:])
