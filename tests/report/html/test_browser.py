"""The report in a real browser: every control is used, nothing leaves the page, and bad names do nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import chromium, complaints, needs_browser, violations
from example_runs import cell, changed, choice, estimate, identity, plan, reference
from PIL import Image

from genbench.report import markup
from genbench.report.html.page import report_page
from genbench.results.schema import CurvePoint, EvaluationPoint, Target, TrainingFrame, TrainingSamples
from genbench.results.store import LoadedRun, RunDirectory

pytestmark = [pytest.mark.slow, needs_browser]

SIZE = 28
HOSTILE = "\"><img src=x onerror=window.hacked=1><script>window.hacked=1</script>\u202e\x1b[31m'</style>"


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as made:
        yield made


def trained(model: str, seed: int, speed: float, fd: float) -> Any:
    points = [
        EvaluationPoint(step=n, images=32 * n, estimates=[estimate("fd-cnn", fd + 4000 / n + seed, 0.5)])
        for n in (50, 100, 150, 200)
    ]
    return cell(
        f"{model}-{seed}",
        identity(model, seed=seed),
        speed=speed + 10 * seed,
        evaluations=points,
        estimates=points[-1].estimates,
        steps=200,
        images=6400,
    )


def with_sheet(run: RunDirectory, result: Any, shade: int) -> Any:
    """Store three frames that become brighter, and return the result with their record."""
    sheet = Image.new("RGB", (4 * SIZE, 3 * 2 * SIZE))
    for frame in range(3):
        sheet.paste((shade, 80 * frame, 80), (0, frame * 2 * SIZE, 4 * SIZE, (frame + 1) * 2 * SIZE))
    path = run.training_samples_path(result.id)
    sheet.save(path, "WEBP", lossless=True)
    content = path.read_bytes()
    record = TrainingSamples(
        columns=4,
        rows=2,
        width=SIZE,
        height=SIZE,
        frames=[TrainingFrame(step=n, images=32 * n) for n in (0, 100, 200)],
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    return changed(result, training_samples=record)


def write_page(run: RunDirectory, path: Path) -> Path:
    path.write_text(report_page([LoadedRun(run, run.read())]))
    return path


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with three models, two seeds, metrics during training, a target and every kind of picture."""
    path = tmp_path_factory.mktemp("report")
    models = (("gan", 3000.0, 60.0), ("dcgan", 900.0, 20.0), ("vae", 9000.0, 40.0))
    cells = [trained(*model[:1], seed, *model[1:]) for model in models for seed in (0, 1)]
    run = RunDirectory.create(
        path / "run", plan(*cells, targets=[Target(metric="fd-cnn", value=50.0, direction="lower")])
    )
    for number, result in enumerate(cells):
        Image.new("RGB", (242, 242), (40 * number, 90, 120)).save(run.sample_path(result.id))
        run.write_cell(with_sheet(run, result, 40 * number) if result.id != "vae-1" else result)
    grid = Image.new("L", (242, 242), 10)
    for row in range(0, 8, 2):
        grid.paste(250, (0, 30 * row, 242, 30 * row + 30))  # originals are white, reconstructions black
    grid.save(run.reconstruction_path("vae-0"))
    run.write_reference(reference())
    return write_page(run, path / "report.html")


@pytest.fixture
def page(driver: Any, report: Path) -> Iterator[Any]:
    """The report, freshly opened; it must end without a complaint of the browser."""
    complaints(driver)
    open_page(driver, report)
    yield driver
    assert complaints(driver) == []


def open_page(driver: Any, path: Path) -> None:
    driver.get("about:blank")
    driver.get(path.as_uri())
    frame(driver)


def frame(driver: Any) -> None:
    """Wait until what has been asked for is drawn."""
    driver.execute_async_script("const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done))")


def texts(driver: Any, selector: str) -> list[str]:
    found: list[str] = driver.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent.trim())", selector
    )
    return found


def one(driver: Any, selector: str) -> Any:
    return driver.find_element("css selector", selector)


def control(driver: Any, section: str, text: str) -> Any:
    """Return the input or select of the control with this label."""
    for label in driver.find_elements("css selector", f"{section} label"):
        if label.get_attribute("textContent").startswith(text):
            return label.find_element("css selector", "input, select")
    raise AssertionError(text)


def press(driver: Any, section: str, text: str) -> None:
    for made in driver.find_elements("css selector", f"{section} button"):
        if made.text == text:
            made.click()
            frame(driver)
            return
    raise AssertionError(text)


def choose(driver: Any, section: str, label: str, text: str) -> None:
    from selenium.webdriver.support.select import Select

    Select(control(driver, section, label)).select_by_visible_text(text)
    frame(driver)


def set_range(driver: Any, slider: Any, value: float) -> None:
    driver.execute_script(
        "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))", slider, str(value)
    )
    frame(driver)


def pixels(driver: Any, selector: str) -> list[str]:
    """Return what each canvas shows, as text that differs if a pixel does."""
    found: list[str] = driver.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map((canvas) => canvas.toDataURL())", selector
    )
    return found


ROWS = "#table tbody tr.cell th"


def test_the_table_sorts_filters_and_chooses_columns(page: Any) -> None:
    assert texts(page, ROWS) == ["gan", "dcgan", "vae"]
    heading = one(page, '#table button[data-key="images/s"]')
    heading.click()
    assert texts(page, ROWS) == ["dcgan", "gan", "vae"]
    one(page, '#table button[data-key="images/s"]').click()
    assert texts(page, ROWS) == ["vae", "gan", "dcgan"]
    sorted_by = [th.get_attribute("aria-sort") for th in page.find_elements("css selector", "#table thead th")]
    assert sorted_by.count("descending") == 1
    assert page.execute_script("return document.activeElement.dataset.key") == "images/s"

    search = one(page, "#table input[type=search]")
    search.send_keys("gan")
    frame(page)
    assert texts(page, ROWS) == ["gan", "dcgan"]
    assert "2 of 3 rows" in texts(page, "#table [role=status]")[0]
    assert [a.is_displayed() for a in page.find_elements("css selector", "article")] == [True] * 4 + [False] * 2
    search.clear()
    search.send_keys(" ")
    choose(page, "#table", "model", "vae")
    assert texts(page, ROWS) == ["vae"]
    choose(page, "#table", "model", "any")

    one(page, "#table .menu summary").click()
    before = len(texts(page, "#table thead th"))
    control(page, "#table .columns", "training time").click()
    assert len(texts(page, "#table thead th")) == before + 1
    assert len(texts(page, "#table tbody tr.reference")) == 2
    control(page, "#table", "reference rows").click()
    assert texts(page, "#table tbody tr.reference") == []

    choose(page, "#table", "Rows", "each cell")
    assert len(texts(page, ROWS)) == 6
    assert "gan · seed 1" in texts(page, ROWS)


def test_the_best_value_is_marked(page: Any) -> None:
    assert texts(page, "#table td.best") == ["40.50 ± 0.50a (best)", "9,005.0 ± 5.0 (best)"]


def test_metrics_over_seeds_have_letters_with_their_meaning(page: Any) -> None:
    assert texts(page, "#table tbody sup.letters") == ["c", "a", "b"]  # gan, dcgan, vae: 60, 20 and 40
    assert any(text.startswith("letters comparable values of a column") for text in texts(page, "#table .footnotes li"))
    choose(page, "#table", "Rows", "each cell")
    assert texts(page, "#table tbody sup.letters") == []


@pytest.mark.parametrize(
    ("kind", "said"), [("Markdown", "| vae |"), ("LaTeX", r"\toprule"), ("CSV", "cell,seeds,status,images/s")]
)
def test_the_table_is_copied(page: Any, kind: str, said: str) -> None:
    page.execute_script("navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve(); }")
    one(page, "#table .menu:nth-of-type(2) summary").click()
    press(page, "#table", f"Copy as {kind}")
    assert said in page.execute_script("return window.copied")
    page.execute_script("navigator.clipboard.writeText = () => Promise.reject()")
    press(page, "#table", f"Copy as {kind}")
    assert said in page.execute_script("return document.querySelector('#table textarea').value")


def test_copies_are_escaped_as_tables_are(page: Any) -> None:
    hostile = "α_x ≤ [1] | *b* √2 & \\\\ <i>"
    for format, escape in (("LaTeX", markup.latex), ("Markdown", markup.markdown), ("CSV", markup.spreadsheet)):
        copied = page.execute_script(f"return COPY_FORMATS.{format}(['a', 'b'], [['x', arguments[0]]])", hostile)
        assert escape(hostile) in copied, format
    for formula in ("=1+1", " @x", "＋1"):
        assert markup.spreadsheet(formula) in page.execute_script(
            "return COPY_FORMATS.CSV(['a', 'b'], [['x', arguments[0]]])", formula
        )


def test_the_frontier_follows_its_axes_and_the_table(page: Any) -> None:
    drawings = [pixels(page, "#frontier canvas")]
    for label, text in (("Across", "training time (s)"), ("Up", "fd-cnn")):
        if text in texts(page, "#frontier option"):
            choose(page, "#frontier", label, text)
    choose(page, "#frontier", "Across", "parameters")
    drawings.append(pixels(page, "#frontier canvas"))
    choose(page, "#frontier", "Across", "images/s")
    assert pixels(page, "#frontier canvas") == drawings[0]
    for label in ("log across", "log up", "reference lines"):
        control(page, "#frontier", label).click()
        frame(page)
        drawings.append(pixels(page, "#frontier canvas"))
    one(page, "#table input[type=search]").send_keys("vae")
    frame(page)
    drawings.append(pixels(page, "#frontier canvas"))
    assert len({json.dumps(drawing) for drawing in drawings}) == len(drawings)
    assert "of 1 rows" in one(page, "#frontier [role=img]").get_attribute("aria-label")


def test_a_click_on_a_point_opens_its_cell(page: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    over = one(page, "#frontier .u-over")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", over)
    width, height = over.size["width"], over.size["height"]
    for down in range(-height // 2 + 4, height // 2, 12):  # from the top, until the pointer meets a point
        for across in range(-width // 2 + 4, width // 2, 16):
            ActionChains(page, duration=0).move_to_element_with_offset(over, across, down).perform()
            if one(page, "#frontier .tip").is_displayed():
                assert "fd-cnn" in one(page, "#frontier .tip").text
                ActionChains(page).click().perform()
                frame(page)
                anchor = page.execute_script("return location.hash")
                assert anchor.startswith("#cell-")
                assert one(page, f"{anchor} details.about").get_attribute("open")
                return
    raise AssertionError("no point was found")


def test_curves_of_any_quantity_share_a_chart(page: Any) -> None:
    names = texts(page, "#curves .legend button")
    assert [name.rstrip(" 0123456789.,") for name in names] == [
        f"{m} (mean of 2 seeds)" for m in ("gan", "dcgan", "vae")
    ]
    drawings = [pixels(page, "#curves canvas")]
    choose(page, "#curves", "Over", "training time (s)")
    drawings.append(pixels(page, "#curves canvas"))
    for label in ("log across", "log up"):
        control(page, "#curves", label).click()
        frame(page)
        drawings.append(pixels(page, "#curves canvas"))
    set_range(page, control(page, "#curves", "Smoothing"), 0.8)
    drawings.append(pixels(page, "#curves canvas"))
    control(page, "#curves", "means over seeds").click()
    frame(page)
    assert len(texts(page, "#curves .legend button")) == 6
    drawings.append(pixels(page, "#curves canvas"))
    choose(page, "#curves", "Quantity", "all loss terms")
    assert len(texts(page, "#curves .legend button")) == 12
    drawings.append(pixels(page, "#curves canvas"))
    one(page, "#curves .menu summary").click()
    control(page, "#curves .columns", "generator").click()
    frame(page)
    assert len(texts(page, "#curves .legend button")) == 6
    assert len({json.dumps(drawing) for drawing in drawings}) == len(drawings)


def test_the_legend_hides_a_curve(page: Any) -> None:
    before = pixels(page, "#curves canvas")
    first = one(page, "#curves .legend button")
    first.click()
    frame(page)
    assert first.get_attribute("aria-pressed") == "false"
    assert pixels(page, "#curves canvas") != before
    first.click()
    frame(page)
    assert pixels(page, "#curves canvas") == before


def test_ticks_of_the_table_decide_what_the_charts_show(page: Any) -> None:
    press(page, "#table", "none")
    assert texts(page, "#curves .legend button") == []
    assert "Tick cells in the table" in texts(page, "#curves .caption")[0]
    one(page, "#table tbody input").click()
    frame(page)
    assert len(texts(page, "#curves .legend button")) == 1
    assert len(texts(page, "#samples figure")) == 2
    press(page, "#table", "all")
    assert len(texts(page, "#samples figure")) == 6


def test_one_slider_moves_all_models_through_training(page: Any) -> None:
    wait_for_canvases(page, 5)
    last = pixels(page, "#samples canvas")
    slider = control(page, "#samples", "Training")
    assert slider.get_attribute("max") == "2"
    set_range(page, slider, 0)
    first = pixels(page, "#samples canvas")
    assert len(first) == 5 and all(one != other for one, other in zip(first, last, strict=True))
    assert texts(page, "#samples figure [data-note]")[0] == "after 0 images"
    assert "none stored" in texts(page, "#samples figure")[5]
    chart = pixels(page, "#curves canvas")
    set_range(page, slider, 1)
    assert pixels(page, "#curves canvas") != chart  # the position is drawn there
    press(page, "#samples", "Play")
    deadline = time.monotonic() + 10
    while slider.get_attribute("value") != "2" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert slider.get_attribute("value") == "2"


def test_the_samples_follow_the_cursor_of_the_curves(page: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    wait_for_canvases(page, 5)
    over = one(page, "#curves .u-over")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", over)
    ActionChains(page, duration=0).move_to_element_with_offset(over, -over.size["width"] // 2 + 8, 0).perform()
    frame(page)
    assert texts(page, "#samples figure [data-note]")[0] == "after 0 images"
    assert texts(page, "#curves .legend .value")[0]


def test_originals_give_way_to_reconstructions(page: Any) -> None:
    choose(page, "#samples", "Show", "held-out images and reconstructions")
    wait_for_canvases(page, 1)
    slider = control(page, "#samples", "originals")
    seen = []
    for share in (0, 1):
        set_range(page, slider, share)
        seen.append(
            page.execute_script(
                "const canvas = document.querySelector('#samples canvas');"
                "return canvas.getContext('2d').getImageData(canvas.width / 4, canvas.height / 2, 1, 1).data[0]"
            )
        )
    assert seen == [250, 10]


def wait_for_canvases(driver: Any, count: int) -> None:
    """Wait until so many pictures are decoded and drawn."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        drawn = "return [...document.querySelectorAll('#samples canvas')].filter((one) => one.width !== 300).length"
        if driver.execute_script(drawn) == count:
            return
        time.sleep(0.05)
    raise AssertionError("the pictures were not drawn")


def test_everything_works_with_the_keyboard(page: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    reached = set()
    for _ in range(60):
        ActionChains(page).send_keys(Keys.TAB).perform()
        reached.add(
            page.execute_script("const e = document.activeElement; return e.dataset.key ?? e.type ?? e.tagName")
        )
    assert {"images/s", "search", "select-one", "checkbox", "range"} <= reached
    heading = one(page, '#table button[data-key="images/s"]')
    heading.send_keys(Keys.ENTER)
    assert texts(page, ROWS)[0] == "dcgan"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_keeps_disabled_readers_out(page: Any, theme: str) -> None:
    while f"Theme: {theme}" not in texts(page, "#theme button"):
        one(page, "#theme button").click()
        frame(page)
    for details in page.find_elements("css selector", "details.about"):
        page.execute_script("arguments[0].open = true", details)
    assert violations(page) == []


def test_a_narrow_screen_needs_no_sideways_scrolling(page: Any) -> None:
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 700, "deviceScaleFactor": 1, "mobile": True}
    )
    try:
        frame(page)
        wide = "return [...document.querySelectorAll('main *')].filter((one) => one.getBoundingClientRect().right > 361"
        wide += " && !one.closest('.wide, .menu, .hidden, .skip')).map((one) => one.outerHTML.slice(0, 80))"
        assert page.execute_script(wide) == []
        assert page.execute_script("return document.documentElement.scrollWidth") <= 360
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_it_prints(page: Any) -> None:
    printed = base64.b64decode(page.execute_cdp_cmd("Page.printToPDF", {})["data"])
    assert printed.startswith(b"%PDF") and len(printed) > 20_000


def test_nothing_leaves_the_page(driver: Any, report: Path) -> None:
    driver.get_log("performance")
    open_page(driver, report)
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert report.as_uri() in asked
    assert [url for url in asked if not url.startswith(("data:", "about:", report.as_uri()))] == []


def test_without_scripts_everything_can_still_be_read(driver: Any, report: Path) -> None:
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        driver.get(report.as_uri())
        assert "40.50 ± 0.50" in one(driver, "#table").text
        assert one(driver, ".highlights").text.startswith("Finished")
        assert not one(driver, "#curves").is_displayed()
        articles = driver.find_elements("css selector", "article")
        assert len(articles) == 6
        assert len(articles[0].find_elements("css selector", "img")) == 2
        articles[0].find_element("css selector", "details.about summary").click()
        for said in ("learning_rate", "60,000", "genbench run --models gan"):
            assert said in articles[0].text
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_hostile_names_do_nothing(driver: Any, tmp_path: Path) -> None:
    complaints(driver)
    asked = changed(identity(), model=choice(HOSTILE, option=HOSTILE), loss=choice(HOSTILE), dataset=choice(HOSTILE))
    results = [
        cell(
            f"x-{number}",
            changed(asked, seed=number),
            status=status,
            reason=HOSTILE,
            notes=[HOSTILE],
            estimates=[estimate(HOSTILE, 3.0 + number, 0.1)],
            curves=[CurvePoint(step=n, images=n, terms={HOSTILE: float(n)}) for n in (1, 2)],
        )
        for number, status in enumerate(("ok", "ok", "failed"))
    ]
    run = RunDirectory.create(tmp_path / HOSTILE.replace("/", "")[:40], plan(*results, command=[HOSTILE]))
    for result in results:
        run.write_cell(result)
    run.log_path("x-2").write_text(HOSTILE)
    open_page(driver, write_page(run, tmp_path / "report.html"))
    choose(driver, "#table", "Rows", "each cell")
    for details in driver.find_elements("css selector", "details"):
        driver.execute_script("arguments[0].open = true", details)
    assert driver.execute_script("return window.hacked") is None
    assert driver.execute_script("return document.querySelectorAll('img[src=x]').length") == 0
    assert "onerror=window.hacked=1" in one(driver, "#table").text
    assert "\u202e" not in driver.page_source
    assert complaints(driver) == []


def test_a_page_without_results_says_so(driver: Any, tmp_path: Path) -> None:
    complaints(driver)
    for name, cells in (("empty", ()), ("one", (cell("gan-1", curves=[], windows=[], estimates=[], throughput=None),))):
        run = RunDirectory.create(tmp_path / name, plan(*cells))
        for result in cells:
            run.write_cell(result)
        open_page(driver, write_page(run, tmp_path / f"{name}.html"))
        assert "No cell has both a speed and a metric yet." in one(driver, "#frontier").text
        assert "No curves were recorded." in one(driver, "#curves").text
    assert complaints(driver) == []
