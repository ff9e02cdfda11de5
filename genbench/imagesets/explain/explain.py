"""Explaining the distance between two image sets: which protocols to measure, reading the images once, the results."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from genbench.api.evaluation import Extractor, ExtractorUnavailable, SetName
from genbench.builtin.extractors.inception import Inception
from genbench.builtin.extractors.inception_input import SIZE
from genbench.errors import DataError, UsageError
from genbench.imagesets.comparison import (
    few_images,
    no_extractor,
    other_weights,
    reading_warnings,
    report_of,
    require_complete,
)
from genbench.imagesets.evaluation import FAKE, REAL, ImageSetEvaluation, require_two_images
from genbench.imagesets.explain.attribution import Measured, attribute, subsets_needed
from genbench.imagesets.explain.distances import ProtocolDistances, layer_of
from genbench.imagesets.explain.explanation import (
    Alternative,
    Explanation,
    ProtocolDistance,
    StatedChoice,
    StatementCheck,
    Step,
    Waterfall,
)
from genbench.imagesets.explain.network_input import NetworkInput, input_of
from genbench.imagesets.explain.protocol import (
    ALTERNATIVES,
    CHOICES,
    EXTRACTORS,
    INCEPTION,
    OF_INCEPTION,
    PUBLISHED,
    TOOLS,
    Protocol,
    Value,
    differing,
    shown,
    with_choices,
)
from genbench.imagesets.explain.statement import Statement
from genbench.imagesets.explain.variant_features import VariantFeatures
from genbench.imagesets.source import ImageSource, ReadReport

HERE = "here"
_STATED = "as stated"
_OF_INPUT = ("extractor", "reference_storage", "storage", "colour", "resize", "rounding", "scale")
_OFTEN = 50_000  # images behind most published values


@dataclass(frozen=True)
class _Goal:
    """A protocol to which a waterfall leads."""

    names: tuple[str, ...]
    protocol: Protocol


def explain(
    evaluation: ImageSetEvaluation,
    extractor: str,
    references: Mapping[str, ImageSource],
    split: str,
    statement: Statement | None,
    strict: bool,
) -> Explanation:
    """Measure the distance under the protocols of known tools, or the stated one, and attribute the differences.

    `references` are the splits of the reference by name, of which `split` is the one to compare with; where it is no
    dataset, one without a name. Raises `UsageError` for statistics instead of images, `DataError` where a set cannot be
    read (with `strict`: completely), and `NoDataError` where the extractor has no weights.
    """
    for side in evaluation.image_sets.values():
        if side.images is None:
            raise UsageError(
                f"--explain needs images on both sides, and {side.title} has none.",
                "Give the images from which it was made.",
            )
    loaded, missing = _load(evaluation, extractor, statement)
    base = _base(extractor, loaded, split)
    goals = _goals(base, statement, loaded, missing, references)
    centre = goals[0].protocol if statement is not None else base
    unstated = [choice for choice in CHOICES if statement is None or choice not in statement.choices]
    with contextlib.ExitStack() as stack:
        sets: dict[SetName, VariantFeatures] = {}
        for images in (FAKE, REAL):
            wanted = _wanted(base, goals, centre, unstated, images == REAL)
            features = VariantFeatures(wanted, loaded, evaluation.device, evaluation.batch_size)
            sets[images] = stack.enter_context(contextlib.closing(features))
        n, counts, reports = _read(evaluation, sets, references, split)
        if strict:
            require_complete(evaluation)
        distances = ProtocolDistances(
            sets[REAL], sets[FAKE], loaded, counts, n, evaluation.generator("choices of a protocol")
        )
        too_many: dict[str, tuple[int, int]] = {}
        for place, goal in enumerate(goals):
            possible, too_many = _within(goal.protocol, n, distances.reference_count(goal.protocol.split))
            goals[place] = _Goal(goal.names, possible)
        centre = goals[0].protocol if statement is not None else base
        found = _Explaining(base, centre, distances, n, references, reports, evaluation, too_many)
        with _measuring():
            return found.explanation(loaded, goals, unstated, statement, missing)


@contextlib.contextmanager
def _measuring() -> Iterator[None]:
    try:
        yield
    except ValueError as error:  # whitening by a reference without spread
        raise DataError(f"There is no distance: {error}", "Use images that differ from one another.") from error


def _load(
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


def _base(extractor: str, loaded: Mapping[str, Extractor], split: str) -> Protocol:
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


def _goals(
    base: Protocol,
    statement: Statement | None,
    loaded: Mapping[str, Extractor],
    missing: dict[str, str],
    references: Mapping[str, ImageSource],
) -> list[_Goal]:
    """Return the stated protocol, or those of the known tools; `missing` learns what is stated and not at hand."""
    if statement is not None:
        protocol, impossible = _stated_protocol(base, statement, loaded, references)
        missing.update({**impossible, **missing})
        return [_Goal((_STATED,), protocol)]
    if base.extractor != INCEPTION:
        return []
    tools: dict[Protocol, list[str]] = {}
    for tool in TOOLS.values():
        choices = {choice: value for choice, value in tool.choices.items() if choice != "weights"}
        tools.setdefault(with_choices(base, choices), []).append(tool.name)
    return [_Goal(tuple(names), protocol) for protocol, names in tools.items()]


def _wanted(
    base: Protocol, goals: Sequence[_Goal], centre: Protocol, unstated: Sequence[str], reference: bool
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


def _read(
    evaluation: ImageSetEvaluation,
    sets: Mapping[SetName, VariantFeatures],
    references: Mapping[str, ImageSource],
    split: str,
) -> tuple[int, dict[str, int], list[ReadReport]]:
    """Read every image once; return how many the second set and each split of the reference have, and the reports."""

    def read(features: VariantFeatures, source: ImageSource) -> tuple[ReadReport, int]:
        report = ReadReport(left_out=source.left_out)
        with evaluation.show(source.title) as progress:
            count = features.read(source, report, progress)
        require_two_images(source, report, count)
        return report, count

    fake = evaluation.image_sets[FAKE].images
    assert fake is not None
    report, n = read(sets[FAKE], fake)
    evaluation.record(FAKE, report, n)
    reports, counts = [report], {}
    for name, source in references.items():
        report, counts[name] = read(sets[REAL], source)
        reports.append(report)
        if name == split:
            evaluation.record(REAL, report, counts[name])
    return n, counts, reports


def _within(protocol: Protocol, n: int, n_reference: int) -> tuple[Protocol, dict[str, tuple[int, int]]]:
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


class _Explaining:
    """The distances of two sets of images that have been read, as records."""

    def __init__(
        self,
        base: Protocol,
        centre: Protocol,
        distances: ProtocolDistances,
        n: int,
        references: Mapping[str, ImageSource],
        reports: Sequence[ReadReport],
        evaluation: ImageSetEvaluation,
        too_many: Mapping[str, tuple[int, int]],
    ) -> None:
        self.base, self.centre = base, centre
        self._distances, self._n, self._references = distances, n, references
        self._reports, self._evaluation = reports, evaluation
        self._too_many = too_many

    def explanation(
        self,
        loaded: Mapping[str, Extractor],
        goals: Sequence[_Goal],
        unstated: Sequence[str],
        statement: Statement | None,
        missing: Mapping[str, str],
    ) -> Explanation:
        not_varied = self._not_varied()
        alternatives = self._alternatives([choice for choice in unstated if choice not in not_varied])
        names = [HERE, *(name for goal in goals if goal.protocol == self.base for name in goal.names)]
        others = [goal for goal in goals if goal.protocol != self.base]
        network = loaded[self.base.extractor]
        warnings = [
            *reading_warnings(self._evaluation),
            *(line for report in self._reports[2:] for line in report.warnings()),
        ]
        if isinstance(network, Inception) and not network.published:
            warnings.append(other_weights(network.name))
        width = self.base.layer if isinstance(network, Inception) else 0
        fewest = min(self._n, self._distances.reference_count(self.base.split))
        if fewest <= width:
            warnings.append(few_images(fewest, width, self.base.extractor))
        return Explanation(
            real=report_of(self._evaluation, REAL),
            fake=report_of(self._evaluation, FAKE),
            metric=network.name,
            distances=tuple(self._distance(goal) for goal in (_Goal(tuple(names), self.base), *others)),
            waterfalls=tuple(self._waterfall(goal) for goal in (others if statement is None else goals)),
            alternatives=tuple(alternatives),
            around=HERE if statement is None else _STATED,
            not_varied={choice: reason for choice, reason in not_varied.items() if choice in unstated},
            check=None if statement is None else self._check(statement, missing, alternatives),
            warnings=tuple(warnings),
        )

    def _distance(self, goal: _Goal) -> ProtocolDistance:
        found = self._distances.measured(goal.protocol)
        change = found - self._distances.measured(self.base)
        return ProtocolDistance(
            goal.names, shown(goal.protocol), found.value, found.standard_error, change.value, change.standard_error
        )

    def _waterfall(self, goal: _Goal) -> Waterfall:
        choices = differing(self.base, goal.protocol)

        def measured(changed: frozenset[str]) -> Measured:
            values = {choice: getattr(goal.protocol, choice) for choice in changed}
            return self._distances.measured(with_choices(self.base, values))

        steps = tuple(
            Step(
                choice=one.choice,
                before=getattr(self.base, one.choice),
                after=getattr(goal.protocol, one.choice),
                effect=one.effect.value,
                standard_error=one.effect.standard_error,
                lowest=one.lowest,
                highest=one.highest,
                mean_over_orders=None if one.mean is None else one.mean.value,
                mean_error=None if one.mean is None else one.mean.standard_error,
            )
            for one in attribute(choices, measured)
        )
        start, end = measured(frozenset()), measured(frozenset(choices))
        return Waterfall(
            start=HERE,
            end=", ".join(goal.names),
            start_value=start.value,
            end_value=end.value,
            difference=(end - start).value,
            standard_error=(end - start).standard_error,
            steps=steps,
            all_orders=all(step.mean_over_orders is not None for step in steps),
        )

    def _alternatives(self, choices: Sequence[str]) -> list[Alternative]:
        found = []
        for choice in choices:
            for value in self._values(choice):
                if value == getattr(self.centre, choice):
                    continue
                changed = self._distances.measured(with_choices(self.centre, {choice: value}))
                effect = changed - self._distances.measured(self.centre)
                found.append(Alternative(choice, value, effect.value, effect.standard_error))
        return found

    def _values(self, choice: str) -> Sequence[Value]:
        if choice == "n":
            return ((self.centre.n or self._n) // 2,)
        if choice == "n_reference":
            return ((self.centre.n_reference or self._distances.reference_count(self.centre.split)) // 2,)
        return ALTERNATIVES.get(choice, ())

    def _not_varied(self) -> dict[str, str]:
        """Return the choices that have no other value here, with the reason."""
        found = {"extractor": "it is varied only if stated: --protocol extractor=NAME"}
        shapes = [shape for report in self._reports for shape in report.shapes]
        if self.centre.extractor != INCEPTION:
            found |= dict.fromkeys(OF_INCEPTION, f"it is part of the extractor '{self.centre.extractor}'")
        else:
            found["weights"] = f"only {self.centre.weights} are at hand"
            if all(shape[1:] == (SIZE, SIZE) for shape in shapes):
                found |= dict.fromkeys(("resize", "rounding"), f"all images are {SIZE}×{SIZE}, which are not resized")
        if all(shape[0] == 1 for shape in shapes):
            found["colour"] = "all images are grey"
        if len(self._references) == 1:
            found["split"] = "REAL is not a dataset"
        for choice in ("n", "n_reference"):
            (half,) = self._values(choice)
            if not isinstance(half, int) or half < 2:
                found[choice] = "there are too few images to take half of them"
        return {choice: found[choice] for choice in CHOICES if choice in found}

    def _check(
        self, statement: Statement, missing: Mapping[str, str], alternatives: Sequence[Alternative]
    ) -> StatementCheck:
        without = {choice for choice in OF_INCEPTION if getattr(shown(self.centre), choice) in (0, "")}
        rows = [
            self._stated(choice, statement, missing, alternatives)
            for choice in CHOICES
            if choice in statement.choices or choice not in without
        ]
        return StatementCheck(
            title=statement.title,
            choices=tuple(rows),
            reproduced=all(row.status != "not at hand" for row in rows),
            lowest=sum(row.lowest for row in rows),
            highest=sum(row.highest for row in rows),
        )

    def _stated(
        self,
        choice: str,
        statement: Statement,
        missing: Mapping[str, str],
        alternatives: Sequence[Alternative],
    ) -> StatedChoice:
        here, stated = getattr(shown(self.base), choice), statement.choices.get(choice)
        if choice in missing:
            return StatedChoice(choice, here, stated, "not at hand", reason=missing[choice])
        if choice in self._too_many:
            number, available = self._too_many[choice]
            reason = f"only {available:,} are at hand"
            moves = self._more_images(number) if choice == "n" else 0.0
            told = "extrapolated from the jackknife bias" if moves else "its effect is not known"
            return StatedChoice(
                choice, here, number, "not at hand", min(0.0, moves), max(0.0, moves), f"{reason}; {told}"
            )
        if stated is not None:
            same = getattr(shown(self.centre), choice) == here
            return StatedChoice(choice, here, stated, "same" if same else "differs")
        effects = [one.effect for one in alternatives if one.choice == choice]
        if choice == "n" and (self.centre.n or self._n) < _OFTEN:
            effects.append(self._more_images(_OFTEN))
        return StatedChoice(choice, here, None, "not stated", min([0.0, *effects]), max([0.0, *effects]))

    def _more_images(self, number: int) -> float:
        return self._distances.measured(self.centre).change_with(self.centre.n or self._n, number)
