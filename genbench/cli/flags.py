"""Options that several commands share: one name, one type and one help text for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, TypeVar

import click

from genbench.api.options import Option
from genbench.api.recipe import RECIPE_SCHEMA
from genbench.builtin.extractors.inception_weights import VARIABLE
from genbench.errors import UsageError

Function = TypeVar("Function", bound=Callable[..., Any])
Decorator: TypeAlias = Callable[[Any], Any]

# Recipe fields that take several values: an example, and the default.
PLAN_AXES = {"precision": ("fp32,bf16", "fp32"), "nproc": ("1,2", "1")}


def chain(*options: Decorator) -> Decorator:
    """Return one decorator that adds these options; help lists them in this order."""

    def add(function: Function) -> Function:
        for option in reversed(options):
            function = option(function)
        return function

    return add


plugin_files = click.option(
    "--plugin",
    "plugins",
    multiple=True,
    type=click.Path(),
    metavar="FILE.py",
    help="Load a plugin from a single file; repeatable.",
)

trust_plugins_flag = click.option(
    "--trust-plugins",
    is_flag=True,
    help="Load the plugin files that a run directory names, whoever made it: their code runs.",
)

as_json_flag = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

weights_flag = click.option(
    "--weights",
    type=click.Path(),
    metavar="PATH",
    help=f"Inception weights. [default: ${VARIABLE}, else torch's cache, else downloaded]",
)

threads_option = click.option(
    "--threads", type=int, metavar="N", help="Number of torch threads. [default: all usable processors]"
)

config_option = click.option(
    "--config",
    type=click.Path(),
    metavar="PLAN.toml",
    help="Read the plan from a TOML file; flags on the command line take precedence.",
)

report_options = chain(
    click.option("--all", "everything", is_flag=True, help="Also show unchanged counters."),
    click.option(
        "--summary", type=click.Path(), metavar="FILE", help="Append a Markdown summary, e.g. to $GITHUB_STEP_SUMMARY."
    ),
    click.option("--junit", type=click.Path(), metavar="FILE", help="Write JUnit XML with one test case per cell."),
    as_json_flag,
)


def selection_options(models: str | None = None) -> Decorator:
    """Add --models, --losses and --datasets; `models` replaces the default of --models."""
    shown = models or "dcgan,dcgan-vae,gan,vae"
    return chain(
        click.option(
            "--models",
            default=models,
            metavar="A,B,…",
            help=f"Models; see `genbench list models`. [default: {shown}]",
        ),
        click.option(
            "--losses", metavar="A,B,…", help="Losses to combine them with. [default: each model's default loss]"
        ),
        click.option(
            "--datasets",
            metavar="A,B,…",
            help="Datasets; folder:PATH for your own images. [default: fashion-mnist-mini]",
        ),
    )


def device_option(default: str, configurable: bool = False) -> Decorator:
    """Add --device; where a plan file can name the device, the value is None unless the flag is given."""
    return click.option(
        "--device",
        default=None if configurable else default,
        metavar="DEVICE",
        help=f"cpu, cuda, cuda:1, …, mps, xpu or auto. [default: {default}]",
    )


def set_option(owners: str) -> Decorator:
    """Add --set for options of these kinds of owner."""
    return click.option(
        "--set", "settings", multiple=True, metavar="NAME.OPTION=VALUE", help=f"Set an option of {owners}; repeatable."
    )


def quiet_option(remaining: str) -> Decorator:
    """Add --quiet, which still prints what is named here."""
    return click.option("--quiet", is_flag=True, help=f"Print no progress, only {remaining}.")


def target_option(note: str) -> Decorator:
    """Add --target, with a sentence or default of the command."""
    return click.option(
        "--target",
        multiple=True,
        metavar="METRIC=VALUE",
        help="Show the images and seconds needed until the metric reaches this value and stays there or better;"
        f" repeatable. {note}",
    )


def recipe_flags(function: Function) -> Function:
    """Add a flag for every field of the recipe."""
    return chain(*map(_recipe_flag, RECIPE_SCHEMA))(function)  # type: ignore[no-any-return]


class ListOf(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.5 on
    """A value, or several of them separated by commas."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        self.name = kind.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value, or a list where there is a comma."""
        if isinstance(value, str) and "," in value:
            return [self.kind.convert(part.strip(), param, ctx) for part in value.split(",") if part.strip()]
        return self.kind.convert(value, param, ctx)


def _recipe_flag(option: Option) -> Decorator:
    flag = f"--{option.name.replace('_', '-')}"
    text = option.help[:1].upper() + option.help[1:]
    if option.name in PLAN_AXES:
        example, default = PLAN_AXES[option.name]
        return click.option(
            flag,
            metavar="A,B,…",
            help=f"{text}; with several values ({example}), one cell for each. [default: {default}]",
        )
    if len(option.choices) > 1:
        text += f" ({', '.join(option.choices)})"
    kinds: dict[str, Any] = {"int": ListOf(click.INT), "float": ListOf(click.FLOAT)}
    kind: Any = kinds.get(option.type, click.STRING)
    metavar = {"int": "N", "float": "X", "list[str]": "A,B,…"}.get(option.type, "NAME" if option.choices else "TEXT")
    return click.option(flag, option.name, type=kind, default=None, metavar=metavar, help=f"{text}.")


def timing_options(models: str | None = None) -> Decorator:
    """Add what `ab` and `calibrate` share: the training steps to time, and how to time and report them."""
    return chain(
        selection_options(models),
        device_option("auto"),
        click.option(
            "--max-slowdown",
            default="5%",
            show_default=True,
            metavar="SHARE",
            help="Largest slowdown of a training step that `ab` accepts, such as 5% or 0.05.",
        ),
        set_option("a model, loss or dataset, or a recipe field of one model"),
        threads_option,
        quiet_option("the result"),
        plugin_files,
        as_json_flag,
        recipe_flags,
    )


where_option = click.option(
    "--where",
    multiple=True,
    metavar="SETTING=VALUE",
    help="Show only cells with this setting, such as status=ok or seed=0,1; repeatable.",
)


def settings_filter(given: Iterable[str]) -> dict[str, list[str]]:
    """Return each setting of `--where` with the values of which a cell has one; raise `UsageError` for another form."""
    found: dict[str, list[str]] = {}
    for text in given:
        name, equals, values = text.partition("=")
        if not (name.strip() and equals):
            raise UsageError(
                f"--where {text} is not valid.", "Write --where SETTING=VALUE, for example status=ok.", code="GB102"
            )
        found.setdefault(name.strip(), []).extend(value.strip() for value in values.split(","))
    return found
