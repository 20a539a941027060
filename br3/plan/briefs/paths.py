"""Paths in a brief: which words are paths, which belong to another machine, what they are in this repository."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

_EXTENSIONS = frozenset(
    "py pyi ipynb js jsx ts tsx mjs cjs mts cts vue svelte go rs rb java kt kts scala c h cc cpp cxx hpp cs fs "
    "swift m mm php pl pm lua ex exs erl hs ml mli clj dart r jl nim zig sh bash zsh fish ps1 bat sql graphql gql "
    "proto prisma json jsonl json5 toml yaml yml ini cfg conf env lock xml html htm css scss sass less md mdx rst "
    "txt adoc csv tsv svg png jpg jpeg gif ico webp tf hcl dockerfile mk cmake gradle properties example sample "
    "template tmpl j2 jinja patch".split()
)
_BARE = frozenset(
    "Makefile Dockerfile Justfile justfile Procfile Gemfile Rakefile Jenkinsfile Vagrantfile CODEOWNERS "
    ".gitignore .env .env.example .dockerignore .editorconfig .gitattributes .npmrc .nvmrc".split()
)
_NAMES = frozenset("node.js next.js vue.js react.js d3.js three.js express.js nuxt.js ember.js nest.js deno.js".split())
_WORD = re.compile(r"[^\s`'\"(),;<>\[\]{}|=]*(?:\[[^\]\s]+\]|\{[^}\s]+\})?[^\s`'\"(),;<>\[\]{}|=]*")
_INSIDE = re.compile(r"(?:\.{0,2}/)?[\w.@*?+~-]+(?:/[\w.@*?+~\[\]{},-]+)*/?")
ABSOLUTE = re.compile(
    r"(?<![\w./~$}:-])(?:~(?=/)|\$HOME(?=/)|\$\{HOME\}(?=/)|/(?:Users|home|root|opt|srv|var|mnt|Volumes|workspaces?|private"
    r"|data|code|projects?|repos?|src|tmp|w)(?=/)|[A-Za-z]:[\\/](?=[\w.]))(?:[\\/][\w.@+~-]+|[\w.@+~-]+)*[\\/]?"
)
_NOT = re.compile(
    r"\b(?:do not|don['’]t|never|must not|without (?:touching|changing)|not touch|leave alone|except)\b", re.IGNORECASE
)


@dataclass
class Machine:
    """Where the brief's repository lay on its writer's machine: its main checkout, and worktrees by their path."""

    main: set[str] = field(default_factory=set)
    worktrees: dict[str, str] = field(default_factory=dict)
    """From a path to the worktree's name."""

    def worktree_of(self, path: str) -> str | None:
        """The name of the worktree that a path is, or lies in; also one that is written relative to its parent."""
        clean = _clean(path)
        for known, name in self.worktrees.items():
            if clean == known or clean.startswith(f"{known}/"):
                return name
        last = clean.rsplit("/", 1)[-1]
        is_name = clean in (last, f"../{last}", f"./{last}") or ABSOLUTE.fullmatch(path) is not None
        return last if is_name and last in self.worktrees.values() else None

    def is_main(self, path: str) -> bool:
        """Whether the path is the main checkout."""
        return _clean(path) in self.main

    def here(self, command: str) -> tuple[str, list[str]]:
        """The command with this machine's paths as they are in a worktree here; and what is left of other machines."""
        for known in sorted([*self.main, *self.worktrees], key=len, reverse=True):
            command = re.sub(rf"(?<![\w./~-]){re.escape(known)}/?(?=$|[\s\"'`;&|)\[])", ".", command)
            command = re.sub(rf"(?<![\w./~-]){re.escape(known)}/(?=\S)", "", command)
        return command, [found[0] for found in ABSOLUTE.finditer(command)]


def _clean(path: str) -> str:
    return path.strip("\"'").replace("${HOME}", "~").replace("$HOME", "~").rstrip("/") or "/"


def name_of(path: str) -> str:
    """The last part of a path."""
    return _clean(path).replace("\\", "/").rsplit("/", 1)[-1]


def clean(path: str) -> str:
    """The path without quotes and a slash behind it; HOME as ``~``."""
    return _clean(path)


def forbids(text: str) -> bool:
    """Whether a line says what is *not* to be changed."""
    return _NOT.search(text) is not None


def named(text: str, sure: bool = False) -> list[str]:
    """The relative paths that a text names, as written, in order.

    With ``sure`` every word may be one (it stands where paths are listed); else a word without an extension has to end
    in a slash or to have ``*`` in it.
    """
    found: list[str] = []
    for word in _words(text):
        if word not in found and _is_path(word, sure):
            found.append(word)
    return found


def _words(text: str) -> Iterable[str]:
    without = ABSOLUTE.sub(" ", re.sub(r"\b[a-z][a-z0-9+.-]*://\S+", " ", text))
    for found in _WORD.finditer(without):
        word = found[0].strip("*_").rstrip(".:!?") if found[0].count("*") >= 4 else found[0].rstrip(".:!?").strip("_")
        word = re.sub(r"^\*\*(?=\w)|(?<=\w)\*\*$", "", word)
        if word and _INSIDE.fullmatch(word):
            yield word.removeprefix("./")


def _is_path(word: str, sure: bool) -> bool:
    last = word.rstrip("/").rsplit("/", 1)[-1]
    if word.lower() in _NAMES or word in ("/", ".", "..", "*", "**") or word.startswith(("../", "/", "-", "~", "@")):
        return False
    if last in _BARE or (sure and last in ("LICENSE", "README", "CHANGELOG", "NOTICE", "VERSION")):
        return True
    stem, dot, extension = last.rpartition(".")
    if dot and extension.lower() in _EXTENSIONS and (not stem or re.search(r"[A-Za-z*]", stem)):
        return not re.fullmatch(r"v?\d+(\.\d+)*", stem) or "/" in word
    if "/" not in word:
        return sure and "*" in word
    if word.endswith("/") or "*" in word:
        return True
    return sure


def as_owned(path: str) -> str:
    """The path as a pattern of ``owns``: a directory is all that lies in it."""
    last = path.rstrip("/").rsplit("/", 1)[-1]
    if path.endswith("/") or (last not in _BARE and "." not in last and "*" not in last):
        return f"{path.rstrip('/')}/**"
    return path


def without_covered(patterns: Iterable[str]) -> list[str]:
    """The patterns but for those that another one covers."""
    from br3.plan.globs import matches

    kept = list(dict.fromkeys(patterns))
    return [
        p for p in kept if not any(p != q and q.endswith("/**") and matches(q, p.removesuffix("/**")) for q in kept)
    ]


def in_place(name: str, known: Iterable[str], exists: Callable[[str], bool]) -> str:
    """A file's bare name as the path that is meant: as it is, or the only one of the known paths with that name."""
    if "/" in name or exists(name):
        return name
    places = {path for path in known if path.rsplit("/", 1)[-1] == name and path != name}
    return places.pop() if len(places) == 1 else name
