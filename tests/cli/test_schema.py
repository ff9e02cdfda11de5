"""`genbench schema`: stored files match their schemas."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner
from example_runs import cell, estimate, reference, stored

from genbench.cli.schema import command
from genbench.errors import UsageError
from genbench.results.schema import CurvePoint, Memory, RaceLook, RaceRecord, RaceStanding


def schema(*arguments: str) -> Any:
    result = CliRunner().invoke(command, list(arguments), standalone_mode=False, catch_exceptions=False)
    return json.loads(result.output)


def test_stored_files_match_their_schemas(tmp_path: Path) -> None:
    failed = cell("bad-1", status="failed", reason="no", throughput=None, memory=None, proof=None, comparability=None)
    odd = cell(
        "odd-1",
        curves=[CurvePoint(step=1, images=1, terms={"loss": math.nan})],
        estimates=[estimate("psnr", 17.0, None, direction="higher"), estimate("fd-cnn", math.inf)],
        memory=Memory(peak_rss=1, peak_allocated=2, peak_reserved=3),
    )
    run = stored(tmp_path / "run", cell("gan-1"), failed, odd, references=(reference(),))
    paths = {"cell": list((run.path / "cells").iterdir()), "reference": [run.reference_path("mini-ref")]}
    run.write_race(RaceRecord(looks=[[RaceLook(seeds=3, standings=[RaceStanding(candidate="gan", seeds=3)])]]))
    for record, files in {**paths, "run": [run.record_path], "race": [run.race_path]}.items():
        validator = jsonschema.Draft202012Validator(schema(record))
        validator.check_schema(validator.schema)
        for path in files:
            validator.validate(json.loads(path.read_text()))


def test_the_schema_rejects_an_invalid_cell() -> None:
    validator = jsonschema.Draft202012Validator(schema("cell"))
    assert not validator.is_valid({"schema_version": 1, "id": "x", "status": "fine"})


def test_all_schemas_in_one_object_and_suggestions() -> None:
    assert schema() == {name: schema(name) for name in ("cell", "reference", "run", "race", "tuning")}
    with pytest.raises(UsageError, match="Did you mean 'reference'"):
        schema("refrence")
