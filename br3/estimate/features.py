"""What is known before dispatch, as numbers: of the text, of the plan, of the repository. Pure functions.

Every feature is one row of ``FEATURES``: name, what it means, its unit, and the words for it in a reason. Counts with a
long tail are ``ln(1 + n)``. A feature that is not known is left out of the dictionary, and counts as average.

Keywords carry no signal of their own (scores of the kind "refactor +10" were no better than chance on 500 tasks);
``vocabulary`` is a word list learned from story points instead.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Group = Literal["text", "plan", "repository"]

MOST_CHARACTERS = 200_000
"""Of a longer text the beginning is read: no task is described by more, and patterns stay fast."""


@dataclass(frozen=True)
class Feature:
    """One number. ``high`` and ``low`` say in words what much and little of it look like."""

    name: str
    group: Group
    meaning: str
    unit: str
    high: str
    low: str


FEATURES: tuple[Feature, ...] = (
    Feature("characters", "text", "length", "ln(1 + characters)", "the text is long", "the text is short"),
    Feature("lines", "text", "lines that are not empty", "ln(1 + lines)", "it has many lines", "it has few lines"),
    Feature("title_words", "text", "words of the first line", "words", "the title is long", "the title is short"),
    Feature(
        "unique_words",
        "text",
        "share of different words among all",
        "0–1",
        "it hardly repeats a word",
        "it says the same words again and again",
    ),
    Feature(
        "code", "text", "share of lines that are code or output", "0–1", "much of it is code", "little of it is code"
    ),
    Feature("code_blocks", "text", "fenced blocks", "ln(1 + blocks)", "it has code blocks", "it has no code blocks"),
    Feature(
        "trace", "text", "a stack trace is quoted", "0 or 1", "it quotes a stack trace", "no stack trace is quoted"
    ),
    Feature(
        "identifiers",
        "text",
        "different names from code",
        "ln(1 + names)",
        "it names many identifiers",
        "it names few identifiers",
    ),
    Feature("named_files", "text", "different files named", "ln(1 + files)", "it names the files", "it names no files"),
    Feature("numbers", "text", "numbers", "ln(1 + numbers)", "it is full of numbers", "it has few numbers"),
    Feature(
        "operators",
        "text",
        "operators, as in formulas and code",
        "ln(1 + operators)",
        "it has many formulas or expressions",
        "it has few formulas or expressions",
    ),
    Feature(
        "hard_words",
        "text",
        "words of algorithms, parsing, caching, queries, concurrency",
        "ln(1 + words)",
        "it speaks of algorithms, parsing, caches or queries",
        "it does not speak of algorithms, parsing, caches or queries",
    ),
    Feature(
        "hard_title",
        "text",
        "such a word in the title",
        "0 or 1",
        "its title speaks of algorithms, parsing, caches or queries",
        "its title is about something simpler",
    ),
    Feature(
        "new_feature", "text", "the title asks for something new", "0 or 1", "it adds a feature", "it adds nothing"
    ),
    Feature(
        "compatibility",
        "text",
        "the title is about versions, removal or renaming",
        "0 or 1",
        "it is about compatibility or renaming",
        "it is not about compatibility",
    ),
    Feature(
        "proposal", "text", "a solution is proposed", "0 or 1", "it proposes a solution", "it proposes no solution"
    ),
    Feature(
        "vocabulary",
        "text",
        "what its words had in common with large and small stories",
        "ln(story points) above the average",
        "its words are those of large tasks",
        "its words are those of small tasks",
    ),
    Feature("tasks", "plan", "tasks of the build", "ln(1 + tasks)", "it has many tasks", "it has few tasks"),
    Feature("deliverables", "plan", "deliverables", "ln(1 + n)", "it has many deliverables", "it has few deliverables"),
    Feature("new_files", "plan", "files named as new", "ln(1 + files)", "it makes many files", "it makes few files"),
    Feature(
        "changed_files",
        "plan",
        "files named as modified",
        "ln(1 + files)",
        "it names many files to change",
        "it names few files to change",
    ),
    Feature("owns", "plan", "files that owns covers", "ln(1 + files)", "it owns many files", "it owns few files"),
    Feature(
        "planned_minutes",
        "plan",
        "the plan's own minutes",
        "ln(1 + minutes)",
        "the plan gives it much time",
        "the plan gives it little time",
    ),
    Feature(
        "verification",
        "plan",
        "commands of its verification",
        "ln(1 + commands)",
        "its verification is long",
        "its verification is short",
    ),
    Feature(
        "repository_lines",
        "repository",
        "lines of source",
        "ln(1 + lines)",
        "the repository is large",
        "the repository is small",
    ),
    Feature(
        "entropy",
        "repository",
        "spread of the match over the ten best files",
        "nats, 0 to ln 10",
        "many files match alike",
        "few files match",
    ),
    Feature(
        "margin",
        "repository",
        "how far the best file is ahead of the second",
        "0–1",
        "one file matches far better than the others",
        "no file stands out",
    ),
    Feature(
        "best_lines",
        "repository",
        "lines of the best file",
        "ln(1 + lines)",
        "the best-matching file is large",
        "the best-matching file is small",
    ),
    Feature(
        "five_lines",
        "repository",
        "mean lines of the five best files",
        "ln(1 + lines)",
        "the best-matching files are large",
        "the best-matching files are small",
    ),
    Feature(
        "best_users",
        "repository",
        "files that use the best file",
        "ln(1 + files)",
        "many files use the best-matching one",
        "few files use the best-matching one",
    ),
    Feature(
        "five_users",
        "repository",
        "mean of files that use each of the five best",
        "ln(1 + files)",
        "many files use the best-matching ones",
        "few files use the best-matching ones",
    ),
    Feature(
        "directories",
        "repository",
        "directories of the five best files",
        "1–5",
        "the matching files lie in many directories",
        "the matching files lie together",
    ),
    Feature(
        "churn",
        "repository",
        "mean of recent commits to the five best files",
        "ln(1 + commits)",
        "the matching files change often",
        "the matching files hardly change",
    ),
    Feature(
        "authors",
        "repository",
        "mean of recent authors of the five best files",
        "ln(1 + authors)",
        "many people work on the matching files",
        "few people work on the matching files",
    ),
)
BY_NAME: Mapping[str, Feature] = {feature.name: feature for feature in FEATURES}

_WORD = re.compile(r"[A-Za-z][A-Za-z']+")
_IDENTIFIER = re.compile(
    r"(?<![\w.])(?:[A-Za-z_]\w{0,80}(?:\.\w{1,80}){1,8}|[a-z]{1,40}_\w{1,80}|_\w{1,80}|[a-z]{1,40}[A-Z]\w{0,80}"
    r"|[A-Z][a-z0-9]{1,40}[A-Z]\w{0,80})\b|`([^`\n]{1,200})`"
)
_PATH = re.compile(
    r"(?<![\w./-])(?:[\w.-]{1,60}/){0,12}[\w-][\w.-]{0,80}\."
    r"(?:pyi?|[jt]sx?|mjs|vue|go|rs|java|kt|scala|rb|php|cs|[ch](?:pp|h|c)?|swift|ex|exs|lua|pl|sql|sh|html?|css|scss"
    r"|md|rst|txt|toml|ya?ml|json|cfg|ini|lock)(?![\w-])"
)
_HARD = re.compile(
    r"algorithm|pars(?:e|er|ing)|cach|quer(?:y|ies)|optimi[sz]|recurs|concurren|thread|race|lock|memory|performance"
    r"|precision|matrix|symbolic|solver?|integra|simplif|polynomial|tensor|gradient|transform|annotation|aggregate"
    r"|join|compil|lexer|tokeni|regex|unicode|encod|serializ|transaction|migrat",
    re.IGNORECASE,
)
_NEW = re.compile(r"\b(?:add|support|allow|implement|feature|enable|introduce|provide|make|extend|enhance)")
_COMPATIBILITY = re.compile(r"deprecat|compat|upgrade|version|migrat|python ?[23]|rename|remove|drop|replace")
_PROPOSAL = re.compile(
    r"\b(?:patch|should be (?:changed|replaced)|simple fix|easy fix|suggest|proposed|just (?:need|add|change)|fix is"
    r"|pull request|PR\b|instead of)",
    re.IGNORECASE,
)
_PROMPT = re.compile(r"[ \t]*(?:>>>|\.\.\.|\$|In \[|Out\[)|[ ]{4}|\t")
_STATEMENT = re.compile(
    r"[ \t]*(?:def|class|import|from|return|for|if|with|try|except|raise|print)\b[^\n]{0,400}?[:(]|[^\n]{0,400}[;{}]$"
)
_TRACE = re.compile(r"^[ \t]*File \"|^Traceback|^[ \t]{1,40}at [\w.$<>]+ ?\(", re.MULTILINE)
_NUMBER = re.compile(r"\b\d+(?:\.\d+)?\b")
_OPERATOR = re.compile(r"[=<>+*/^]{1,2}")
_MARKED_NEW = re.compile(r"\((?:new|create)\b", re.IGNORECASE)
_MARKED_CHANGED = re.compile(r"\((?:modify|modified|update|change|edit)\b", re.IGNORECASE)


@dataclass(frozen=True)
class PlanFacts:
    """What a plan says of one build beside its text; ``owned_files`` is how many ``owns`` covers, None when unknown."""

    tasks: int = 1
    deliverables: int = 0
    new_files: int = 0
    changed_files: int = 0
    owned_files: int | None = None
    minutes: float | None = None
    verification: int = 0


@dataclass(frozen=True)
class MatchFacts:
    """What retrieval found: of the best files, best first, and of the whole repository."""

    repository_lines: int
    scores: tuple[float, ...] = ()
    paths: tuple[str, ...] = ()
    lines: tuple[int, ...] = ()
    users: tuple[int, ...] = ()
    commits: tuple[int, ...] | None = None
    authors: tuple[int, ...] | None = None


def text_features(text: str, vocabulary: float | None = None) -> dict[str, float]:
    """Features of a task's text; ``vocabulary`` is what the model's word list says of it."""
    text = text[:MOST_CHARACTERS].replace("\r\n", "\n")
    title = text.lstrip().split("\n", 1)[0][:1000]
    words = [word.lower() for word in _WORD.findall(text)]
    lines = [line for line in text.split("\n") if line.strip()]
    code = sum(1 for line in lines if _PROMPT.match(line) or _STATEMENT.match(line[:500]))
    found = {
        "characters": math.log1p(len(text)),
        "lines": math.log1p(len(lines)),
        "title_words": float(len(_WORD.findall(title))),
        "unique_words": len(set(words)) / len(words) if words else 1.0,
        "code": code / len(lines) if lines else 0.0,
        "code_blocks": math.log1p(text.count("```") // 2),
        "trace": float(_TRACE.search(text) is not None),
        "identifiers": math.log1p(len(identifiers(text))),
        "named_files": math.log1p(len(named_files(text))),
        "numbers": math.log1p(len(_NUMBER.findall(text))),
        "operators": math.log1p(len(_OPERATOR.findall(text))),
        "hard_words": math.log1p(len(_HARD.findall(text))),
        "hard_title": float(_HARD.search(title) is not None),
        "new_feature": float(_NEW.search(title.lower()) is not None),
        "compatibility": float(_COMPATIBILITY.search(title.lower()) is not None),
        "proposal": float(_PROPOSAL.search(text) is not None),
    }
    return found if vocabulary is None else {**found, "vocabulary": vocabulary}


def plan_features(facts: PlanFacts) -> dict[str, float]:
    """Features of a build in a plan."""
    found = {
        "tasks": math.log1p(max(0, facts.tasks)),
        "deliverables": math.log1p(max(0, facts.deliverables)),
        "new_files": math.log1p(max(0, facts.new_files)),
        "changed_files": math.log1p(max(0, facts.changed_files)),
        "verification": math.log1p(max(0, facts.verification)),
    }
    if facts.owned_files is not None:
        found["owns"] = math.log1p(max(0, facts.owned_files))
    if facts.minutes is not None and math.isfinite(facts.minutes):
        found["planned_minutes"] = math.log1p(max(0.0, facts.minutes))
    return found


def repository_features(facts: MatchFacts) -> dict[str, float]:
    """Features of a repository and of the files that match best; nothing of matches where nothing matched."""
    found = {"repository_lines": math.log1p(facts.repository_lines)}
    scores = [score for score in facts.scores[:10] if score > 0]
    if not scores:
        return found
    total = sum(scores)
    found["entropy"] = -sum(s / total * math.log(s / total) for s in scores)
    found["margin"] = (scores[0] - scores[1]) / scores[0] if len(scores) > 1 else 1.0
    found["best_lines"] = math.log1p(facts.lines[0])
    found["five_lines"] = math.log1p(_mean(facts.lines))
    found["best_users"] = math.log1p(facts.users[0])
    found["five_users"] = math.log1p(_mean(facts.users))
    found["directories"] = float(len({path.rpartition("/")[0] for path in facts.paths[:5]}))
    if facts.commits is not None:
        found["churn"] = math.log1p(_mean(facts.commits))
    if facts.authors is not None:
        found["authors"] = math.log1p(_mean(facts.authors))
    return found


_SHARED = {
    "repository_lines": ("repo_repo_loc", True),
    "entropy": ("repo_bm_ent", False),
    "margin": ("repo_bm_margin", False),
    "best_lines": ("repo_loc_top1", True),
    "five_lines": ("repo_loc_top5", True),
    "best_users": ("repo_fan_top1", True),
    "five_users": ("repo_fan_top5", True),
    "directories": ("repo_dirs_top5", False),
    "churn": ("repo_churn5", True),
}


def given_features(repository: Mapping[str, Any]) -> dict[str, float]:
    """Repository features from an object of ``repo_*`` numbers; what is absent, null or no number is left out."""
    found = {}
    for name, (key, logged) in _SHARED.items():
        value = repository.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            found[name] = math.log1p(max(0.0, value)) if logged else float(value)
    return found


def identifiers(text: str) -> set[str]:
    """Names from code in a text: dotted, with underscores, in camel case, or in backquotes."""
    text = text[:MOST_CHARACTERS]
    return {match[1] or match[0] for match in _IDENTIFIER.finditer(text)}


def named_files(text: str) -> set[str]:
    """Files that a text names, as it writes them."""
    return set(_PATH.findall(text[:MOST_CHARACTERS]))


def new_and_changed(lines: Sequence[str]) -> tuple[int, int]:
    """How many of the lines of deliverables name a file as new, and how many as one to change."""
    new = sum(1 for line in lines if _MARKED_NEW.search(line[:2000]))
    return new, sum(1 for line in lines if _MARKED_CHANGED.search(line[:2000]))


def words_of(text: str) -> list[str]:
    """The words that the vocabulary knows: three letters or more, in lower case."""
    return re.findall(r"[a-z]{3,}", text[:MOST_CHARACTERS].lower())


def _mean(values: Sequence[int]) -> float:
    five = values[:5]
    return sum(five) / len(five) if five else 0.0
