"""The lines of a scan in a DuckDB of its own, in memory: read slice by slice, then kept, priced and told as events."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from br3.analytics.imports import pricing
from br3.analytics.imports.fresh import LONGEST_LINE
from br3.analytics.imports.places import Map
from br3.models import is_model

_MOST_THREADS = 4
_MEMORY = "192MB"
_EVENTS_AT_ONCE = 1000


class Lines:
    """The usage lines of one scan. The methods are called in the order in which they stand here."""

    def __init__(self, scratch: Path) -> None:
        import duckdb

        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": _MEMORY,
            # A slice is read by one, while another thread fills the next one.
            "threads": 1,
            "temp_directory": str(scratch),
            "preserve_insertion_order": False,
            # A slice's file is filled again and again under one name.
            "enable_external_file_cache": False,
            # Looking for extensions means the network.
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        self._db = duckdb.connect(config=config)
        self._db.execute(_statement("table"))

    def close(self) -> None:
        """Let everything go."""
        self._db.close()

    def read(self, agent: str, file: str) -> None:
        """Add the lines of a file that holds nothing but whole lines."""
        self._run("read", agent=agent, file=file, longest=LONGEST_LINE)

    def keep(self, places: Map, own: Mapping[str, str | None]) -> None:
        """Keep each message once, of those that were written in known places and not in br3's own sessions."""
        self._db.execute(f"SET threads = {min(os.cpu_count() or 1, _MOST_THREADS)}")
        known = [(cwd, branch, span) for cwd, branch in self._run("origins") for span in places.spans(cwd, branch)]
        self._run(
            "places",
            cwds=[cwd for cwd, _, _ in known],
            branches=[branch for _, branch, _ in known],
            sinces=[span.since for *_, span in known],
            untils=[span.until for *_, span in known],
            builds=[span.build for *_, span in known],
        )
        self._run("own", sessions=list(own), ends=list(own.values()))
        self._run("counted", models=[model for (model,) in self._run("models") if is_model(model)])
        self._run("messages")
        self._run("side_chains")

    def left_out(self) -> tuple[int, int]:
        """How many lines could not be read, and how many messages were written in no known place."""
        [(unreadable, elsewhere)] = self._run("left_out")
        return unreadable, elsewhere

    def price(self) -> int:
        """Put costs to the messages; returns how many there are. UsageError for a models.toml that is wrong."""
        asked = self._run("days")
        spans = [(*key, span) for key in asked for span in pricing.spans(*key)]
        decimals = pricing.decimals(span.row for *_, span in spans if span.row)
        self._run(
            "prices",
            models=[model for model, *_ in spans],
            modes=[mode for _, mode, *_ in spans],
            days=[day for _, _, day, _ in spans],
            shortest=[span.shortest for *_, span in spans],
            longest=[span.longest for *_, span in spans],
            ids=[span.row and span.row.id for *_, span in spans],
            **{kind: [pricing.in_units(span.row, kind, decimals) for *_, span in spans] for kind in pricing.KINDS},
        )
        self._db.execute("DROP TABLE lines")
        # From here on order is time, and the number of a row that of its event.
        self._db.execute("SET preserve_insertion_order = true")
        self._run("priced", divisor=pricing.units_per_cost(decimals))
        self._db.execute("DROP TABLE messages")
        [(count,)] = self._db.execute("SELECT count(*) FROM priced").fetchall()
        return int(count)

    def unpriced(self) -> dict[str, int]:
        """The models of messages whose cost is unknown, with how many messages each has."""
        return dict(self._run("unpriced"))

    def events(self, now: str, pid: int, host: str) -> Iterator[bytes]:
        """The messages as lines of the journal, many at a time, in ASCII as all of it."""
        head = f'{{"ts":{json.dumps(now)},"seq":'
        tail = f'"pid":{pid},"host":{json.dumps(host)}'
        # Its rows come as they are asked for: all of them at once would not fit into the memory that we allow.
        told = self._db.execute(_statement("events"), {"head": head, "tail": tail})
        while rows := told.fetchmany(_EVENTS_AT_ONCE):
            text = "".join([line + "\n" if line.isascii() else _in_ascii(line) for (line,) in rows])
            yield text.encode("ascii")

    def _run(self, name: str, **values: Any) -> list[Any]:
        return self._db.execute(_statement(name), values).fetchall()


def _in_ascii(line: str) -> str:
    return json.dumps(json.loads(line), separators=(",", ":")) + "\n"


@cache
def _statement(name: str) -> str:
    return (resources.files("br3.analytics.imports") / "sql" / f"{name}.sql").read_text(encoding="utf-8")
