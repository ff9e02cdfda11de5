"""The compact letter display: values that share a letter are not significantly different.

Insert and absorb, Piepho 2004, "An algorithm for a letter-based representation of all-pairwise comparisons".
"""

from __future__ import annotations

from collections.abc import Collection

_ALPHABET = "abcdefghijklmnopqrstuvwxyz"
_MOST_GROUPS = 100  # on the way; their number can grow exponentially where answers about pairs are in no order


def letters(count: int, different: Collection[tuple[int, int]]) -> list[str] | None:
    """Return the letters of `count` values, numbered from 0 in the order in which letters are given.

    Two values have a common letter exactly if neither (i, j) nor (j, i) is in `different`. None: it would take more
    letters than there are, which nobody could read.
    """
    groups = [frozenset(range(count))]
    for one, other in sorted(different):
        split = [
            part
            for group in groups
            for part in ([group - {one}, group - {other}] if {one, other} <= group else [group])
        ]
        unique = list(dict.fromkeys(split))
        groups = [group for group in unique if group and not any(group < larger for larger in unique)]
        if len(groups) > _MOST_GROUPS:
            return None
    if len(groups) > len(_ALPHABET):
        return None
    ordered = sorted(groups, key=sorted)
    return ["".join(_ALPHABET[n] for n, group in enumerate(ordered) if place in group) for place in range(count)]
