"""Names of models as agents and gateways write them, taken apart."""

from __future__ import annotations

import re
from dataclasses import dataclass

SYNTHETIC = "<synthetic>"
"""What Claude Code writes for messages that it made up itself: no model, no cost."""

# The context size asked for; it changes no price by itself.
_CONTEXT = re.compile(r"\[1m\]$")
_ARN = re.compile(r"^arn:aws[a-z-]*:bedrock:[^/]*:(?:inference-profile|foundation-model)/")
_BEDROCK = re.compile(
    r"^(?P<region>(?:[a-z]{2}|apac|us-gov|global)\.)?anthropic\.(?P<model>claude-.+?)(?:-v\d+(?::\d+(?::\d+k)?)?)?$"
)
_PATH = re.compile(r"^(?:projects/[^/]+/locations/[^/]+/)?(?:publishers/[a-z-]+/)?models/")
_GATEWAY = re.compile(
    r"^(openrouter|(?:amazon-)?bedrock(?:/converse)?|vertex(?:_ai)?|google-vertex(?:-anthropic)?|azure)/"
)
_MAKER = re.compile(
    r"^(?:anthropic|openai|google|gemini|deepseek|mistral|mistralai|x-ai|xai|moonshot|moonshotai|z-ai|zai)/"
)
_DATE = re.compile(r"(?:[-@]20\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])|-20\d{2}-\d{2}-\d{2}|@default)$")
_RELEASE = re.compile(r"(?:-\d{2}-\d{2}|-\d{2}-20\d{2}|-\d{3,4})$")
_STAGE = re.compile(r"-(?:latest|preview|exp)$")
_WORDS = re.compile(r"[-.]")


@dataclass(frozen=True)
class Name:
    """``full`` as written, in lower case; ``bare`` without prefixes and context size; ``via`` what sells it otherwise.

    ``via`` is ``bedrock`` (a region of it, which costs more than the list), ``openrouter`` or empty: list price.
    """

    full: str
    bare: str
    via: str = ""


def read(name: str) -> Name:
    """Take a name apart; one of unknown shape comes back as it is, in lower case."""
    full = name.strip().lower()
    bare = _PATH.sub("", _ARN.sub("", _CONTEXT.sub("", full)))
    via = ""
    if gateway := _GATEWAY.match(bare):
        bare = bare[gateway.end() :]
        via = next((seller for seller in ("openrouter", "bedrock") if seller in gateway[1]), "")
    if bedrock := _BEDROCK.match(bare):
        return Name(full, bedrock["model"], "" if bedrock["region"] == "global." else "bedrock")
    return Name(full, _MAKER.sub("", bare), via)


def is_model(name: str) -> bool:
    """Whether tokens under this name are usage of a model at all."""
    return name.strip().lower() not in ("", SYNTHETIC)


def undated(bare: str) -> str:
    """Without the day of a snapshot: ``-20251001``, ``@20251001``, ``-2025-10-01``, Vertex's ``@default``."""
    return _DATE.sub("", bare)


def stems(bare: str) -> tuple[str, ...]:
    """Without a release (``-05-06``, ``-09-2025``, ``-001``) and then without its stage (``-preview``)."""
    released = _RELEASE.sub("", undated(bare))
    return released, _STAGE.sub("", released)


def same_words(one: str, other: str) -> bool:
    """Whether two names are spellings of one: ``claude-4.5-haiku`` and ``claude-haiku-4-5``."""
    return sorted(_WORDS.split(one)) == sorted(_WORDS.split(other))
