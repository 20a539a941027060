"""The success checklist: which of its lines a machine can check, and how; the others are put to a person.

What is checked is what the line claims, on what has landed: numbers of tests as they were counted when it was verified,
the tag, worktrees that are gone, and for a claim about what was built the tests that its build wrote for it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any

from br3.plan.briefs import quantities
from br3.plan.briefs.commands import is_test
from br3.plan.briefs.drafts import BuildDraft, Draft
from br3.plan.briefs.signs import codes, plain

_GONE = re.compile(
    r"\bworktrees?\b.*\b(?:clean|remov|gone|delet|prun|torn)|\b(?:clean|remov|delet|prun)\w*\b.*\bworktrees?\b", re.I
)
_TAG = re.compile(r"\btag(?:ged|s)?\b", re.IGNORECASE)
_MERGED = re.compile(r"\b(?:merged|landed|integrated)\b", re.IGNORECASE)
_GREEN = re.compile(
    r"\b(?:all|full|whole|entire|existing)\b.*\b(?:tests?|suite|checks?|ci)\b.*\b(?:pass|green|succeed)|\b(?:ci"
    r"|build|suite) (?:is |stays )?green\b",
    re.I,
)
# Whether a text is right is for people to say.
_OF_TEXTS = re.compile(
    r"\b(?:docs?|documentation|documented|readme|changelog|guides?|claims?|reviewed|review|approved)\b", re.I
)
_MEASURED = re.compile(r"\d\s*(?:ms|s|sec|seconds|minutes|%|fps|rps|x faster)(?!\w)", re.IGNORECASE)
_COMMON = frozenset(
    "under over when than then only out use used user users may must should data the and for with all from into "
    "that this are is not has have been can will automatically optional available new real test tests passing "
    "pass added add adds implemented implement done work works working file files build builds create creates "
    "make created support supports integration integrate system systems overall completion project code via per "
    "every each file mb kb".split()
)


def criterion(text: str, draft: Draft) -> dict[str, Any]:
    """A line of the checklist as a table of the plan, with ``run``, ``sql`` or ``ask``."""
    name = plain(text)
    return {"name": name, **(_checked(text, draft) or {"ask": f"{name.rstrip('.?')}: is it so?"})}


def _checked(text: str, draft: Draft) -> dict[str, str] | None:
    if _GONE.search(text) and draft.builds:
        refs = " ".join(shlex.quote(f"refs/heads/{branch_of(build)}") for build in draft.builds)
        return {"run": f"test -z \"$(git for-each-ref --format='%(worktreepath)' {refs})\""}
    if draft.tag and (draft.tag in text or (_TAG.search(text) and not re.search(r"v?\d+\.\d+", text))):
        return {"run": f"git rev-parse --verify --quiet {shlex.quote(f'refs/tags/{draft.tag}')}"}
    command = next((code for code in codes(text) if is_test(code)), None)
    if command:
        return {"run": command}
    wanted = quantities.expected(text)
    if wanted.min_passed is not None:
        return _counted(text, wanted.min_passed, draft)
    if _MERGED.search(text) and len(text.split()) <= 8 and draft.builds:
        names = " ".join(build.id for build in draft.builds)
        log = 'git log -1 --format=%h --grep="^Br3-Build: $build$"'
        return {"run": f'for build in {names}; do test -n "$({log})" || exit 1; done'}
    if _GREEN.search(text) and draft.verify:
        return {"run": " && ".join(draft.verify)}
    return _tested(text, draft)


def branch_of(build: BuildDraft) -> str:
    """The branch that the build has in the plan."""
    return build.branch or f"build/{build.id}"


def _counted(text: str, least: int, draft: Draft) -> dict[str, str] | None:
    """How many tests passed: of the build that the line names, else of the whole."""
    build = _nearest(text, draft.builds, 1)
    if (
        build is not None
        and (build.expected.min_passed or 0) <= least
        and least < (draft.expected.min_passed or least + 1)
    ):
        name = build.id.replace("'", "''")
        return {"sql": f"SELECT coalesce(max(tests_passed), 0) >= {least} FROM builds WHERE build = '{name}'"}
    return {
        "sql": f"SELECT coalesce(max((data->>'$.tests.passed')::INTEGER), 0) >= {least}"
        " FROM events WHERE kind = 'quality.passed'"
    }


def _tested(text: str, draft: Draft) -> dict[str, str] | None:
    """The tests that the build most like the line wrote; of several test files the one most like it."""
    build = None if _OF_TEXTS.search(text) or _MEASURED.search(text) else _nearest(text, draft.builds, 2)
    command = next((c for c in build.verify if is_test(c)), None) if build else None
    if command is None:
        return None
    words = command.split()
    files = [word for word in words if re.search(r"(?:^|[/_.])(?:test|spec)", word) and re.search(r"\.\w+$", word)]
    if len(files) > 1:
        wanted = _stems(text)
        scores = {name: len(wanted & _stems(name)) for name in files}
        best = max(scores, key=lambda name: scores[name])
        if scores[best] and list(scores.values()).count(scores[best]) == 1:
            words = [word for word in words if word not in files or word == best]
    return {"run": " ".join(words)}


def _nearest(text: str, builds: Sequence[BuildDraft], least: int) -> BuildDraft | None:
    """The one build that shares the most words with the line, at least so many.

    A word counts the more the fewer builds have it, and twice where it is in the title of a build or task.
    """
    wanted = _stems(text)
    titles = [_stems(" ".join([b.title, *(task.title for task in b.tasks)])) for b in builds]
    others = [_stems(" ".join(_of(b))) for b in builds]
    scored = []
    for build, named, said in zip(builds, titles, others, strict=True):
        shared = wanted & (named | said)
        score = sum(
            (2 if w in named else 1) / sum(w in n | o for n, o in zip(titles, others, strict=True)) for w in shared
        )
        if len(shared) >= least:
            scored.append((score, build))
    scored.sort(key=lambda entry: -entry[0])
    if not scored or (len(scored) > 1 and scored[1][0] == scored[0][0]):
        return None
    return scored[0][1]


def _of(build: BuildDraft) -> list[str]:
    tasks = [line for task in build.tasks for line in task.detail]
    return [build.remark, *tasks, *build.owns, *build.verify]


def _stems(text: str) -> set[str]:
    """Words cut to what their forms have in common, roughly."""
    words = re.findall(r"[a-z][a-z0-9]+", re.sub(r"[_./-]", " ", text.lower()))
    words = [word for word in words if len(word) > 2 or word in ("ai", "ui", "db", "ci")]
    return {
        re.sub(r"(?:ations?|ences?|ents?|ings?|ions?|eds?|ies|es|s|e|ed|er|y)$", "", w)[:7]
        for w in words
        if w not in _COMMON
    }
