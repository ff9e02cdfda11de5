"""Examining subjects in a child process: a plugin that crashes, forks or never returns fails one check, and no more."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from genbench.plugins.worker_catalogue import load_registry
from genbench.process.child import answering, ask_child
from genbench.testing.check import Outcome
from genbench.testing.checks import BY_NAME
from genbench.testing.run_checks import checks_of
from genbench.testing.subject import Subject
from genbench.testing.targets import Targets

CHECK_SECONDS = 120.0  # that one check may take
STARTING_SECONDS = 60.0  # that importing torch may take before the first check
_PRINTED = 500  # characters of what a plugin printed last


class Question(msgspec.Struct, frozen=True):
    """What a child is to examine."""

    plugins: list[dict[str, Any]]
    pairs: list[tuple[str, str, str]]  # kind, name, check
    known: list[Outcome]
    settings: dict[str, dict[str, Any]]


def examine_isolated(
    targets: Targets,
    only: Sequence[str] = (),
    seconds: float = CHECK_SECONDS,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Ask every check of every subject; return the outcomes, each handed to `on_outcome` as it arrives.

    Where the child dies or does not answer in time, the check that it was at has failed, and another child goes on.
    """
    pairs = [(subject.kind, subject.name, check.name) for subject in targets.subjects for check in checks_of(subject)]
    pairs = [pair for pair in pairs if not only or pair[2] in only]
    outcomes: list[Outcome] = []

    def add(outcome: Outcome) -> None:
        outcomes.append(outcome)
        on_outcome(outcome)

    while len(outcomes) < len(pairs):
        left = pairs[len(outcomes) :]
        question = Question(
            targets.plugins, [*left], outcomes, {name: dict(given) for name, given in targets.settings.items()}
        )
        ending = ask_child(
            "genbench.testing.in_child",
            msgspec.json.encode(question),
            len(left),
            seconds,
            partial(_take, add),
            "checking",
            STARTING_SECONDS,
        )
        if ending.reason and len(outcomes) < len(pairs):
            printed = f"; it printed last: {ending.text[-_PRINTED:].strip()}" if ending.text.strip() else ""
            add(Outcome(*pairs[len(outcomes)], "failed", ending.reason + printed))
    return outcomes


def _take(add: Callable[[Outcome], None], line: bytes) -> None:
    add(msgspec.json.decode(line, type=Outcome))


def serve(descriptor: int) -> None:
    """Be the child: examine what standard input asks for and write one outcome a line to the descriptor."""
    import torch._dynamo  # optimisers import it at their first use, which would count as time of a check  # noqa: F401

    question = msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
    catalogue = load_registry(question.plugins)
    subjects: dict[tuple[str, str], Subject] = {}
    with answering(descriptor) as answer:
        for kind, name, check in question.pairs:
            key = kind, name
            if key not in subjects:
                known = {o.check: o for o in question.known if (o.kind, o.subject) == key}
                subjects[key] = Subject(kind, name, catalogue, question.settings, known)  # type: ignore[arg-type]
            answer(msgspec.json.encode(subjects[key].outcome(BY_NAME[check])))
