"""A plugin whose models, losses, datasets and metrics have every kind of fault."""

import ctypes
import functools
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import genbench


def mark(name):
    """Write this process's id, atomically, where the test expects it."""
    path = Path(os.environ["FAULTS_MARKS"], name)
    half = path.with_name(f"{name}.{os.getpid()}.tmp")  # two processes may both write it
    half.write_text(str(os.getpid()))
    half.replace(path)


@functools.cache
def networks():
    """Return the networks by name; torch is imported only when one is built, as it takes seconds."""
    import torch
    from torch import nn

    class Encoder(nn.Module):
        def __init__(self, values, latent_dim, dropout=0.0):
            super().__init__()
            self.body = nn.Linear(values, 2 * latent_dim)
            self.dropout = nn.Dropout(dropout)

        def forward(self, images):
            if self.training:
                self.train_forward()
            mean, log_variance = self.body(self.dropout(images.flatten(1))).chunk(2, 1)
            return mean, log_variance

        def train_forward(self):
            pass

    def decoder(latent_dim, image_shape):
        channels, height, width = image_shape
        return nn.Sequential(nn.Linear(latent_dim, channels * height * width), nn.Unflatten(1, image_shape))

    def sound(image_shape, latent_dim, encoder=Encoder, **settings):
        channels, height, width = image_shape
        return {
            "encoder": encoder(channels * height * width, latent_dim, **settings),
            "decoder": decoder(latent_dim, image_shape),
        }

    class Slow(Encoder):
        """Takes a hundredth of a second longer per step if FAULTS_SLOW is set, and counts its training steps."""

        calls = 0

        def train_forward(self):
            Slow.calls += 1
            with Path(os.environ["FAULTS_MARKS"], "steps").open("a") as file:
                file.write(f"{os.getpid()} {Slow.calls}\n")
            if os.environ.get("FAULTS_SLOW"):
                if Slow.calls == 60:
                    mark("training")
                time.sleep(0.01)

    class RaisesInForward(Encoder):
        def train_forward(self):
            raise RuntimeError("forward is broken")

    class Hungry(Encoder):
        """Needs half a GiB of address space for each image."""

        def forward(self, images):
            if self.training:
                torch.empty(len(images), 2**27)
            return super().forward(images)

    class Reads(Encoder):
        def forward(self, images):
            mean, log_variance = super().forward(images)
            if self.training:
                mean.mean().item()
            return mean, log_variance

    class LosesTheGpu(Encoder):
        """Raises what torch raises when a kernel fails or the GPU is lost."""

        what = "unspecified launch failure"

        def train_forward(self):
            raise RuntimeError(f"CUDA error: {self.what}\nCUDA kernel errors might be reported at some other call.")

    class AssertsOnTheGpu(LosesTheGpu):
        what = "device-side assert triggered"

    class NotANumber(Encoder):
        calls = 0

        def forward(self, images):
            mean, log_variance = super().forward(images)
            NotANumber.calls += self.training
            return (mean * float("nan") if NotANumber.calls >= 2 else mean), log_variance

    class Unused(Encoder):
        def __init__(self, values, latent_dim):
            super().__init__(values, latent_dim)
            self.forgotten = nn.Parameter(torch.zeros(3))

    class Constant(nn.Module):
        """The same image for all latents."""

        def __init__(self, image_shape):
            super().__init__()
            self.image = nn.Parameter(torch.zeros(image_shape))

        def forward(self, latents):
            return self.image.expand(len(latents), *self.image.shape)

    return types.SimpleNamespace(**locals())


def sound(image_shape, latent_dim):
    return networks().sound(image_shape, latent_dim)


def does(what):
    """Return a `build` that first calls a function."""

    def build(image_shape, latent_dim, num_classes, options):
        what()
        return sound(image_shape, latent_dim)

    return build


def has(encoder, **settings):
    """Return a `build` with the encoder of this name."""

    def build(image_shape, latent_dim, num_classes, options):
        return networks().sound(image_shape, latent_dim, getattr(networks(), encoder), **settings)

    return build


def raises():
    raise ValueError("build is broken")


def garbage():
    print("garbage " * 1000)
    print("garbage", file=sys.stderr)
    for number in (1, 2):
        os.write(number, b"\xff\x00 not json, not text {\n" * 1000)


def floods_every_descriptor():
    for number in range(3, 256):
        try:
            os.write(number, b'{"type":"nonsense"}\n\xff\xfe garbage\n')
        except OSError:
            continue


def grandchild(new_session):
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", code], start_new_session=new_session)
    name = "daemon" if new_session else "grandchild"
    Path(os.environ["FAULTS_MARKS"], name).write_text(str(child.pid))


def hangs():
    grandchild(new_session=False)
    mark("hanging")
    while True:
        time.sleep(60)


def swallows_sigterm():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    mark("swallowing")
    while True:
        try:
            time.sleep(60)
        except BaseException:
            continue


def fills_the_disk():
    """Fill the disk that holds the file FAULTS_FILL."""
    if not os.environ.get("FAULTS_FILL"):
        return
    try:
        with Path(os.environ["FAULTS_FILL"]).open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
    except OSError:
        print("the disk is full")  # into a log on that disk


def allocates():
    import torch

    torch.zeros(2**40)


def two_minds():
    """Fork a copy of the worker that runs on, as a careless use of fork does."""
    os.fork()


def changes_the_process():
    import torch

    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(3)
    torch.manual_seed(1)
    os.environ["FAULTS_LEFT_BEHIND"] = "1"
    os.chdir("/")
    genbench.left_behind = True
    torch.use_deterministic_algorithms(True)


def looks_for_changes():
    import torch

    found = [
        torch.get_default_dtype() != torch.float32,
        torch.get_num_threads() != 1,
        "FAULTS_LEFT_BEHIND" in os.environ,
        Path.cwd() == Path("/"),
        hasattr(genbench, "left_behind"),
        torch.are_deterministic_algorithms_enabled(),
    ]
    if any(found):
        raise RuntimeError(f"something was left behind: {found}")


def wrong_shape(image_shape, latent_dim, num_classes, options):
    return sound((1, 5, 5), latent_dim) | {"encoder": networks().Encoder(784, latent_dim)}


def wrong_networks(image_shape, latent_dim, num_classes, options):
    from torch import nn

    return {"encoder": nn.Identity(), "generator": nn.Identity()}


def always_the_same(image_shape, latent_dim, num_classes, options):
    return sound(image_shape, latent_dim) | {"decoder": networks().Constant(image_shape)}


BUILDS = {
    "sound": does(lambda: None),
    "raises-in-build": does(raises),
    "raises-in-forward": has("RaisesInForward"),
    "sys-exit": does(lambda: sys.exit(0)),
    "os-exit-0": does(lambda: os._exit(0)),
    "os-exit-3": does(lambda: os._exit(3)),
    "segfault": does(lambda: ctypes.string_at(0)),
    "garbage": does(garbage),
    "floods": does(floods_every_descriptor),
    "closes-descriptors": does(lambda: os.closerange(0, 1024)),
    "greedy": does(allocates),
    "greedy-python": does(lambda: bytearray(2**40)),
    "daemon": does(functools.partial(grandchild, True)),
    "leaves-a-child": does(functools.partial(grandchild, False)),
    "fills-the-disk": does(fills_the_disk),
    "two-minds": does(two_minds),
    "hungry": has("Hungry"),
    "reads": has("Reads"),
    "loses-the-gpu": has("LosesTheGpu"),
    "asserts-on-the-gpu": has("AssertsOnTheGpu"),
    "not-a-number": has("NotANumber"),
    "unused-parameter": has("Unused"),
    "wrong-shape": wrong_shape,
    "wrong-networks": wrong_networks,
    "always-the-same": always_the_same,
    "changes-the-process": does(changes_the_process),
    "looks-for-changes": does(looks_for_changes),
    "hangs": does(hangs),
    "swallows-sigterm": does(swallows_sigterm),
    "slow": has("Slow", dropout=0.2),
}


@genbench.hookimpl
def genbench_models():
    common = {"family": "variational", "default_loss": "elbo", "latent_dim": 2}
    for name, build in BUILDS.items():
        yield genbench.ModelSpec(name=name, build=build, value_range=(0.0, 1.0), output="logits", **common)
    # Declares (5, 6) and returns values near 0.
    yield genbench.ModelSpec(
        name="wrong-range", build=BUILDS["sound"], value_range=(5.0, 6.0), output="images", **common
    )


def broken_objective(posterior):
    raise RuntimeError("loss is broken")


@genbench.hookimpl
def genbench_losses():
    yield genbench.LossSpec(
        name="raises-in-loss",
        family="variational",
        create=lambda options: genbench.VariationalLoss(objective=broken_objective),
    )


def images(count, seed):
    import torch

    rng = torch.Generator().manual_seed(seed)
    return genbench.Images(torch.randint(0, 256, (count, 1, 8, 8), dtype=torch.uint8, generator=rng))


def load_broken(options, cache):
    raise OSError("dataset is broken")


def load_slowly(options, cache):
    if os.environ.get("FAULTS_SLOW"):
        mark("loading")
        time.sleep(600)
    return genbench.ImageData(images(64, 1), images(16, 2))


@genbench.hookimpl
def genbench_datasets():
    yield genbench.DatasetSpec(name="broken-data", image_shape=(1, 28, 28), load=load_broken)
    yield genbench.DatasetSpec(name="slow-data", image_shape=(1, 8, 8), load=load_slowly)
    # Declares (1, 28, 28) and returns (1, 8, 8).
    yield genbench.DatasetSpec(
        name="misshapen-data",
        image_shape=(1, 28, 28),
        load=lambda options, cache: genbench.ImageData(images(64, 1), images(16, 2)),
    )


def broken_metric(evaluation):
    raise RuntimeError("metric is broken")


def slow_metric(evaluation):
    if os.environ.get("FAULTS_SLOW") and evaluation.seed == 1:  # not while the reference rows are measured
        mark("measuring")
        time.sleep(600)
    return genbench.Estimate(metric="slow-metric", value=1.0, standard_error=None, n=1, direction="lower")


@genbench.hookimpl
def genbench_metrics():
    yield genbench.MetricSpec(name="broken-metric", measure=broken_metric, direction="lower", default=False)
    yield genbench.MetricSpec(name="slow-metric", measure=slow_metric, direction="lower", default=False)
