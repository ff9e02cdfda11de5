"""The kinds of faults: each is a function that breaks something at random, uses genbench, and judges what comes."""

from __future__ import annotations

import io
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import warm
from command_line import GENBENCH, TINY, start
from judge import Finding, content, judge, require_none_left
from mutation import HOSTILE, damage_bytes, damage_json
from PIL import Image
from safetensors.torch import load_file
from small_disk import CannotMount, mounted

SMALL = (*TINY, "--models", "vae", "--set", "vae.hidden=16")
LONG = (*SMALL, "--images", "32000")


@dataclass
class Material:
    """Sound files to damage; made once, in a folder of its own."""

    folder: Path

    @cached_property
    def run(self) -> Path:
        """A finished run of two models with reference rows, and files made from it."""
        (self.folder / "sound").mkdir()
        metrics = ("--metrics", "fd-fashion-cnn,reconstruction-mse,psnr", "--evaluate-every", "32")
        models = ("--models", "vae,gan", "--set", "vae.hidden=16", "--set", "gan.width=8")
        done = warm.run(*TINY, *models, *metrics, out=self.folder / "sound" / "run")
        require(done.code == 0, done.err)
        place = done.run.parent
        made = warm.command("baseline", "update", str(done.run), "--baseline", str(place / "baseline.json"))
        require(made.returncode == 0, made.stderr)
        fashion = ("fid", "fashion-mnist-mini@test", "--extractor", "fashion-cnn")
        made = warm.command(*fashion, "--save-stats", str(place / "statistics.npz"))
        require(made.returncode == 0, made.stderr)
        np.save(place / "images.npy", np.random.default_rng(0).integers(0, 256, (70, 1, 28, 28), dtype=np.uint8))
        (place / "plan.toml").write_text(
            'models = ["vae"]\nprofile = "smoke"\nseeds = [0, 1]\n[set]\nvae.hidden = 16\n'
        )
        return done.run

    @cached_property
    def weights(self) -> dict[str, torch.Tensor]:
        """The weights of an uninterrupted long training."""
        arguments = [*GENBENCH, "run", *LONG, "--out", str(self.folder / "whole")]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        require(done.returncode == 0, done.stderr)
        return load_file(one_file(self.folder / "whole", "checkpoints/*.safetensors"))

    def copy(self, place: Path) -> Path:
        """Return a copy of the run; the files made from it lie beside it."""
        shutil.copytree(self.run.parent, place / "copy")
        return place / "copy" / "run"


def require(holds: bool, said: str) -> None:
    """Raise `Finding` with what was said unless this holds."""
    if not holds:
        raise Finding(said)


def one_file(folder: Path, pattern: str) -> Path:
    """Return the only file that matches; raise `Finding` otherwise."""
    found = list(folder.glob(pattern))
    require(len(found) == 1, f"{pattern} in {folder}: {found}")
    return found[0]


READING = [
    *("show RUN", "show RUN --cell vae", "show RUN --json", "table RUN", "table RUN --format json", "history RUN"),
    *("compare RUN RUN", "check RUN --baseline BASELINE", "table RUN RUN --format csv", "history RUN --json"),
]
WRITING = [
    *("report RUN", "baseline update RUN --baseline BASELINE", "sample RUN --cell vae -n 4 --out PLACE/a.png"),
    *(
        "run --resume RUN --in-process",
        "measure RUN --metrics kd --in-process",
        "fid STATISTICS RUN:vae --extractor fashion-cnn --samples 64",
    ),
    *("fid IMAGES IMAGES --extractor fashion-cnn", "run --config PLAN --dry-run --in-process"),
    *("fid STATISTICS IMAGES --extractor fashion-cnn --metrics fd", "data check PLACE"),
    "measure RUN --metrics diversity --in-process",
]


def damaged_file(material: Material, rng: random.Random, place: Path) -> str:
    """A file of a run directory, or one that the user names, is damaged; every command deals with it."""
    run = material.copy(place)
    files = [path for path in sorted(run.parent.rglob("*")) if path.is_file()]
    path = rng.choice(files)
    how = damage_json(path, rng) if path.suffix == ".json" and rng.random() < 0.8 else damage_bytes(path, rng)
    said = f"{path.relative_to(run.parent)}: {how}"
    for command in rng.sample(READING, 4) + rng.sample(WRITING, 1):
        before = content(run.parent) if command in READING else None
        done = warm.command(*_words(command, run, place), cwd=place)
        try:
            judge(done)
            if before is not None:
                require(content(run.parent) == before, f"{command} changed files")
        except Finding as finding:
            raise Finding(f"{said}\n{finding}") from None
    return said


def _words(command: str, run: Path, place: Path) -> Iterator[str]:
    names = {
        "RUN": run,
        "BASELINE": run.parent / "baseline.json",
        "STATISTICS": run.parent / "statistics.npz",
        "IMAGES": run.parent / "images.npy",
        "PLAN": run.parent / "plan.toml",
        "PLACE": place,
    }
    for word in command.split():
        for name, path in names.items():
            word = word.replace(name, str(path))
        yield word


def killed_run(material: Material, rng: random.Random, place: Path) -> str:
    """A run is killed at some moment and resumed: the weights are those of a whole one, and no process is left."""
    expected, mark = material.weights, f"campaign-{os.getpid()}-{rng.random()}"
    going = start(*LONG, out=place / "run", fresh=True, GENBENCH_CHECKPOINT_SECONDS="0.2", CAMPAIGN=mark)
    moment = rng.uniform(0.0, 12.0)
    deadline = time.monotonic() + moment
    while time.monotonic() < deadline and going.process.poll() is None:
        time.sleep(0.01)
    number = rng.choice([9, 9, 15, 2])
    going.process.send_signal(number)
    done = going.end(120)
    if number != 9:
        judge(subprocess.CompletedProcess(["run"], max(done.code, -done.code), done.out, done.err))
    require_none_left(mark)
    said = f"signal {number} after {moment:.2f} s"
    if not (place / "run" / "run.json").exists():
        return said
    for _ in range(2):  # the second finds nothing to do
        again = subprocess.run(
            [*GENBENCH, "run", "--resume", str(place / "run")], capture_output=True, text=True, check=False
        )
        judge(again)
        require(again.returncode == 0, f"{said}\n{again.stderr}")
    found = load_file(one_file(place / "run", "checkpoints/*.safetensors"))
    same = found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)
    require(same, f"{said}: the weights differ from those of an uninterrupted training")
    return said


def full_disk(material: Material, rng: random.Random, place: Path) -> str:
    """A disk of some size: what fits is whole, the rest is reported, and with more space the run completes."""
    size = int(2 ** rng.uniform(3, 11)) * 1024
    try:
        with mounted(place) as disk:
            disk.resize(size)
            first = disk.run(*SMALL, "--seeds", "0,1")
            judge(subprocess.CompletedProcess(["run"], first.code, first.out, first.err))
            if (disk.seen_from_here / "run" / "run.json").exists():
                disk.resize(64 * 2**20)
                again = disk.run(resume=True)
                judge(subprocess.CompletedProcess(["run --resume"], again.code, again.out, again.err))
                require(again.code == 0, f"{size} bytes: {again.err}")
                cells = list((disk.seen_from_here / "run" / "cells").glob("*.json"))
                require(len(cells) == 2, f"{size} bytes: {cells}")
                require(not list((disk.seen_from_here / "run").rglob("*.tmp")), f"{size} bytes: incomplete files")
    except CannotMount as reason:
        return f"left out: {reason}"
    return f"{size} bytes"


MODES = ["1", "L", "P", "RGB", "RGBA", "LA", "I;16", "I", "F", "CMYK", "YCbCr", "HSV"]
FORMATS = ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "TGA", "ICO", "EPS"]
SUFFIXES = [".png", ".jpg", ".jpeg", ".JPG", ".jfif", ".gif", ".bmp", ".tif", ".webp", ".txt", ""]


def bad_images(material: Material, rng: random.Random, place: Path) -> str:
    """A folder of images of every kind, some damaged."""
    folder = place / rng.choice(["images", "im ages", "ï", f"x{HOSTILE[:4]}"])
    folder.mkdir()
    damages = []
    for number in range(rng.choice([1, 5, 70])):
        size = (rng.choice([1, 2, 28, 40]), rng.choice([1, 28, 28, 33]))
        image = Image.new("RGB", size, tuple(rng.randrange(256) for _ in range(3)))
        encoded = io.BytesIO()
        try:
            mode, form = rng.choice(MODES[1:4] if rng.random() < 0.7 else MODES), rng.choice(FORMATS)
            image.convert(mode).save(encoded, form)
        except (OSError, ValueError, KeyError):
            image.save(encoded, "PNG")
        odd = HOSTILE.replace("/", "") if rng.random() < 0.05 else ""
        path = folder / f"{number}{odd}{rng.choice(SUFFIXES)}"
        path.write_bytes(encoded.getvalue())
        if rng.random() < 0.2:
            damages.append(damage_bytes(path, rng))
    wanted = ["fid", str(folder), str(folder), "--extractor", "fashion-cnn", *rng.choice([[], ["--strict"]])]
    train = ["run", "--in-process", *SMALL, "--datasets", f"folder:{folder}", "--set", "folder.size=28"]
    train += ["--batch-size", "4", "--out", str(place / "out")]
    for command in (["data", "check", str(folder)], rng.choice([wanted, train])):
        judge(warm.command(*command, cwd=place))
    return f"{number + 1} images, {', '.join(damages)}"


PLUGIN = """
import os, sys, time
import genbench
{imported}

def build(image_shape, latent_dim, num_classes, options):
    {built}
    from torch import nn
    n = image_shape[0] * image_shape[1] * image_shape[2]
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(n, 2 * latent_dim)
        def forward(self, images):
            {forward}
            return self.body(images.flatten(1)).chunk(2, 1)
    return {{"encoder": Encoder(), "decoder": nn.Sequential(nn.Linear(latent_dim, n), nn.Unflatten(1, image_shape))}}

def measure(evaluation):
    {measured}
    return genbench.Estimate(metric="bad-metric", value=1.0, standard_error=None, n=1, direction="lower")

@genbench.hookimpl
def genbench_models():
    {hook}
    yield genbench.ModelSpec(name={name!r}, build=build, value_range=(0.0, 1.0), output="logits",
        family="variational", default_loss="elbo", latent_dim=2, summary={summary!r})

@genbench.hookimpl
def genbench_metrics():
    yield genbench.MetricSpec(name="bad-metric", measure=measure, direction="lower", default=False)
"""
ACTIONS = [
    *("pass", "pass", "raise ValueError('broken')", "raise SystemExit(0)", "raise KeyboardInterrupt", "1 / 0"),
    *("os._exit(0)", "os._exit(9)", "os.abort()", "os.close(1)", "os.closerange(0, 64)", "os.fork()"),
    *(f"raise ValueError({HOSTILE!r})", f"print({HOSTILE!r})", "sys.setrecursionlimit(50)", "os.chdir('/')"),
    *("raise ValueError('\\ud800')", "raise MemoryError", "raise OSError(28, 'No space left on device')"),
    *("os.environ.clear()", "sys.stdout = None", "import signal; signal.raise_signal(15)", "def f(): f()\n    f()"),
    *("raise type('E', (BaseException,), {})('x')", "return 1", "raise ValueError(b'\\xff')", "sys.modules.clear()"),
]


def bad_plugin(material: Material, rng: random.Random, place: Path) -> str:
    """A plugin that does something bad at import, in a hook, when built, in a step or in a metric."""
    where = rng.choice(["imported", "hook", "built", "forward", "measured", "name", "summary"])
    parts = dict.fromkeys(("imported", "hook", "built", "forward", "measured"), "pass")
    parts |= {"name": "bad", "summary": "a model"}
    what = rng.choice([HOSTILE, "", "a" * 300, "Bad Name", "vae", "x:y", "../x", "\ud800", "bad"])
    parts[where] = what if where in ("name", "summary") else rng.choice(ACTIONS)
    if where == "imported":
        parts[where] = parts[where].replace("\n    ", "\n")
    path = place / "bad.py"
    path.write_text(PLUGIN.format(**parts), encoding="utf-8", errors="surrogatepass")
    metrics = ("--metrics", "bad-metric") if where == "measured" else ("--metrics", "none")
    names = "bad,vae" if where != "name" else "vae"
    run = ["run", *TINY, "--plugin", str(path), "--models", names, *metrics, "--out", str(place / "out")]
    mark = f"campaign-{os.getpid()}-{rng.random()}"
    for command in (["list", "--plugin", str(path)], ["plugin", "list", "--plugin", str(path)], run):
        done = subprocess.run(
            [*GENBENCH, *command, *(["--timeout", "60"] if command is run else [])],
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
            timeout=300,
            env={**os.environ, "CAMPAIGN": mark, "GENBENCH_PLUGIN_TIMEOUT": "20"},
        )
        try:
            judge(done)
        except Finding as finding:
            raise Finding(f"{where}: {parts[where]!r}\n{finding}") from None
        require_none_left(mark)
    vae = list((place / "out" / "cells").glob("vae*.json"))
    if where != "name" and (place / "out").exists():
        require(len(vae) == 1, f"{where}: {parts[where]!r}: the cell of another model was lost\n{done.stderr}")
    return f"{where}: {parts[where]!r}"


KINDS: dict[str, tuple[Callable[[Material, random.Random, Path], str], float]] = {  # with its share of the time
    "damaged-file": (damaged_file, 0.45),
    "bad-images": (bad_images, 0.2),
    "bad-plugin": (bad_plugin, 0.15),
    "killed-run": (killed_run, 0.15),
    "full-disk": (full_disk, 0.05),
}
assert sys.platform == "linux", "the campaign needs Linux"
