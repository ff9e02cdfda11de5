"""Genbench commands in forks of a process that has imported torch: half a second each instead of five.

For tests of what a command does. How it starts its processes, and what it imports, is tested with `command_line`.
"""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from command_line import Done

_GENBENCH = Path(__file__).parents[2]
_server: tuple[int, socket.socket, subprocess.Popen[bytes]] | None = None  # of the process with this id


def command(*arguments: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a genbench command to its end; `variables` are added to the environment."""
    connection = _start()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, Path(os.devnull).open() as nothing:
        request = {"arguments": arguments, "cwd": str(cwd or Path.cwd()), "environment": {**os.environ, **variables}}
        descriptors = [nothing.fileno(), out.fileno(), err.fileno()]
        socket.send_fds(connection, [json.dumps(request).encode()], descriptors)
        code = int(connection.recv(16))
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="surrogateescape"))
    return subprocess.CompletedProcess(arguments, code, *texts)


def run(*arguments: str, out: Path, resume: bool = False, **variables: str) -> Done:
    """Run `genbench run --in-process` with a run directory, as `command_line.run` does with worker processes."""
    marks = out.parent / "marks"
    marks.mkdir(exist_ok=True)
    where = "--resume" if resume else "--out"
    done = command("run", "--in-process", *arguments, where, str(out), FAULTS_MARKS=str(marks), **variables)
    return Done(done.returncode, done.stdout, done.stderr, out)


def _start() -> socket.socket:
    global _server
    if _server is None or _server[0] != os.getpid():
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        code = f"import sys; sys.path[:0] = {[str(_GENBENCH), str(Path(__file__).parent)]!r}; import warm; warm.serve()"
        process = subprocess.Popen([sys.executable, "-P", "-c", code], stdin=theirs)
        theirs.close()
        _server = os.getpid(), ours, process
        atexit.register(_stop, *_server)
    return _server[1]


def _stop(owner: int, connection: socket.socket, process: subprocess.Popen[bytes]) -> None:
    if os.getpid() == owner:
        connection.close()
        process.wait()


def serve() -> None:
    """Fork a process for each request on standard input, until the other side closes it."""
    connection = socket.socket(fileno=os.dup(0))
    import genbench.cell.run
    import genbench.imagesets.comparison
    import genbench.sampling.generate  # noqa: F401
    from genbench.cli import main
    from genbench.runner.fork_server import preload

    preload()
    while True:
        message, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 3)
        if not message:
            os._exit(0)  # skips what libraries print at exit
        child = os.fork()
        if child == 0:
            code = 70
            try:
                connection.close()
                for number, descriptor in enumerate(descriptors):
                    os.dup2(descriptor, number)
                request = json.loads(message)
                os.environ.clear()
                os.environ.update(request["environment"])
                os.chdir(request["cwd"])
                sys.argv = ["genbench", *request["arguments"]]
                try:
                    main()
                except SystemExit as end:
                    code = end.code if isinstance(end.code, int) else int(end.code is not None)
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)
        for descriptor in descriptors:
            os.close(descriptor)
        connection.send(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())
