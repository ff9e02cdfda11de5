"""JUnit XML with one test case per cell, in the format that CI systems read.

A regression is a failure; a cell that could not be measured or compared is an error; an inconclusive one is skipped,
with the reason. The format follows the JUnit schema published by Jenkins.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from genbench.gate.verdict import Verdict

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # in XML 1.0


@dataclass(frozen=True)
class Case:
    """One test case."""

    name: str
    verdict: Verdict
    message: str  # one line
    seconds: float = 0.0
    skipped: bool = False  # whatever the verdict: there was nothing to compare


def junit(suite: str, cases: Sequence[Case]) -> str:
    """Return the document."""
    failures = [case for case in cases if case.verdict is Verdict.REGRESSED and not case.skipped]
    errors = [case for case in cases if case.verdict in _ERRORS and not case.skipped]
    skipped = [case for case in cases if case.skipped or case.verdict is Verdict.INCONCLUSIVE]
    attributes = {
        "name": _clean(suite),
        "tests": str(len(cases)),
        "failures": str(len(failures)),
        "errors": str(len(errors)),
        "skipped": str(len(skipped)),
        "time": f"{sum(case.seconds for case in cases):.3f}",
    }
    root = ElementTree.Element("testsuites")
    element = ElementTree.SubElement(root, "testsuite", attributes)
    for case in cases:
        facts = {"classname": _clean(suite), "name": _clean(case.name), "time": f"{case.seconds:.3f}"}
        test = ElementTree.SubElement(element, "testcase", facts)
        message = {"message": _clean(f"{case.verdict}: {case.message}")}
        if case in skipped:
            ElementTree.SubElement(test, "skipped", message)
        elif case in failures:
            ElementTree.SubElement(test, "failure", {**message, "type": case.verdict}).text = _clean(case.message)
        elif case in errors:
            ElementTree.SubElement(test, "error", {**message, "type": case.verdict}).text = _clean(case.message)
        else:
            ElementTree.SubElement(test, "system-out").text = message["message"]
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


_ERRORS = (Verdict.NO_DATA, Verdict.NOT_COMPARABLE)


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("?", text)
