"""The pages over many runs: what each shows, and the hash of everything that it depends on."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec
from markupsafe import Markup

from genbench.report.board.history_pages import cell_histories, history_page
from genbench.report.board.leaderboards import Leaderboard, Standing, leaderboards, leaders
from genbench.report.board.output import RUNS
from genbench.report.board.page_templates import PAGE_ROWS, call_script, divided, page_path, pages_of, render
from genbench.report.board.records import BoardRow, BoardRun, NamedPage
from genbench.report.board.slugs import slug
from genbench.report.table.layout import clean
from genbench.report.table.outcome import COUNTING
from genbench.results.files import encode_line
from genbench.results.schema import STATUSES

FIXED = (  # what every board has, whatever its runs
    "index.html", "compare.html", "missing.html", "models/index.html", "plugins/index.html", "machines/index.html",
    "runs/index.html", "history/index.html",
)  # fmt: skip
_INDEX_DATASETS, _INDEX_BOARDS = 30, 12  # on the first page
_MOST_PROBLEMS = 50
_MOST_LEADERS = 3
_GRID_DATASETS = 25  # columns of one page
_COMPARED = 6  # cells that a leaderboard offers to compare
_SHORT = 160


class Page(NamedTuple):
    """One page, which is made only if its key has changed."""

    path: str
    key: str
    make: Callable[[], bytes]


def every_page(runs: Sequence[BoardRun], board: str) -> Iterator[Page]:
    """Yield every page over many runs.

    Args:
        runs: all runs.
        board: the title of the site.
    """
    ordered = sorted(runs, key=lambda run: (run.created, run.slug))
    boards = leaderboards(ordered)
    standings = {one.slug: one.standings() for one in boards}
    yield _index(ordered, boards, standings, board)
    for one in boards:
        yield from _leaderboard(one, standings[one.slug], board)
    yield from _datasets(boards, board)
    yield from _rows_by("models", ordered, lambda row: [row.model], {}, board)
    yield from _named("machine", ordered, board)
    yield from _named("plugin", ordered, board)
    yield from _runs(ordered, board)
    yield from _history(ordered, board)
    yield from _missing(ordered, board)
    yield from _compare(ordered, board)


def _page(
    path: str, template: str, later: Callable[[], dict[str, Any]] = dict, depends_on: str = "", **values: Any
) -> Page:
    """Return a page that depends on its values, and on those that `later` computes, which follow from `depends_on`."""
    digest = hashlib.sha256(f"{template}{depends_on}".encode())
    digest.update(msgspec.json.encode(values, enc_hook=str))
    return Page(path, digest.hexdigest(), lambda: render(template, **values, **later()))


def _root(path: str) -> str:
    return "../" * path.count("/")


def _index(
    runs: Sequence[BoardRun], boards: Sequence[Leaderboard], standings: dict[str, list[Standing]], board: str
) -> Page:
    by_dataset: dict[str, list[Leaderboard]] = {}
    for one in boards:
        by_dataset.setdefault(one.entry.dataset, []).append(one)
    ordered = sorted(by_dataset.items(), key=lambda pair: (-sum(len(one.places) for one in pair[1]), pair[0]))
    datasets = [
        {
            "name": name, "slug": _dataset_slug(name), "total": len(own), "more": len(own) > _INDEX_BOARDS,
            "lines": [_index_line(one, standings[one.slug]) for one in _largest(own)],
        }
        for name, own in ordered[:_INDEX_DATASETS]
    ]  # fmt: skip
    further = [
        {"name": name, "slug": _dataset_slug(name), "total": len(own)} for name, own in ordered[_INDEX_DATASETS:]
    ]
    counts = Counter(cell.status for run in runs for cell in run.cells)
    checks = Counter(run.verdict for run in runs)
    problems = [
        (run.name, f"{RUNS}/{run.slug}/index.html", why)
        for run in runs
        for why in ([run.problem] if run.problem else [f"{name}: {why}" for name, why in run.damaged.items()])
    ]
    return _page(
        "index.html", "index.html", root="", board=board, title=board, runs=len(runs), cells=counts.total(),
        statuses=_ordered(counts), datasets=datasets, more_datasets=further, problems=problems[:_MOST_PROBLEMS],
        more_problems=len(problems) - len(problems[:_MOST_PROBLEMS]), latest=runs[-1].created[:10] if runs else "–",
        checks=", ".join(f"{checks[v]} {v}" for v in ("reproduced", "differs", "not checked") if checks[v]) or "–",
    )  # fmt: skip


def _largest(boards: Sequence[Leaderboard]) -> list[Leaderboard]:
    largest = sorted(boards, key=lambda one: -len(one.places))[:_INDEX_BOARDS]
    return [one for one in boards if one in largest]


def _index_line(one: Leaderboard, standings: Sequence[Standing]) -> dict[str, Any]:
    first = leaders(standings)
    note = ""
    if not first:
        note = "no value is over several seeds"
    elif len(first) > _MOST_LEADERS:
        note = f"and {len(first) - _MOST_LEADERS} more, which the errors do not separate"
    elif len(first) > 1:
        note = "not separated by their errors"
    elif first[0].rank is not None and not first[0].rank.best:
        note = "the only one over several seeds"
    return {
        "slug": one.slug, "heading": _heading(one), "count": len(one.places), "note": note,
        "protocol": _shortened(one.entry.protocol),
        "leaders": [
            {"name": place.row.name, "href": _href(place.run, place.row), "text": place.entry.value.text}
            for place, _ in first[:_MOST_LEADERS]
        ],
    }  # fmt: skip


def _leaderboard(one: Leaderboard, standings: Sequence[Standing], board: str) -> Iterator[Page]:
    first = leaders(standings)
    count = len(first)
    alone = count == 1 and first[0].rank is not None and first[0].rank.best
    sentence = (
        "No value is a mean over several seeds, so there are no ranks."
        if not count
        else f"{first[0].place.row.name} is better than every other value over several seeds, beyond the errors."
        if alone
        else f"{count} values share rank 1: the errors over seeds do not separate them."
        if count > 1
        else "One value is a mean over several seeds; the others are over one."
    )
    keys = ",".join(_cell_key(place.run, place.row) for place, _ in standings[:_COMPARED])
    unranked = next((place for place, rank in standings if rank is None), None)
    pages = divided(len(place.entry.html) for place, _ in standings)
    for number, own in enumerate(pages):
        shown = standings[own.start : own.stop]
        lines = [
            {
                "rank": rank.text if rank is not None else "", "best": alone and rank is not None and rank.best,
                "unranked": "n = 1" if len(place.entry.value.seeds) < 2 else "no error",
                "html": Markup(place.entry.html), "separator": count and rank is None and place is unranked,
            }
            for place, rank in shown
        ]  # fmt: skip
        ids = [id(place) for place, _ in shown]
        entry = {"direction": one.entry.direction, "kind": one.entry.kind, "protocol": one.entry.protocol}
        yield _page(
            page_path(f"boards/{one.slug}", number), "leaderboard.html", root="../", board=board,
            title=f"{one.entry.dataset}: {_heading(one)}", heading=_heading(one), entry=entry, sentence=sentence,
            first_keys=keys, lines=lines, stem=one.slug, pages=len(pages), number=number,
            later=partial(_letters, one, ids), depends_on=one.key,
        )  # fmt: skip


def _letters(one: Leaderboard, ids: Sequence[int]) -> dict[str, Any]:
    """Return the letters of these places, if any on the board have some: computing them takes time."""
    found, about = one.letters
    return {"letters": [found.get(place, "") for place in ids] if found else [], "about_letters": about}


def _datasets(boards: Sequence[Leaderboard], board: str) -> Iterator[Page]:
    names = dict.fromkeys(one.entry.dataset for one in boards)
    for name in names:
        own = [one for one in boards if one.entry.dataset == name]
        for number in range(pages_of(len(own))):
            lines = [
                {"slug": one.slug, "heading": _heading(one), "count": len(one.places), "protocol": one.entry.protocol}
                for one in own[number * PAGE_ROWS : (number + 1) * PAGE_ROWS]
            ]
            stem = _dataset_slug(name)
            yield _page(
                page_path(f"datasets/{stem}", number), "dataset.html", root="../", board=board, title=name, lines=lines,
                stem=stem, pages=pages_of(len(own)), number=number,
            )  # fmt: skip


def _rows_by(
    folder: str,
    runs: Sequence[BoardRun],
    keys: Callable[[BoardRow], Iterable[str]],
    about: dict[str, tuple[str, list[str]]],
    board: str,
) -> Iterator[Page]:
    """Yield one page for each key, with all rows that have it; `about` has titles and lines for keys that are slugs."""
    found: dict[str, list[BoardRow]] = {}
    for run in runs:
        for row in run.rows:
            for key in keys(row):
                found.setdefault(key, []).append(row)
    lines = []
    for key in sorted(found):
        rows = found[key]
        name, facts = about.get(key, (key, []))
        stem = key if key in about else slug(key, folder)
        datasets = sorted({row.dataset for row in rows})
        shown = ", ".join(datasets[:5]) + (" …" if len(datasets) > 5 else "")
        lines.append({"name": name, "href": f"{stem}.html", "texts": [len(rows), shown]})
        pages = divided(len(row.html) for row in rows)
        for number, own in enumerate(pages):
            part = rows[own.start : own.stop]
            yield _page(
                page_path(f"{folder}/{stem}", number), "rows.html", root="../", board=board, title=name, about=facts,
                stem=stem, pages=len(pages), number=number, rows=Markup("".join(row.html for row in part)),
            )  # fmt: skip
    yield from _list(f"{folder}/index", folder.capitalize(), ("name", "rows", "datasets"), (1,), lines, board)


def _named(kind: str, runs: Sequence[BoardRun], board: str) -> Iterator[Page]:
    pages: dict[str, NamedPage] = {}
    for run in runs:
        for page in run.named:
            if page.kind == kind:
                known = pages.setdefault(page.slug, page)
                facts = list(dict.fromkeys([*known.facts, *page.facts]))
                pages[page.slug] = msgspec.structs.replace(known, facts=facts)
    about = {page.slug: (page.name, page.facts[:PAGE_ROWS]) for page in pages.values()}
    if kind == "machine":
        yield from _rows_by("machines", runs, lambda row: [row.machine] if row.machine else [], about, board)
    else:
        yield from _rows_by("plugins", runs, lambda row: row.plugins, about, board)


def _runs(runs: Sequence[BoardRun], board: str) -> Iterator[Page]:
    lines = []
    for run in reversed(runs):
        counts = Counter(cell.status for cell in run.cells)
        statuses = ", ".join(f"{count} {status}" for status, count in _ordered(counts))
        damage = "damaged" if run.problem else f"{len(run.damaged)} damaged files" if run.damaged else ""
        texts = [run.created, statuses or "–", run.profile, run.genbench, run.commit, run.verdict, damage]
        lines.append({"name": run.name, "href": f"{run.slug}/index.html", "texts": texts})
    headings = ("run", "planned", "cells", "profile", "genbench", "commit", "check", "damage")
    yield from _list(f"{RUNS}/index", "Runs", headings, (), lines, board)


def _history(runs: Sequence[BoardRun], board: str) -> Iterator[Page]:
    lines = []
    for one in cell_histories(runs):
        for number, (path, key) in enumerate(one.keys(board)):
            yield Page(path, key, partial(history_page, one, number, board))
        href = f"{one.stem.partition('/')[2]}.html"
        lines.append({"name": one.name, "href": href, "texts": [one.runs, ", ".join(one.quantities)]})
    headings = ("cells", "runs", "quantities")
    yield from _list("history/index", "History over versions", headings, (1,), lines, board)


def _missing(runs: Sequence[BoardRun], board: str) -> Iterator[Page]:
    counts: dict[tuple[str, str], Counter[bool]] = {}
    for run in runs:
        for cell in run.cells:
            identity = cell.planned.identity
            key = clean(identity.model.name), clean(identity.dataset.name)
            counts.setdefault(key, Counter())[cell.status in COUNTING] += 1
    models, datasets = sorted({model for model, _ in counts}), sorted({dataset for _, dataset in counts})
    blocks = [datasets[n : n + _GRID_DATASETS] for n in range(0, len(datasets), _GRID_DATASETS)] or [[]]
    pages = [(block, number) for block in blocks for number in range(pages_of(len(models)))]
    for place, (block, number) in enumerate(pages):
        lines = [
            {
                "name": model, "slug": slug(model, "models"),
                "counts": [_grid_field(counts.get((model, dataset))) for dataset in block],
            }
            for model in models[number * PAGE_ROWS : (number + 1) * PAGE_ROWS]
        ]  # fmt: skip
        yield _page(
            page_path("missing", place), "missing.html", root="", board=board, title="What is missing", datasets=block,
            lines=lines, pages=len(pages), number=place,
        )  # fmt: skip


def _grid_field(counts: Counter[bool] | None) -> dict[str, str]:
    if counts is None:
        return {"text": "", "state": "never"}
    without = f" ({counts[False]})" if counts[False] else ""
    return {"text": f"{counts[True]}{without}", "state": "some" if counts[True] else "none"}


def _compare(runs: Sequence[BoardRun], board: str) -> Iterator[Page]:
    """Yield the page that compares chosen cells, and for each dataset scripts with the cells that can be chosen."""
    by_dataset: dict[str, list[list[str]]] = {}
    for run in reversed(runs):
        for cell in run.cells:
            dataset = clean(cell.planned.identity.dataset.name)
            line = [f"{run.slug}/{cell.slug}", cell.name, run.name, cell.status, run.verdict]
            by_dataset.setdefault(dataset, []).append(line)
    names = sorted(by_dataset, key=lambda name: (-len(by_dataset[name]), name))
    files: dict[str, list[str]] = {}
    for name in names:
        lines = by_dataset[name]
        sizes = (len(call_script("list", line)) for line in lines)
        for number, own in enumerate(divided(sizes, most=len(lines))):
            content = call_script("list", [name, number, lines[own.start : own.stop]])
            path = page_path(f"compare/{_dataset_slug(name)}", number).removesuffix(".html") + ".js"
            files.setdefault(name, []).append(path)
            yield Page(path, hashlib.sha256(content).hexdigest(), content.__bytes__)
    listed = encode_line([[name, files[name], len(by_dataset[name])] for name in names]).decode()
    yield _page("compare.html", "compare.html", root="", board=board, title="Compare cells", datasets=listed)


def _list(
    stem: str,
    heading: str,
    headings: Sequence[str],
    numeric: Sequence[int],
    lines: Sequence[dict[str, Any]],
    board: str,
) -> Iterator[Page]:
    for number in range(pages_of(len(lines))):
        part = lines[number * PAGE_ROWS : (number + 1) * PAGE_ROWS]
        path = page_path(stem, number)
        yield _page(
            path, "list.html", root=_root(path), board=board, title=heading, headings=headings, numeric=numeric,
            lines=part, pages=pages_of(len(lines)), number=number, note="", empty="There are none.",
        )  # fmt: skip


def _heading(one: Leaderboard) -> str:
    entry = one.entry
    unit = f" ({entry.unit})" if entry.unit else ""
    where = f" on {entry.where}" if entry.where else ""
    return f"{entry.column}{unit} {'↑' if entry.direction == 'higher' else '↓'}{where}"


def _shortened(text: str) -> str:
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…"


def _href(run: BoardRun, row: BoardRow) -> str:
    return f"{RUNS}/{run.slug}/{run.cells[row.cells[0]].slug}.html"


def _cell_key(run: BoardRun, row: BoardRow) -> str:
    return f"{run.slug}/{run.cells[row.cells[0]].slug}"


def _dataset_slug(name: str) -> str:
    return slug(name, "dataset")


def _ordered(counts: Counter[str]) -> list[tuple[str, int]]:
    return [(name, counts[name]) for name in sorted(counts, key=lambda name: ([*STATUSES, name].index(name), name))]
