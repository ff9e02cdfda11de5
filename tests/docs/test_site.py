"""The documentation site builds without a warning or a network and holds every page; its search works from files."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from browser import chromium, complaints, needs_browser, violations

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-b",
        "html",
        "-c",
        "docs/site",
        ".",
        str(out),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.slow
def test_every_page_is_built_and_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = {path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html")}
    assert {f"docs/{path.stem}" for path in (ROOT / "docs").glob("*.md")} <= pages
    assert {f"plugins/{path.parent.name}/README" for path in (ROOT / "plugins").glob("*/README.md")} <= pages
    loaded = re.compile(r"""<(?:script|img|iframe)[^>]*src="https?:|<link[^>]*rel="stylesheet"[^>]*href="https?:""")
    assert [page for page in site.rglob("*.html") if loaded.search(page.read_text(encoding="utf-8"))] == []


@pytest.mark.slow
@needs_browser
def test_search_and_pages_work_from_files(site: Path, tmp_path: Path) -> None:
    with chromium(tmp_path) as driver:
        driver.get(f"{(site / 'search.html').as_uri()}?q=bootstrap")
        driver.implicitly_wait(10)
        assert driver.find_elements("css selector", "#search-results li a")
        complaints(driver)  # excerpts of the pages need a web server
        for name in ("index", "faq", "models"):
            driver.get((site / "docs" / f"{name}.html").as_uri())
            assert complaints(driver) == []
            for width in (1280, 400):
                driver.set_window_size(width, 900)
                body = driver.execute_script("return document.body.scrollWidth - document.documentElement.clientWidth")
                assert body <= 1, f"{name} is wider than {width} pixels"
        of_theme = (
            "scrollable-region-focusable",
            "aria-required-attr: Required ARIA attributes must be provided: [['.caption",
        )
        assert [found for found in violations(driver) if not found.startswith(of_theme)] == []
