"""Starts git for the guard, quickly and in the environment that a hook was given.

The one place beside ``br3.repo`` that starts git, for two reasons: ``br3.repo.runner`` imports subprocess, pathlib and
dataclasses, which take longer than a scan, and it takes away ``GIT_INDEX_FILE``, by which git tells a hook which index
is being committed (``commit -a`` and ``commit -- PATH`` commit another than the usual one).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

# These change what our pathspecs mean; all others of git's variables say where things are, or who we are.
_PATHSPECS = tuple(f"GIT_{kind}_PATHSPECS".encode() for kind in ("LITERAL", "GLOB", "NOGLOB", "ICASE"))
# What git tells hooks of where things are; `git rev-parse --local-env-vars` lists them.
_PLACES = tuple(
    f"GIT_{name}".encode()
    for name in (
        "ALTERNATE_OBJECT_DIRECTORIES CONFIG CONFIG_PARAMETERS CONFIG_COUNT OBJECT_DIRECTORY DIR WORK_TREE "
        "IMPLICIT_WORK_TREE GRAFT_FILE INDEX_FILE REPLACE_REF_BASE PREFIX SHALLOW_FILE COMMON_DIR"
    ).split()
)
_PORTION = 1 << 20
# Below the buffer of a pipe, for requests and answers alike: neither side ever waits for the other to read.
_REQUESTS = 400


_in_hook = True


def outside_of_hooks() -> None:
    """From now on this process asks about directories that it names; what git has told of places does not count."""
    global _in_hook
    _in_hook = False


class CannotAsk(Exception):
    """Git could not be started, or did not do what it was told."""


class Process:
    """A git process whose standard output we read, and whose input we write."""

    __slots__ = ("input", "output", "pid")

    def __init__(self, args: Sequence[str], directory: str) -> None:
        their_input, self.input = os.pipe()
        self.output, their_output = os.pipe()
        ends = [(os.POSIX_SPAWN_DUP2, their_input, 0), (os.POSIX_SPAWN_DUP2, their_output, 1)]
        command = ("git", "-C", directory, *args)
        try:
            self.pid = os.posix_spawnp("git", command, _environment(), file_actions=ends)
        except OSError as error:
            self._close_ours()
            raise CannotAsk(f"git could not be started: {error}") from error
        finally:
            os.close(their_input)
            os.close(their_output)

    def read(self, most: int | None = None) -> bytes | None:
        """All that it prints, from here to the end; None when that is more than ``most`` bytes."""
        portions, size = [], 0
        while portion := os.read(self.output, _PORTION):
            portions.append(portion)
            size += len(portion)
            if most is not None and size > most:
                return None
        return b"".join(portions)

    def close_input(self) -> None:
        """Tell it that nothing more comes."""
        if self.input >= 0:
            os.close(self.input)
            self.input = -1

    def end(self) -> int:
        """Close both ends and wait for it; its exit code, or minus the signal that ended it."""
        self._close_ours()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _close_ours(self) -> None:
        self.close_input()
        if self.output >= 0:
            os.close(self.output)
            self.output = -1


def ask(*args: str, directory: str = ".", given: bytes = b"", most: int | None = None) -> bytes | None:
    """What git prints, given that on its standard input; None when it is more than ``most`` bytes.

    ``given`` must be shorter than the buffer of a pipe, or read before git prints. CannotAsk when git fails.
    """
    process = Process(args, directory)
    if given:
        _write(process.input, given)
    process.close_input()
    printed = process.read(most)
    code = process.end()
    if code != 0 and printed is not None:
        raise CannotAsk(f"git {args[0]} failed with exit code {code}")
    return printed


class Objects:
    """Blobs by id, or by path in the index (``:path``); a context manager around one ``git cat-file``."""

    __slots__ = ("_process", "_rest")

    def __init__(self, directory: str = ".") -> None:
        self._process = Process(("cat-file", "--batch-command", "--buffer"), directory)
        self._rest = b""

    def __enter__(self) -> Objects:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.end()

    def sizes(self, names: Iterable[str]) -> dict[str, int]:
        """Bytes by name; what is missing is left out."""
        wanted = list(names)
        sizes: dict[str, int] = {}
        for first in range(0, len(wanted), _REQUESTS):
            some = wanted[first : first + _REQUESTS]
            self._ask("info", some)
            for name in some:
                header = self._line().split(b" ")
                if len(header) == 3 and header[1] == b"blob":
                    sizes[name] = int(header[2])
        return sizes

    def content(self, name: str) -> bytes | None:
        """A blob's content; None when there is none of that name, or it can't be named on one line."""
        if "\n" in name:
            return None
        self._ask("contents", [name])
        header = self._line()
        if header.endswith((b" missing", b" ambiguous")):
            return None
        size = int(header.rsplit(b" ", 1)[1])
        content = self._bytes(size)
        self._bytes(1)
        return content if header.split(b" ")[-2] == b"blob" else None

    def contents(self, names: Iterable[str]) -> dict[str, bytes]:
        """The same for several, asked for at once; what is missing, or is no blob, is left out."""
        wanted = [name for name in names if "\n" not in name]
        contents: dict[str, bytes] = {}
        for first in range(0, len(wanted), _REQUESTS):
            some = wanted[first : first + _REQUESTS]
            self._ask("contents", some)
            for name in some:
                header = self._line()
                if not header.endswith((b" missing", b" ambiguous")):
                    content = self._bytes(int(header.rsplit(b" ", 1)[1]))
                    self._bytes(1)
                    if header.split(b" ")[-2] == b"blob":
                        contents[name] = content
        return contents

    def _ask(self, what: str, names: Sequence[str]) -> None:
        """Git answers all of them in as few writes as it can."""
        lines = b"".join(f"{what} ".encode() + os.fsencode(name) + b"\n" for name in names)
        _write(self._process.input, lines + b"flush\n")

    def _line(self) -> bytes:
        while b"\n" not in self._rest:
            self._more()
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _bytes(self, size: int) -> bytes:
        portions, missing = [self._rest], size - len(self._rest)
        while missing > 0:
            self._rest = b""
            self._more()
            portions.append(self._rest)
            missing -= len(self._rest)
        whole = b"".join(portions)
        self._rest = whole[size:]
        return whole[:size]

    def _more(self) -> None:
        portion = os.read(self._process.output, _PORTION)
        if not portion:
            raise CannotAsk("git cat-file ended before it had answered")
        self._rest += portion


def _environment() -> dict[bytes, bytes]:
    environment = dict(os.environb)
    for name in _PATHSPECS if _in_hook else (*_PATHSPECS, *_PLACES):
        environment.pop(name, None)
    # br3's own calls start no hooks; a look must not fight for the index's lock; what is pushed are the objects
    # themselves, whatever replaces them here.
    environment.update(
        {b"BR3_HOOKS": b"own", b"GIT_OPTIONAL_LOCKS": b"0", b"GIT_NO_REPLACE_OBJECTS": b"1", b"LC_ALL": b"C"}
    )
    return environment


def _write(descriptor: int, data: bytes) -> None:
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except BrokenPipeError as error:
        raise CannotAsk("git ended before it had read the question") from error
