"""The style of report.html and its figures, light and dark."""

from __future__ import annotations

_LIGHT = ("#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#0891b2")
_DARK = ("#60a5fa", "#fbbf24", "#34d399", "#f87171", "#a78bfa", "#22d3ee")
_LIGHT_INKS = {"ink": "#18181b", "pale": "#71717a", "line": "#e4e4e7", "ground": "#ffffff"}
_DARK_INKS = {"ink": "#e4e4e7", "pale": "#a1a1aa", "line": "#3f3f46", "ground": "#18181b"}
COLOURS = len(_LIGHT)  # classes series-0, series-1, … of lines and dots


def _variables(inks: dict[str, str], colours: tuple[str, ...]) -> str:
    named = {**inks, **{f"series-{number}": colour for number, colour in enumerate(colours)}}
    return " ".join(f"--{name}: {colour};" for name, colour in named.items())


def figure_style() -> str:
    """Return the style of a standalone SVG, without variables, which few programs other than browsers support."""
    return (
        "text { font: 11px system-ui, sans-serif; } text.head { font-weight: 600; font-size: 13px; } "
        "line, polyline { fill: none; stroke-width: 1.75; } line.grid, line.floor { stroke-width: 1; } "
        "line.floor { stroke-dasharray: 4 4; } "
        f"{_rules(_LIGHT_INKS, _LIGHT)} @media (prefers-color-scheme: dark) {{ {_rules(_DARK_INKS, _DARK)} }}"
    )


def _rules(inks: dict[str, str], colours: tuple[str, ...]) -> str:
    series = " ".join(
        f".series-{n} {{ stroke: {colour}; }} .series-{n}.dot {{ fill: {colour}; }}" for n, colour in enumerate(colours)
    )
    return (
        f"text {{ fill: {inks['pale']}; }} text.head {{ fill: {inks['ink']}; }} "
        f"rect.ground {{ fill: {inks['ground']}; }} "
        f"line.grid {{ stroke: {inks['line']}; }} line.floor {{ stroke: {inks['pale']}; }} {series}"
    )


STYLE = f"""
:root {{ color-scheme: light dark; {_variables(_LIGHT_INKS, _LIGHT)}
  --card: #fafafa; }}
@media (prefers-color-scheme: dark) {{ :root {{ {_variables(_DARK_INKS, _DARK)}
  --card: #212124; }} }}
* {{ box-sizing: border-box; }}
body {{ margin: 0 auto; max-width: 96rem; padding: 2rem 1.25rem 4rem; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }}
h1 {{ font-size: 1.6rem; margin: 0; }}
h2 {{ font-size: 1.2rem; margin: 2.5rem 0 .75rem; }}
h3 {{ font-size: 1rem; margin: 0; }}
.caption, .footnotes, .facts, .pale, figcaption {{ color: var(--pale); font-size: .875rem; overflow-wrap: anywhere; }}
.footnotes {{ list-style: none; padding: 0; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap; }}
th, td {{ padding: .4rem .8rem; text-align: left; border-bottom: 1px solid var(--line); }}
th {{ font-weight: 600; border-bottom-width: 2px; }}
th.number, td.number {{ text-align: right; }}
tr.reference td {{ color: var(--pale); font-style: italic; }}
article {{ background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: 1rem;
  margin: 1rem 0; }}
.figures {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); gap: 1rem;
  margin-top: .75rem; }}
figure {{ margin: 0; }}
img {{ width: 100%; image-rendering: pixelated; border-radius: .25rem; }}
svg {{ width: 100%; height: auto; }}
svg text {{ fill: var(--pale); font: 11px system-ui, sans-serif; }}
svg polyline, svg line {{ fill: none; stroke-width: 1.75; }}
svg line.grid {{ stroke: var(--line); stroke-width: 1; }}
.bar {{ fill: var(--series-0); }}
.warmup {{ opacity: .35; }}
.status {{ border: 1px solid currentColor; border-radius: 1rem; padding: 0 .5rem; font-size: .8rem; }}
.bad {{ color: var(--series-3); }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; margin: .5rem 0 0; font-size: .85rem; }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; font-size: .875rem; margin: .5rem 0; }}
dt {{ color: var(--pale); }}
dd {{ margin: 0; overflow-wrap: anywhere; }}
summary {{ cursor: pointer; color: var(--pale); font-size: .875rem; margin-top: .75rem; }}
""" + "\n".join(
    f".series-{n} {{ stroke: var(--series-{n}); }} .series-{n}.dot {{ fill: var(--series-{n}); }}"
    for n in range(COLOURS)
)
