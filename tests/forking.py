"""br3 as a process of its own, forked from one that has imported it: what a test asks without the start of each.

A command takes 0.1 to 0.3 seconds of processor time before its first line runs, and tests call thousands. Here the
imports are made once for each pytest process; every command is a fork of that: its own process and session, directory,
environment, output and exit status, signals that end it included. The start itself, and what is imported when, is held
by tests/e2e and tests/unit/test_house.py, and by whatever a test starts and looks at while it goes on.

``python tests/forking.py FD`` is that process: it takes commands from a socket, and ends with it.
"""

from __future__ import annotations

import array
import atexit
import gc
import importlib
import json
import os
import pkgutil
import selectors
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

_STDOUT, _STDERR, _STATUS = range(3)
"""The descriptors of a command, in their order."""

# Read by the interpreter and by the C library when a process begins: too late for a fork.
_AT_START = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_")


class Source:
    """The process that commands are forked from."""

    def __init__(self) -> None:
        mine, its = socket.socketpair()
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(its.fileno())],
                cwd="/",
                env={"PATH": os.environ["PATH"], **_at_start(os.environ)},  # nothing that marks a process of one test
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,  # what a command prints to is opened as for a pipe
                stderr=subprocess.PIPE,
                pass_fds=[its.fileno()],
                start_new_session=True,
            )
        self._socket = mine
        self._turn = threading.Lock()
        self._at_start = _at_start(os.environ)

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def is_like(self, env: Mapping[str, str]) -> bool:
        """Whether a fork is the same as a start in this environment."""
        return _at_start(env) == self._at_start

    def run(self, words: Sequence[str], cwd: Path, env: Mapping[str, str]) -> tuple[int, str, str]:
        """Run ``br3 WORDS``; exit code (negative: the signal that ended it), standard output, standard error."""
        given = json.dumps({"words": list(words), "cwd": str(cwd), "env": dict(env), "umask": _umask()}).encode()
        reading, writing = zip(*(os.pipe() for _ in range(3)), strict=True)
        try:
            with self._turn:
                socket.send_fds(self._socket, [len(given).to_bytes(8)], writing)
                self._socket.sendall(given)
        finally:
            for descriptor in writing:
                os.close(descriptor)
        found = _read_all(reading)
        if not found[_STATUS]:
            raise AssertionError(f"no br3 can be forked any more: {_text(self._process.communicate()[1])}")
        return os.waitstatus_to_exitcode(int(found[_STATUS])), _text(found[_STDOUT]), _text(found[_STDERR])


_source: Source | None = None


def source(env: Mapping[str, str]) -> Source | None:
    """What to fork a command in this environment from; None when it has to be started."""
    global _source
    if sys.platform != "linux":  # elsewhere libraries do not promise to work in a fork
        return None
    if _source is None or _source.has_ended:  # one test that ends it is enough
        _source = Source()
    return _source if _source.is_like(env) else None


def _at_start(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(_AT_START)}


def _text(printed: bytes) -> str:
    return printed.decode().replace("\r\n", "\n").replace("\r", "\n")


def _umask() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("Umask:")[2].split()[0], 8)


def _read_all(descriptors: Sequence[int]) -> list[bytes]:
    found = dict.fromkeys(descriptors, b"")
    with selectors.DefaultSelector() as waiting:
        for descriptor in descriptors:
            waiting.register(descriptor, selectors.EVENT_READ)
        while waiting.get_map():
            for key, _ in waiting.select():
                part = os.read(key.fd, 1 << 16)
                found[key.fd] += part
                if not part:
                    waiting.unregister(key.fd)
                    os.close(key.fd)
    return [found[descriptor] for descriptor in descriptors]


def _import_everything() -> None:
    import anthropic  # noqa: F401
    import rich.live
    import rich.table
    import rich.tree  # noqa: F401

    import br3

    for module in pkgutil.walk_packages(br3.__path__, "br3."):
        if not module.name.endswith("__main__") and ".demo.project" not in module.name:
            importlib.import_module(module.name)


def _serve(taking: socket.socket) -> None:
    """Fork for each command; returns in the process that is to be one, and leaves in all others."""
    while True:
        header, ancillary, _, _ = taking.recvmsg(8, socket.CMSG_SPACE(3 * array.array("i").itemsize))
        if not header:
            os._exit(0)
        descriptors = array.array("i")
        for _, _, data in ancillary:
            descriptors.frombytes(data)
        size, given = int.from_bytes(header), b""
        while len(given) < size:
            given += taking.recv(size - len(given))
        keeper = os.fork()
        if not keeper:
            _keep(taking, list(descriptors), json.loads(given))
            return
        for descriptor in descriptors:
            os.close(descriptor)
        _reap()


def _reap() -> None:
    """Take the statuses of keepers that have ended; perhaps all of them have, the one just made too."""
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        pass


def _keep(taking: socket.socket, descriptors: list[int], given: dict[str, object]) -> None:
    """Fork the command, tell its status when it has ended; returns in the command."""
    taking.close()
    command = os.fork()
    if command:
        for descriptor in descriptors[:_STATUS]:
            os.close(descriptor)
        _, status = os.waitpid(command, 0)
        os.write(descriptors[_STATUS], str(status).encode())
        os._exit(0)
    os.setsid()
    os.close(descriptors[_STATUS])
    for descriptor, number in zip(descriptors[:_STATUS], (1, 2), strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.umask(int(str(given["umask"])))
    os.chdir(str(given["cwd"]))
    env, words = given["env"], given["words"]
    assert isinstance(env, dict) and isinstance(words, list)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    sys.argv = ["br3", *words]


def _be_br3() -> None:
    """Run the command, and leave as an interpreter does but for taking everything to pieces."""
    from br3.cli import main

    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    _import_everything()
    gc.collect()
    gc.freeze()  # a collection in a command would copy all that it shares with this process
    _serve(socket.socket(fileno=int(sys.argv[1])))
    _be_br3()
