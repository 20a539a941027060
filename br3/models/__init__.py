"""Catalog and prices of models: what a request of so many tokens to this model cost on that day.

Promises: money is Decimal and exact; a model or a kind of token without a price costs None (unknown), never 0; a name
that only resembles a known one has no price; every price has an id, a source and a date, and days on which it holds.
Standard library only at run time; nothing is read before the first question.

The whole request is priced at the row of the highest ``above_prompt_tokens`` that its prompt exceeds, as the vendors
with such tiers do; the prompt is input, cache writes and cache reads together. Prices are those of tokens in text:
fees per web search and the like, and other modalities, are not in the table.

Modules: ``names`` reads the many spellings of a model's name · ``table`` holds ``prices.json`` · ``overrides`` reads
the user's models.toml · ``catalog`` puts both together · ``pricing`` multiplies · ``seeding`` makes ``prices.json``
(``python -m br3.models.seeding``, for development).

``prices.json`` is made from genai-prices, copyright (c) Pydantic Services Inc. 2025 to present, under the MIT licence;
its notice is in the file. https://github.com/pydantic/genai-prices
"""

from br3.models.catalog import canonical, catalog, rows
from br3.models.names import is_model
from br3.models.pricing import Priced, Tokens, price
from br3.models.table import Mode, Model, PriceRow

__all__ = ["Mode", "Model", "PriceRow", "Priced", "Tokens", "canonical", "catalog", "is_model", "price", "rows"]
