"""The board as files: what is written, what is kept, what is removed, and what is shown of bad input."""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
from example_runs import cell, changed, choice, comparability, estimate, identity, plan, reference, stored

from genbench.errors import UsageError
from genbench.report.archive import pack
from genbench.report.board.site import Board, build_board
from genbench.results.run_lock import hold
from genbench.results.schema import CellResult, PlannedCell, PluginOrigin
from genbench.results.store import RunDirectory

PNG = b"\x89PNG\r\n\x1a\n picture"


def seeds(
    model: str, values: list[float], prefix: str = "", loss: str = "non-saturating", **changes: Any
) -> list[CellResult]:
    """Return cells of one model that differ in the seed, with these values of the metric."""
    return [
        cell(
            f"{prefix}{model}-{seed}", identity(model, loss, seed=seed), 1000.0 + seed,
            estimates=[estimate("fd-cnn", value, 0.1, **changes)],
        )
        for seed, value in enumerate(values)
    ]  # fmt: skip


def build(site: Path, *runs: Path | RunDirectory, **options: Any) -> Board:
    return build_board(
        [run.path if isinstance(run, RunDirectory) else run for run in runs], site, processes=1, **options
    )


def contents(site: Path) -> dict[str, bytes]:
    return {path.relative_to(site).as_posix(): path.read_bytes() for path in site.rglob("*") if path.is_file()}


def pages(site: Path) -> dict[str, str]:
    return {name: text.decode() for name, text in contents(site).items() if name.endswith(".html")}


def page(site: Path, pattern: str) -> str:
    """Return the only page whose path matches."""
    (found,) = (text for name, text in pages(site).items() if re.search(pattern, name))
    return found


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src"):
                self.found.append(value or "")
            if name.startswith("on") or name == "style":
                self.handlers.append(f"{tag} {name}")


@pytest.fixture
def runs(tmp_path: Path) -> list[RunDirectory]:
    """Two runs with pictures, one of them with seeds."""
    one = stored(tmp_path / "runs" / "one", *seeds("gan", [30.0, 30.5, 31.0]), *seeds("vae", [50.0, 51.0]))
    two = stored(tmp_path / "runs" / "two", cell("dcgan-1"), references=(reference(),))
    two.sample_path("dcgan-1").write_bytes(PNG)
    return [one, two]


def test_every_link_of_every_page_leads_to_a_file(runs: list[RunDirectory], tmp_path: Path) -> None:
    built = build(tmp_path / "site", tmp_path / "runs")
    assert (built.runs, built.read, built.problems, built.duplicates) == (2, 2, {}, {})
    for name, text in pages(tmp_path / "site").items():
        links = _Links()
        links.feed(text)
        assert links.handlers == [], name
        for link in links.found:
            if link == "data:,":  # no icon
                continue
            assert not re.match(r"[a-z]+:|//", link), (name, link)
            target = (tmp_path / "site" / name).parent / link.partition("#")[0]
            assert link.startswith("#") or target.resolve().is_file(), (name, link)


def test_every_number_links_to_the_stored_result(runs: list[RunDirectory], tmp_path: Path) -> None:
    build(tmp_path / "site", *runs)
    board = page(tmp_path / "site", r"^boards/mini-fd-cnn-\w+\.html")
    links = re.findall(r'<td class="number"><a href="\.\./(runs/[^"]+\.json)">', board)
    assert len(links) == 3
    for link in links:
        copy = (tmp_path / "site" / link).read_bytes()
        assert copy in [run.cell_path(id).read_bytes() for run in runs for id in run.read_cells().results]
    (cell_page,) = (text for name, text in pages(tmp_path / "site").items() if re.match("runs/.*/dcgan", name))
    assert "genbench run --models dcgan" in cell_page


def test_nothing_is_written_again_without_a_change(runs: list[RunDirectory], tmp_path: Path) -> None:
    build(tmp_path / "site", *runs)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "site").rglob("*.html")}
    again = build(tmp_path / "site", *runs)
    assert (again.read, again.written) == (0, 0)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "site").rglob("*.html")}


def test_an_increment_gives_the_same_site_as_one_build(runs: list[RunDirectory], tmp_path: Path) -> None:
    build(tmp_path / "site", runs[0])
    more = build(tmp_path / "site", *runs)
    assert more.read == 1
    build(tmp_path / "whole", *runs)
    shown = [{n: c for n, c in contents(tmp_path / site).items() if n[0] != "."} for site in ("site", "whole")]
    assert shown[0] == shown[1]


def test_pages_of_a_run_that_is_gone_are_removed_and_other_files_stay(runs: list[RunDirectory], tmp_path: Path) -> None:
    site = tmp_path / "site"
    build(site, *runs)
    own = site / "runs" / "notes.txt"
    own.write_text("mine")
    (site / "CNAME").write_text("example.org")
    build(site, runs[1])
    names = {*contents(site)}
    assert not any("gan-non-saturating" in name and "dcgan" not in name for name in names)
    assert {"CNAME", "runs/notes.txt"} <= names
    build(tmp_path / "fresh", runs[1])
    assert names - {"CNAME", "runs/notes.txt"} == {*contents(tmp_path / "fresh")}


def test_a_changed_result_is_read_again_and_a_touched_one_is_not(runs: list[RunDirectory], tmp_path: Path) -> None:
    site = tmp_path / "site"
    build(site, *runs)
    os.utime(runs[0].cell_path("gan-0"), (1, 1))
    assert build(site, *runs).read == 0
    runs[0].write_cell(changed(seeds("gan", [77.25])[0]))
    assert build(site, *runs).read == 1
    assert any("77.25" in text for text in pages(site).values())


def test_an_upgrade_writes_everything_again(
    runs: list[RunDirectory], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path / "site", *runs)
    monkeypatch.setattr("genbench.report.board.site._version", lambda: "another")
    assert build(tmp_path / "site", *runs).read == 2


def test_an_interrupted_build_leaves_nothing_behind(
    runs: list[RunDirectory], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    build(site, runs[0])

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("genbench.report.board.output.BoardFolder.finish", fail)
        with pytest.raises(KeyboardInterrupt):
            build(site, *runs)
    assert {name.partition("/")[0] for name in contents(site) if "dcgan" in name} >= {"models", "runs"}
    build(site, runs[0])
    assert not any("dcgan" in name for name in contents(site))


def test_a_board_among_the_runs_is_not_a_run(runs: list[RunDirectory], tmp_path: Path) -> None:
    for _ in range(2):
        assert build(tmp_path / "runs" / "site", tmp_path / "runs").runs == 2
    assert not [*(tmp_path / "runs" / "site").rglob("run.json")]


def test_only_one_process_writes_a_board(runs: list[RunDirectory], tmp_path: Path) -> None:
    build(tmp_path / "site", runs[0])
    with hold(tmp_path / "site" / ".board" / "lock"), pytest.raises(UsageError, match="Another genbench process"):
        build(tmp_path / "site", *runs)


def test_several_processes_write_the_same_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genbench.report.board.reading._FEW", 2)
    for number in range(5):
        run = stored(tmp_path / "runs" / f"r{number}", cell("gan-1", speed=1000.0 + number))
        record = msgspec.structs.replace(run.record, created=f"2026-01-0{number + 1}T00:00:00Z")
        run.record_path.write_bytes(msgspec.json.encode(record))
    seen: list[tuple[int, int]] = []
    for site, processes in (("one", 1), ("two", 2)):
        build_board([tmp_path / "runs"], tmp_path / site, processes=processes, progress=lambda *n: seen.append(n))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert seen[-1] == (5, 5)


def test_another_folder_is_refused_and_stays_as_it_is(runs: list[RunDirectory], tmp_path: Path) -> None:
    other = tmp_path / "home"
    other.mkdir()
    (other / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="is not empty and is not a board"):
        build(other, *runs)
    assert [*contents(other)] == ["thesis.tex"]
    with pytest.raises(UsageError, match="is not a folder"):
        build(other / "thesis.tex", *runs)


def test_a_file_in_the_place_of_a_page_is_not_replaced(runs: list[RunDirectory], tmp_path: Path) -> None:
    site = tmp_path / "site"
    build(site, *runs)
    state = json.loads((site / ".board" / "board.json").read_text())
    del state["pages"]["index.html"]
    (site / ".board" / "board.json").write_text(json.dumps(state))
    (site / "index.html").write_text("mine")
    with pytest.raises(UsageError, match=r"index.html was not written by `genbench board`"):
        build(site, *runs)
    assert (site / "index.html").read_text() == "mine"


def test_a_link_in_the_place_of_a_page_is_not_followed(runs: list[RunDirectory], tmp_path: Path) -> None:
    site = tmp_path / "site"
    build(site, *runs)
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    (site / "index.html").unlink()
    (site / "index.html").symlink_to(victim)
    build(site, *runs, title="new")
    assert victim.read_text() == "untouched"


def test_an_edited_state_removes_nothing_outside(runs: list[RunDirectory], tmp_path: Path) -> None:
    site, victim = tmp_path / "site", tmp_path / "victim"
    build(site, *runs)
    victim.write_text("untouched")
    for cached in (site / ".board" / "runs").glob("*.json"):
        data = json.loads(cached.read_text())
        data["files"] |= {"../victim": "0", str(victim): "0"}
        cached.write_text(json.dumps(data))
    build(site, runs[0])
    assert victim.read_text() == "untouched"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_an_error(runs: list[RunDirectory], tmp_path: Path) -> None:
    (tmp_path / "site").mkdir(mode=0o555)
    with pytest.raises(UsageError, match="Make it writable"):
        build(tmp_path / "site", *runs)


def test_a_file_as_parent_is_an_error(runs: list[RunDirectory], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match=r"is not a folder|Cannot write"):
        build(tmp_path / "file" / "site", *runs)


def test_paths_without_a_run_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="has no run directory and no archive"):
        build(tmp_path / "site", tmp_path / "empty")
    with pytest.raises(UsageError, match="does not exist"):
        build(tmp_path / "site", tmp_path / "nowhere")
    assert not (tmp_path / "site").exists()


# ----------------------------------------------------------------------------------------------------------------------
# What is ranked


def ranked(site: Path, metric: str = "fd-cnn") -> list[tuple[str, str, bool]]:
    """Return rank, name and whether it is called best, of each row of the only leaderboard of a metric."""
    text = page(site, rf"^boards/mini-{metric}-\w+\.html")
    row = (
        r'<tr( class="best")?><td class="number">(.*?)</td>(?:<td>[a-z]*</td>)?<th scope="row"><a[^>]*><bdi>(.*?)</bdi>'
    )
    found = []
    for best, rank, name in re.findall(row, text, re.S):
        found.append((re.sub("<.*?>|best", "", rank).strip(), name.partition(" ·")[0], bool(best)))
    return found


def test_values_that_the_errors_over_seeds_do_not_separate_share_a_rank(tmp_path: Path) -> None:
    cells = [*seeds("a", [10.0, 10.4, 9.6]), *seeds("b", [10.1, 10.5, 9.7]), *seeds("c", [20.0, 20.2, 19.8])]
    build(tmp_path / "site", stored(tmp_path / "run", *cells))
    assert ranked(tmp_path / "site") == [("1", "a", False), ("1", "b", False), ("2", "c", False)]


def test_one_seed_is_marked_and_never_best(tmp_path: Path) -> None:
    cells = [*seeds("a", [10.0, 10.1, 9.9]), *seeds("b", [20.0, 20.1, 19.9]), *seeds("lucky", [1.0])]
    build(tmp_path / "site", stored(tmp_path / "run", *cells))
    assert ranked(tmp_path / "site") == [("1", "a", True), ("2", "b", False), ("n = 1", "lucky", False)]
    index = (tmp_path / "site" / "index.html").read_text()
    assert "lucky" not in index


def test_with_one_seed_everywhere_there_are_no_ranks(tmp_path: Path) -> None:
    build(tmp_path / "site", stored(tmp_path / "run", *seeds("a", [10.0]), *seeds("b", [20.0])))
    assert ranked(tmp_path / "site") == [("n = 1", "a", False), ("n = 1", "b", False)]
    assert "no value is over several seeds" in (tmp_path / "site" / "index.html").read_text()


def test_only_comparable_values_are_ranked_together(tmp_path: Path) -> None:
    other = {"protocol": {"weights": "other", "n_reference": 8000}}
    one = stored(tmp_path / "one", *seeds("a", [10.0, 10.1]), *seeds("b", [11.0, 11.1], **other))
    pixels = [changed(result, comparability=comparability(data_hash="e" * 64)) for result in seeds("c", [12.0, 12.1])]
    two = stored(tmp_path / "two", *pixels)
    build(tmp_path / "site", one, two)
    boards = [text for name, text in pages(tmp_path / "site").items() if name.startswith("boards/mini-fd-cnn-")]
    assert sorted(re.search(r"<bdi>([abc]) ·", text)[1] for text in boards) == ["a", "b", "c"]  # type: ignore[index]


def test_speeds_are_ranked_on_one_machine_only(tmp_path: Path) -> None:
    machines = [changed(cell("a-1"), comparability=comparability(machine=name)) for name in ("EPYC",)]
    other = changed(cell("b-1"), comparability=comparability(machine="Xeon"))
    build(tmp_path / "site", stored(tmp_path / "run", *machines, other))
    boards = [text for name, text in pages(tmp_path / "site").items() if name.startswith("boards/mini-images-s-")]
    assert len(boards) == 2
    assert any("images/s ↑ on EPYC · 2 cores (cpu)" in text for text in boards)


def test_cells_that_failed_have_no_rank_and_are_counted(tmp_path: Path) -> None:
    broken = changed(cell("gan-9", identity(seed=9)), status="diverged", reason="the loss is NaN")
    build(tmp_path / "site", stored(tmp_path / "run", *seeds("gan", [1.0, 2.0]), broken))
    assert [name for _, name, _ in ranked(tmp_path / "site")] == ["gan"]
    assert "1 diverged" in (tmp_path / "site" / "index.html").read_text()
    assert "2 (1)" in (tmp_path / "site" / "missing.html").read_text()


# ----------------------------------------------------------------------------------------------------------------------
# Bad input


def test_damage_is_shown_never_hidden(tmp_path: Path) -> None:
    run = stored(tmp_path / "runs" / "some", cell("gan-1"), PlannedCell(id="vae-1", identity=identity("vae")))
    run.cell_path("vae-1").write_bytes(b'{"schema_version": 1,')
    torn = tmp_path / "runs" / "torn"
    torn.mkdir()
    (torn / "run.json").write_bytes(b'{"schema_version"')
    (tmp_path / "runs" / "bad.zip").write_bytes((pack(run, tmp_path / "x.zip").path.read_bytes())[:-3] + b"abc")
    built = build(tmp_path / "site", tmp_path / "runs")
    assert {Path(place).name for place in built.problems} == {"torn", "vae-1.json", "bad.zip"}
    index = (tmp_path / "site" / "index.html").read_text()
    assert "Damaged" in index
    assert "cells/vae-1.json" in index
    assert "run.json is damaged" in page(tmp_path / "site", r"runs/torn-\w+/index.html")
    vae = page(tmp_path / "site", r"^runs/.*/vae[^/]*\.html")
    assert '<span class="status bad">damaged</span>' in vae


def test_no_finished_cell_no_cell_and_older_plans(tmp_path: Path) -> None:
    empty = stored(tmp_path / "empty", PlannedCell(id="gan-1", identity=identity()))
    none = RunDirectory.create(tmp_path / "none", plan())
    build(tmp_path / "site", empty, none)
    assert "No cell has a value that could be ranked" in (tmp_path / "site" / "index.html").read_text()
    assert "not run" in page(tmp_path / "site", r"runs/empty-\w+/index.html")
    assert "No cells were planned" in page(tmp_path / "site", r"runs/none-\w+/index.html")


def test_numbers_that_are_not_finite_are_not_ranked(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", *seeds("gan", [30.0, 31.0]), *seeds("vae", [40.0]))
    path = run.cell_path("vae-0")
    path.write_text(path.read_text().replace("40.0", "1e999"))
    build(tmp_path / "site", run)
    assert [name for _, name, _ in ranked(tmp_path / "site")] == ["gan"]
    assert build(tmp_path / "site", run).problems


def test_names_that_differ_in_case_only_have_pages_of_their_own(tmp_path: Path) -> None:
    build(tmp_path / "site", stored(tmp_path / "run", *seeds("Gan", [1.0]), *seeds("gan", [2.0]), *seeds("GAN", [3.0])))
    names = [name.lower() for name in contents(tmp_path / "site")]
    assert len(names) == len({*names})
    assert sum(name.startswith("models/gan-") for name in names) == 3


HOSTILE = "<script>alert(1)</script>\"'\u202e\x1b[2J"


def test_hostile_names_do_nothing(tmp_path: Path) -> None:
    origin = PluginOrigin(plugin=HOSTILE, distribution=HOSTILE, version=HOSTILE)
    asked = msgspec.structs.replace(
        identity(), model=msgspec.structs.replace(choice(HOSTILE, **{HOSTILE: HOSTILE}), origin=origin),
        dataset=choice(HOSTILE), loss=choice(HOSTILE),
    )  # fmt: skip
    bad = cell(
        "gan-1", asked, estimates=[estimate(HOSTILE, 1.0, 0.1, protocol={HOSTILE: HOSTILE})],
        comparability=comparability(machine=HOSTILE), notes=[HOSTILE], status="collapsed", reason=HOSTILE,
    )  # fmt: skip
    record = plan(
        bad, command=["genbench", HOSTILE], environment={HOSTILE: HOSTILE, "commits": {"x": {"commit": HOSTILE}}}
    )
    run = RunDirectory.create(tmp_path / "run <b>", record)
    run.write_cell(bad)
    build(tmp_path / "site", run, title=HOSTILE)
    for name, content in contents(tmp_path / "site").items():
        assert re.fullmatch(r"[a-z0-9./-]+", name), name
        if name.endswith((".html", ".js")) and not name.startswith("assets/"):
            text = content.decode()
            assert "<script>alert" not in text, name
            assert "\u202e" not in text, name
            assert "\x1b" not in text, name


def test_missing_and_damaged_pictures(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", *seeds("gan", [1.0, 2.0]), *seeds("vae", [1.0]))
    run.sample_path("gan-0").write_bytes(b"<svg onload=alert(1)>")
    run.sample_path("gan-1").write_bytes(PNG)
    build(tmp_path / "site", run)
    texts = {name: text for name, text in pages(tmp_path / "site").items() if re.search(r"runs/run-\w+/\w", name)}
    assert sum("This picture is damaged" in text for text in texts.values()) == 1
    assert sum("<img" in text for text in texts.values()) == 1
    assert not any(b"<svg onload" in content for content in contents(tmp_path / "site").values())


def test_ten_thousand_cells_are_divided_into_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("page_templates", "pages", "run_pages"):
        monkeypatch.setattr(f"genbench.report.board.{module}.PAGE_ROWS", 7)
    run = stored(tmp_path / "run", *(result for n in range(20) for result in seeds(f"m{n:02d}", [float(n)])))
    build(tmp_path / "site", run)
    names = {*contents(tmp_path / "site")}
    assert sum(bool(re.match(r"boards/mini-fd-cnn-\w{10}(-\d)?\.html", name)) for name in names) == 3
    assert sum(bool(re.match(r"runs/run-\w+/index(-\d)?\.html", name)) for name in names) == 3
    assert {"missing.html", "missing-2.html", "missing-3.html", "models/index-3.html"} <= names


def test_long_rows_take_more_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genbench.report.board.page_templates.PAGE_BYTES", 2000)
    cells = [result for n in range(20) for result in seeds(f"m{n:02d}", [float(n)])]
    build(tmp_path / "site", stored(tmp_path / "run", *cells))
    boards = [text for name, text in pages(tmp_path / "site").items() if re.match(r"boards/mini-fd-cnn", name)]
    assert len(boards) > 2
    assert sum(len(re.findall(r"<bdi>m\d", text)) for text in boards) == 20
    lists = [text for name, text in contents(tmp_path / "site").items() if re.match(r"compare/mini.*\.js", name)]
    assert len(lists) > 1 and all(len(text) < 3000 for text in lists)
    names = [
        "compare/" + name
        for name in re.findall(r"compare/(mini[\w-]+\.js)", page(tmp_path / "site", r"^compare\.html"))
    ]
    assert {*names} == {name for name in contents(tmp_path / "site") if name.startswith("compare/")}


def test_many_seeds_are_not_all_named(tmp_path: Path) -> None:
    build(tmp_path / "site", stored(tmp_path / "run", *seeds("gan", [30.0 + n / 10 for n in range(50)])))
    board = page(tmp_path / "site", r"^boards/mini-fd-cnn")
    assert board.count('aria-label="stored result of seed') == 20
    assert "50 in all</a>" in board


def test_an_archive_gives_the_pages_of_its_run(runs: list[RunDirectory], tmp_path: Path) -> None:
    (tmp_path / "packed").mkdir()
    for run in runs:
        pack(run, tmp_path / "packed" / f"{run.name}.zip")
    build(tmp_path / "site", *runs)
    build(tmp_path / "from-archives", tmp_path / "packed")
    shown = [{n: c for n, c in contents(tmp_path / site).items() if n[0] != "."} for site in ("site", "from-archives")]
    assert shown[0].keys() == shown[1].keys()
    assert shown[0] == shown[1]


def test_a_run_and_its_archive_count_once_and_other_results_of_one_plan_do_not(
    runs: list[RunDirectory], tmp_path: Path
) -> None:
    pack(runs[0])
    built = build(tmp_path / "site", tmp_path / "runs")
    assert built.runs == 2
    assert [*built.duplicates] == [str(tmp_path / "runs" / "one.zip")]
    runs[0].write_cell(seeds("gan", [5.0])[0])
    assert build(tmp_path / "site", tmp_path / "runs").runs == 3


def test_pages_keep_below_their_limit(tmp_path: Path) -> None:
    long = "x" * 150
    cells = [result for n in range(170) for result in seeds(f"{long}{n}", [float(n)])]
    build(tmp_path / "site", stored(tmp_path / "run", *cells))
    sizes = {name: len(text.encode()) for name, text in pages(tmp_path / "site").items()}
    assert max(sizes.values()) < 500_000, max(sizes, key=sizes.__getitem__)


def test_leaderboards_of_metrics_have_letters(tmp_path: Path) -> None:
    values = {"gan": [30.0, 31.0, 30.5, 30.2], "dcgan": [30.4, 30.9, 30.1, 31.0], "vae": [50.0, 52.5, 49.0, 51.0]}
    run = stored(tmp_path / "run", *(one for model, own in values.items() for one in seeds(model, own)), cell("wgan-1"))
    build(tmp_path / "site", run)
    lines = page(tmp_path / "site", r"^boards/mini-fd-cnn-\w+\.html").split("<tr")[2:]
    letters = {
        re.findall(r"<bdi>([\w-]+)", line)[0]: re.findall(r"<td>([a-z]*)</td>", line)[0]
        for line in lines
        if "bdi" in line
    }
    assert letters == {"gan": "a", "dcgan": "a", "vae": "b", "wgan": ""}
    assert "Letters:" not in page(tmp_path / "site", r"^boards/mini-images-s-\w+\.html")


def test_a_long_history_is_divided_among_pages(tmp_path: Path) -> None:
    metrics = [f"metric-{n}" for n in range(12)]
    for number in range(2, 162):
        run = stored(
            tmp_path / "runs" / f"{'long ' * 20}{number:03d}",
            cell("gan-1", estimates=[estimate(name, 30.0 + number % 3) for name in metrics]),
        )
        record = msgspec.structs.replace(run.record, created=f"2026-01-01T00:{number // 60:02d}:{number % 60:02d}Z")
        run.record_path.write_bytes(msgspec.json.encode(record))
    build(tmp_path / "site", tmp_path / "runs")
    found = [text for name, text in pages(tmp_path / "site").items() if re.match(r"history/gan", name)]
    assert len(found) == 3  # 13 series of 150 runs
    assert max(len(text.encode()) for text in found) < 500_000
    assert sum(text.count('<section class="history">') for text in found) == 13
    assert all("10 earlier ones are left out" in text for text in found)


def test_history_shows_where_a_level_changed(tmp_path: Path) -> None:
    for number in range(8):
        measured = estimate("fd-cnn", 30.0 if number < 4 else 45.0)
        run = stored(tmp_path / "runs" / f"r{number}", cell("gan-1", estimates=[measured]))
        commits = {"commits": {"genbench": {"commit": f"{number}" * 40}}}
        record = msgspec.structs.replace(run.record, created=f"2026-01-0{number + 1}T00:00:00Z", environment=commits)
        run.record_path.write_bytes(msgspec.json.encode(record))
    build(tmp_path / "site", tmp_path / "runs")
    history = page(tmp_path / "site", r"^history/gan[^/]*\.html")
    assert re.search(r"\+50\.0\s%\sworse", history)
    assert "4444444444" in history
    assert history.count("<tr>") == 2 * (1 + 8)  # of the speed and of the metric, with their headings
    (data,) = re.findall(r'<script type="application/json" id="history-data">(.*)</script>', history)
    (metric,) = (one for one in json.loads(data) if one["quantity"] == "fd-cnn")
    assert metric["changes"] == [[4, False, "+50.0 % worse"]]
    assert metric["levels"] == [[0, 4, 30.0], [4, 8, 45.0]]
    assert metric["errors"] == [0.5] * 8  # one seed: that of the measurement
    assert "gan" in (tmp_path / "site" / "history" / "index.html").read_text()
    build(tmp_path / "one", tmp_path / "runs" / "r0")
    assert "There are none." in (tmp_path / "one" / "history" / "index.html").read_text()
