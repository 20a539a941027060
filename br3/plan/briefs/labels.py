"""What people call things: the role of a heading, a bold line, a ``Label:`` or the head of a column."""

from __future__ import annotations

import re
from typing import Literal, get_args

from br3.plan.briefs.signs import plain, repaired

Role = Literal[
    "builds",
    "title",
    "branch",
    "worktree",
    "prompt",
    "tasks",
    "deliverables",
    "owns",
    "verification",
    "expected",
    "tests",
    "coverage",
    "run",
    "needs",
    "after",
    "message",
    "setup",
    "agent",
    "model",
    "minutes",
    "budget",
    "jobs",
    "base",
    "name",
    "landing",
    "release",
    "tag",
    "remote",
    "cleanup",
    "criteria",
]
ROLES: tuple[str, ...] = get_args(Role)

_WORDS: dict[Role, str] = {
    "builds": "builds|the builds|parallel builds|work ?streams?|tracks|streams|agents|prompts|your prompts"
    "|work packages"
    "|worktrees|features|tickets|issues|lanes|the work|parallel work|phases|epics|parallel tracks|work items|sessions"
    "|assignments|team|stories|user stories|backlog",
    "title": "title|build name|feature|build|track|stream|work ?stream|package|what|phase|epic|story|ticket|issue",
    "branch": "(?:git |feature |build )?branch(?: name)?",
    "worktree": "(?:git )?work ?tree(?: path| dir(?:ectory)?| name)?|working dir(?:ectory)?"
    "|repo(?:sitory)? dir(?:ectory)?|directory|dir|folder|open"
    "|workspace|checkout|work in|where|path|cwd",
    "prompt": "prompt|prompt text|the prompt|instructions|paste this.*|copy this.*|prompt for .*|agent prompt"
    "|paste into .*"
    "|task|objective|goal|mission|description|context|background|notes?|summary|important|brief|overview|why|scope"
    "|constraints|rules|ground rules|details|requirements|spec|specification|approach|design|hints?"
    "|out of scope|do",
    "tasks": "what to do|(?:execute |your |the |sub)?tasks?(?: list| breakdown)|(?:execute |your |the "
    "|sub ?)?tasks|steps|to ?dos?"
    "|work breakdown|check ?list|execute|implementation steps|implementation plan|plan of work|sub ?steps",
    "deliverables": "deliverables?|outputs?|artifacts|files to (?:create|change|modify|touch|write)|creates|results?"
    "|produces|you deliver|what to deliver|new files",
    "owns": "owns|owned(?: files| paths)?|ownership|files|paths|may (?:change|touch|edit)|allowed (?:files|paths)"
    "|file scope|territory|files owned|owned by it|touches|changes|files it may change|you own"
    "|you may (?:change|touch|edit)"
    "|area|areas|modules?|code",
    "verification": "(?:final |full )?verification(?: commands?| steps?)?|verif(?:y|ied)(?: with| by)?"
    "|check(?:ed)? with|how to (?:test|verify)"
    "|test(?:ing)?(?: plan| commands?)?|validation|validate|check(?:s|ed by|ed with)?|(?:the )?full test(?: suite)?"
    "|quality gates?|gates?|proof|smoke test|test with|tested by|ci|full test run|test the whole",
    "expected": "expect(?:ed)?(?: results?| outcome| output)?|threshold|targets?|minimum|must show|pass criteria",
    "tests": "tests|test count|min(?:imum)? tests|tests expected|# ?tests|number of tests|expected tests|new tests",
    "coverage": "(?:min(?:imum)? |test |code )?coverage|cov",
    "run": "run|command|commands|cmd|execute command|verification command",
    "needs": "(?:hard )?depend(?:s|encies|ency|ing)?(?: on)?|needs|requires|blocked by|prerequisites?"
    "|starts after|upstream"
    "|waits for|wait for|blockers?",
    "after": "after|lands? after|merge(?:s|d)? after|merge order|order|landing order|#",
    "message": "(?:merge )?commit(?: message)?|message|merge message|commit msg",
    "setup": "(?:initial |one[- ]time |environment |project |local )?set ?up(?: commands?| steps?)?|install(?:ation)?"
    "|getting started|environments?|bootstrap|preparation|prepare|extra (?:dependencies|packages|deps)"
    "|additional (?:dependencies|packages|deps)|packages|(?:pip|npm|python) packages|new dependencies",
    "agent": "agent|tool|assistant|run with|ai|coding agent|cli",
    "model": "model|llm|ai model",
    "minutes": "time|minutes|mins?|duration|estimate(?:d)?(?: time| effort)?|effort|eta|hours|est|size|time ?box",
    "budget": "budget|cost limit|max(?:imum)? cost|spend(?:ing)? limit|budget usd",
    "jobs": "jobs|parallelism|concurrency|max(?:imum)? parallel|at once|in parallel",
    "base": "base(?: branch)?|target(?: branch)?|main branch|trunk|from branch|starts? from|default branch|lands on",
    "name": "project|plan|release name|sprint|plan name|initiative",
    "landing": "(?:final )?(?:merge|merging|integration|integrate|landing|finish|finishing|wrap[- ]?up)"
    "(?: order| sequence| plan| strategy| steps?| (?:and|&) .*|ing order)?|how to merge|order of merging"
    "|bring it together"
    "|merge it|putting it together|merge train|finishing up|land",
    "release": "release|releasing|ship(?: it)?|publish(?:ing)?|tag(?:ging)? (?:and|&) .*|tagging"
    "|version(?:ing)?|cut the release",
    "tag": "tag|version|release tag|git tag|release version",
    "remote": "remote",
    "cleanup": "clean[- ]?up|cleaning up|tear ?down|remove worktrees",
    "criteria": "done|finished when|done means|(?:success|acceptance|exit|completion|final"
    "|release)(?: criteria)?(?: check ?list)?|criteria"
    "|definition of done|done when|it is done when|we(?:'re| are) done when|dod|success looks like|success metrics"
    "|final check ?list|success check ?list|acceptance tests?|exit conditions?|sign[- ]?off",
}
_PATTERNS = [(role, re.compile(rf"(?:{words})", re.IGNORECASE)) for role, words in _WORDS.items()]

_NUMBERED = re.compile(r"^(?:step\s+)?(?:\d+|[ivx]+|[a-z])[.):]\s+", re.IGNORECASE)
_BRACKETS = re.compile(r"\s*[(\[][^)\]]*[)\]]\s*")
_SIGNS = re.compile(r"^[^\w#`]+|[^\w)`+]+$")
_COUNTED = re.compile(r"^(?:the\s+)?(?:\d+|two|three|four|five|six|seven|eight|nine|ten)\s+", re.IGNORECASE)

# "**Branch:** build/x", "**Branch**: build/x", "Branch: build/x", "Branch – `build/x`"
_PAIR = re.compile(
    r"^(?:\*\*|__)(?P<a>[^*_:]{1,40}?)\s*:?(?:\*\*|__)\s*(?::|[-–—=→](?=\s))?\s*(?P<av>.*)$"
    r"|^(?P<b>[A-Za-z#][A-Za-z0-9 #'/&()_-]{0,40}?)\s*:(?:\s+(?P<bv>.*)|$)"
)


def normal(text: str) -> str:
    """A label without numbers before it, brackets, signs and emoji, in lower case."""
    shown = _BRACKETS.sub(" ", plain(repaired(text))).strip()
    shown = _SIGNS.sub("", shown)
    shown = _NUMBERED.sub("", shown)
    shown = _SIGNS.sub("", shown)
    return re.sub(r"[\s_]+", " ", shown).strip().lower()


def role_of(text: str) -> Role | None:
    """The role of a label; None for what is not known."""
    name = normal(text)
    if not name:
        return None
    for shown in dict.fromkeys((name, _COUNTED.sub("", name))):
        for role, pattern in _PATTERNS:
            if pattern.fullmatch(shown):
                return role
    return None


_IN_A_HEADING: tuple[tuple[Role, str], ...] = (
    (
        "criteria",
        r"\b(?:success criteria|acceptance criteria|definition of done|success checklist|done when|exit criteria)\b",
    ),
    ("cleanup", r"\bclean[- ]?up\b(?!.*\bmerg)|\btear ?down\b"),
    ("landing", r"\bmerg(?:e|ing)\b|\blanding\b|\bintegration order\b"),
    ("verification", r"\bverif(?:y|ication)\b|\bfull test\b"),
    ("release", r"\breleas(?:e|ing)\b|\btag(?:ging)?\b"),
    ("setup", r"\bset ?up\b|\binstall(?:ation)?\b|\bbefore you (?:start|begin)\b|\bprerequisites\b"),
    (
        "builds",
        r"\b(?:parallel builds|work ?streams|the builds|builds|prompts|tracks|worktrees|parallel work|work packages)\b",
    ),
)


def role_of_heading(text: str) -> Role | None:
    """The role of a heading: as of a label, else by a telling word in it."""
    found = role_of(text)
    if found:
        return found
    name = normal(text)
    return next((role for role, pattern in _IN_A_HEADING if re.search(pattern, name)), None)


def pair(text: str) -> tuple[str, str] | None:
    """A label and its value, where the line is one; the value is empty where the label stands alone."""
    found = _PAIR.match(text.strip())
    if found is None:
        return None
    label = found["a"] if found["a"] is not None else found["b"]
    value = found["av"] if found["a"] is not None else found["bv"]
    return label.strip(), (value or "").strip()
