"""What the source files of one commit say, kept so that a later question takes milliseconds.

An index is read through git (no checkout): 3 processes to make it, one more for every 12 MB, none to open it again. It
lies in ``<common dir>/br3/estimate/<commit>.index``, is written under another name and renamed, so that it is there
whole or not at all; the newest few stay. It is looked into where it lies (mmap): only the terms of a question are read.

Format: ``MAGIC``, a line of JSON with the lengths of the sections, then the sections: paths, five numbers per file
(lines, length in tokens, commits, authors, whether it is a test), terms in sorted order with their offsets, and per
term its postings, ``file * 4096 + count`` as 32-bit numbers, several for one file where several tokens of the file
have the term. Terms are tokens in lower case, parts of tokens (camel case, underscores), and ``def:`` + name for what a
file defines, ``use:`` + module for what it imports.
"""

from __future__ import annotations

import gc
import json
import mmap
import os
import re
import zlib
from array import array
from bisect import bisect_left
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from br3.repo.contents import TreeFile, files_at, read_blobs, recent_changes
from br3.repo.runner import Git, GitError

MAGIC = b"br3-index-1\n"
KEPT = 4
"""How many indexes of one repository stay."""
COMMITS_READ = 200
"""Of so many of the last commits it is counted which files they changed."""

SHIFT = 12
_MOST_COUNTED = (1 << SHIFT) - 1
_LARGEST_BYTES = 512 * 1024
_MOST_BYTES = 192 * 1024 * 1024
_MOST_FILES = 40_000
_PORTION_BYTES = 12 * 1024 * 1024
_SOURCE = frozenset(
    "py pyi pyx js jsx ts tsx mjs cjs vue svelte go rs java kt kts scala rb php cs c h cc cpp cxx hpp hh m mm swift ex "
    "exs erl hs ml clj lua pl pm r jl dart zig nim sql sh bash zsh proto graphql html css scss less tf".split()
)
_ELSEWHERE = frozenset(
    "node_modules vendor third_party dist build .git .venv venv __pycache__ site-packages bower_components".split()
)
_MADE = re.compile(r"(?:\.min\.|[.-]bundle\.|_pb2\.py|\.pb\.go|\.lock$)")
_TEST = re.compile(
    r"(?:^|/)(?:tests?|testing|__tests__|specs?|e2e)/|(?:^|/)(?:test_|conftest)|(?:_test|\.test|\.spec)\."
)
_NOT_IN_A_TOKEN = bytes(c if (chr(c).isalnum() and c < 128) or c == 95 else 32 for c in range(256))
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_NAMES_DEFINED = {
    "py": (rb"def (\w+)", rb"class (\w+)"),
    "go": (rb"func (?:\([^)\n]*\) )?(\w+)", rb"type (\w+)"),
    "rs": (rb"fn (\w+)", rb"struct (\w+)", rb"enum (\w+)", rb"trait (\w+)"),
    "rb": (rb"def (?:self\.)?(\w+)", rb"class (\w+)", rb"module (\w+)"),
    "js": (rb"function (\w+)", rb"class (\w+)", rb"const (\w+)"),
    "": (rb"class (\w+)", rb"interface (\w+)", rb"struct (\w+)"),
}
_NAMES_USED = {
    "py": (rb"from ([\w.]+) import \(?([\w, ]*)", rb"\nimport ([\w.]+)()"),
    "js": (rb"from ['\"]([^'\"\n]+)()", rb"require\(['\"]([^'\"\n]+)()"),
    "rs": (rb"use ([\w:]+)()",),
    "rb": (rb"require(?:_relative)? ['\"]([^'\"\n]+)()",),
    "": (rb"import \"?(?:static )?([\w./]+)()", rb"#include [\"<]([\w./]+)()", rb"\n\t\"([\w./-]+)\"()"),
}
_LIKE = {"pyi": "py", "pyx": "py"} | dict.fromkeys(("jsx", "ts", "tsx", "mjs", "cjs", "vue", "svelte"), "js")
_DEFINITIONS = {key: tuple(re.compile(one) for one in several) for key, several in _NAMES_DEFINED.items()}
_USES = {key: tuple(re.compile(one) for one in several) for key, several in _NAMES_USED.items()}
_BETWEEN = re.compile(rb"::|[./]")


@dataclass(frozen=True)
class Files:
    """The files of an index, by position: ``commits`` and ``authors`` are those of the last ``COMMITS_READ``."""

    paths: tuple[str, ...]
    lines: array[int]
    lengths: array[int]
    commits: array[int]
    authors: array[int]
    tests: array[int]

    @property
    def source_lines(self) -> int:
        """Lines of what is no test."""
        return sum(lines for lines, test in zip(self.lines, self.tests, strict=True) if not test)


class Index:
    """An index in memory or where it lies; ``postings`` is what it is for."""

    def __init__(self, data: bytes | mmap.mmap) -> None:
        if data[: len(MAGIC)] != MAGIC:
            raise ValueError("no index of this version of br3")
        end = data.find(b"\n", len(MAGIC))
        sizes = json.loads(data[len(MAGIC) : end])
        at = end + 1
        sections = []
        for size in sizes:
            sections.append((at, at + size))
            at += size
        if at != len(data):
            raise ValueError("an index that was cut off")
        self._data = data
        paths, *columns, self._terms, offsets, starts, self._postings = sections
        names = zlib.decompress(data[slice(*paths)]).decode("utf-8", "surrogateescape")
        self.files = Files(
            tuple(names.split("\0")) if names else (), *(_numbers(data[slice(*column)]) for column in columns)
        )
        self._offsets = _numbers(data[slice(*offsets)])
        self._starts = _numbers(data[slice(*starts)])
        self.mean_length = sum(self.files.lengths) / max(1, len(self.files.lengths)) or 1.0

    def __len__(self) -> int:
        return len(self.files.paths)

    def postings(self, term: str) -> Sequence[int]:
        """``file << SHIFT | count`` for every file with the term, in no order; a file may come several times."""
        wanted = term.encode("utf-8", "replace")
        at = bisect_left(range(len(self._starts) - 1), wanted, key=self._term)
        if at >= len(self._starts) - 1 or self._term(at) != wanted:
            return ()
        base = self._postings[0]
        return _numbers(self._data[base + 4 * self._starts[at] : base + 4 * self._starts[at + 1]])

    def _term(self, at: int) -> bytes:
        base = self._terms[0]
        return self._data[base + self._offsets[at] : base + self._offsets[at + 1]]


def directory(common_dir: Path) -> Path:
    """Where a repository's indexes and ratings are kept."""
    return common_dir / "br3" / "estimate"


def index_of(git: Git, common_dir: Path, commit: str) -> Index:
    """The index of a commit: the one that is kept, else made now and kept.

    Git processes: 0 when it is kept, else those of ``make``. Where it cannot be written, it is not kept.
    """
    path = directory(common_dir) / f"{commit}.index"
    try:
        with path.open("rb") as file:
            found = Index(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        os.utime(path)
        return found
    except (OSError, ValueError, zlib.error):
        pass
    data = make(git, commit)
    try:
        keep(path, data, KEPT)
    except OSError:
        pass
    return Index(data)


def keep(path: Path, data: bytes, most: int) -> None:
    """Write a file whole or not at all; of those with its ending beside it the newest ``most`` stay."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        fresh.write_bytes(data)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    kept = sorted(path.parent.glob(f"*{path.suffix}"), key=_age, reverse=True)
    for old in kept[most:]:
        if old != path:
            old.unlink(missing_ok=True)


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def is_source(path: str) -> bool:
    """Whether a path is one of source code that people write."""
    *directories, name = path.split("/")
    ending = name.rpartition(".")[2].lower() if "." in name else ""
    return ending in _SOURCE and not _ELSEWHERE.intersection(directories) and _MADE.search(name) is None


def is_test(path: str) -> bool:
    """Whether a path looks like one of tests."""
    return _TEST.search(path) is not None


def chosen(files: Sequence[TreeFile]) -> list[TreeFile]:
    """The files to read: source that is neither huge nor made by a tool; everything small where there is no source."""
    fitting = [file for file in files if 0 < file.size_bytes <= _LARGEST_BYTES]
    source = [file for file in fitting if is_source(file.path)] or fitting
    total, taken = 0, []
    for file in source[:_MOST_FILES]:
        total += file.size_bytes
        if total > _MOST_BYTES:
            break
        taken.append(file)
    return taken


def make(git: Git, commit: str) -> bytes:
    """The index of a commit as bytes. Git processes: 3, and one more for every 12 MB of source."""
    with _without_collecting():
        return _make(git, commit)


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Millions of numbers and no cycle among them: looking for cycles costs a fifth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _make(git: Git, commit: str) -> bytes:
    files = chosen(files_at(git, commit))
    try:
        changes = recent_changes(git, commit, COMMITS_READ)
    except GitError:  # a shallow or damaged history: the files are what matters
        changes = {}
    paths: list[str] = []
    columns: tuple[list[int], ...] = ([], [], [], [], [])
    by_token: defaultdict[bytes, array[int]] = defaultdict(partial(array, "I"))
    for file, data in _read(git, files):
        if b"\0" in data[:8000]:
            continue
        number = len(paths)
        tokens = data.translate(_NOT_IN_A_TOKEN).split()
        seen = changes.get(file.path)
        facts = (data.count(b"\n"), len(tokens), seen.commits if seen else 0, seen.authors if seen else 0)
        for column, value in zip(columns, (*facts, int(is_test(file.path))), strict=True):
            column.append(value)
        paths.append(file.path)
        base = number << SHIFT
        counts = Counter(tokens)
        if len(tokens) > _MOST_COUNTED and max(counts.values()) > _MOST_COUNTED:
            counts = Counter({token: min(count, _MOST_COUNTED) for token, count in counts.items()})
        # All in C: this line is a third of the time that an index takes.
        lists = map(by_token.__getitem__, counts)
        deque(map(array.append, lists, map(base.__add__, counts.values())), maxlen=0)
        for name in _defined(file.path, data):
            by_token[b"def:" + name].append(base | 1)
        for name in _used(file.path, data):
            by_token[b"use:" + name].append(base | 1)
    return _packed(paths, columns, _by_term(by_token, _path_terms(paths), len(paths)))


def _read(git: Git, files: Sequence[TreeFile]) -> Iterator[tuple[TreeFile, bytes]]:
    """The bytes of each file; while some are looked at, git reads those that follow."""
    portions: list[list[TreeFile]] = [[]]
    size = 0
    for file in files:
        if size > _PORTION_BYTES:
            portions.append([])
            size = 0
        portions[-1].append(file)
        size += file.size_bytes

    def read(portion: Sequence[TreeFile]) -> list[bytes]:
        return list(read_blobs(git, [file.blob for file in portion]))

    with ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(read, portions[0])
        for at, portion in enumerate(portions):
            here = ahead.result()
            if at + 1 < len(portions):
                ahead = reader.submit(read, portions[at + 1])
            yield from zip(portion, here, strict=True)


def _defined(path: str, data: bytes) -> set[bytes]:
    ending = path.rpartition(".")[2].lower()
    patterns = _DEFINITIONS.get(_LIKE.get(ending, ending), _DEFINITIONS[""])
    return {name for pattern in patterns for name in pattern.findall(data)}


def _used(path: str, data: bytes) -> set[bytes]:
    """The last two parts of each module that a file imports: ``core/validators``; of one part: ``validators``."""
    ending = path.rpartition(".")[2].lower()
    found = set()
    for pattern in _USES.get(_LIKE.get(ending, ending), _USES[""]):
        for module, names in pattern.findall(data):
            parts = [part for part in _BETWEEN.split(module) if part]
            found.add(b"/".join(parts[-2:]))
            found.update(b"/".join((*parts[-1:], name)) for name in names.replace(b",", b" ").split())
    return found


def module_of(path: str) -> str:
    """What ``use:`` terms call a file: its directory and its name, or those of the package that it stands for."""
    *directories, name = path.split("/")
    stem = name.partition(".")[0]
    parts = directories if stem in ("__init__", "index", "mod") else [*directories, stem]
    return "/".join(parts[-2:])


def _path_terms(paths: Sequence[str]) -> dict[str, array[int]]:
    """The words of each path, as if the file said them four times."""
    found: defaultdict[str, array[int]] = defaultdict(partial(array, "I"))
    for number, path in enumerate(paths):
        for word in {part.lower() for part in _PARTS.findall(path)}:
            found[word].append(number << SHIFT | 4)
    return found


def _by_term(
    by_token: Mapping[bytes, array[int]], of_paths: Mapping[str, array[int]], files: int
) -> dict[bytes, bytes]:
    """Postings by term: tokens of one spelling in lower case together, and what tokens are made of."""
    sources: defaultdict[bytes, list[array[int]]] = defaultdict(list)
    for token, postings in by_token.items():
        if len(token) < 3 or len(token) > 80:
            continue
        lowered = token.lower()
        sources[lowered].append(postings)
        if token[3:4] == b":" or token.isdigit() or (lowered == token and b"_" not in token):
            continue
        parts = {part.lower() for part in _PARTS.findall(token.decode("ascii"))}
        for part in parts:
            if len(part) >= 3 and (key := part.encode()) != lowered:
                sources[key].append(postings)
    for word, postings in of_paths.items():
        sources[word.encode("utf-8", "surrogateescape")].append(postings)
    most = 3 * files + 20
    return {
        term: b"".join(several)
        for term, several in sources.items()
        if sum(map(len, several)) <= most  # a term of nearly every file tells nothing
    }


def _packed(paths: Sequence[str], columns: Sequence[Sequence[int]], by_term: Mapping[bytes, bytes]) -> bytes:
    terms = sorted(by_term)
    offsets, starts = array("I", [0]), array("I", [0])
    for term in terms:
        offsets.append(offsets[-1] + len(term))
        starts.append(starts[-1] + len(by_term[term]) // 4)
    sections = [
        zlib.compress("\0".join(paths).encode("utf-8", "surrogateescape"), 1),
        *(array("I", (min(value, 2**32 - 1) for value in column)).tobytes() for column in columns),
        b"".join(terms),
        offsets.tobytes(),
        starts.tobytes(),
        b"".join([by_term[term] for term in terms]),
    ]
    head = json.dumps([len(section) for section in sections]).encode()
    return b"".join([MAGIC, head, b"\n", *sections])


def _numbers(data: bytes) -> array[int]:
    found = array("I")
    found.frombytes(data)
    return found


def files_of(postings: Sequence[int]) -> dict[int, int]:
    """By file, how often it has the term."""
    found: dict[int, int] = {}
    for posting in postings:
        file = posting >> SHIFT
        found[file] = found.get(file, 0) + (posting & _MOST_COUNTED)
    return found
