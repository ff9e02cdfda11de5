"""The board in a real browser, opened as files and from a web server: pages work, and nothing leaves them."""

from __future__ import annotations

import functools
import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from browser import chromium, complaints, needs_browser, violations
from example_runs import cell, changed, choice, comparability, estimate, identity, plan, reference, stored
from PIL import Image

from genbench.report.board.site import build_board
from genbench.report.html.page import comparison_tables
from genbench.report.html.page_data import table_data
from genbench.report.table.outcome import outcomes_of
from genbench.results.schema import ReferenceRow
from genbench.results.store import RunDirectory

pytestmark = [pytest.mark.slow, needs_browser]

HOSTILE = "\"><img src=x onerror=window.hacked=1><script>window.hacked=1</script>\u202e'</style>"


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as made:
        yield made


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of two models over two seeds, under other protocols and on other machines, and a hostile one."""
    place = tmp_path_factory.mktemp("board")
    for number, (weights, machine) in enumerate((("1f0c", "EPYC"), ("9999", "Xeon"))):
        cells = [
            changed(
                cell(f"{model}-{seed}", identity(model, seed=seed), speed),
                comparability=comparability(machine=machine),
                estimates=[estimate("fd-cnn", value + seed, 0.2, protocol={"weights": weights, "n_reference": 8000})],
            )
            for model, speed, value in (("gan", 3000.0, 60.0), ("dcgan", 900.0, 20.0))
            for seed in (0, 1)
        ]
        protocol = {"weights": weights, "n_reference": 8000}
        rows = [ReferenceRow(name="real held-out", estimates=[estimate("fd-cnn", 18.0, 0.1, protocol=protocol)])]
        run = stored(place / "runs" / f"run {number}", *cells, references=(reference(rows=rows),))
        record = msgspec.structs.replace(run.record, created=f"2026-01-0{number + 1}T00:00:00Z")
        run.record_path.write_bytes(msgspec.json.encode(record))
        for result in cells:
            Image.new("RGB", (64, 64), (40, 90, 120)).save(run.sample_path(result.id))
    asked = msgspec.structs.replace(identity(), model=choice(HOSTILE, **{HOSTILE: HOSTILE}), loss=choice(HOSTILE))
    bad = cell("bad-1", asked, comparability=comparability(machine=HOSTILE), notes=[HOSTILE], reason=HOSTILE)
    hostile = RunDirectory.create(place / "runs" / "hostile", plan(bad, command=[HOSTILE], environment={"x": HOSTILE}))
    hostile.write_cell(bad)
    build_board([place / "runs"], place / "site", processes=1)
    return place / "site"


@pytest.fixture
def server(site: Path) -> Iterator[str]:
    """Serve the site as any web server does."""
    handler = functools.partial(_Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def open_page(driver: Any, url: str) -> None:
    driver.get("about:blank")
    driver.get(url)
    settle(driver)


def settle(driver: Any) -> None:
    driver.execute_async_script("setTimeout(arguments[0], 150)")
    driver.execute_async_script("const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done))")


def keys(site: Path, model: str) -> list[str]:
    """Return the cells of a model on the comparison page."""
    found = sorted(path for path in (site / "runs").glob(f"run-*/{model}-*.js"))
    return [path.relative_to(site / "runs").with_suffix("").as_posix() for path in found]


def texts(driver: Any, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent.trim())"
    found: list[str] = driver.execute_script(script, selector)
    return found


def wait_for(driver: Any, script: str) -> None:
    for _ in range(100):
        if driver.execute_script(script):
            settle(driver)
            return
        time.sleep(0.05)
    raise AssertionError(script)


def test_no_page_complains_and_hostile_names_do_nothing(driver: Any, site: Path) -> None:
    complaints(driver)
    for path in sorted(site.rglob("*.html")):
        open_page(driver, path.as_uri())
        assert complaints(driver) == [], path
        assert driver.execute_script("return window.hacked") is None, path
        assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth + 1"), path


def test_every_request_stays_on_the_board(driver: Any, site: Path) -> None:
    driver.get_log("performance")
    for name in ("index.html", "compare.html", next(site.glob("runs/run-0*/gan*.html")).relative_to(site).as_posix()):
        open_page(driver, (site / name).as_uri())
    urls = [
        message["params"]["request"]["url"]
        for entry in driver.get_log("performance")
        if (message := json.loads(entry["message"])["message"])["method"] == "Network.requestWillBeSent"
    ]
    assert urls
    assert all(url.startswith((site.as_uri(), "data:", "about:")) for url in urls)


@pytest.mark.parametrize("served", [False, True])
def test_cells_are_chosen_and_compared_and_the_link_keeps_the_choice(
    driver: Any, site: Path, server: str, served: bool
) -> None:
    complaints(driver)
    base = server if served else site.as_uri()
    open_page(driver, f"{base}/compare.html")
    wait_for(driver, "return document.querySelectorAll('.offered input').length === 9")
    search = driver.find_element("css selector", "#chooser input[type=search]")
    search.send_keys("dcgan")
    settle(driver)
    assert len(texts(driver, ".offered input")) == 4
    for number in (0, 2):  # of two runs
        driver.find_elements("css selector", ".offered input")[number].click()
        settle(driver)
    wait_for(driver, "return document.querySelectorAll('#table tbody tr.cell').length === 2")
    for part in ("#frontier canvas", "#curve-chart canvas", "#sample-viewer :is(img, canvas)"):
        assert driver.find_elements("css selector", part), part
    link = driver.current_url
    assert link.partition("#cells=")[2].count("/") == 2
    before = texts(driver, "#table tbody")
    open_page(driver, link)
    wait_for(driver, "return document.querySelectorAll('#table tbody tr.cell').length === 2")
    assert texts(driver, "#table tbody") == before
    driver.find_element("css selector", ".chosen button").click()
    wait_for(driver, "return document.querySelectorAll('#table tbody tr.cell').length === 1")
    assert complaints(driver) == []


def test_other_protocols_and_machines_are_marked(driver: Any, site: Path) -> None:
    chosen = keys(site, "gan")
    open_page(driver, f"{site.as_uri()}/compare.html#cells={','.join(chosen)}")
    wait_for(driver, "return document.querySelectorAll('#table tbody tr.cell').length === 2")  # two seeds in each
    marked = [text for text in texts(driver, "#table td") if text.endswith("†")]
    assert any(text.startswith("60.50 ± 0.50") for text in marked)
    assert any(text.startswith("3,000") for text in marked)
    notes = " ".join(texts(driver, "#table .footnotes li"))
    assert "not comparable: fd-cnn (weights 1f0c / weights 9999)" in notes
    assert "weights 9999" in notes
    assert "machine Xeon" in notes
    open_page(
        driver, f"{site.as_uri()}/compare.html#cells={','.join(key for key in chosen if key.startswith('run-0'))}"
    )
    wait_for(driver, "return document.querySelectorAll('#table tbody tr.cell').length === 1")
    assert not any(text.endswith("†") for text in texts(driver, "#table td"))


def test_seeds_are_pooled_and_reference_rows_are_lines(driver: Any, site: Path) -> None:
    complaints(driver)
    chosen = [key for model in ("gan", "dcgan") for key in keys(site, model) if key.startswith("run-0")]
    open_page(driver, f"{site.as_uri()}/compare.html#cells={','.join(chosen)}")
    wait_for(driver, "return document.querySelectorAll('#table tbody tr.cell').length === 2")
    assert texts(driver, "#table tbody tr.cell th") == ["gan", "dcgan"]
    assert texts(driver, "#table tbody tr.reference th") == ["real held-out"]
    shown = texts(driver, "#table td")
    assert "60.50 ± 0.50" in shown and "20.50 ± 0.50" in shown and "18.00 ± 0.10" in shown
    drawn = [text.partition(":")[0] for text in texts(driver, "#curve-chart .legend button")]
    assert drawn == [f"{model} (mean of 2 seeds)" for model in ("gan", "gan", "dcgan", "dcgan")]  # two loss terms each
    from selenium.webdriver.support.select import Select

    lines = driver.execute_script("return pageOf([...genbenchBoard.cells.values()]).tables[0].references")
    assert lines == {"fd-cnn": [["real held-out", "mini", 18.0]]}
    Select(driver.find_element("css selector", "#table select")).select_by_visible_text("each cell")
    wait_for(driver, "return document.querySelectorAll('#table tbody tr.cell').length === 4")
    assert complaints(driver) == []


def test_chosen_cells_have_the_means_and_the_frontier_of_the_report(driver: Any, site: Path) -> None:
    contents = RunDirectory.open(site.parent / "runs" / "run 0").read()
    outcomes = outcomes_of([contents])
    tables = comparison_tables(outcomes, [contents])
    numbers = {outcome: number for number, outcome in enumerate(outcomes)}
    chosen = [key for model in ("gan", "dcgan") for key in keys(site, model) if key.startswith("run-0")]
    open_page(driver, f"{site.as_uri()}/compare.html#cells={','.join(chosen)}")
    wait_for(driver, "return document.querySelectorAll('#table tbody tr.cell').length === 2")
    found = driver.execute_script(
        "return pageOf(arguments[0].map((key) => genbenchBoard.cells.get(key))).tables", chosen
    )
    assert [table["title"] for table in found] == list(tables)
    for own, (title, table) in zip(found, tables.items(), strict=True):
        expected = table_data(title, table, [row.id for row in table.rows], numbers)
        assert _numbers(own) == _numbers(expected)


def _numbers(table: dict[str, Any]) -> dict[str, Any]:
    """Return mean, text and interval of each quantity, and the frontier of each pair, by the models of the rows."""
    place = next(number for number, column in enumerate(table["columns"]) if column["key"] == "model")
    models = [(row["values"][place] or [""])[0] for row in table["rows"]]
    wanted = [
        (n, column["key"]) for n, column in enumerate(table["columns"]) if column["key"] in ("fd-cnn", "images/s")
    ]
    values = sorted(
        (model, key, row["values"][n][0], round(row["values"][n][1], 3))
        for model, row in zip(models, table["rows"], strict=True)
        for n, key in wanted
        if row["kind"] == "cell"
    )
    points = {
        axis["key"]: sorted(
            [models[row], *(round(one, 3) for one in known if one is not None)] for row, *known in axis["points"]
        )
        for axis in (*table["speeds"], *table["qualities"])
        if axis["key"] in ("fd-cnn", "images/s")
    }
    frontiers = [sorted(models[row] for row in group["frontier"]) for group in table["frontiers"]["fd-cnn"]["images/s"]]
    return {"values": values, "points": points, "frontiers": frontiers}


def test_a_link_to_a_cell_that_is_gone_says_so(driver: Any, site: Path) -> None:
    open_page(driver, f"{site.as_uri()}/compare.html#cells=gone-0123456789/gan-0123456789,../../x")
    wait_for(
        driver, "return document.querySelector('#chooser [role=status]').textContent.includes('Not on this board')"
    )
    assert "gone-0123456789/gan-0123456789" in texts(driver, "#chooser [role=status]")[0]
    complaints(driver)


def test_the_page_of_a_cell_draws_its_curves(driver: Any, site: Path) -> None:
    complaints(driver)
    open_page(driver, (site / "runs" / f"{keys(site, 'gan')[0]}.html").as_uri())
    assert driver.execute_script("return document.querySelectorAll('#curve-chart canvas').length") == 1
    assert texts(driver, "[data-copy]")[0].startswith("genbench run --models gan")
    assert complaints(driver) == []


def test_the_history_is_drawn_and_read_by_keyboard(driver: Any, tmp_path: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    for number in range(8):
        made = cell("gan-1", estimates=[estimate("fd-cnn", 30.0 if number < 4 else 45.0, 0.5)])
        run = stored(tmp_path / "runs" / f"r{number}", made)
        record = msgspec.structs.replace(run.record, created=f"2026-01-0{number + 1}T00:00:00Z")
        run.record_path.write_bytes(msgspec.json.encode(record))
    build_board([tmp_path / "runs"], tmp_path / "site", processes=1)
    (page,) = (tmp_path / "site" / "history").glob("gan*.html")
    complaints(driver)
    open_page(driver, page.as_uri())
    assert len(driver.find_elements("css selector", ".history canvas")) == 2
    label = driver.find_elements("css selector", ".history .uplot")[1].get_attribute("aria-label")
    assert label.startswith("fd-cnn of 8 runs, 1 change of level")
    slider = driver.find_elements("css selector", ".history input[type=range]")[1]
    assert slider.get_attribute("aria-valuetext").startswith("r7, 2026-01-08")
    slider.send_keys(Keys.ARROW_LEFT * 3)
    assert slider.get_attribute("aria-valuetext").endswith("45.00 ± 0.50 over 1 seed; level +50.0 % worse")
    assert texts(driver, "tr[aria-current] td:nth-child(2)") == ["r7", "r4"]
    for theme in ("light", "dark"):
        driver.execute_script("localStorage.setItem('genbench-theme', arguments[0])", theme)
        driver.refresh()
        settle(driver)
        assert violations(driver) == []
    assert complaints(driver) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_are_accessible_in_both_themes(driver: Any, site: Path, theme: str) -> None:
    found = [*site.glob("*.html"), *site.glob("boards/mini-fd*.html"), *site.glob("runs/run-0*/*.html")]
    found += [*site.glob("history/*.html"), *site.glob("models/*.html")]
    for path in found:
        open_page(driver, path.as_uri())
        driver.execute_script("localStorage.setItem('genbench-theme', arguments[0])", theme)
        driver.refresh()
        settle(driver)
        assert violations(driver) == [], path


def test_pages_are_complete_without_scripts(driver: Any, site: Path) -> None:
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        driver.get((site / "index.html").as_uri())
        text = driver.find_element("css selector", "main").text
        assert "fd-cnn" in text
        assert "dcgan" in text
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_the_keyboard_reaches_the_content(driver: Any, site: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    open_page(driver, (site / "index.html").as_uri())
    driver.find_element("css selector", "body").send_keys(Keys.TAB)
    assert driver.switch_to.active_element.text == "Skip to the content"
    assert driver.switch_to.active_element.is_displayed()
