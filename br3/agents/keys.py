"""Keys of agents: where they are found, and whether they look like keys of their provider. Never shown whole.

A key is only looked at, never tried: that would be a call to a paid API.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from br3.agents.base import Agent
from br3.secrets import mask


@dataclass(frozen=True)
class Form:
    """What keys of a provider look like. ``elsewhere`` is the variable that leads to another server, if there is one.

    Another server has keys of another form.
    """

    provider: str
    pattern: str
    shape: str
    elsewhere: str | None = None


FORMS: dict[str, Form] = {
    "ANTHROPIC_API_KEY": Form("Anthropic", r"sk-ant-[A-Za-z0-9_-]{20,}", "sk-ant-…", "ANTHROPIC_BASE_URL"),
    "ANTHROPIC_AUTH_TOKEN": Form("Anthropic", r"\S{8,}", "a bearer token", "ANTHROPIC_BASE_URL"),
    "CLAUDE_CODE_OAUTH_TOKEN": Form("Anthropic", r"sk-ant-oat\d\d-[A-Za-z0-9_-]{20,}", "sk-ant-oat01-…"),
    "OPENAI_API_KEY": Form("OpenAI", r"sk-(?!ant-|or-)[A-Za-z0-9_-]{20,}", "sk-…", "OPENAI_BASE_URL"),
    "CODEX_API_KEY": Form("OpenAI", r"sk-(?!ant-|or-)[A-Za-z0-9_-]{20,}", "sk-…", "OPENAI_BASE_URL"),
    "GEMINI_API_KEY": Form("Google", r"(?:AIza|AQ\.)[A-Za-z0-9_.-]{30,}", "AIza…", "GOOGLE_GEMINI_BASE_URL"),
    "GOOGLE_API_KEY": Form("Google", r"(?:AIza|AQ\.)[A-Za-z0-9_.-]{30,}", "AIza…", "GOOGLE_GEMINI_BASE_URL"),
    "OPENROUTER_API_KEY": Form("OpenRouter", r"sk-or-v1-[A-Za-z0-9]{20,}", "sk-or-v1-…"),
}
"""By variable; agents of other packages may have keys that are not here, which are not checked."""


@dataclass(frozen=True)
class Key:
    """A key that was found: ``source`` is ``environment`` or ``.env``, ``complaint`` says what is wrong with it."""

    variable: str
    source: str
    masked: str
    complaint: str | None
    value: str = field(repr=False)


def find(agent: Agent, environ: Mapping[str, str], env_file: Path | None) -> list[Key]:
    """The agent's keys that are set, the environment before the file; empty ones are none."""
    written = _from_file(env_file)
    found = []
    for variable in agent.keys:
        source, values = ("environment", environ) if environ.get(variable) else (".env", written)
        value = values.get(variable)
        if value:
            complaint = complaint_of(variable, value, {**written, **environ})
            found.append(Key(variable, source, mask(value), complaint, value))
    return found


def complaint_of(variable: str, value: str, environ: Mapping[str, str]) -> str | None:
    """What is wrong with a key, in words that do not show it; None when it may be one."""
    if value != value.strip() or any(c.isspace() or not c.isprintable() for c in value):
        return f"{variable} has spaces or line breaks in it"
    if value[0] in "\"'" or value[-1] in "\"'":
        return f"{variable} has quotes in it"
    form = FORMS.get(variable)
    if form is None or (form.elsewhere and environ.get(form.elsewhere)):
        return None
    if re.fullmatch(form.pattern, value):
        return None
    return f"{variable} does not look like a key of {form.provider} ({form.shape})"


def _from_file(env_file: Path | None) -> dict[str, str]:
    if env_file is None or not env_file.is_file():
        return {}
    from dotenv import dotenv_values

    return {name: value for name, value in dotenv_values(env_file).items() if value is not None}
