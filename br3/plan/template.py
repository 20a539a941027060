"""The files that a new user starts from, with what was detected filled in."""

from __future__ import annotations

import json
from importlib import resources
from string import Template

from br3.plan.detection import Detected

# It fails until it is replaced: a verification that nobody chose must not pass.
NOTHING_TO_RUN = "echo 'say in br3.toml under [verify] how this project is tested' >&2; exit 1"


def plan_text(name: str, base: str, detected: Detected) -> str:
    """A commented br3.toml that is a valid plan as it stands."""
    return Template(_read("br3.toml")).substitute(
        name=_quoted(name), base=_quoted(base), setup=_setup(detected), verify=_verify(detected)
    )


def environment_example() -> str:
    """The .env.example."""
    return _read("env.example")


def _setup(detected: Detected) -> str:
    if not (detected.setup or detected.copy):
        return (
            '# Nothing was recognised here.\n# [setup]\n# run = ["make deps"]\n'
            '# copy = [".env"]  # ignored files that worktrees need\n'
        )
    found = f"# Found: {', '.join(detected.kinds)}.\n" if detected.kinds else ""
    run = f"run = {_list(detected.setup)}\n" if detected.setup else '# run = ["make deps"]\n'
    copy = f"copy = {_list(detected.copy)}" if detected.copy else '# copy = [".env"]'
    return f"{found}[setup]\n{run}{copy}  # ignored files that worktrees need\n"


def _verify(detected: Detected) -> str:
    if detected.verify:
        return f"run = {_list(detected.verify)}\n"
    comment = "# How this project is tested was not recognised; this fails until you say it."
    return f"{comment}\nrun = {_list((NOTHING_TO_RUN,))}\n"


def _list(commands: tuple[str, ...]) -> str:
    if len(commands) == 1:
        return f"[{_quoted(commands[0])}]"
    return "[\n" + "".join(f"  {_quoted(command)},\n" for command in commands) + "]"


def _quoted(text: str) -> str:
    """A TOML basic string; JSON's escapes are among TOML's, which asks for one more: DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _read(name: str) -> str:
    return resources.files("br3.plan").joinpath("templates", name).read_text(encoding="utf-8")
