"""Genbench commands in forks of a process that has imported torch: a fraction of a second each instead of five.

The processes that such a command starts are forks of it, so that none of them imports torch again. Otherwise they are
what they always are: children of the command in sessions of their own, with only the descriptors that they inherit.
What depends on a fresh interpreter is tested with `command_line.GENBENCH`: imports, memory, the environment of a
process in /proc.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib.machinery
import importlib.util
import itertools
import json
import os
import pkgutil
import re
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import pytest

from genbench.process import spawn
from genbench.process.environment import worker_environment

_ROOT = Path(__file__).parents[2]
_FOLDER = Path(__file__).parent
_OWN_PATHS = {str(_ROOT), str(_FOLDER), *os.environ.get("PYTHONPATH", "").split(os.pathsep)}
_PATHS = [path for path in sys.path if path not in _OWN_PATHS]  # where any program searches
_AT_START = dict(os.environ)  # not what a test has set when the first one needs the server
_NOT_FOR_COMMANDS = {"genbench.__main__", "genbench.pytest_plugin"}  # imported by `python -m` and by pytest
_server: tuple[int, socket.socket] | None = None  # of the process with this id


class Process:
    """A process that the server has started; what `subprocess.Popen` has of it works in the same way."""

    def __init__(self, request: dict[str, Any], descriptors: Sequence[int]) -> None:
        self.pid, self._exited = _ask(request, descriptors)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit status, negative for a signal, or None while the process runs."""
        return self._poll(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait until the process has exited; return its exit status."""
        if self._poll(timeout) is None:
            raise subprocess.TimeoutExpired("a fork", timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has exited."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the process."""
        self.send_signal(signal.SIGKILL)

    def _poll(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._exited], [], [], timeout)[0]:
            self.returncode = int(self._exited.recv(16) or -signal.SIGKILL)  # empty: its parent was killed
            self._exited.close()
        return self.returncode


class Command(Process):
    """A genbench command, or a pytest."""

    def __init__(self, request: dict[str, Any], typed: str) -> None:
        (out, out_write), (err, err_write) = os.pipe(), os.pipe()
        self.stdout, self.stderr = (os.fdopen(end, encoding="utf-8", errors="surrogateescape") for end in (out, err))
        with tempfile.TemporaryFile() as stdin:
            stdin.write(typed.encode())
            stdin.seek(0)
            super().__init__(request, [os.dup(stdin.fileno()), out_write, err_write])

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait until the command has exited and its output is complete; return what it printed."""
        with ThreadPoolExecutor(2) as pool:
            texts = [pool.submit(file.read) for file in (self.stdout, self.stderr)]
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()  # or reading would never end
                raise
            out, err = (text.result() for text in texts)
        self.stdout.close()
        self.stderr.close()
        return out, err


class Child(Process):
    """What `subprocess.Popen` is for ``python -P -c CODE DESCRIPTOR``, or a script, in a session of its own."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        stdin: int,
        stdout: IO[bytes] | int,
        stderr: IO[bytes] | int,
        pass_fds: Sequence[int],
        env: Mapping[str, str] | None,
        cwd: Path | None,
        **_: object,
    ) -> None:
        *_, kind, program, descriptor = arguments
        self.stdin: IO[bytes] | None = None
        self.stdout: IO[bytes] | None = None
        nothing = os.open(os.devnull, os.O_RDWR)
        if stdin == subprocess.PIPE:
            read, write = os.pipe()
            self.stdin = os.fdopen(write, "wb", buffering=0)
        else:
            read = os.dup(nothing)
        if stdout == subprocess.PIPE:
            end, out = os.pipe()
            self.stdout = os.fdopen(end, "rb", buffering=0)
        else:
            out = os.dup(nothing if isinstance(stdout, int) else stdout.fileno())
        err = os.dup(out if isinstance(stderr, int) else stderr.fileno())
        os.close(nothing)
        request = {
            "called": [kind, program],
            "inherited": int(descriptor),
            "environment": dict(os.environ if env is None else env),
            "directory": str(cwd or Path.cwd()),
        }
        super().__init__(request, [read, out, err, os.dup(pass_fds[0])])


@contextlib.contextmanager
def forked_children() -> Iterator[None]:
    """Have the processes that genbench starts from this one forked, too, by the server."""
    ours = SimpleNamespace(**{**vars(subprocess), "Popen": Child})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spawn, "subprocess", ours)
        yield


def start(
    arguments: Sequence[str],
    environment: Mapping[str, str] = os.environ,
    directory: Path | None = None,
    *,
    program: str = "genbench",
    typed: str = "",
    namespaces_of: int | None = None,
) -> Command:
    """Start a command.

    Args:
        arguments: those of the command line.
        environment: variables of the command.
        directory: working directory; that of this process without it.
        program: 'genbench' or 'pytest'.
        typed: text of standard input.
        namespaces_of: process whose user and mount namespaces the command enters.
    """
    request = {
        "program": program,
        "arguments": arguments,
        "environment": dict(environment),
        "directory": str(directory or Path.cwd()),
        "namespaces_of": namespaces_of,
    }
    return Command(request, typed)


def _ask(request: dict[str, Any], streams: Sequence[int]) -> tuple[int, socket.socket]:
    """Have a process started with these descriptors, which are closed here; return its id and where its end arrives."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    given = [theirs.detach(), *streams]
    try:
        socket.send_fds(_connect(), [json.dumps(request).encode()], given)
    finally:
        for descriptor in given:
            os.close(descriptor)
    return int(ours.recv(16)), ours


def _connect() -> socket.socket:
    global _server
    if _server is None or _server[0] != os.getpid():
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        code = f"import sys; sys.path[:0] = {[str(_ROOT), str(_FOLDER)]!r}; import forks; forks.serve()"
        # OpenMP and malloc read their settings once, so the forks have those of a worker.
        process = subprocess.Popen([sys.executable, "-P", "-c", code], stdin=theirs, env=worker_environment(_AT_START))
        theirs.close()
        _server = os.getpid(), ours
        atexit.register(_stop, *_server, process)
    return _server[1]


def _stop(owner: int, connection: socket.socket, process: subprocess.Popen[bytes]) -> None:
    if os.getpid() == owner:
        connection.close()
        process.wait()


def serve() -> None:
    """Start a command for each request on standard input, until the other side closes it."""
    connection = socket.socket(fileno=os.dup(0))
    import jinja2  # noqa: F401
    from PIL import Image

    import genbench
    from genbench.runner.fork_server import preload

    preload()
    Image.init()
    for module in pkgutil.walk_packages(genbench.__path__, "genbench."):
        if module.name not in _NOT_FOR_COMMANDS:
            importlib.import_module(module.name)
    signal.signal(signal.SIGCHLD, _reap)
    while True:
        message, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 5)
        if not message:
            os._exit(0)  # skips what libraries print at exit
        if os.fork() == 0:
            connection.close()
            _watch(json.loads(message), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _reap(*_: object) -> None:
    """Wait for processes that have exited; their processor time counts as that of the tests."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _watch(request: dict[str, Any], descriptors: list[int]) -> None:
    """Start the command; send its process id, and its exit status once it has exited."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    exited, *streams = descriptors
    pid = os.fork()
    if pid == 0:
        for number, descriptor in enumerate(streams[:3]):
            os.dup2(descriptor, number)
        if "called" not in request:
            _become(lambda: _execute(request), (), request["environment"])
        os.setsid()
        os.chdir(request["directory"])
        inherited = request["inherited"]
        os.dup2(streams[3], inherited)
        _become(lambda: _call(*request["called"], str(inherited)), [inherited], request["environment"])
    for descriptor in (0, *streams):
        os.close(descriptor)
    with contextlib.suppress(BrokenPipeError), socket.socket(fileno=exited) as connection:
        connection.send(str(pid).encode())
        connection.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
    os._exit(0)


def _execute(request: dict[str, Any]) -> None:
    """Do what the program does when it is started in this directory with this environment."""
    if request["namespaces_of"] is not None:
        _enter_namespaces(request["namespaces_of"])
    os.chdir(request["directory"])
    paths = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:0] = [path for path in paths if path not in sys.path]
    _customise()
    sys.argv = [request["program"], *request["arguments"]]
    spawn.subprocess = SimpleNamespace(**{**vars(subprocess), "Popen": _fork})  # type: ignore[attr-defined]
    if request["program"] == "pytest":
        sys.path[:0] = [""]  # as `python -m` does
        sys.exit(pytest.console_main())
    from genbench.cli import main

    main()


def _customise() -> None:
    """Execute the `sitecustomize` that Python would find first, unless it was there when the server started."""
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize")
    known = sys.modules.get("sitecustomize")
    if spec is None or spec.loader is None or spec.origin == getattr(known, "__file__", None):
        return
    sys.modules["sitecustomize"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["sitecustomize"])


def _enter_namespaces(pid: int) -> None:
    """Do what ``nsenter -U -m --preserve-credentials`` does."""
    libc = ctypes.CDLL(None, use_errno=True)
    opened = [os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY) for kind in ("user", "mnt")]
    for descriptor in opened:
        if libc.setns(descriptor, 0):
            raise OSError(ctypes.get_errno(), "setns failed")
        os.close(descriptor)


def _fork(
    arguments: list[str], *, pass_fds: Sequence[int], env: Mapping[str, str] | None, **how: Any
) -> subprocess.Popen[bytes]:
    """Do what `subprocess.Popen` does for such a command, in a fork that executes no program."""
    called = arguments[-3:]

    def become() -> None:
        _become(lambda: _call(*called), pass_fds, os.environ.copy() if env is None else env)

    return subprocess.Popen(arguments, pass_fds=pass_fds, preexec_fn=become, **how)


def _call(kind: str, program: str, descriptor: str) -> None:
    """Do what ``python -c CODE DESCRIPTOR`` or ``python SCRIPT DESCRIPTOR`` does."""
    if kind != "-c":
        _run_script(program, descriptor)
        return
    name = re.findall(r"(\w+) as m;", program)[-1]
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(name)  # for `command_line.template_of`
    sys.argv = ["-c", descriptor]
    exec(program, {"__name__": "__main__"})


def _run_script(path: str, descriptor: str) -> None:
    """Run a script that imports the genbench that it finds, which may be another version."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "genbench"]:
        del sys.modules[name]
    own = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [*filter(None, own), *_PATHS]
    sys.argv = [path, descriptor]
    runpy.run_path(path, run_name="__main__")


def _become(function: Callable[[], None], keep: Iterable[int], environment: Mapping[str, str]) -> None:
    """Call a function in this fork as if it were a program: with these descriptors and variables; then exit."""
    gc.freeze()  # no object from before may close a descriptor of the same number
    gc.enable()  # `subprocess` has disabled it
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    bounds = [2, *sorted({*keep} - {0, 1, 2}), os.sysconf("SC_OPEN_MAX")]
    for low, high in itertools.pairwise(bounds):
        os.closerange(low + 1, high)
    os.environ.clear()
    os.environ.update(environment)
    sys.stdin, sys.stdout = (open(number, mode, closefd=False) for number, mode in ((0, "r"), (1, "w")))  # noqa: SIM115
    sys.stderr = open(2, "w", errors="backslashreplace", closefd=False, buffering=1)  # noqa: SIM115
    code = 1
    try:
        function()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        os._exit(code)
