"""Which files a task will probably touch: BM25 over source, with boosts for what the text names.

The boosts are for a file whose path is named, a module (``package.module.Name``), the file that defines a name found
nowhere else. Tests count half unless the text is about tests: what is asked for is mostly not in them.
BM25: Robertson and Zaragoza, The Probabilistic Relevance Framework, 2009, with k1 = 1.2, b = 0.6.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from br3.estimate.features import MatchFacts, identifiers, named_files
from br3.estimate.index import Index, files_of, module_of

_K1, _B = 1.2, 0.6
_MOST_TERMS = 400
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{2,60}")
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_ABOUT_TESTS = re.compile(r"\btests?\b|\bcoverage\b|\bfixtures?\b", re.IGNORECASE)
_STOP = frozenset(
    "the and for that this with not are but from have has was when you can will use should would could which what "
    "there been does did into than then them they its also just only some any all one out use used using like get "
    "here how our more other about make made may might must see need same such very work works https http com www "
    "org".split()
)
_RARE = 8
"""A name that so few files have says where to look."""


@dataclass(frozen=True)
class Match:
    """A file and how well it matches, as a share of the best score found."""

    path: str
    score: float
    file: int


def ranked(index: Index, text: str, count: int = 10) -> list[Match]:
    """The files that match best, best first; empty where no word of the text is in any file."""
    scores = _scores(index, text)
    best = sorted(scores, key=lambda file: (-scores[file], index.files.paths[file]))[:count]
    top = scores[best[0]] if best else 1.0
    return [Match(index.files.paths[file], scores[file] / top, file) for file in best if scores[file] > 0]


def facts_of(index: Index, matches: list[Match]) -> MatchFacts:
    """What the features need of the repository and its best files."""
    files = index.files
    five = [match.file for match in matches[:5]]
    return MatchFacts(
        repository_lines=files.source_lines,
        scores=tuple(match.score for match in matches[:10]),
        paths=tuple(match.path for match in matches[:5]),
        lines=tuple(files.lines[file] for file in five),
        users=tuple(_users(index, match.path) for match in matches[:5]),
        commits=tuple(files.commits[file] for file in five),
        authors=tuple(files.authors[file] for file in five),
    )


def _scores(index: Index, text: str) -> dict[int, float]:
    scores: dict[int, float] = {}
    total, files = len(index), index.files
    if not total:
        return scores
    for term, weight in _query(text).items():
        found = files_of(index.postings(term))
        if not found or len(found) > 0.6 * total + 5:
            continue
        idf = math.log(1 + (total - len(found) + 0.5) / (len(found) + 0.5)) * weight
        for file, times in found.items():
            length = 1 - _B + _B * files.lengths[file] / index.mean_length
            scores[file] = scores.get(file, 0.0) + idf * times * (_K1 + 1) / (times + _K1 * length)
    top = max(scores.values(), default=1.0)
    for file, boost in _boosts(index, text):
        scores[file] = scores.get(file, 0.0) + boost * top
    if not _ABOUT_TESTS.search(text[:300]):
        for file in scores:
            if files.tests[file]:
                scores[file] *= 0.5
    return scores


def _query(text: str) -> dict[str, float]:
    """Terms and weights: words and their parts, those of the title twice, those said often a little more."""
    title, _, body = text.lstrip()[:50_000].partition("\n")
    said: Counter[str] = Counter()
    for part, times in ((title, 3), (body, 1)):
        for word in _WORD.findall(part):
            lowered = word.lower()
            said[lowered] += times
            for piece in {piece.lower() for piece in _PARTS.findall(word)}:
                if len(piece) >= 3 and piece != lowered:
                    said[piece] += times
    terms = [(term, count) for term, count in said.most_common() if term not in _STOP and len(term) >= 3]
    return {term: 1 + math.log(count) for term, count in terms[:_MOST_TERMS]}


def _boosts(index: Index, text: str) -> Iterator[tuple[int, float]]:
    """Files that the text names, and by how much of the best score each is lifted."""
    paths = index.files.paths
    names = {name.removeprefix("./") for name in named_files(text)}
    found = identifiers(text)
    # A dotted name as a path, without its last one, two, … parts: what is left of it may be a module.
    modules: dict[str, float] = {}
    for name in found:
        parts = name.rstrip("()").split(".")
        for kept in range(len(parts), 0, -1):
            if kept >= 2:
                modules.setdefault("/".join(parts[:kept]), 0.4 + 0.1 * kept)
    for file, path in enumerate(paths):
        stem = path.rpartition(".")[0]
        short = stem.removesuffix("/__init__").removesuffix("/index").removesuffix("/mod")
        last = path.rpartition("/")[2]
        for name in names:
            if path == name or path.endswith(f"/{name}") or (name.endswith(f"/{path}")):
                yield file, 1.0 if "/" in name or name == path else 0.6
            elif "/" in name and name.endswith(f"/{last}"):
                yield file, 0.2
        if modules:
            parts = short.split("/")
            for start in range(len(parts) - 1):
                lift = modules.get("/".join(parts[start:]))
                if lift is not None:
                    yield file, lift
    for name in sorted({piece for dotted in found for piece in dotted.rstrip("()").split(".")[-2:]}):
        defined = files_of(index.postings(f"def:{name.lower()}")) if len(name) >= 4 else {}
        if 0 < len(defined) <= _RARE:
            for file in defined:
                yield file, 0.35 / len(defined) ** 0.5


def _users(index: Index, path: str) -> int:
    """How many other files import a file, by the last two parts of its module's name."""
    module = module_of(path).lower()
    users = set(files_of(index.postings(f"use:{module}")))
    if "/" not in path:
        users |= set(files_of(index.postings(f"use:{module.rpartition('/')[2]}")))
    return len(users)
