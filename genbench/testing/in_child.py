"""Running checks in a child process: a plugin that crashes, forks or never returns fails one check, and no more."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from genbench.plugins.worker_catalogue import load_catalogue
from genbench.process.child import answering, ask_child
from genbench.testing.check import Outcome, Verdict
from genbench.testing.checks import BY_NAME
from genbench.testing.run_checks import Examination, checks_for
from genbench.testing.subject import Subject
from genbench.testing.targets import Targets

CHECK_SECONDS = 120.0  # time limit of one check
STARTING_SECONDS = 60.0  # additional time for importing torch, before the first check
_SHOWN_OUTPUT = 500  # characters at the end of the plugin's output
_MORE_TIME = "Allow more with --timeout SECONDS, or make the model small with --set; if it never ends, look for a loop."


class Question(msgspec.Struct, frozen=True):
    """What a child is to check."""

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
    """Run every check on every subject; return the outcomes, and pass each to `on_outcome` as it arrives.

    If the child dies, the check that it was running has failed; if it does not answer in time, the check is undecided.
    Another child continues with the next one.
    """
    pairs = [
        (subject.kind, subject.name, check.name) for subject in targets.subjects for check in checks_for(subject, only)
    ]
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
            partial(_accept, add),
            "checking",
            STARTING_SECONDS,
        )
        if ending.reason and len(outcomes) < len(pairs):
            output = ending.text.strip()
            printed = f"; the end of its output: {output[-_SHOWN_OUTPUT:].strip()}" if output else ""
            verdict: Verdict = "undecided" if ending.late else "failed"
            add(Outcome(*pairs[len(outcomes)], verdict, ending.reason + printed, _MORE_TIME if ending.late else ""))
    return outcomes


def _accept(add: Callable[[Outcome], None], line: bytes) -> None:
    add(msgspec.json.decode(line, type=Outcome))


def serve(descriptor: int) -> None:
    """Run in the child: answer the question on standard input with one outcome per line, written to the descriptor."""
    # Optimisers import it when they are first used, which would count towards the time of a check.
    import torch._dynamo  # noqa: F401

    question = msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
    catalogue = load_catalogue(question.plugins)
    examinations: dict[tuple[str, str], Examination] = {}
    with answering(descriptor) as answer:
        for kind, name, check in question.pairs:
            key = kind, name
            if key not in examinations:
                subject = Subject(kind, name, catalogue, question.settings)  # type: ignore[arg-type]
                known = {o.check: o for o in question.known if (o.kind, o.subject) == key}
                examinations[key] = Examination(subject, known)
            answer(msgspec.json.encode(examinations[key].outcome(BY_NAME[check])))
