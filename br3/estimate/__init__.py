"""What work will take before it is dispatched: how hard, how long, how much, and which files it will touch.

Promises: offline unless ratings are asked for; pure functions of text, repository facts, history and coefficients, so
that the same input has the same answer; finite for any text; P50 is never above P90; a larger ``owns`` never lowers an
estimate; dollars are tokens at the prices of ``br3.models``. Standard library at run time, but for the one call to
Claude, which imports anthropic and pydantic when it is made.

The estimate is an aid for budget and order. ``log(cost) = median of (model, agent) + offset of the repository +
s·f(features)``: the medians are learned from the user's own runs, and are worth more than f.

Modules: ``features`` turns text, plan and repository into numbers · ``index`` keeps what a commit's files say ·
``retrieval`` ranks files for a text · ``model`` holds the coefficients and their score · ``fitting`` makes
``coefficients.json`` (``python -m br3.estimate.fitting DIR``, for development) · ``history`` reads own runs ·
``calibration`` learns from them · ``ratings`` asks Claude · ``estimating`` puts all of it together · ``replay``
back-tests · ``reporting`` compares recorded estimates with what came.
"""
