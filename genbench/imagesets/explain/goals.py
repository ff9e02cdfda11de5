"""Which protocols an explanation measures: that of the command, those of known tools, or what a paper states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from genbench.api.evaluation import Extractor, ExtractorUnavailable
from genbench.builtin.extractors.inception import Inception
from genbench.imagesets.comparison import no_extractor
from genbench.imagesets.evaluation import ImageSetEvaluation
from genbench.imagesets.explain.attribution import subsets_needed
from genbench.imagesets.explain.distances import layer_of
from genbench.imagesets.explain.network_input import NetworkInput, input_of
from genbench.imagesets.explain.protocol import (
    ALTERNATIVES,
    EXTRACTORS,
    INCEPTION,
    OF_INCEPTION,
    PUBLISHED,
    TOOLS,
    Protocol,
    Value,
    differing,
    with_choices,
)
from genbench.imagesets.explain.statement import Statement
from genbench.imagesets.source import ImageSource

STATED = "as stated"
_OF_INPUT = ("extractor", "reference_storage", "storage", "colour", "resize", "rounding", "scale")


@dataclass(frozen=True)
class Goal:
    """A protocol to which a waterfall leads, with the names under which it is known."""

    names: tuple[str, ...]
    protocol: Protocol


def load_extractors(
    evaluation: ImageSetEvaluation, extractor: str, statement: Statement | None
) -> tuple[dict[str, Extractor], dict[str, str]]:
    """Return the extractors by name in a protocol, and why those that are stated are not at hand."""
    try:
        loaded = {_network(extractor): evaluation.extractor(extractor)}
    except ExtractorUnavailable as error:
        raise no_extractor(extractor, error) from error
    stated = None if statement is None else statement.choices.get("extractor")
    missing: dict[str, str] = {}
    if isinstance(stated, str) and stated not in loaded:
        try:
            loaded[stated] = evaluation.extractor(stated)
        except ExtractorUnavailable as error:
            missing["extractor"] = str(error)
    return loaded, missing


def _network(extractor: str) -> str:
    return INCEPTION if extractor in EXTRACTORS else extractor


def _weights(loaded: Extractor) -> str:
    if isinstance(loaded, Inception) and loaded.published:
        return PUBLISHED
    return str(loaded.protocol.get("weights_sha256", ""))[:8]


def base_protocol(extractor: str, loaded: Mapping[str, Extractor], split: str) -> Protocol:
    """Return the protocol of `genbench fid` with this extractor."""
    network = _network(extractor)
    found = Protocol(extractor=network, weights=_weights(loaded[network]), split=split)
    return with_choices(found, EXTRACTORS.get(extractor, {}))


def _stated_protocol(
    base: Protocol, statement: Statement, loaded: Mapping[str, Extractor], references: Mapping[str, ImageSource]
) -> tuple[Protocol, dict[str, str]]:
    """Return the stated protocol as far as it can be measured, and why the rest cannot."""
    choices = dict(statement.choices)
    missing: dict[str, str] = {}
    network = str(choices.get("extractor", base.extractor))
    if network in loaded:
        own, weights = _weights(loaded[network]), choices.pop("weights", None)
        if weights is not None and not own.startswith(str(weights)):
            missing["weights"] = f"the weights at hand are {own or 'not named'}"
        choices["weights"] = own
        if network != INCEPTION:
            missing |= {
                choice: f"it is part of the extractor '{network}'"
                for choice in OF_INCEPTION
                if choice in choices and choice != "weights"
            }
    else:
        missing |= {choice: f"the extractor '{network}' is not at hand" for choice in OF_INCEPTION if choice in choices}
        missing["extractor"] = ""
    if "split" in choices and len(references) == 1 and choices["split"] != base.split:
        missing["split"] = "REAL is not a dataset"
    kept = {choice: value for choice, value in choices.items() if choice == "weights" or choice not in missing}
    if network not in loaded:
        kept.pop("weights", None)
    return with_choices(base, kept), missing


def find_goals(
    base: Protocol,
    statement: Statement | None,
    loaded: Mapping[str, Extractor],
    missing: dict[str, str],
    references: Mapping[str, ImageSource],
) -> list[Goal]:
    """Return the stated protocol, or those of the known tools; `missing` learns what is stated and not at hand."""
    if statement is not None:
        protocol, impossible = _stated_protocol(base, statement, loaded, references)
        missing.update({**impossible, **missing})
        return [Goal((STATED,), protocol)]
    if base.extractor != INCEPTION:
        return []
    tools: dict[Protocol, list[str]] = {}
    for tool in TOOLS.values():
        choices = {choice: value for choice, value in tool.choices.items() if choice != "weights"}
        tools.setdefault(with_choices(base, choices), []).append(tool.name)
    return [Goal(tuple(names), protocol) for protocol, names in tools.items()]


def wanted_inputs(
    base: Protocol, goals: Sequence[Goal], centre: Protocol, unstated: Sequence[str], reference: bool
) -> dict[NetworkInput, tuple[int, ...]]:
    """Return the inputs of the network that the protocols to measure have, with the layers needed of each."""
    protocols = [base, centre]
    for goal in goals:
        choices = [choice for choice in differing(base, goal.protocol) if choice in _OF_INPUT]
        for subset in subsets_needed(choices):
            changed = with_choices(base, {choice: getattr(goal.protocol, choice) for choice in subset})
            protocols += [replace(changed, layer=layer) for layer in (base.layer, goal.protocol.layer)]
    for choice in unstated:
        protocols += [with_choices(centre, {choice: value}) for value in ALTERNATIVES.get(choice, ())]
    found: dict[NetworkInput, set[int]] = {}
    for protocol in protocols:
        found.setdefault(input_of(protocol, reference), set()).add(layer_of(protocol))
    return {one: tuple(sorted(layers)) for one, layers in found.items()}


def limited_to(protocol: Protocol, n: int, n_reference: int) -> tuple[Protocol, dict[str, tuple[int, int]]]:
    """Return the protocol with no more images than there are, and of which choice more were stated than at hand."""
    changes: dict[str, Value] = {}
    too_many = {}
    for choice, available in (("n", n), ("n_reference", n_reference)):
        stated = getattr(protocol, choice)
        if stated is not None and stated >= available:
            changes[choice] = None  # all
            if stated > available:
                too_many[choice] = stated, available
    return with_choices(protocol, changes), too_many
