"""Shell commands in a brief: split into single ones, loops unrolled, told apart by what they do.

Nothing here runs anything. What is joined by a pipe or ``||`` stays one command, as the plan's entries are run by sh.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Does = Literal[
    "enter", "open", "activate", "environment", "install", "bring", "test", "git", "print", "comment", "other"
]

SHELLS = frozenset({"bash", "sh", "shell", "zsh", "console", "terminal", "shell-session", "fish", "bash session"})


@dataclass(frozen=True)
class Command:
    """One command, and the line it stands on. ``each``: it came out of a loop. ``words`` are empty for a comment."""

    line: int
    text: str
    does: Does
    words: tuple[str, ...] = ()
    each: bool = False
    chained: bool = False
    """It follows another one by ``&&``."""


_TESTS = re.compile(
    r"(?:(?:\.?/?(?:\.?venv/bin/|node_modules/\.bin/))?(?:uv run |poetry run |pipenv run |hatch run |pdm run "
    r"|rye run |npx |pnpm exec "
    r"|bundle exec |python3? -m |coverage run -m |bunx )?)"
    r"(?:pytest|py\.test|unittest|tox|nox|ruff|mypy|pyright|black --check|flake8|pylint|coverage (?:run|report)|behave"
    r"|jest|vitest|mocha|ava|playwright test|cypress run|eslint|tsc|biome|prettier --check|rspec|rubocop"
    r"|rake test|rails test"
    r"|phpunit|golangci-lint|ctest|bats|shellcheck|doctest)\b"
    r"|(?:npm|pnpm|yarn|bun)(?: run)? (?:test|t|lint|check|typecheck|type-check|build|e2e|coverage|verify"
    r"|ci:\S+)\b(?!\S*install)"
    r"|(?:npm|pnpm|yarn|bun) run (?:test|lint|check|typecheck|e2e)[\w:-]*|(?:npm|pnpm) (?:--prefix|-C|--filter"
    r"|-F|--workspace|-w)[= ]\S+ (?:run )?(?:test|lint)\S*"
    r"|cargo (?:\+\S+ )?(?:test|nextest|clippy|check|fmt --check|fmt --all|build)\b|go (?:test|vet|build)\b"
    r"|make (?:-C \S+ )?(?:test|check|lint|verify|ci|e2e|coverage)\S*|just (?:test|check|lint|ci)\S*"
    r"|(?:\./)?gradlew? .*(?:test|check|build)|(?:\./)?mvnw? .*(?:test|verify|package)|dotnet test|mix test"
    r"|swift test|bazel test|nx (?:test|run|affected)|turbo (?:run )?test"
    r"|deno (?:test|lint|check)|flutter test|dart test|sbt test|python3? manage\.py test|terraform validate"
    r"|helm lint|hugo\b|mkdocs build|sphinx-build"
)
_INSTALLS = re.compile(
    r"(?:(?:\.?/?\.?venv/bin/)?(?:python3? -m )?pip3? install|uv (?:pip install|sync|venv|add)|poetry install"
    r"|pipenv install|pdm install|hatch env"
    r"|(?:npm|pnpm|bun) (?:ci|i|install|add)\b|yarn(?: install| add|$)|bundle install|cargo (?:fetch|add)"
    r"|go (?:mod download|get)|composer install"
    r"|mix deps\.get|dotnet restore|make (?:deps|install|setup|bootstrap|dev|init)\b|just (?:deps|install|setup"
    r"|bootstrap)\b|pre-commit install|direnv allow|mise install|asdf install"
    r"|conda (?:env )?(?:create|install)|flutter pub get|swift package resolve|(?:npx )?playwright install)\b"
)
_ENVIRONMENT = re.compile(r"(?:python3?(?:\.\d+)?|py) -m venv\b|virtualenv\b|uv venv\b")
_ACTIVATE = re.compile(r"(?:source|\.) \S*bin/activate(?:\.\w+)?$|\S*\\Scripts\\activate\S*$|deactivate$")
_OPEN = re.compile(
    r"(?:code|cursor|windsurf|zed|vim|nvim|emacs|idea|pycharm|subl|open|xdg-open|claude|codex|gemini|aider|opencode|tmux|screen)\b(?!\.)"
)
_BRING = re.compile(r"(?:cp|ln)(?: -\S+)* (?P<what>\S*\.env\S*|\S+) \S+")
_PRINT = re.compile(r"(?:echo|printf|ls|pwd|cat|clear|which|true|:)\b|(?:git )?--version|\S+ --version$")
_ASSIGNMENTS = re.compile(r"^(?:[A-Za-z_]\w*=(?:\"[^\"]*\"|'[^']*'|\S*)\s+)+(?=\S)")
_PROMPT = re.compile(r"^\s*(?:\$|%|❯|>)\s+(?=\S)")
_FOR = re.compile(r"^for\s+(\w+)\s+in\s+(.+?)\s*(?:;|$)\s*(?:do\b\s*(.*))?$")


def looks_like_shell(lines: list[str]) -> bool:
    """Whether all lines of a fence without a word behind it are commands that are known here."""
    said = [line for line in lines if line.strip() and not line.strip().startswith("#")]
    return bool(said) and all(_known(_PROMPT.sub("", line.strip())) for line in said)


def looks_like_command(text: str) -> bool:
    """Whether a text in code signs is a command rather than a name."""
    return _known(text.strip()) or re.match(r"(?:\./|bash |sh |python3? )\S+", text.strip()) is not None


def is_test(text: str) -> bool:
    """Whether the command tests or checks something."""
    return _TESTS.match(_ASSIGNMENTS.sub("", text.strip())) is not None


def _known(text: str) -> bool:
    first = _ASSIGNMENTS.sub("", text)
    if re.match(r"(?:for \w+ in|do|done|fi|if \[)\b", first):
        return True
    return _does(first) not in ("other", "comment")


def _does(text: str) -> Does:
    bare = _ASSIGNMENTS.sub("", text)
    if re.match(r"cd(?:\s|$)|pushd\b|popd\b", bare):
        return "enter"
    if _ACTIVATE.match(bare):
        return "activate"
    if _ENVIRONMENT.match(bare):
        return "environment"
    if re.match(r"git\s", bare):
        return "git"
    if _INSTALLS.match(bare):
        return "install"
    if _TESTS.match(bare):
        return "test"
    if re.match(r"(?:cp|ln)\s.*\.env", bare):
        return "bring"
    if _OPEN.match(bare):
        return "open"
    if _PRINT.match(bare):
        return "print"
    return "other"


def brought(command: Command) -> str | None:
    """The ignored file that a command copies into a worktree: ``cp ../app/.env .``; None when it is no such command."""
    found = [word for word in command.words[1:] if not word.startswith("-")]
    if command.does != "bring" or len(found) != 2:
        return None
    names = [word.rstrip("/").rsplit("/", 1)[-1] for word in reversed(found)]
    name = next((name for name in names if name.startswith(".env")), "")
    return name if name and name not in (".env.example", ".env.sample", ".env.template") else None


def commands(lines: list[tuple[int, str]]) -> list[Command]:
    """The single commands of a block, whose lines come with their numbers. Loops over words are unrolled."""
    return list(_unrolled(_joined(lines)))


def _joined(lines: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Lines that end in a backslash, ``&&`` or ``|`` go on in the next one."""
    found: list[tuple[int, str]] = []
    open_at: int | None = None
    held = ""
    for number, raw in lines:
        line = _PROMPT.sub("", raw.rstrip())
        held = f"{held} {line.strip()}" if open_at is not None else line
        number = number if open_at is None else open_at
        if line.endswith("\\") or re.search(r"(?:&&|\|\||\|)$", line):
            open_at, held = number, held.removesuffix("\\").rstrip()
            continue
        found.append((number, held))
        open_at = None
    if open_at is not None:
        found.append((open_at, held))
    return found


def _unrolled(lines: list[tuple[int, str]]) -> Iterator[Command]:
    at = 0
    while at < len(lines):
        number, line = lines[at]
        loop = _FOR.match(line.strip())
        if loop is None:
            yield from _single(number, line)
            at += 1
            continue
        body: list[tuple[int, str]] = [(number, loop[3])] if loop[3] else []
        at += 1
        while not any(re.search(r"(?:^|;)\s*done\b", text) for _, text in body) and at < len(lines):
            body.append(lines[at])
            at += 1
        for value in _values(loop[2]):
            for place, text in body:
                bare = re.sub(r"^\s*do\b\s*|(?:^|;)\s*done\b.*$", "", text)
                said = re.sub(rf"\$\{{{loop[1]}\}}|\${loop[1]}\b", lambda _, v=value: v, bare)  # type: ignore[misc]
                for command in _single(place, said):
                    yield Command(place, command.text, command.does, command.words, True, command.chained)


def _values(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _single(number: int, line: str) -> Iterator[Command]:
    """The commands of one line, split at ``&&`` and ``;`` outside of quotes; and its comment."""
    parts, comment = _split(line.strip())
    for at, part in enumerate(parts):
        if part and part not in ("do", "done"):
            yield Command(number, part, _does(part), tuple(_values(_ASSIGNMENTS.sub("", part))), chained=at > 0)
    if comment:
        yield Command(number, comment, "comment")


def _split(line: str) -> tuple[list[str], str]:
    if re.match(r"(?:if|while|case|function)\b|\w+\(\)", line) or "<<" in line:
        return [line], ""
    inner = re.fullmatch(r"\((?P<inside>[^()]*)\)", line)
    line = inner["inside"].strip() if inner else line
    parts: list[str] = []
    held, quote, at = "", "", 0
    while at < len(line):
        char = line[at]
        if quote:
            quote = "" if char == quote and line[at - 1] != "\\" else quote
        elif char in "\"'`" and (at == 0 or line[at - 1] != "\\"):
            quote = char
        elif char == "(" or (char == "{" and line[at + 1 : at + 2] == " "):
            return [line], ""  # a sub-shell is one command
        elif char == "#" and (at == 0 or line[at - 1].isspace()):
            return [*parts, held.strip()], line[at:].lstrip("#").strip()
        elif line.startswith("&&", at) or char == ";":
            parts.append(held.strip())
            held, at = "", at + (2 if char == "&" else 1)
            continue
        held += char
        at += 1
    return [*parts, held.strip()], ""


@dataclass(frozen=True)
class Git:
    """What a git command does, in the plan's words; fields that it does not say are empty."""

    act: Literal["worktree", "branch", "merge", "message", "tag", "push", "base", "fetch", "remove", "look", "other"]
    branch: str = ""
    path: str = ""
    message: str = ""
    remote: str = ""
    squash: bool = False
    start: str = ""


def git(command: Command) -> Git:
    """The meaning of a git command; ``other`` where br3 has none for it."""
    words = [word for word in command.words[1:] if word != "--"]
    while words and words[0].startswith("-"):  # git -C DIRECTORY …
        words = words[2:] if words[0] in ("-C", "-c") else words[1:]
    if not words:
        return Git("other")
    name, rest = words[0], words[1:]
    options, plain, message = _options(rest)
    match name:
        case "worktree" if rest[:1] == ["add"]:
            return _worktree(rest[1:])
        case "worktree" if rest[:1] in (["remove"], ["prune"]):
            return Git("remove", path=(_options(rest[1:])[1] or [""])[0])
        case "worktree":
            return Git("look")
        case "checkout" | "switch":
            made = next((options[key] for key in ("-b", "-c", "-B", "--create") if key in options), "")
            return (
                Git("branch", branch=made, start=(plain or [""])[0]) if made else Git("base", branch=(plain or [""])[0])
            )
        case "branch" if {"-d", "-D", "--delete"} & options.keys():
            return Git("remove", branch=next(options[k] for k in ("-d", "-D", "--delete") if k in options))
        case "branch":
            return Git("branch", branch=plain[0], start=(plain[1:] or [""])[0]) if plain else Git("look")
        case "merge":
            return Git("merge", branch=(plain or [""])[0], message=message, squash="--squash" in options)
        case "commit":
            return Git("message", message=message)
        case "tag":
            tag = options.get("-a") or options.get("-s") or (plain or [""])[0]
            return Git("tag" if tag and "-d" not in options else "other", branch=tag, message=message)
        case "push" if "--delete" in options or any(word.startswith(":") for word in plain):
            return Git("remove", branch=(plain[1:] or [""])[0].lstrip(":"))
        case "push":
            tags = "--tags" in options or "--follow-tags" in options
            return Git(
                "push",
                remote=(plain or ["origin"])[0],
                branch="--tags" if tags and len(plain) < 2 else (plain[1:] or [""])[0],
            )
        case "pull" | "fetch":
            return Git("fetch", remote=(plain or [""])[0], branch=(plain[1:] or [""])[0])
        case "status" | "log" | "diff" | "show" | "add" | "rev-parse":
            return Git("look" if name != "add" else "other")
        case _:
            return Git("other")


_WITH_VALUE = frozenset(
    {"-m", "--message", "-b", "-B", "-c", "--create", "-d", "-D", "--delete", "--track", "-F", "-u"}
)
_TAGGING = frozenset({"-a", "-s"})


def _options(words: list[str]) -> tuple[dict[str, str], list[str], str]:
    """Options with their values, what stands alone, and the message."""
    options: dict[str, str] = {}
    plain: list[str] = []
    messages: list[str] = []
    at = 0
    while at < len(words):
        word = words[at]
        if word in ("-am", "-m", "--message") and at + 1 < len(words):
            messages.append(words[at + 1])
            at += 1
        elif word.startswith("--message="):
            messages.append(word.partition("=")[2])
        elif word in _TAGGING | {"-b", "-B", "-c", "--create", "-d", "-D", "--delete"}:
            value = words[at + 1] if at + 1 < len(words) and not words[at + 1].startswith("-") else ""
            options[word] = value
            at += bool(value)
        elif word.startswith("-"):
            options[word] = ""
        else:
            plain.append(word)
        at += 1
    return options, plain, "\n\n".join(messages)


def _worktree(words: list[str]) -> Git:
    options, plain, _ = _options(words)
    made = options.get("-b") or options.get("-B") or ""
    path, start = (plain or [""])[0], (plain[1:] or [""])[0]
    return Git("worktree", path=path, branch=made or start, start=start if made else "")
