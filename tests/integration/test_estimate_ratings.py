"""Ratings by Claude, asked of a server on this machine: answers, refusals, limits, and that nothing ever raises."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic  # imported before the first deadline begins: it takes seconds
import pytest

from br3.estimate import ratings
from br3.estimate.ratings import Asking, NotRated, Rated, question, rate
from tests.external.agents import serving

assert anthropic.__version__
GOOD = '{"debugging_complexity": 4, "codebase_scope": 2, "solution_hint": 1}'


@dataclass
class Api:
    """The server: scenarios are put there by name, and what was asked is read from its log."""

    url: str
    log: Path

    def scenario(self, *steps: dict[str, Any]) -> Asking:
        """A way to ask that goes through these steps, one per request; the last one repeats."""
        name = f"s{os.urandom(4).hex()}"
        data = json.dumps(list(steps)).encode()
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/__scenario/{name}", data=data)).read()
        return Asking("haiku", "sk-ant-test", f"{self.url}/r/{name}/{name}")

    def asked(self) -> list[dict[str, Any]]:
        lines = [json.loads(one) for one in self.log.read_text().splitlines()]
        return [one for one in lines if one.get("path", "").endswith("/v1/messages")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with serving(tmp_path_factory.mktemp("api"), bodies=True, everything=True) as served:
        yield Api(served.address, served.log)


@pytest.fixture
def api(server: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Api:
    monkeypatch.setenv("ANTHROPIC_CONFIG_DIR", str(tmp_path / "nothing"))
    server.log.write_text("")
    return server


def failed(answer: Rated | NotRated) -> NotRated:
    assert isinstance(answer, NotRated), answer
    return answer


def test_three_ratings_are_asked_for_in_one_request(api: Api) -> None:
    asking = api.scenario({"text": GOOD, "usage": {"input_tokens": 700, "output_tokens": 30}})
    answer = rate("The cache is stale", ["core/cache.py"], asking)
    assert isinstance(answer, Rated)
    assert answer.ratings == {"debugging_complexity": 4.0, "codebase_scope": 2.0, "solution_hint": 1.0}
    assert (answer.spent.model, answer.spent.tokens.input, answer.spent.tokens.output) == ("claude-haiku-5-5", 700, 30)
    (request,) = api.asked()
    body = request["body"]
    assert body["model"] == "claude-haiku-5-5" and not body.get("stream")
    assert "The cache is stale" in body["messages"][0]["content"] and "core/cache.py" in body["messages"][0]["content"]
    assert not {"minute", "dollar", "cost"} & set(json.dumps(body).lower().split())


def test_only_five_names_and_a_bounded_text_are_sent(api: Api) -> None:
    shown = question("x" * 100_000, [f"f{n}.py" for n in range(9)])
    assert len(shown) < ratings.MOST_CHARACTERS + 500
    assert "f4.py" in shown and "f5.py" not in shown


def test_secrets_do_not_leave_the_machine() -> None:
    secret = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    assert secret not in question(f"it fails with token {secret}", [])


def test_ratings_are_kept_by_content(api: Api, tmp_path: Path) -> None:
    one = api.scenario({"text": GOOD})
    asking = Asking(one.model, one.api_key, one.base_url, tmp_path)
    first, again = rate("same", [], asking), rate("same", [], asking)
    assert isinstance(first, Rated) and isinstance(again, Rated)
    assert (first.kept, again.kept) == (False, True)
    assert again.ratings == first.ratings and again.spent.tokens.prompt == 0
    assert len(api.asked()) == 1
    assert rate("other", [], asking) != again
    assert len(api.asked()) == 2


def test_kept_ratings_that_are_damaged_are_asked_for_again(api: Api, tmp_path: Path) -> None:
    one = api.scenario({"text": GOOD})
    asking = Asking(one.model, one.api_key, one.base_url, tmp_path)
    rate("same", [], asking)
    (path,) = tmp_path.glob("*.rating")
    path.write_text('{"debugging_complexity": 77}')
    assert isinstance(rate("same", [], asking), Rated)
    assert len(api.asked()) == 2


def test_a_failure_is_not_kept(api: Api, tmp_path: Path) -> None:
    one = api.scenario({"status": 401, "message": "invalid x-api-key"}, {"text": GOOD})
    asking = Asking(one.model, one.api_key, one.base_url, tmp_path)
    failed(rate("same", [], asking))
    assert isinstance(rate("same", [], asking), Rated)


@pytest.mark.parametrize(
    ("status", "message", "why", "requests"),
    [
        (401, "invalid x-api-key", "key refused", 1),
        (403, "no permission", "not permitted", 1),
        (404, "model: nobody", "model not found", 1),
        (413, "too large", "too long", 1),
        (400, "prompt is too long: 213462 tokens > 200000 maximum", "too long", 1),
        (400, "Your credit balance is too low to access the API.", "out of credit", 1),
        (400, "something else", "unexpected error", 1),
        (529, "Overloaded", "overloaded", 3),
        (500, "Internal server error", "server error", 3),
    ],
)
def test_what_the_server_answers_becomes_a_reason(api: Api, status: int, message: str, why: str, requests: int) -> None:
    answer = failed(rate("text", [], api.scenario({"status": status, "message": message})))
    assert answer.why == why
    assert "\n" not in answer.said
    assert len(api.asked()) == requests


def test_an_overloaded_server_is_asked_again(api: Api) -> None:
    asking = api.scenario({"status": 529, "message": "Overloaded"}, {"text": GOOD})
    assert isinstance(rate("text", [], asking), Rated)
    assert len(api.asked()) == 2


def test_a_retry_after_that_is_short_is_obeyed(api: Api) -> None:
    asking = api.scenario({"status": 429, "message": "slow down", "retry_after": 0}, {"text": GOOD})
    assert isinstance(rate("text", [], asking), Rated)


def test_a_retry_after_beyond_the_deadline_is_not_waited_for(api: Api) -> None:
    asking = api.scenario({"status": 429, "message": "slow down", "retry_after": 600})
    assert failed(rate("text", [], asking)).why == "rate limit"
    assert len(api.asked()) == 1


def test_a_server_that_does_not_answer_is_given_up_at_the_deadline(api: Api) -> None:
    one = api.scenario({"hang": 600, "text": GOOD})
    assert failed(rate("text", [], Asking(one.model, one.api_key, one.base_url, deadline_s=1.0))).why == "took too long"


@pytest.mark.parametrize(
    "text",
    [
        '{"debugging_complexity": 9, "codebase_scope": 2, "solution_hint": 1}',
        '{"debugging_complexity": 4}',
        '{"debugging_complexity": 4, "codebase_scope": 2, "solution_hint":',
        '{"debugging_complexity": "very", "codebase_scope": 2, "solution_hint": 1}',
    ],
)
def test_an_answer_without_ratings_is_asked_for_again_and_paid_for(api: Api, text: str) -> None:
    usage = {"input_tokens": 100, "output_tokens": 10}
    answer = failed(rate("text", [], api.scenario({"text": text, "usage": usage})))
    assert answer.why == "no ratings in the answer"
    assert (len(api.asked()), answer.spent.tokens.input) == (3, 300)


def test_a_refusal_and_a_cut_off_answer_are_told(api: Api) -> None:
    refused = api.scenario({"text": "{", "stop_reason": "refusal"})
    cut = api.scenario({"text": "{", "stop_reason": "max_tokens"})
    assert failed(rate("text", [], refused)).why == "refused"
    assert failed(rate("text", [], cut)).why == "cut off"


def test_a_server_that_is_not_there_is_told() -> None:
    # Port 1 is for root alone; nobody listens.
    assert failed(rate("text", [], Asking("haiku", "sk-ant-test", "http://127.0.0.1:1"))).why == "no connection"


def test_without_a_key_nothing_is_asked(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", api.scenario({"text": GOOD}).base_url or "")
    assert failed(rate("text", [], Asking())).why == "no key"
    assert api.asked() == []


def test_key_and_address_come_from_the_environment(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", api.scenario({"text": GOOD}).base_url or "")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-environment")
    assert isinstance(rate("text", [], Asking()), Rated)


@pytest.mark.parametrize("text", ["", "\ud83d\0", "é" * 200_000])
def test_odd_texts_are_sent_all_the_same(api: Api, text: str) -> None:
    assert isinstance(rate(text, [os.fsdecode(b"caf\xe9.py")], api.scenario({"text": GOOD})), Rated)


def test_a_place_that_cannot_be_written_to_costs_only_the_keeping(api: Api, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    one = api.scenario({"text": GOOD})
    assert isinstance(rate("text", [], Asking(one.model, one.api_key, one.base_url, tmp_path / "file")), Rated)
