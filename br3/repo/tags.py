"""Tags: those that are there, and new ones made as objects, so that they can move with a branch in one transaction.

Processes: ``merged_tags`` 1 · ``tag_at`` 1 · ``taken_by`` 1 · ``message_of`` 1 · ``make_tag`` 9.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

from br3.repo.merges import signs, unsigned
from br3.repo.refs import CommitId
from br3.repo.runner import Git, GitError


@dataclass(frozen=True)
class Tag:
    """A tag: its name, what its ref holds (a tag object, or the commit itself), and the commit in the end."""

    name: str
    object: str
    commit: CommitId


_FORMAT = "--format=%(refname:strip=2)%00%(objectname)%00%(*objectname)%00%(objecttype)%00%(*objecttype)"


def merged_tags(git: Git, target: str) -> list[Tag]:
    """The tags of commits that ``target`` contains."""
    return _read(git("for-each-ref", f"--merged={target}", _FORMAT, "refs/tags").lines)


def tag_at(git: Git, name: str) -> Tag | None:
    """The tag of that name; None when there is none, or it is of something that is no commit."""
    found = _read(git("for-each-ref", _FORMAT, f"refs/tags/{name}").lines)
    return next((tag for tag in found if tag.name == name), None)


def taken_by(git: Git, name: str) -> str | None:
    """The tag that leaves no room for one called ``name``: it is called so, or git cannot have both (``v1``, ``v1/2``).

    Whatever it is of. One process.
    """
    parts = name.split("/")
    above = ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
    there = git("for-each-ref", "--format=%(refname:strip=2)", *(f"refs/tags/{tag}" for tag in above)).lines
    return next((tag for tag in there if tag in above or tag.startswith(f"{name}/")), None)


def message_of(git: Git, name: str) -> str:
    """The message of a tag, without its signature."""
    told = git("for-each-ref", "--format=%(contents)%00%(contents:signature)", f"refs/tags/{name}").text
    message, _, signature = told.partition("\0")
    return message.removesuffix(signature).rstrip("\n") + "\n"


def make_tag(git: Git, name: str, commit: CommitId, message: str) -> str:
    """Write an annotated tag object, signed as git is configured, and return its id; no ref of the repository moves.

    Git makes a tag object only together with its ref: it does so in an empty repository that shares the objects.
    """
    settings = {}
    for entry in git("config", "--list", "-z").fields:
        key, told, value = entry.partition("\n")
        if key.startswith(("gpg.", "tag.", "user.", "committer.")):
            settings[key] = value if told else "true"  # a key alone, without =
    # Whose name it is may depend on where the repository lies, so that is asked there.
    name_and_mail = git("var", "GIT_COMMITTER_IDENT").text.rpartition("> ")[0]
    who, _, mail = name_and_mail.partition(" <")
    objects = git("rev-parse", "--path-format=absolute", "--git-path", "objects").text
    with tempfile.TemporaryDirectory(prefix="br3-tag-") as scratch:
        form = git("rev-parse", "--show-object-format").text
        git("init", "--quiet", "--bare", "--template=", f"--object-format={form}", scratch)
        env = {
            "GIT_DIR": scratch,
            "GIT_OBJECT_DIRECTORY": objects,
            "GIT_COMMITTER_NAME": who,
            "GIT_COMMITTER_EMAIL": mail,
        }
        # A message makes it annotated; --annotate would switch tag.forceSignAnnotated off.
        words = ("tag", "--cleanup=verbatim", "--file=-", "--", name, commit)
        signed = any(signs(git, f"tag.{key}") for key in ("gpgSign", "forceSignAnnotated"))
        try:
            git(*words, input=message.encode(errors="surrogateescape"), env=env, config=settings)
        except GitError as error:
            raise (unsigned("tag", error.stderr) if signed else error) from None
        ref = f"refs/tags/{name}"
        # Git 2.39 writes a tag without a signature when ssh-keygen has failed.
        if signed and not git("for-each-ref", "--format=%(contents:signature)", ref, env=env).text:
            raise unsigned("tag", "its signing program failed")
        return git("rev-parse", "--verify", ref, env=env).text


def _read(listing: Sequence[str]) -> list[Tag]:
    found = []
    for line in listing:
        name, held, peeled, kind, peeled_kind = line.split("\0")
        if "commit" in (kind, peeled_kind):
            found.append(Tag(name, held, CommitId(peeled if kind == "tag" else held)))
    return found
