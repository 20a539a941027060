from __future__ import annotations

import pytest

from br3.models import canonical, is_model, rows

OPUS = rows("claude-opus-5-5")
HAIKU = rows("claude-haiku-4-5")


@pytest.mark.parametrize(
    "name",
    [
        "claude-haiku-4-5",
        "claude-haiku-4-5[1m]",
        "claude-haiku-4-5-20251001",
        "claude-haiku-4-5-20251001[1m]",
        "claude-haiku-4-5@20251001",
        "claude-haiku-4-5@default",
        "claude-haiku-4.5",
        "claude-4.5-haiku",
        "CLAUDE-Haiku-4-5",
        " claude-haiku-4-5\n",
        "anthropic/claude-haiku-4-5",
        "anthropic/claude-haiku-4-5-20251001",
        "openrouter/anthropic/claude-haiku-4.5",
        "vertex_ai/claude-haiku-4-5@20251001",
        "google-vertex-anthropic/claude-haiku-4-5@20251001",
        "projects/p/locations/europe-west1/publishers/anthropic/models/claude-haiku-4-5@20251001",
        "global.anthropic.claude-haiku-4-5-20251001-v1:0",
        "bedrock/global.anthropic.claude-haiku-4-5-20251001-v1:0",
    ],
)
def test_every_spelling_of_a_model_at_list_price_has_its_rows_and_its_name(name: str) -> None:
    assert rows(name) == HAIKU != ()
    assert canonical(name) == "claude-haiku-4-5"


@pytest.mark.parametrize(
    "name",
    [
        "anthropic.claude-haiku-4-5-20251001-v1:0",
        "us.anthropic.claude-haiku-4-5-20251001-v1:0",
        "eu.anthropic.claude-haiku-4-5-20251001-v1:0:200k",
        "us-gov.anthropic.claude-haiku-4-5-20251001-v1:0",
        "apac.anthropic.claude-haiku-4-5-20251001-v1",
        "bedrock/us.anthropic.claude-haiku-4-5-20251001-v1:0",
        "bedrock/converse/us.anthropic.claude-haiku-4-5-20251001-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-haiku-4-5-20251001-v1:0",
        "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-haiku-4-5-20251001-v1:0",
        "bedrock/claude-haiku-4-5",
    ],
)
def test_a_region_of_bedrock_has_its_own_price_under_the_same_name(name: str) -> None:
    assert {row.model for row in rows(name)} == {"bedrock/claude-haiku-4-5"}
    assert canonical(name) == "claude-haiku-4-5"


@pytest.mark.parametrize(
    "name",
    [
        "claude-opus-5-5-mini-experimental",
        "claude-opus-5-5-mini",
        "claude-opus-5-55",
        "claude-opus-5-6",
        "claude-opus-6",
        "claude-opus-5-5-001",
        "claude-opus-5-5-20251301",
        "claude-opus-5-5-preview",
        "claude-haiku-4-5-mini-experimental",
        "claude-haiku-4-5-mini-20251001",
        "claude-sonnet-4-7",
        "my-claude-opus-5-5",
        "claude-opus",
        "claude",
        "claude-opus-5-5[fast=true]",
        "gpt-5.4-micro",
        "gpt-5.4-2031-01-01",
        "gpt-5.4:free",
        "gemini-1.5-flash-8b",
        "gemini-2.5-pro-tts",
        "gemini-3.6-flash-image",
        "groq/claude-opus-5-5",
        "ollama/mistral-nemo",
        "openrouter/mistralai/mistral-nemo",
        "us.anthropic.claude-opus-5-5-mini-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abcdef123456",
        "",
        "<synthetic>",
    ],
)
def test_a_near_miss_has_no_price(name: str) -> None:
    assert rows(name) == ()


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("gemini-2.5-pro-preview-05-06", "gemini-2.5-pro"),
        ("gemini/gemini-2.5-pro-exp-03-25", "gemini-2.5-pro"),
        ("models/gemini-2.0-flash-001", "gemini-2.0-flash"),
        ("gemini-3-pro-preview-11-2025", "gemini-3-pro-preview"),
        ("gpt-5-nano-2025-08-07", "gpt-5-nano"),
        ("openai/gpt-5-codex", "gpt-5"),
        ("azure/gpt-5.4-2026-03-05", "gpt-5.4"),
        ("gpt-5.6-luna-20260709", "gpt-5.6-luna"),
        ("gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),
        ("x-ai/grok-4.5-20260801", "grok-4.5"),
        ("openrouter/x-ai/grok-4.5", "grok-4.5"),
        ("magistral-medium-2506", "magistral-medium"),
        ("GLM-4.6", "glm-4.6"),
        ("z-ai/glm-4.6", "glm-4.6"),
        ("claude-3-5-sonnet-20241022", "claude-3-5-sonnet"),
        ("claude-sonnet-4-20250514", "claude-sonnet-4-0"),
        ("claude-opus-4-20250514", "claude-opus-4-0"),
    ],
)
def test_the_rules_of_the_seed_are_followed(name: str, model: str) -> None:
    assert {row.model for row in rows(name)} == {model}


@pytest.mark.parametrize(
    ("name", "report"),
    [
        ("gpt-5-codex", "gpt-5-codex"),
        ("openai/gpt-5.4-2026-03-05", "gpt-5.4"),
        ("gpt-5-4", "gpt-5.4"),
        ("gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),
        ("gemini-2.5-pro-preview-05-06", "gemini-2.5-pro-preview-05-06"),
        ("openrouter/mistralai/Mistral-Nemo", "mistral-nemo"),
        ("claude-sonnet-4-20250514", "claude-sonnet-4"),
        ("claude-mythos-5-20260401", "claude-mythos-5"),
        ("Unknown-Model-20260101", "unknown-model-20260101"),
        ("ollama/Qwen3:8b", "ollama/qwen3:8b"),
        ("unknown[1m]", "unknown"),
        ("<synthetic>", "<synthetic>"),
    ],
)
def test_a_name_in_reports_keeps_what_tells_models_apart(name: str, report: str) -> None:
    assert canonical(name) == report
    assert canonical(report) == report


def test_synthetic_and_nameless_messages_are_no_usage() -> None:
    assert not is_model("<synthetic>")
    assert not is_model("")
    assert not is_model(" ")
    assert is_model("claude-opus-5-5")
    assert is_model("anything")


def test_opus_stands_for_itself() -> None:
    assert {row.model for row in OPUS} == {"claude-opus-5-5"}
