"""Which method is better over several datasets: ranks that summarise, and pairs of methods that are tested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from genbench.errors import NoDataError
from genbench.gate.samples import Sample
from genbench.stats.holm import holm
from genbench.stats.paired_tests import wilcoxon
from genbench.stats.rank_comparison import RankComparison, compare_ranks

ERROR = 0.05


@dataclass(frozen=True)
class MethodPair:
    """Two methods over the datasets."""

    one: str
    other: str
    p_nemenyi: float  # corrected for all pairs; depends on the other methods
    p_wilcoxon: float  # signed ranks of the differences
    p_adjusted: float  # the same by Holm


@dataclass(frozen=True)
class OverDatasets:
    """Methods compared by one metric over datasets; each value is a mean over seeds."""

    metric: str
    direction: str
    methods: tuple[str, ...]  # best average rank first
    datasets: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]  # a row per dataset, a column per method
    ranks: RankComparison
    pairs: tuple[MethodPair, ...]
    left_out: tuple[str, ...]  # methods and datasets that are not compared, with the reason


def compare_over_datasets(samples: Sequence[Sample]) -> OverDatasets:
    """Compare the methods of samples of one metric by their ranks on each dataset.

    Only methods with a value on every dataset are ranked, and the others are named: a method that was measured only
    where it is good would gain by what is missing. Samples of one dataset must compare with each other; the largest
    group that does is taken, and the others are named. Raises `NoDataError` for fewer than two methods or datasets.
    """
    left_out: list[str] = []
    table: dict[str, dict[str, Sample]] = {}
    for dataset in dict.fromkeys(sample.dataset for sample in samples):
        groups: dict[object, dict[str, Sample]] = {}
        for sample in samples:
            if sample.dataset == dataset:
                group = groups.setdefault(sample.comparable, {})
                if sample.method in group:
                    left_out.append(f"{sample.cell}: a second result of {sample.method} on {dataset}")
                else:
                    group[sample.method] = sample
        table[dataset] = max(groups.values(), key=len)
        left_out += [
            f"{sample.cell}: other pixels or another protocol than the rest on {dataset}"
            for group in groups.values()
            if group is not table[dataset]
            for sample in group.values()
        ]
    methods_found = dict.fromkeys(sample.method for sample in samples)
    everywhere = [method for method in methods_found if all(method in row for row in table.values())]
    left_out += [
        f"{method}: no comparable value on {', '.join(d for d, row in table.items() if method not in row)}"
        for method in methods_found
        if method not in everywhere
    ]
    if len(table) < 2 or len(everywhere) < 2:
        raise NoDataError(
            f"{len(everywhere)} methods have comparable values on all of {len(table)} datasets"
            f"{' (' + '; '.join(left_out[:3]) + ')' if left_out else ''}.",
            "Ranks over datasets need at least two methods and two datasets: give more runs.",
            code="GB803",
        )
    sign = -1 if samples[0].direction == "higher" else 1
    rows = [[row[method].mean for method in everywhere] for row in table.values()]
    ranks = compare_ranks([[sign * value for value in row] for row in rows], ERROR)
    order = sorted(range(len(everywhere)), key=ranks.ranks.__getitem__)
    rows = [[row[place] for place in order] for row in rows]
    ranks = compare_ranks([[sign * value for value in row] for row in rows], ERROR)
    numbered = [*combinations(range(len(order)), 2)]
    raw = {(one, other): wilcoxon([row[other] - row[one] for row in rows]) for one, other in numbered}
    adjusted = holm(raw)
    methods = tuple(everywhere[place] for place in order)
    return OverDatasets(
        samples[0].metric,
        samples[0].direction,
        methods,
        tuple(table),
        tuple(map(tuple, rows)),
        ranks,
        tuple(
            MethodPair(methods[i], methods[j], ranks.p_nemenyi(i, j), raw[i, j], adjusted[i, j]) for i, j in numbered
        ),
        tuple(left_out),
    )
