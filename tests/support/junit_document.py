"""What Jenkins' published JUnit schema asks of a document, as far as genbench writes one; no package ships it."""

from __future__ import annotations

from xml.etree import ElementTree

_ATTRIBUTES = {
    "testsuites": ({"name", "time", "tests", "failures", "disabled", "errors"}, set()),
    "testsuite": (
        {
            "name",
            "tests",
            "failures",
            "errors",
            "time",
            "disabled",
            "skipped",
            "timestamp",
            "hostname",
            "id",
            "package",
        },
        {"name", "tests"},
    ),
    "testcase": ({"name", "assertions", "time", "classname", "status", "class", "file", "line"}, {"name"}),
    "skipped": ({"type", "message"}, set()),
    "error": ({"type", "message"}, set()),
    "failure": ({"type", "message"}, set()),
    "system-out": (set(), set()),
}
_CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"testcase"},
    "testcase": {"skipped", "error", "failure", "system-out"},
}


def outcomes(text: str) -> dict[str, str]:
    """Return what became of each test case; fail where the document breaks the schema, or its sums are wrong."""
    root = ElementTree.fromstring(text)
    assert root.tag == "testsuites"
    for element in root.iter():
        known, needed = _ATTRIBUTES[element.tag]
        assert needed <= element.attrib.keys() <= known, element.tag
        assert {child.tag for child in element} <= _CHILDREN.get(element.tag, set()), element.tag
    (suite,) = root
    found: dict[str, str] = {}
    for case in suite:
        said = [child.tag for child in case if child.tag != "system-out"]
        assert len(said) <= 1
        assert float(case.attrib.get("time", 0)) >= 0
        found[case.attrib["name"]] = said[0] if said else "passed"
    assert len(found) == len(suite) == int(suite.attrib["tests"])
    for sums, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(suite.attrib[sums]) == list(found.values()).count(tag)
    return found
