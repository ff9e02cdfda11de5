"""Mutants of a conforming plugin violate exactly the rule that they are made for; the plugin itself violates none.

The rules of reporters and executors mostly wait for processes. Three of these plugins are tried at a time, in processes
of their own, while this one examines the others.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import pytest

from genbench.plugins.catalogue import discover
from genbench.plugins.loader import Kind, file_plugins
from genbench.plugins.worker_catalogue import load_catalogue
from genbench.runner import executor_process
from genbench.testing import CHECKS, Outcome, executor_trial, reporter_trial
from genbench.testing.run_checks import Examination, checks_for, explain
from genbench.testing.subject import Subject
from genbench.testing.targets import find_targets

CONFORMING = (Path(__file__).parents[1] / "support" / "conforming_plugin.py").read_text(encoding="utf-8")
SUBJECTS: list[tuple[Kind, str]] = [
    *(("models", name) for name in ("tiny", "labelled", "mapped", "dueller")),
    *(("losses", name) for name in ("penalised", "smooth", "laplace", "plain")),
    *(("models", "coded"), ("models", "metered"), ("families", "coder"), ("families", "meter")),
    *(("families", "duel"), ("families", "joint-duel"), ("datasets", "dots"), ("metrics", "brightness")),
    *(("metrics", "scatter"), ("extractors", "rows")),
]
CONFORMING_EXECUTOR = (Path(__file__).parents[1] / "support" / "conforming_executor.py").read_text(encoding="utf-8")
CONFORMING_REPORTER = (Path(__file__).parents[1] / "support" / "conforming_reporter.py").read_text(encoding="utf-8")


class Mutant(NamedTuple):
    """A change of the conforming plugin's text, and the subject that it affects."""

    old: str
    new: str
    kind: Kind = "models"
    name: str = "tiny"


RETURN = "        return self.last(hidden).flatten()"  # of the discriminator
JOINT_MAKER = '        return genbench.Objective(self.setup.loss(batch.shared["logits"]), {})'
BUILD = "def build(image_shape, latent_dim, num_classes, options):\n"
POINTS = "torch.rand(len(real), 1, 1, 1, generator=rng, device=real.device)"
NORM = "(gradient.flatten(1).norm(dim=1) - 1).square().mean()"


CREATED = '        self.file = (run.path / "diary.csv").open("a")\n'
WINDOW = "    def window_finished(self, event):\n"


def in_discriminator(line: str) -> Mutant:
    return Mutant(RETURN, f"        {line}\n{RETURN}")


def in_reporter(old: str, new: str) -> Mutant:
    return Mutant(old, new, "reporters", "diary")


def in_executor(old: str, new: str, name: str = "folders") -> Mutant:
    return Mutant(old, new, "executors", name)


CANCEL = "        for job in jobs:\n            with"
NARROW = "self.generator(sampler.options.psi * latents)"
LOG_P = "(log_density + slopes).sum((1, 2, 3)) + log_det"
MEASURED = f"return {LOG_P}"


def in_coder(old: str, new: str) -> Mutant:
    return Mutant(old, new, "families", "coder")


def in_meter(old: str, new: str) -> Mutant:
    return Mutant(old, new, "families", "meter")


def when_created(*lines: str) -> Mutant:
    return in_reporter(CREATED, CREATED + "".join(f"        {line}\n" for line in lines))


def at_each_window(line: str) -> Mutant:
    return in_reporter(WINDOW, f"{WINDOW}        {line}\n")


MUTANTS: dict[str, list[Mutant]] = {
    "documented": [
        Mutant('"a small one"', '""'),
        Mutant('"hidden values"', '""'),
        Mutant('formula="E softplus(-D)"', 'formula=""', "losses", "plain"),
    ],
    "builds": [
        Mutant('"generator": Generator', '"maker": Generator'),
        Mutant("return genbench.AdversarialLoss(", "return dict(", "losses", "penalised"),
        Mutant("create=Duel,", "create=lambda setup: [Duel(setup)],", "families", "duel"),
        Mutant('("discriminator",), self.criticise', '"discriminator", self.criticise', "families", "duel"),
        Mutant(
            "def phases(self):\n",
            "def phases(self):\n        return self.parts()[0]\n\n    def parts(self):\n",
            "families",
            "duel",
        ),
        Mutant("def sample(self", "def samples(self", "families", "duel"),
        Mutant(
            '"discriminator": Discriminator(image_shape, num_classes, options.width)', '"discriminator": Discriminator'
        ),
    ],
    "image-shapes": [Mutant('"generator": Generator(image_shape', '"generator": Generator((1, 8, 8)')],
    "value-range": [Mutant(".tanh()", ".tanh() * 1.2"), Mutant(".tanh()", ".tanh() * 0")],
    "full-range": [Mutant(".tanh()", ".sigmoid()")],
    "finite-steps": [
        in_discriminator("hidden = hidden.sub(hidden).sqrt() / hidden.sub(hidden) if self.training else hidden"),
        in_discriminator("return self.last(hidden).expand(-1, 2)"),
        Mutant("softplus(-fake).mean()", "softplus(-fake)", "losses", "penalised"),
        Mutant("lambda fake, real: softplus", "lambda fake: softplus", "losses", "penalised"),
        Mutant("return genbench.Objective(total, {})", "return total", "families", "duel"),
        Mutant("genbench.Objective(total, {})", 'genbench.Objective(total, {"size": 4})', "families", "duel"),
        Mutant("genbench.Objective(total, {})", "genbench.Objective(total.detach(), {})", "families", "duel"),
    ],
    "reconstructions": [
        Mutant("return images.flip(3)", "return images.flatten(1)", "families", "duel"),
        Mutant("return images.flip(3)", "images.flip(3)", "families", "duel"),
    ],
    "process-untouched": [
        Mutant(BUILD, f"{BUILD}    torch.set_num_threads(torch.get_num_threads() + 1)\n"),
        in_discriminator("torch.use_deterministic_algorithms(True)"),
    ],
    "restrictions": [
        Mutant(
            "return genbench.AdversarialLoss(", "return genbench.AdversarialLoss(boundary=None, ", "losses", "penalised"
        ),
        Mutant(
            'SMALL = {"latent_dim": 4,',
            'SMALL = {"latent_dim": 4, "restrictions": '
            '(genbench.Restriction(setting="precision", excludes=("fp32",), reason="it overflows"),),',
        ),
    ],
    "uses": [
        Mutant("uses=()", 'uses=("discriminator_steps",)', "families", "duel"),
        Mutant("uses=()", 'uses=("augment_discriminator",)', "families", "duel"),
        Mutant(
            "self.criticise),", 'self.criticise, repeats=self.setup.recipe["discriminator_steps"]),', "families", "duel"
        ),
        Mutant("self.discriminator(batch.images)", "self.seen(batch)", "families", "duel"),
    ],
    "seeded": [
        Mutant(
            "        self.last = nn.Linear(width, 1)\n",
            "        self.last = nn.Linear(width, 1)\n"
            "        unseeded = torch.Generator()\n        unseeded.seed()\n"
            "        nn.init.uniform_(self.last.weight, -0.1, 0.1, generator=unseeded)\n",
        ),
    ],
    "every-parameter-trains": [
        Mutant(
            "        self.last = nn.Linear(width, 1)\n",
            "        self.last = self.idle = nn.Linear(width, 1)\n        self.idle = nn.Linear(2, 3)\n",
        ),
    ],
    "no-gradient-crosses": [Mutant("fake.detach()", "fake", "families", "duel")],
    "gradients-apart": [
        Mutant(JOINT_MAKER, f"        {line}\n{JOINT_MAKER}", "families", "joint-duel")
        for line in (
            "batch.shared['logits'].register_hook(lambda gradient: 2 * gradient)",
            "self.discriminator.last.weight.data.mul_(0.9)",
        )
    ],
    "bf16": [
        in_discriminator("if hidden.dtype == torch.bfloat16: raise TypeError('only float32')"),
        in_discriminator("hidden = hidden * (1 if hidden.dtype == torch.float32 else 100)"),
    ],
    "bounded-memory": [
        in_discriminator("KEPT.append(hidden.detach().mean())"),
        in_discriminator("KEPT[:] = [sum(KEPT) + hidden.square().mean()]"),
    ],
    "no-host-reads": [
        in_discriminator(f"hidden = hidden + 0 * {read}")
        for read in (
            "hidden.mean().item()",
            "hidden.detach().mean().tolist()",
            "bool(hidden.mean() > 9)",
            "hidden[hidden > 0].mean()",
            "len(repr(hidden))",
            "float(hidden.detach().cpu().mean())",
        )
    ],
    "device-purity": [in_discriminator("hidden = hidden + torch.zeros(hidden.shape)")],
    "memory-layout": [in_discriminator("hidden = hidden * (1 if images.is_contiguous() else 2)")],
    "compiles": [in_discriminator("hidden = hidden * (2 if torch.compiler.is_compiling() else 1)")],
    "save-and-load": [
        Mutant(
            "        self.image_shape = image_shape\n",
            "        self.image_shape, gain = image_shape, 1 + float(torch.rand(()))\n"
            "        self.register_forward_hook(lambda module, given, images: images.sign() * images.abs() ** gain)\n",
        ),
        Mutant(
            "hidden = self.norm(self.hidden(latents)).relu()",
            "hidden = self.norm(self.hidden(latents)).relu()\n        hidden = hidden * torch.rand_like(hidden)",
        ),
    ],
    "resume": [
        in_discriminator(
            "self.calls = getattr(self, 'calls', 0) + self.training; hidden = hidden * (1 + 0.01 * self.calls)"
        ),
        Mutant(  # a moving average of a loss that is not a buffer of its module
            "        generator=lambda fake, real: softplus(-fake).mean(),\n",
            "        generator=lambda fake, real, n=[]: softplus(-fake).mean() * (n.append(1) or 1 + len(n) / 9),\n",
            "losses",
            "penalised",
        ),
    ],
    "norm-epsilon": [Mutant("nn.BatchNorm1d(width)", "nn.BatchNorm1d(width, 0.8)")],
    "raw-logits": [
        Mutant("self.last(hidden).flatten()", f"{end}(self.last(hidden).flatten())")
        for end in ("torch.sigmoid", "leaky_relu", "torch.relu")
    ],
    "labels-matter": [
        Mutant("self.embed(labels)], 1)", "self.embed(0 * labels)], 1)", name="labelled"),
        Mutant("hidden + self.embed(labels)", "hidden + self.embed(0 * labels)", name="labelled"),
    ],
    "generator-inputs": [
        Mutant("self.fixed.expand(len(intermediate), -1) if noise is None else noise", new, name="mapped")
        for new in (
            "self.fixed.expand(len(intermediate), -1)",
            "torch.randn(len(intermediate), self.noise_dim) if noise is None else noise",
        )
    ]
    + [Mutant("synthesise(self.intermediate", "synthesise(2 * self.intermediate", name="mapped")],
    "extreme-logits": [
        Mutant("softplus(fake)", "-(1 - fake.sigmoid()).log()", "losses", "penalised"),
    ],
    "batch-duplication": [Mutant("softplus(-fake).mean()", "softplus(-fake).sum()", "losses", "penalised")],
    "penalty-per-sample": [
        Mutant(NORM, "(gradient.norm() - 1).square()", "losses", "penalised"),
        Mutant(NORM, NORM.replace("mean()", "sum()"), "losses", "penalised"),
        Mutant(POINTS, POINTS.replace("len(real), 1, 1, 1", "()"), "losses", "penalised"),
    ],
    "generator-penalty": [
        Mutant("slopes.square().mean()", "slopes.square().sum()", "losses", "smooth"),
        Mutant(
            "torch.linalg.vector_norm(products.flatten(1), dim=1)",
            "products.square().sum(1).sqrt()",
            "losses",
            "smooth",
        ),
    ],
    "nll-per-image": [
        Mutant("images.repeat(len(logits) // len(images), 1, 1, 1)", new, "losses", "laplace")
        for new in ("images", "images.repeat_interleave(len(logits) // len(images), 0)")
    ]
    + [
        Mutant(".sum((1, 2, 3))\n", ".sum((1, 2, 3)).mean()\n", "losses", "laplace"),
        Mutant(', likelihood=genbench.Likelihood("laplace", "density")', "", "losses", "laplace"),
    ],
    "nll-normalised": [
        Mutant(" - math.log(5)", "", "losses", "laplace"),
        Mutant('"laplace", "density"', '"laplace", "discrete"', "losses", "laplace"),
    ],
    "samplers": [
        Mutant(NARROW, wrong, "families", "duel")
        for wrong in (
            "self.generator(latents)[:1]",
            "(self.generator(latents) > 0)",
            "3 * self.generator(latents)",
            "self.generator(latents) / 0",
            "self.generator(latents + torch.rand(()))",
            "None",
        )
    ],
    "likelihood-contract": [
        in_coder("distortion.mean(0), rate, mean)", "distortion, rate, mean)"),
        in_coder("log_ratio - distortion,", "(log_ratio - distortion).T,"),
        *(
            in_meter(MEASURED, f"total = {LOG_P}\n        return total if total.requires_grad else {wrong}")
            for wrong in ("total[:, None]", "total.sum()", "total / 0", "total.long()", "None")
        ),
    ],
    "likelihood-per-image": [
        in_coder("log_ratio - distortion,", "log_ratio - distortion.mean(1, keepdim=True),"),
        in_meter("log_det\n\n    def sample", "log_det - images.mean()\n\n    def sample"),
    ],
    "likelihood-parts": [
        in_coder("log_ratio - distortion,", "2 * log_ratio - distortion,"),
        in_coder("log_ratio - distortion,", "-distortion,"),
        in_coder("distortion.mean(0), rate, mean)", "distortion.mean(0) / 2, rate, mean)"),
    ],
    "likelihood-sign": [
        in_coder(".sum((1, 2, 3))\n\n    def sample", ".sum((1, 2, 3)) - 9999\n\n    def sample"),
        in_meter("- math.log(256)", "+ math.log(256)"),
    ],
    "likelihood-of-noise": [
        in_coder("+ sums).sum", "+ sums - 1).sum"),
        in_meter(" - 0.5 * math.log(2 * math.pi)", ""),
    ],
    "dataset-contract": [
        Mutant("classes=3", "classes=2", "datasets", "dots"),
        Mutant("image_shape=(1, 8, 8), load", "image_shape=(1, 9, 9), load", "datasets", "dots"),
        Mutant("> 127).long()", "> 127).float()", "datasets", "dots"),
        Mutant("> 127).long()", "> 127).long() + 2", "datasets", "dots"),
        *(
            Mutant("torch.arange(12) % 3", labels, "datasets", "dots")
            for labels in (
                "torch.arange(12) % 3 + 1",
                "torch.arange(12) % 3 - 1",
                "torch.arange(11) % 3",
                "torch.rand(12)",
            )
        ),
    ],
    "dataset-repeats": [Mutant("torch.Generator().manual_seed(0)", "None", "datasets", "dots")],
    "metric-contract": [
        Mutant('metric="brightness"', 'metric="brilliance"', "metrics", "brightness"),
        Mutant('direction="higher"\n    )', 'direction="lower"\n    )', "metrics", "brightness"),
        Mutant(
            "def measure(evaluation):\n",
            'def measure(evaluation):\n    return genbench.Unavailable("fid", "")\n',
            "metrics",
            "brightness",
        ),
        Mutant('(("scatter-mean",', '(("precision-k5-n16",', "metrics", "scatter"),
        Mutant('"scatter-least": "higher"}', '"scatter-least": "lower"}', "metrics", "scatter"),
    ],
    "metric-repeats": [Mutant(".float().mean())", ".float().mean() + torch.rand(()))", "metrics", "brightness")],
    "extractor-contract": [Mutant(".mean((1, 3))", ".mean((1, 2, 3))", "extractors", "rows")],
    "extractor-per-image": [
        Mutant("grey = pixels.float()", "grey = (pixels - pixels.float().mean(0))", "extractors", "rows")
    ],
    "reporter-contract": [
        in_reporter("def cell_finished", "def cell_finised"),
        in_reporter("def window_finished(self, event)", "def window_finished(self, event, cell)"),
        in_reporter("create=Diary", "create=lambda run, options: print"),
    ],
    "reporter-offline": [
        when_created("import urllib.request", "urllib.request.urlopen('http://203.0.113.1', timeout=9)"),
        when_created("import socket", "socket.create_connection(('tracker.invalid', 80))"),
    ],
    "reporter-events": [
        in_reporter("event.status", "event.result['throughput']['images_per_second']"),
        in_reporter("*event.terms.values()", "max(event.terms.values())"),
        in_reporter("        self.file.close()", "        self.fill.close()"),
        at_each_window("import os; os._exit(7)"),
    ],
    "reporter-answers": [at_each_window("import time; time.sleep(1.2)")],
    "reporter-idle": [
        when_created(
            "import threading", "threading.Thread(target=lambda: [0 for _ in iter(int, 1)], daemon=True).start()"
        )
    ],
    "reporter-place": [
        in_reporter('(run.path / "diary.csv").open("a")', 'open("diary.csv", "a")'),
        when_created("(run.path / 'run.json').open('a').write(' ')"),
    ],
    "reporter-resumes": [
        in_reporter('.open("a")', '.open("x")'),
        in_reporter('.open("a")', '.open("w")'),
    ],
    "reporter-ends": [
        when_created("import threading, time", "threading.Thread(target=time.sleep, args=(99,)).start()"),
        when_created("import atexit, time", "atexit.register(time.sleep, 99)"),
    ],
    "executor-contract": [
        in_executor("def cancel(self, jobs)", "def cancel_all(self, jobs)"),
        in_executor("capacity = 2", "capacity = 'many'"),
        in_executor(CANCEL, f"        first = jobs[0]\n{CANCEL}"),
    ],
    "executor-runs": [
        in_executor("names.append(str(place))", "names.append(str(self.place))"),
        in_executor(
            "            names.append(str(place))",
            "            subprocess.Popen(self.command(job, place), **quiet)\n            names.append(str(place))",
        ),
    ],
    "executor-failures": [
        in_executor('else "lost", reason', 'else "cancelled", reason'),
        in_executor('state="finished" if', 'state="running" if status == 7 else "finished" if'),
    ],
    "executor-cancels": [
        in_executor("signal.SIGTERM", "0"),
        in_executor("contextlib.suppress(OSError)", "contextlib.nullcontext()"),
    ],
    "executor-reattaches": [
        in_executor("        if not place.is_dir():", "        if False:"),
    ],
    "executor-other-runs": [
        in_executor("self.place / Path(job.job).name", "Path(job.job)"),
    ],
    "executor-collects": [
        in_executor(
            "packed.read_bytes() if packed.exists() else None",
            "packed.rename(packed.with_name('old')).read_bytes() if packed.exists() else None",
            "collected",
        )
    ],
    "executor-closes": [
        in_executor("    def close(self):\n        pass", "    def close(self):\n        signal.pause()"),
    ],
}


def check_all(folder: Path, mutant: Mutant) -> list[Outcome]:
    """Run every check on what a plugin with this change registers."""
    text = conforming(mutant.kind)
    assert mutant.old in text
    path = folder / "plugin.py"
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    subject = Subject(mutant.kind, mutant.name, load_catalogue([asdict(plugin) for plugin in file_plugins([path])]))
    examination = Examination(subject)
    return [examination.outcome(check) for check in checks_for(subject)]


def check_with_short_limits(folder: Path, mutant: Mutant) -> list[Outcome]:
    """Run every check on a reporter or an executor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reporter_trial, "END_SECONDS", 3.0)
        patch.setattr(executor_trial, "LIMIT_SECONDS", 20.0)
        patch.setattr(executor_process, "EXIT_SECONDS", 3.0)
        return check_all(folder, mutant)


def conforming(kind: Kind) -> str:
    """Return the text of the conforming plugin that registers this kind of spec."""
    return {"reporters": CONFORMING_REPORTER, "executors": CONFORMING_EXECUTOR}.get(kind, CONFORMING)


@pytest.fixture(scope="module")
def tried(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Mutant, Future[list[Outcome]]]]:
    """What the checks find in each of the reporters and executors that the tests of this session ask for."""
    asked = [item.callspec.params["mutant"] for item in request.session.items if _has_a_mutant(item)]
    pool = ProcessPoolExecutor(3, multiprocessing.get_context("fork"))
    yield {
        mutant: pool.submit(check_with_short_limits, tmp_path_factory.mktemp("tried"), mutant)
        for mutant in asked
        if mutant.kind in ("reporters", "executors")
    }
    pool.shutdown(cancel_futures=True)


def _has_a_mutant(item: pytest.Item) -> bool:
    return item.path == Path(__file__) and "mutant" in getattr(getattr(item, "callspec", None), "params", {})


def outcomes_of(mutant: Mutant, folder: Path, tried: dict[Mutant, Future[list[Outcome]]]) -> list[Outcome]:
    return tried[mutant].result() if mutant in tried else check_all(folder, mutant)


def unchanged() -> Iterator[object]:
    """Yield every subject of the conforming plugins as it is."""
    for kind, name in (*SUBJECTS, ("reporters", "diary"), ("executors", "folders"), ("executors", "collected")):
        yield pytest.param(Mutant("", "", kind, name), id=f"{kind}-{name}")


@pytest.mark.slow
@pytest.mark.parametrize("mutant", list(unchanged()))
def test_a_conforming_plugin_violates_no_rule(
    mutant: Mutant, tmp_path: Path, tried: dict[Mutant, Future[list[Outcome]]]
) -> None:
    outcomes = outcomes_of(mutant, tmp_path, tried)
    assert {o.check: o.reason for o in outcomes if o.verdict == "failed"} == {}


QUICK = (
    "documented-0",
    "builds-0",
    "builds-2",
    "finite-steps-1",
    "reconstructions-0",
    "dataset-contract-3",
    "dataset-contract-4",
    "image-shapes-0",
    "dataset-contract-0",
    "metric-contract-0",
    "extractor-contract-0",
)


def mutants() -> Iterator[object]:
    """Yield every mutant; each costs a run of all rules, so most of them are slow."""
    for rule, changes in MUTANTS.items():
        for number, mutant in enumerate(changes):
            name = f"{rule}-{number}"
            yield pytest.param(rule, mutant, id=name, marks=() if name in QUICK else pytest.mark.slow)


@pytest.mark.parametrize(("rule", "mutant"), list(mutants()))
def test_a_mutant_violates_its_rule_and_no_other(
    rule: str, mutant: Mutant, tmp_path: Path, tried: dict[Mutant, Future[list[Outcome]]]
) -> None:
    outcomes = outcomes_of(mutant, tmp_path, tried)
    violated = {o.check: o.reason for o in outcomes if o.verdict == "failed"}
    assert set(violated) == {rule}, violated
    (failure,) = (o for o in outcomes if o.verdict == "failed")
    assert all(f"{word}:" in explain(failure) for word in ("found", "rule", "why", "fix"))


def test_a_plugin_for_another_version_violates_the_first_rule(tmp_path: Path) -> None:
    path = tmp_path / "plugin.py"
    path.write_text(CONFORMING.replace('requires_api = "1.3"', 'requires_api = "2.0"'), encoding="utf-8")
    (refusal,) = find_targets([str(path)], discover([path])).refusals
    assert (refusal.check, refusal.verdict) == ("loads", "failed")
    assert "it needs version 2.0 of genbench's plugin interface" in refusal.reason


def test_every_rule_has_a_mutant() -> None:
    assert {*MUTANTS, "loads"} == {check.name for check in CHECKS}
