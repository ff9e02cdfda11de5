"""genbench's trainer: the engine of a cell, built as in a worker."""

from __future__ import annotations

import contextlib
import dataclasses
import gc

from torch import nn
from trainer import Losses, Setting

from genbench.data.loading import load_data
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import discover
from genbench.plugins.worker_catalogue import load_catalogue
from genbench.train.builder import Built, build_cell
from genbench.train.engines.selection import choose_engine
from genbench.train.engines.step_tuning import StepRequest
from genbench.train.torch_setup import step_settings


def build(setting: Setting) -> Built:
    """Build the cell."""
    catalogue = discover()
    given = {
        "models": setting.model,
        "datasets": "fashion-mnist-mini" if setting.folder is None else f"folder:{setting.folder}",
        "batch_size": setting.batch_size,
        "precision": setting.precision,
        "device": setting.device.type,
        **setting.recipe,
    }
    (cell,) = make_plan(make_request(given), catalogue, setting.device.type).cells
    plugin = catalogue.require("models", setting.model).plugin
    registry = load_catalogue([] if plugin.origin == "builtin" else [dataclasses.asdict(plugin)])
    data = load_data(cell.identity.dataset, cell.identity.image_shape, registry)
    return build_cell(cell.identity, registry, data, setting.device)


class GenbenchTrainer:
    """Windows as in a run: no garbage collection inside, losses read at the end; here the reading is timed."""

    def __init__(self, setting: Setting) -> None:
        built = build(setting)
        self.engine = built.engine
        self.networks: list[nn.Module] = [*built.setup.networks.values()]
        self._settings = contextlib.ExitStack()
        self._settings.enter_context(step_settings(setting.precision))
        step = StepRequest(wanted=setting.step_tuning == "auto")
        record = choose_engine(self.engine, setting.engine, 10**9, lambda _: None, step=step)
        self.step_options = dict(record.step_tuning.chosen) if record.step_tuning is not None else {}
        if setting.engine not in ("auto", record.used):
            raise RuntimeError(f"{setting.engine} cannot be used: {record}")

    def train(self, steps: int) -> Losses:
        """Train and read the terms of all phases."""
        gc.disable()
        for _ in range(steps):
            self.engine.step()
        terms = self.engine.read_terms()
        gc.enable()
        return {player.phase.name: terms[player.phase.name].tolist() for player in self.engine.players}
