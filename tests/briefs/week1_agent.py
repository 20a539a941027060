"""An agent for week1.md: for each task small true edits with tests, in the worktree that it is started in.

It is told by BR3_TASK what to do, as any agent of br3 is. Standard library only.
"""

from __future__ import annotations

import os
from pathlib import Path

ORCHESTRATOR = '''\
"""Runs tasks."""

{imports}

def run(task, *, events=None, workers=1):
    """Run one task and say what came of it."""
    outcome = {{"task": task, "status": "done"}}
{calls}    return outcome
'''
INTEGRATIONS = {
    "A.1": ("telemetry", "    telemetry.emit(events, outcome)\n"),
    "A.2": ("routing", '    outcome["model"] = routing.model_for(task)\n'),
    "A.3": ("parallel", '    outcome["lanes"] = parallel.lanes(task, workers)\n'),
}
MODULES = {
    "telemetry": '''\
"""Tells of tasks as events."""


def emit(events, outcome):
    """Append one event, where somebody listens."""
    if events is not None:
        events.append({"kind": f"task.{outcome['status']}", "task": outcome["task"]})
''',
    "routing": '''\
"""Chooses the model of a task."""


def model_for(task):
    """The larger model for long tasks."""
    return "large" if len(task) > 20 else "small"
''',
    "parallel": '''\
"""Spreads a task over workers."""


def lanes(task, workers):
    """The parts of a task, one for each worker."""
    return [f"{task}/{lane}" for lane in range(1, max(workers, 1) + 1)]
''',
}


def orchestrator(upto: str) -> str:
    done = [INTEGRATIONS[task] for task in sorted(INTEGRATIONS) if task <= upto]
    imports = "\n".join(sorted(f"from core.integrations import {name}" for name, _ in done)) + "\n"
    return ORCHESTRATOR.format(imports=imports, calls="".join(call for _, call in done))


def parametrized(imports: str, name: str, count: int, assertion: str) -> str:
    """A test file with so many cases of one claim about ``n``."""
    return (
        f"import pytest\n\n{imports}\n\n\n@pytest.mark.parametrize('n', range({count}))\n"
        f"def test_{name}(n, tmp_path):\n    {assertion}\n"
    )


COST_TRACKER = '''\
"""What models have cost, kept in SQLite."""

from core.persistence.database import connect


class CostTracker:
    def __init__(self, path):
        self.db = connect(path)

    def add(self, model, usd):
        """Keep one cost."""
        with self.db:
            self.db.execute("INSERT INTO costs VALUES (?, ?)", (model, usd))

    def total(self):
        return self.db.execute("SELECT coalesce(sum(usd), 0) FROM costs").fetchone()[0]
'''
DATABASE = '''\
"""The database and its migrations."""

import sqlite3

MIGRATIONS = ["CREATE TABLE costs (model TEXT, usd REAL)", "CREATE TABLE metrics (name TEXT, value REAL)"]


def connect(path):
    """The database at a path, brought up to date."""
    db = sqlite3.connect(path)
    done = db.execute("PRAGMA user_version").fetchone()[0]
    for number, statement in enumerate(MIGRATIONS[done:], start=done + 1):
        db.execute(statement)
        db.execute(f"PRAGMA user_version = {number}")
    db.commit()
    return db
'''
METRICS = '''\
"""Metrics, aggregated before they are asked for."""


def aggregate(db, name, values):
    """Keep the mean of values."""
    with db:
        db.execute("INSERT INTO metrics VALUES (?, ?)", (name, sum(values) / len(values)))
'''
COLLECTOR = '''\
"""Collects events in files of at most a megabyte, compressed when they are full."""

import gzip

LIMIT_BYTES = 1_000_000


class EventCollector:
    def __init__(self, directory, limit=LIMIT_BYTES):
        self.file, self.limit, self.rotated = directory / "events.log", limit, 0

    def add(self, line):
        """Append one event, after rotating a full file."""
        if self.file.exists() and self.file.stat().st_size + len(line) + 1 > self.limit:
            self.rotated += 1
            packed = self.file.with_name(f"events.{self.rotated}.log.gz")
            packed.write_bytes(gzip.compress(self.file.read_bytes()))
            self.file.unlink()
        with self.file.open("a") as file:
            file.write(line + "\\n")
'''
CLIENT = '''\
"""A client for ratings of tasks; how a request is sent is handed in, so that tests need no network."""


class ClaudeClient:
    def __init__(self, send):
        self.send = send

    def rate(self, text):
        """How hard a task is, from 1 to 5."""
        return min(5, max(1, int(self.send(text))))
'''
KEYS = '''\
"""Keys come from the environment."""


def load(environ):
    """The key, or None."""
    return environ.get("ANTHROPIC_API_KEY") or None


def shown(key):
    """The key as it may be printed."""
    return "***" if key else "none"
'''
ESTIMATOR = '''\
"""How complex a task is: by its words, or by Claude's rating."""


def estimate(text, client=None):
    """From 1 to 5; with a client as it says."""
    return client.rate(text) if client else min(5, 1 + len(text.split()) // 10)
'''
FALLBACK = '''\
"""Which model takes over."""

ORDER = {"opus": "sonnet", "sonnet": "haiku"}


def after(model, cause):
    """The next model; None when there is none, or when none would help."""
    return None if cause == "authentication" else ORDER.get(model)
'''
E2E = """\
from core.orchestrator import run


def test_a_task_is_run():
    assert run("plan")["status"] == "done"


def test_the_task_is_named():
    assert run("plan")["task"] == "plan"


def test_two_tasks_do_not_meet():
    assert run("one") is not run("two")


def test_a_long_task_is_run():
    assert run("x" * 100)["status"] == "done"


def test_an_empty_task_is_run():
    assert run("")["status"] == "done"
"""
WARNED = ("SECURITY.md", "ROUTING.md", "TELEMETRY.md", "PARALLEL.md", "BUILD_4E_COMPLETE.md")
DB = "from core.persistence.database import connect"


def work(task: str) -> dict[str, str]:
    """The files that a task leaves, by path."""
    if task in INTEGRATIONS:
        name = INTEGRATIONS[task][0]
        return {
            "core/integrations/__init__.py": '"""What the orchestrator is wired to."""\n',
            f"core/integrations/{name}.py": MODULES[name],
            "core/orchestrator.py": orchestrator(task),
        }
    match task:
        case "A.4":
            files = {
                "telemetry": (
                    "events = []\n    run(f't{n}', events=events)\n    assert events[0]['kind'] == 'task.done'"
                ),
                "routing": "assert run('x' * n)['model'] == ('large' if n > 20 else 'small')",
                "parallel": "assert len(run('t', workers=n)['lanes']) == max(n, 1)",
            }
            return {
                f"tests/integration/test_{name}.py": parametrized("from core.orchestrator import run", name, 7, claim)
                for name, claim in files.items()
            }
        case "B.1":
            claim = (
                "tracker = CostTracker(tmp_path / 'costs.db')\n    tracker.add('m', n)\n"
                "    assert CostTracker(tmp_path / 'costs.db').total() == n"
            )
            return {
                "core/persistence/__init__.py": '"""What is kept."""\n',
                "core/persistence/database.py": DATABASE,
                "core/routing/cost_tracker.py": COST_TRACKER,
                "tests/test_persistence.py": parametrized(
                    "from core.routing.cost_tracker import CostTracker", "costs_are_kept", 6, claim
                ),
            }
        case "B.2":
            claim = (
                "collector = EventCollector(tmp_path, limit=10 * (n + 1))\n"
                "    for _ in range(9):\n        collector.add('x' * 8)\n"
                "    assert len(list(tmp_path.glob('*.gz'))) == collector.rotated > 0 or n == 8"
            )
            return {
                "core/telemetry/event_collector.py": COLLECTOR,
                "tests/test_event_storage.py": parametrized(
                    "from core.telemetry.event_collector import EventCollector", "full_files_are_packed", 6, claim
                ),
            }
        case "B.3":
            claim = (
                "db = connect(tmp_path / 'm.db')\n    aggregate(db, 'x', [n, n + 2])\n"
                "    assert db.execute('SELECT value FROM metrics').fetchone()[0] == n + 1"
            )
            imports = f"{DB}\nfrom core.persistence.metrics import aggregate"
            return {
                "core/persistence/metrics.py": METRICS,
                "tests/test_metrics_db.py": parametrized(imports, "means_are_kept", 6, claim),
            }
        case "B.4":
            return {"core/persistence/README.md": "Append to MIGRATIONS in database.py; never change one.\n"}
        case "C.1":
            claim = "assert 1 <= ClaudeClient(lambda text: n * 3 - 2).rate('t') <= 5"
            return {
                "core/ai/__init__.py": '"""Claude."""\n',
                "core/ai/claude_client.py": CLIENT,
                "core/ai/api_config.py": "MODEL = 'haiku'\n",
                "tests/test_claude_client.py": parametrized(
                    "from core.ai.claude_client import ClaudeClient", "ratings_are_bounded", 4, claim
                ),
            }
        case "C.2":
            claim = "assert estimate('w ' * 10 * n) == min(5, 1 + n) and estimate('x', FakeClient()) == 3"
            imports = (
                "from core.routing.complexity_estimator import estimate\n\n\n"
                "class FakeClient:\n    def rate(self, text):\n        return 3"
            )
            return {
                "core/routing/complexity_estimator.py": ESTIMATOR,
                "tests/test_ai_complexity.py": parametrized(imports, "words_or_claude", 4, claim),
            }
        case "C.3":
            claim = (
                "chain = ['opus', 'sonnet', 'haiku', None]\n    assert after(chain[n], 'rate limit') == chain[n + 1]\n"
                "    assert after(chain[n], 'authentication') is None"
            )
            return {
                "core/routing/fallback_handler.py": FALLBACK,
                "tests/test_fallback.py": parametrized(
                    "from core.routing.fallback_handler import after", "the_next_model", 3, claim
                ),
            }
        case "C.4":
            name = "ANTHROPIC_API_KEY"
            claim = f"assert load({{'{name}': 'k' * n}}) == ('k' * n or None) and 'k' not in shown('k' * n)"
            return {
                "core/ai/key_manager.py": KEYS,
                ".env.example": f"{name}=\n",
                "tests/test_key_manager.py": parametrized(
                    "from core.ai.key_manager import load, shown", "keys", 4, claim
                ),
            }
        case "D.1":
            return {name: f"# {Path(name).stem}\n\nOnly shown on screens so far.\n" for name in WARNED}
        case "D.2":
            guides = ("QUICKSTART", "INTEGRATION_GUIDE", "API_REFERENCE")
            return {f"docs/{name}.md": f"# {name}\n\n`core.orchestrator.run(task)` runs a task.\n" for name in guides}
        case "D.3":
            return {"tests/e2e/test_full_workflow.py": E2E}
        case "D.4":
            return {"README.md": "# BuildRunner\n\nStatus: alpha.\n"}
    raise SystemExit(f"nothing is known of task {task}")


if __name__ == "__main__":
    for path, text in work(os.environ["BR3_TASK"]).items():
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
