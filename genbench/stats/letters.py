"""The compact letter display: values that share a letter are not significantly different.

Insert and absorb, Piepho 2004, "An algorithm for a letter-based representation of all-pairwise comparisons".
"""

from __future__ import annotations

from collections.abc import Collection

_ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def letters(count: int, different: Collection[tuple[int, int]]) -> list[str]:
    """Return the letters of `count` values, numbered from 0 in the order in which letters are given.

    Two values have a common letter exactly if neither (i, j) nor (j, i) is in `different`.
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
    ordered = sorted(groups, key=sorted)
    return ["".join(_letter(n) for n, group in enumerate(ordered) if place in group) for place in range(count)]


def _letter(number: int) -> str:
    """Return a to z, then a1 to z1, and so on."""
    turn, place = divmod(number, len(_ALPHABET))
    return _ALPHABET[place] + (str(turn) if turn else "")
