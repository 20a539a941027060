"""The report of own runs for a terminal, for programs, and as a picture."""

from __future__ import annotations

import math
from typing import Any
from xml.sax.saxutils import escape

from br3.estimate.reporting import Kept, Report

_WIDTH = 40


def as_json(found: Report) -> dict[str, Any]:
    """Money as decimal strings; a bias is the median of ln(taken/P50)."""
    return {
        "runs": [
            {
                "id": one.run.id,
                "model": one.run.model,
                "kind": one.run.kind or None,
                "p50_usd": f"{one.p50:.6f}",
                "p90_usd": f"{one.p90:.6f}",
                "took_usd": f"{one.actual:.6f}",
            }
            for one in found.kept
        ],
        "coverage_p50": _rounded(found.coverage_p50),
        "coverage_p90": _rounded(found.coverage_p90),
        "median_error_factor": _rounded(found.median_error_factor),
        "bias_by_model": {bias.name: _rounded(bias.median_error) for bias in found.by_model},
        "bias_by_kind": {bias.name: _rounded(bias.median_error) for bias in found.by_kind},
    }


def text(found: Report) -> str:
    """For a terminal: the figures, and a line for each run from a tenth of its estimate to ten times that."""
    if not found.runs:
        return "no run was estimated before it began: br3 run estimates from now on"
    lines = [
        f"runs estimated        {found.runs}",
        f"took at most P50      {found.coverage_p50:.0%}  (50 % would be right)",
        f"took at most P90      {found.coverage_p90:.0%}  (90 % would be right)",
        f"median error          a factor of {found.median_error_factor:.2f}",
    ]
    for title, biases in (("model", found.by_model), ("kind", found.by_kind)):
        for bias in biases:
            often = math.exp(bias.median_error)
            lines.append(f"by {title:<6} {bias.name:<24} takes {often:.2f} × its P50 ({bias.runs} runs)")
    lines += ["", f"{'':24}{'a tenth':<{_WIDTH // 2 - 3}}as estimated{'ten times':>{_WIDTH // 2 - 8}}"]
    for run in found.kept[-30:]:
        lines.append(f"{run.run.id[-22:]:<24}{_bar(run)}  {run.actual:.2f} of {run.p50:.2f} – {run.p90:.2f} USD")
    return "\n".join(lines)


def svg(found: Report) -> str:
    """Estimated against taken, both in USD on logarithmic axes; a self-contained picture."""
    size, edge = 480, 60
    amounts = [amount for run in found.kept for amount in (run.p50, run.p90, run.actual)] or [0.01, 1.0]
    low, high = math.floor(math.log10(min(amounts))), math.ceil(math.log10(max(amounts)))
    high = max(high, low + 1)

    def at(usd: float) -> float:
        return (math.log10(usd) - low) / (high - low) * (size - 2 * edge)

    def x(usd: float) -> str:
        return f"{edge + at(usd):.1f}"

    def y(usd: float) -> str:
        return f"{size - edge - at(usd):.1f}"

    first, last = 10.0**low, 10.0**high
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" font-family="sans-serif" font-size="12">',
        f"<title>{found.runs} runs: estimated and taken, in USD</title>",
        f'<rect width="{size}" height="{size}" fill="white"/>',
        f'<line x1="{x(first)}" y1="{y(first)}" x2="{x(last)}" y2="{y(last)}" stroke="#999" stroke-dasharray="4"/>',
    ]
    for power in range(low, high + 1):
        usd = 10.0**power
        parts.append(f'<line x1="{x(usd)}" y1="{y(first)}" x2="{x(usd)}" y2="{y(last)}" stroke="#eee"/>')
        parts.append(f'<line x1="{x(first)}" y1="{y(usd)}" x2="{x(last)}" y2="{y(usd)}" stroke="#eee"/>')
        parts.append(f'<text x="{x(usd)}" y="{size - edge + 18}" text-anchor="middle">{usd:g}</text>')
        parts.append(f'<text x="{edge - 8}" y="{y(usd)}" text-anchor="end" dominant-baseline="middle">{usd:g}</text>')
    for run in found.kept:
        colour = "#2a7" if run.actual <= run.p90 else "#c33"
        parts.append(
            f'<line x1="{x(run.p50)}" y1="{y(run.actual)}" x2="{x(run.p90)}" y2="{y(run.actual)}" '
            f'stroke="{colour}" stroke-opacity="0.4"/>'
        )
        parts.append(
            f'<circle cx="{x(run.p50)}" cy="{y(run.actual)}" r="4" fill="{colour}">'
            f"<title>{escape(run.run.id)}, {escape(run.run.model)}</title></circle>"
        )
    parts.append(f'<text x="{size / 2}" y="{size - 14}" text-anchor="middle">estimated, P50 to P90 (USD)</text>')
    parts.append(f'<text transform="translate(16 {size / 2}) rotate(-90)" text-anchor="middle">taken (USD)</text>')
    return "\n".join([*parts, "</svg>", ""])


def _bar(run: Kept) -> str:
    """Where P50 (│), P90 (┊) and what it took (●, or ○ above P90) lie."""
    cells = ["·"] * (_WIDTH + 1)
    middle = _WIDTH // 2

    def place(usd: float) -> int:
        return max(0, min(_WIDTH, middle + round(math.log10(usd / run.p50) * middle)))

    cells[middle] = "│"
    cells[place(run.p90)] = "┊"
    cells[place(run.actual)] = "●" if run.actual <= run.p90 else "○"
    return "".join(cells)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
