"""What asking Claude has cost: known where it was answered, unknown where it was not, nothing if nothing was sent."""

from __future__ import annotations

from br3.agents.asked import usage_of
from br3.models import Tokens
from br3.models.asking import Spent

ANSWERED = Tokens(input=700, output=30)


def test_what_was_answered_is_priced_and_what_was_not_is_unknown_never_0() -> None:
    assert usage_of(Spent("claude-sonnet-5-5", Tokens()), "plan") == []
    (known,) = usage_of(Spent("claude-sonnet-5-5", ANSWERED), "plan")
    assert (known.input_tokens, known.output_tokens) == (700, 30) and known.cost_usd is not None
    (unknown,) = usage_of(Spent("claude-sonnet-5-5", Tokens(), unknown=True), "plan")
    assert (unknown.input_tokens, unknown.cost_usd) == (None, None)
    both = usage_of(Spent("claude-sonnet-5-5", ANSWERED, unknown=True), "estimate")
    assert [usage.input_tokens for usage in both] == [700, None]
