"""Verified builds without agents and worktrees: branches written as objects, each with a verdict in the journal."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from br3.dispatch.sessions import Session, begin
from br3.orchestrator import verdicts
from br3.plan.loading import load
from br3.repo import refs
from br3.repo.worktrees import discover
from tests.conftest import Scratch, toml

SPOKEN_FOR = 'for f in bad-*; do test ! -e "$f" || exit 1; done; '
BREAKING = 'for f in breaks-*-a; do test ! -e "$f" || test ! -e "${f%a}b" || exit 1; done'
CHECK = SPOKEN_FOR + BREAKING
"""Tests of the whole: no file bad-*, and never both breaks-X-a and breaks-X-b. Nothing but sh."""


@dataclass(frozen=True)
class Made:
    """A build: its commits as files each; ``needs`` are builds that its branch starts from; ``keys`` more of TOML."""

    id: str
    commits: Sequence[Mapping[str, str]]
    needs: tuple[str, ...] = ()
    keys: str = ""


def made(*builds: str, **files: Mapping[str, str]) -> list[Made]:
    """Builds that write a file of their own name, or the files given."""
    return [Made(build, [files.get(build, {build: f"{build}\n"})]) for build in builds]


def lay(
    repo: Scratch,
    builds: Sequence[Made],
    *,
    verify: str = CHECK,
    landing: str = "window = 2",
    head: str = "",
    minimum: int | None = None,
) -> Session:
    """A plan of these builds on main of ``repo``, their branches, a run, and verdicts; ``minimum`` of tests of the
    whole."""
    text = f'[plan]\nname = "train"\n{head}\n[setup]\nrun = []\n[landing]\n{landing}\n'
    text += f'[defaults]\nagent = "manual"\n[verify]\nrun = [{toml(verify)}]\n'
    text += "" if minimum is None else f"min_passed = {minimum}\n"
    for build in builds:
        text += f'[[build]]\nid = "{build.id}"\nprompt = "Do {build.id}."\n{build.keys}\n'
        text += f"needs = {json.dumps(list(build.needs))}\n"
        text += '[build.verify]\nrun = ["true"]\n'
    repo.plan(text)
    file = repo.path / "br3.toml"
    session = begin(discover(repo.path), load(file), file)
    _write_branches(repo, session, builds)
    verified(session, [build.id for build in builds])
    return session


def verified(session: Session, builds: Sequence[str]) -> None:
    """Verdicts for the builds' tips, as ``br3 verify`` would write them."""
    git, plan = session.repository.git, session.plan
    tips = refs.branches(git, [plan.build(build).branch for build in builds])
    for name in builds:
        build = plan.build(name)
        tip = tips[build.branch]
        key = verdicts.key(tip.tree, build.verify, [*plan.setup.run, *build.setup], session.worktrees[name])
        session.journal.append(
            "quality.passed",
            run=session.run,
            build=name,
            tree=key.tree,
            commit=tip.commit,
            commands=key.commands,
            environment=key.environment,
        )
    session.refresh()


def _write_branches(repo: Scratch, session: Session, builds: Sequence[Made]) -> None:
    base = repo.head()
    has: dict[str, dict[str, str]] = {}
    stream: list[str] = []
    for build in builds:
        ref = f"refs/heads/{session.plan.build(build.id).branch}"
        start, *more = [f"refs/heads/{session.plan.build(needed).branch}" for needed in build.needs] or [base]
        below: dict[str, str] = {}
        for needed in build.needs:
            below |= has[needed]
        has[build.id] = {**below, **{name: text for files in build.commits for name, text in files.items()}}
        for number, files in enumerate(build.commits):
            author = f"{build.id} <{build.id}@example.invalid> {1_700_000_000 + number} +0100"
            stream += [
                f"commit {ref}",
                f"author {author}",
                "committer A Tester <tester@example.invalid> 1700001000 +0000",
            ]
            stream += _data(f"{build.id}: {', '.join(files)}\n")
            if number == 0:
                stream += [f"from {start}", *(f"merge {other}" for other in more)]
            for name, text in ({**below, **files} if number == 0 else files).items():
                stream += [f"M 100644 inline {name}", *_data(text)]
    subprocess.run(
        ["git", "fast-import", "--quiet"],
        cwd=repo.path,
        input="\n".join(stream) + "\n",
        text=True,
        check=True,
        capture_output=True,
    )


def _data(text: str) -> list[str]:
    return [f"data {len(text.encode())}", text]
