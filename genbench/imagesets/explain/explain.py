"""Explaining the distance between two image sets: the images are read once, then the distances become records."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

from genbench.api.evaluation import Extractor, SetName
from genbench.builtin.extractors.inception import Inception
from genbench.builtin.extractors.inception_input import SIZE
from genbench.errors import DataError, UsageError
from genbench.imagesets.comparison import (
    few_images,
    other_weights,
    reading_warnings,
    report_of,
    require_complete,
)
from genbench.imagesets.evaluation import FAKE, REAL, ImageSetEvaluation, require_two_images
from genbench.imagesets.explain.attribution import Measured, attribute
from genbench.imagesets.explain.distances import ProtocolDistances
from genbench.imagesets.explain.explanation import (
    Alternative,
    Explanation,
    ProtocolDistance,
    StatedChoice,
    StatementCheck,
    Step,
    Waterfall,
)
from genbench.imagesets.explain.goals import (
    STATED,
    Goal,
    base_protocol,
    find_goals,
    limited_to,
    load_extractors,
    wanted_inputs,
)
from genbench.imagesets.explain.protocol import (
    ALTERNATIVES,
    CHOICES,
    INCEPTION,
    OF_INCEPTION,
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
_OFTEN = 50_000  # images behind most published values


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
                code="GB104",
            )
    loaded, missing = load_extractors(evaluation, extractor, statement)
    base = base_protocol(extractor, loaded, split)
    goals = find_goals(base, statement, loaded, missing, references)
    centre = goals[0].protocol if statement is not None else base
    unstated = [choice for choice in CHOICES if statement is None or choice not in statement.choices]
    with contextlib.ExitStack() as stack:
        sets: dict[SetName, VariantFeatures] = {}
        for images in (FAKE, REAL):
            wanted = wanted_inputs(base, goals, centre, unstated, images == REAL)
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
            possible, too_many = limited_to(goal.protocol, n, distances.reference_count(goal.protocol.split))
            goals[place] = Goal(goal.names, possible)
        centre = goals[0].protocol if statement is not None else base
        found = _Explaining(base, centre, distances, n, references, reports, evaluation, too_many)
        with _measuring():
            return found.explanation(loaded, goals, unstated, statement, missing)


@contextlib.contextmanager
def _measuring() -> Iterator[None]:
    try:
        yield
    except ValueError as error:  # whitening by a reference without spread
        raise DataError(
            f"There is no distance: {error}", "Use images that differ from one another.", code="GB601"
        ) from error


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
        goals: Sequence[Goal],
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
        width = self._distances.width(self.base)
        fewest = min(self._n, self._distances.reference_count(self.base.split))
        if fewest <= width:
            warnings.append(few_images(fewest, width, self.base.extractor))
        return Explanation(
            real=report_of(self._evaluation, REAL),
            fake=report_of(self._evaluation, FAKE),
            metric=network.name,
            distances=tuple(self._distance(goal) for goal in (Goal(tuple(names), self.base), *others)),
            waterfalls=tuple(self._waterfall(goal) for goal in (others if statement is None else goals)),
            alternatives=tuple(alternatives),
            around=HERE if statement is None else STATED,
            not_varied={choice: reason for choice, reason in not_varied.items() if choice in unstated},
            check=None if statement is None else self._check(statement, missing, alternatives),
            warnings=tuple(warnings),
        )

    def _distance(self, goal: Goal) -> ProtocolDistance:
        found = self._distances.measured(goal.protocol)
        change = found - self._distances.measured(self.base)
        return ProtocolDistance(
            goal.names, shown(goal.protocol), found.value, found.standard_error, change.value, change.standard_error
        )

    def _waterfall(self, goal: Goal) -> Waterfall:
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
