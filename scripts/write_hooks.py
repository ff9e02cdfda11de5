"""Generate docs/hooks.md: one section per hook, with its working example and the packages that use it.

python scripts/write_hooks.py
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from genbench.api import hookspecs
from genbench.plugins.catalogue import SINGULAR
from genbench.plugins.loader import SPEC_TYPES, Kind

ROOT = Path(__file__).parents[1]
RUN = {  # what to type after `genbench run --plugin docs/examples/hooks/KIND.py --profile smoke`
    "families": "--models my-matcher,gan",
    "models": "--models my-gan,gan",
    "losses": "--models gan --losses my-hinge,hinge",
    "datasets": "--models gan --datasets my-squares",
    "extractors": "--models gan --metrics fd-my-thumbnails",
    "metrics": "--models gan --metrics my-brightness",
    "reporters": "--models gan --reporters status-file",
    "executors": "--models gan --executor processes --device cpu",
}
MORE: dict[Kind, tuple[str, ...]] = {  # sections of docs/plugins.md on this hook
    "families": ("A family of your own",),
    "models": ("Conditional models and class prediction", "Recipes that cannot work"),
    "losses": ("Losses",),
    "datasets": ("Datasets",),
    "extractors": ("Extractors",),
    "metrics": (),
    "reporters": ("Reporters",),
    "executors": ("Executors",),
}
HEAD = """# The hooks

A plugin implements some of these hooks. Each section has an example that works as it stands, and the packages in
`plugins/` that use the hook. [Writing a plugin](plugins.md) explains what the hooks have in common, and the
[reference](reference.md) describes each field. This page is generated: `python scripts/write_hooks.py`.
"""


def page() -> str:
    """Return the page."""
    return "\n".join([HEAD, *(section(kind) for kind in SPEC_TYPES)])


def section(kind: Kind) -> str:
    """Return the section of one hook."""
    hook = f"genbench_{kind}"
    summary = (inspect.getdoc(getattr(hookspecs, hook)) or "").splitlines()[0]
    spec = SPEC_TYPES[kind]
    example = (ROOT / "docs" / "examples" / "hooks" / f"{kind}.py").read_text(encoding="utf-8")
    more = [f"[{title}](plugins.md#{title.lower().replace(' ', '-')})" for title in MORE[kind]]
    article = "an" if SINGULAR[kind].startswith("e") else "a"
    rules = f"[the rules for {article} {SINGULAR[kind]}](conformance.md)"
    users = ", ".join(f"[`{name}`](../plugins/{name}/README.md)" for name in packages(hook))
    return "\n".join(
        [
            f"## `{hook}`\n",
            f"{summary} It yields [`{spec.__name__}`](reference.md#{spec.__name__.lower()}) records.\n",
            f"    genbench run --plugin docs/examples/hooks/{kind}.py --profile smoke {RUN[kind]}",
            f"    genbench plugin test docs/examples/hooks/{kind}.py\n",
            f"```python\n{example}```\n",
            f"More: {', '.join([*more, rules])}. Used by {users or 'no package in this repository'}.\n",
        ]
    )


def packages(hook: str) -> Iterator[str]:
    """Yield the packages in plugins/ that implement a hook."""
    for folder in sorted((ROOT / "plugins").iterdir()):
        files = [path for path in folder.rglob("*.py") if "tests" not in path.parts and "build" not in path.parts]
        if any(re.search(rf"^def {hook}\(", path.read_text(encoding="utf-8"), flags=re.MULTILINE) for path in files):
            yield folder.name


if __name__ == "__main__":
    (ROOT / "docs" / "hooks.md").write_text(page(), encoding="utf-8")
