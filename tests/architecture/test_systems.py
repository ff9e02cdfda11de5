"""What only some systems have is used in few modules, each for one subject; all of genbench imports without it."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "genbench"

# Modules and attributes that Python lacks on Windows, and paths that only Linux has.
MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
ATTRIBUTES = {
    "os": {
        *("fork", "forkpty", "getegid", "geteuid", "getgid", "getloadavg", "getpgid", "getsid", "getuid", "killpg"),
        *("mkfifo", "nice", "pidfd_open", "posix_spawn", "register_at_fork", "sched_getaffinity", "sched_setaffinity"),
        *("setpgid", "setsid", "statvfs", "sysconf", "confstr", "uname", "wait", "O_CLOEXEC", "O_DIRECTORY"),
        *("O_NOFOLLOW", "O_NONBLOCK", "WNOHANG", "WTERMSIG", "chown", "fchmod", "getpriority", "sync"),
    },
    "signal": {
        *("ITIMER_REAL", "SIGALRM", "SIGBUS", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGKILL", "SIGSTOP", "SIGUSR1"),
        *("SIG_BLOCK", "SIG_UNBLOCK", "alarm", "pthread_sigmask", "setitimer", "pause", "sigwait"),
    },
    "select": {"epoll", "kqueue", "poll"},
    "socket": {"AF_UNIX", "MSG_DONTWAIT", "recv_fds", "send_fds"},
}
PATHS = ("/proc", "/sys/", "/dev/shm")

# The modules that use them, with their subject. Where the system lacks them, each does without or asks psutil.
SUBJECTS = {
    "system/locks.py": "locks",
    "system/opening.py": "opening files",
    "system/processes.py": "finding and ending processes",
    "system/signals.py": "signals",
    "system/oom_kills.py": "processes killed for lack of memory",
    "system/sockets.py": "open ports",
    "process/spawn.py": "starting a process, and the connection to it",
    "process/environment.py": "the C library",
    "runner/fork_server.py": "forking workers",
    "runner/pool.py": "forking workers",
    "runner/torchrun.py": "several processes for one cell",
    "runner/rank.py": "several processes for one cell",
    "cell/memory_limits.py": "limits of memory",
    "measure/machine.py": "the machine",
    "measure/memory.py": "memory of this process",
    "measure/instructions.py": "the counter of instructions, and its permission",
    "measure/interference.py": "processor time",
    "measure/processor_time.py": "processor time",
    "measure/energy.py": "energy of the processor",
    "measure/accelerator.py": "the version of the NVIDIA driver",
    "data/loader.py": "loader workers and their shared memory",
    "data/readahead.py": "reading ahead",
    "builtin/datasets/folder.py": "listing a folder by its descriptor, where that is supported",
    "testing/forks.py": "noticing forks",
    "doctor/fork_safety.py": "forking workers",
    "doctor/storage.py": "shared memory",
    "doctor/communication.py": "shared memory, in a message",
    "doctor/checklist.py": "shared memory, in a question",
    "doctor/clocks.py": "the kernel's clock, in a message",
}


def docstrings(tree: ast.Module) -> set[int]:
    """Return the ids of the nodes that are docstrings."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                found.add(id(first.value))
    return found


def uses(path: Path) -> Iterator[str]:
    """Yield what a module uses that some systems lack."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    ignored = docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            names = ATTRIBUTES.get(node.module or "", set())
            yield from (f"{node.module}.{alias.name}" for alias in node.names if alias.name in names)
            if node.module in MODULES:
                yield str(node.module)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in ATTRIBUTES.get(node.value.id, ()):
                yield f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in ignored:
            yield from (start for start in PATHS if start in node.value)


def test_only_the_module_of_a_subject_uses_what_some_systems_lack() -> None:
    found = {path.relative_to(PACKAGE).as_posix(): sorted({*uses(path)}) for path in PACKAGE.rglob("*.py")}
    assert {name: used for name, used in found.items() if used and name not in SUBJECTS} == {}
    assert [name for name in SUBJECTS if not found[name]] == []  # nothing is listed for nothing


HIDDEN = """
import builtins, importlib, pkgutil, sys
{first}
hidden = {modules!r}
original = builtins.__import__

def hide(name, globals=None, locals=None, fromlist=(), level=0):
    importer = (globals or {{}}).get("__name__", "")
    if name in hidden and importer.split(".")[0] == "genbench":
        raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
    return original(name, globals, locals, fromlist, level)

builtins.__import__ = hide
"""
IMPORT_ALL = """
import genbench
names = [module.name for module in pkgutil.walk_packages(genbench.__path__, "genbench.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(len(names))
"""
COMMAND = """
from genbench.cli import invoke
sys.exit(invoke({arguments!r}))
"""


def without(code: str, first: str = "") -> subprocess.CompletedProcess[str]:
    """Run code in a process in which genbench cannot import what Windows lacks."""
    hidden = HIDDEN.format(first=first, modules=sorted(MODULES))
    environment = {**os.environ, "GENBENCH_PORTABLE": "1"}
    return subprocess.run(
        [sys.executable, "-c", hidden + code], capture_output=True, text=True, timeout=300, env=environment
    )


def test_every_module_imports_without_what_windows_lacks() -> None:
    # Signals and functions of `os` vanish too, once the libraries are there.
    first = "import genbench.pytest_plugin, torch, torchvision.transforms, torch.distributed.launcher.api, optuna\n"
    first = first.replace("genbench.pytest_plugin", "pytest_benchmark.plugin")
    first += "import os, select, signal, socket\n"
    first += "".join(
        f"vars({module}).pop({name!r}, None)\n"
        for module, names in ATTRIBUTES.items()
        for name in sorted(names - {"register_at_fork", "sysconf", "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "wait"})
    )
    done = without(IMPORT_ALL, first)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) > 500


@pytest.mark.parametrize("arguments", [["--help"], ["list", "models"]], ids=" ".join)
def test_commands_work_without_what_windows_lacks(arguments: list[str]) -> None:
    done = without(COMMAND.format(arguments=arguments))
    assert done.returncode == 0, done.stderr
    assert "run" in done.stdout or "dcgan" in done.stdout


def test_a_table_is_printed_without_what_windows_lacks() -> None:
    run = next((ROOT / "results" / "reference").rglob("run.json")).parent
    done = without(COMMAND.format(arguments=["table", str(run)]))
    assert done.returncode in (0, 5), done.stderr
    assert "model" in done.stdout
