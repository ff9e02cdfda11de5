"""Completion of the command line: commands, flags, names of what plugins register, `--set`, runs and cells.

What plugins register is kept in the cache, so that a shell answers at once. A list older than ten minutes is shown once
more while another process renews it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias, cast

import click
import msgspec
from click import shell_completion
from click.shell_completion import CompletionItem

from genbench import __version__
from genbench.api.recipe import RECIPE_SCHEMA
from genbench.errors import UsageError
from genbench.planning.profiles import PROFILES
from genbench.results.cache import cache_directory

Kinds: TypeAlias = dict[str, dict[str, dict[str, list[str]]]]  # kind -> name -> option -> choices

VARIABLE = "_GENBENCH_COMPLETE"
_FRESH_SECONDS = 600.0
_RENEW = "import sys; sys.path[:] = sys.argv[1:]; from genbench.cli.completion import renew; renew()"
_KIND_OF = {"models": "models", "losses": "losses", "datasets": "datasets", "metrics": "metrics", "metric": "metrics",
            "reporters": "reporters", "executor": "executors", "samplers": "samplers", "kind": "kinds"}  # fmt: skip
_OF_RUNS = ("run", "runs", "resume")
_HOW_TO_LOAD = {  # file below the home directory, and what stands in it
    "bash": (".bashrc", "source"),
    "zsh": (".zshrc", "source"),
    "fish": (".config/fish/completions/genbench.fish", ""),
}
# click's own scripts end a line of fish at the first comma, and put a space after `dcgan.` and `dcgan.width=`.
_SCRIPTS = {
    "bash": """\
%(complete_func)s() {
    local kind value
    COMPREPLY=()
    while IFS=, read -r kind value; do
        case $kind in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            *) COMPREPLY+=("$value") ;;
        esac
    done < <(COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD %(complete_var)s=bash_complete "$1")
    if [[ ${COMPREPLY[*]} == *[.=] ]]; then compopt -o nospace 2> /dev/null; fi
}
complete -o nosort -F %(complete_func)s %(prog_name)s
""",
    "zsh": """\
%(complete_func)s() {
    local kind value about
    local -a answer plain described unfinished
    local -x %(complete_var)s=zsh_complete COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT - 1))
    answer=("${(@f)$(%(prog_name)s)}")
    for kind value about in $answer; do
        case $kind in
            dir) _path_files -/ ;;
            file) _path_files -f ;;
            plain)
                if [[ $about != _ ]]; then described+=("$value:$about")
                elif [[ $value == *[.=] ]]; then unfinished+=("$value")
                else plain+=("$value")
                fi ;;
        esac
    done
    (( $#described )) && _describe -V genbench described -U
    (( $#plain )) && compadd -U -V genbench -a plain
    (( $#unfinished )) && compadd -U -S '' -V genbench -a unfinished
}
autoload -Uz compinit && compinit
compdef %(complete_func)s %(prog_name)s
""",
    "fish": """\
function %(complete_func)s
    set -lx %(complete_var)s fish_complete
    set -lx COMP_WORDS (commandline -cp)
    set -lx COMP_CWORD (commandline -ct)
    for answer in (%(prog_name)s)
        set -l parts (string split -m 1 , -- $answer)
        switch $parts[1]
            case dir
                __fish_complete_directories $parts[2]
            case file
                __fish_complete_path $parts[2]
            case plain
                printf '%%s\\n' $parts[2]
        end
    end
end
complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
""",
}


def complete(cli: click.Command, instruction: str) -> int:
    """Answer the shell; return the exit code."""
    for name in _SCRIPTS:
        shell_completion.add_completion_class(_completion_class(name))
    return shell_completion.shell_complete(cli, {}, "genbench", VARIABLE, instruction)


def install(cli: click.Command, shell: str | None) -> str:
    """Write what a shell needs to complete genbench; return what was done. Raises `UsageError` for other shells."""
    name = shell or Path(os.environ.get("SHELL", "")).name
    if name not in _HOW_TO_LOAD:
        raise UsageError(
            f"There is no completion for the shell '{name}'.",
            "Name one of bash, zsh and fish: genbench --install-completion bash",
            code="GB102",
        )
    script = _completion_class(name)(cli, {}, "genbench", VARIABLE).source()
    start = Path.home() / _HOW_TO_LOAD[name][0]
    if name == "fish":
        _write(start, script)
        return f"{start} was written. Completion works in new shells."
    own = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "genbench" / f"completion.{name}"
    _write(own, script)
    line = f'source "{own}"  # genbench completion'
    before = start.read_text(encoding="utf-8") if start.exists() else ""
    if line not in before.splitlines():
        separator = "\n" if before and not before.endswith("\n") else ""
        with start.open("a", encoding="utf-8") as file:
            file.write(f"{separator}{line}\n")
    return f"{start} loads {own}. Completion works in new shells."


class _Completion(shell_completion.ShellComplete):
    """Adds what genbench knows about its parameters to what click knows."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        joined = ""  # bash takes NAME, = and VALUE for three words, and replaces only the last
        if self.name == "bash" and args and (incomplete == "=" or args[-1] == "="):
            value = "" if incomplete == "=" else incomplete
            args = args if incomplete == "=" else args[:-1]
            *args, owner = args
            joined = f"{owner}="
            incomplete = f"{joined}{value}"
        found = self._completions(args, incomplete)
        if self.name != "bash" and incomplete.startswith("--") and "=" in incomplete:  # these replace the whole word
            flag = incomplete.partition("=")[0]
            return [CompletionItem(f"{flag}={item.value}", item.type) for item in found]
        return [CompletionItem(item.value.removeprefix(joined), item.type) for item in found] if joined else found

    def _completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        context = shell_completion._resolve_context(self.cli, self.ctx_args, self.prog_name, args)
        part, incomplete = shell_completion._resolve_incomplete(context, args, incomplete)
        found = _values(part, args, incomplete) if isinstance(part, click.Parameter) else None
        return part.shell_complete(context, incomplete) if found is None else found


def _completion_class(name: str) -> type[shell_completion.ShellComplete]:
    """Return what answers a shell."""
    base: Any = {
        "bash": shell_completion.BashComplete,
        "zsh": shell_completion.ZshComplete,
        "fish": shell_completion.FishComplete,
    }[name]
    found = type(name, (_Completion, base), {"source_template": _SCRIPTS[name]})
    return cast(type[shell_completion.ShellComplete], found)


def _values(part: click.Parameter, words: Sequence[str], incomplete: str) -> list[CompletionItem] | None:
    """Return the values of a parameter that begin like this; None if genbench knows none."""
    name = part.name or ""
    if name in _KIND_OF:
        return _in_list(_names(_KIND_OF[name]), incomplete)
    if name == "settings":
        return _settings(incomplete)
    if name == "profile":
        return _matching(PROFILES, incomplete)
    if name in _OF_RUNS:
        return _matching(_runs(incomplete), incomplete) or None  # None: any file
    if name == "part":
        return _matching(_cells(words), incomplete)
    choices = next((option.choices for option in RECIPE_SCHEMA if option.name == name), ())
    return _in_list(map(str, choices), incomplete) if choices else None


def _matching(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _in_list(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    """Complete the last of several names with commas between them."""
    before, comma, last = incomplete.rpartition(",")
    given = before.split(",")
    return [CompletionItem(f"{before}{comma}{name}") for name in names if name.startswith(last) and name not in given]


def _settings(incomplete: str) -> list[CompletionItem]:
    """Complete NAME, NAME.OPTION and NAME.OPTION=VALUE."""
    kinds = _kinds()
    owners = {name: options for kind in kinds.values() for name, options in kind.items() if options}
    for model in kinds.get("models", {}):
        owners[model] = owners.get(model, {}) | {option.name: [*map(str, option.choices)] for option in RECIPE_SCHEMA}
    owner, dot, option = incomplete.partition(".")
    if not dot:
        return _matching((f"{name}." for name in owners), incomplete)
    option, equals, _ = option.partition("=")
    options = owners.get(owner, {})
    if not equals:
        return _matching((f"{owner}.{name}=" for name in options), incomplete)
    return _matching((f"{owner}.{option}={value}" for value in options.get(option, ())), incomplete)


def _runs(incomplete: str) -> list[str]:
    """Return the runs in the folder that is being typed, and by default those in ``results``, the newest first."""
    folder = incomplete.rpartition("/")[0]
    found = []
    for parent in dict.fromkeys([folder] if folder else ["", "results"]):
        try:
            children = [*os.scandir(parent or ".")]
        except OSError:
            continue
        for child in children:
            path = os.path.join(parent, child.name)  # noqa: PTH118 - as it is typed, also with a doubled slash
            try:
                found.append((os.stat(os.path.join(path, "run.json")).st_mtime, path))  # noqa: PTH116, PTH118
            except OSError:
                continue
    return [path for _, path in sorted(found, reverse=True)]


def _cells(words: Iterable[str]) -> list[str]:
    """Return the cells of the run that the command line names."""
    run = next((word for word in words if os.path.isfile(os.path.join(word, "run.json"))), None)  # noqa: PTH113, PTH118
    return [] if run is None else sorted(path.stem for path in (Path(run) / "cells").glob("*.json"))


def _names(kind: str) -> Sequence[str]:
    return [*_kinds().get(kind, {})] if kind != "kinds" else [name for name in _kinds() if name != "samplers"]


class _Kept(msgspec.Struct):
    """What plugins register, as of some time."""

    genbench: str
    path: list[str]  # where Python looks for plugins
    kinds: Kinds


def _kinds() -> Kinds:
    """Return everything that plugins register, from the cache if it is there."""
    file = cache_directory() / "completion.json"
    try:
        kept = msgspec.json.decode(file.read_bytes(), type=_Kept)
        age = time.time() - file.stat().st_mtime
    except (OSError, msgspec.MsgspecError):
        return renew()
    if kept.genbench != __version__ or kept.path != sys.path:
        return renew()
    if not 0 <= age < _FRESH_SECONDS:
        import subprocess

        os.utime(file)  # one process renews it
        subprocess.Popen(
            [sys.executable, "-c", _RENEW, *sys.path],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    return kept.kinds


def renew() -> Kinds:
    """Load the plugins, and keep what they register."""
    from genbench.commands.plugins.installed import KINDS
    from genbench.plugins.catalogue import discover
    from genbench.results.files import atomic_write

    catalogue = discover()
    kinds: Kinds = {
        kind: {
            name: {option.name: [*map(str, option.choices)] for option in getattr(entry.spec, "option_schema", ())}
            for name, entry in catalogue.entries(kind).items()
        }
        for kind in KINDS
    }
    families = catalogue.families.values()
    kinds["samplers"] = {sampler.name: {} for family in families for sampler in family.spec.samplers}
    file = cache_directory() / "completion.json"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(file, msgspec.json.encode(_Kept(__version__, sys.path, kinds)))
    except (OSError, UsageError):
        pass
    return kinds


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
