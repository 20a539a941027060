"""A run with all that a report tells of: usage, a repair, a retry, a budget, an unknown cost, a conflict, a release."""

from __future__ import annotations

import json
from pathlib import Path

from br3.telemetry import Journal
from tests.conftest import PYTHON, Scratch, script

BUDGET = "2.00"
HOSTILE = '</title><script>alert("1")</script> & "quotes" | `code` \u202e reversed'
SECRET = "ghp" + "_" + "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8"
ESTIMATES = (
    ("storage", "claude-sonnet-4-6", ("0.6200", "1.4000")),
    ("guide", "claude-haiku-4-5", ("0.0300", "0.0800")),
    ("dear", "claude-opus-4-5", ("0.0700", "0.2100")),
)
"""Builds whose one model is estimated: within, below, and above what it came to."""

_AGENT = """\
import json, os, pathlib, sys

build, task, attempt = os.environ["BR3_BUILD"], os.environ["BR3_TASK"], int(os.environ["BR3_ATTEMPT"])


def paid(model, usd, **tokens):
    counts = {f"{kind}_tokens": number for kind, number in tokens.items()}
    with open(os.environ["BR3_USAGE_FILE"], "a") as file:
        file.write(json.dumps({"model": model, "cost_usd": usd, **counts}) + "\\n")


def write(name, text):
    path = pathlib.Path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


if build == "storage":
    paid("claude-sonnet-4-6", "0.3100", input=5200, output=2900, cache_write=21000, cache_read=148000)
    if task == "S.2" and attempt == 1:
        sys.exit("the agent gave up")
    write(f"storage/{task}.txt", "stored\\n")
elif build == "search":
    good = task == "repair"
    model = "claude-opus-4-5" if good else "claude-haiku-4-5"
    paid(model, "0.4200" if good else "0.0350", input=3100, output=1500, cache_read=64000)
    write("search/index.txt", "found\\n" if good else "lost\\n")
    write("README.md", "# project\\n\\nIt searches.\\n")
elif build == "guide":
    paid("claude-haiku-4-5", "0.0210", input=900, output=700, cache_read=8000)
    write("README.md", "# project\\n\\nA guide.\\n")
elif build == "dear":
    paid("claude-opus-4-5", "0.2600", input=9000, output=4000)
    write("dear/half.txt", "half\\n")
    if task == "D.1":
        import time
        time.sleep(600)  # ended when its budget is spent
elif build == "quiet":
    write("quiet/done.txt", "done\\n")
"""

_PLAN = """\
[plan]
name = "week 1"
budget_usd = {budget}
jobs = 4

[setup]
run = ["true"]

[defaults]
agent = "shell"
command = {agent}
retries = 1

[verify]
run = ["true"]

[release]
tag = "v1.0.0"
message = "Week 1"

[[criterion]]
name = "the index is there"
run = "test -e search/index.txt"

[[criterion]]
name = "something was paid"
sql = "SELECT sum(cost_usd) > 0 FROM usage"

[[criterion]]
name = "the guide is there"
run = "test -e guide.txt"

[[criterion]]
name = "somebody has read it"
ask = "Has somebody read it?"

[[build]]
id = "storage"
title = "Keep what was said"
message = "feat: Keep what was said"
  [[build.task]]
  id = "S.1"
  title = "A file for each entry"
  prompt = "Write it."
  minutes = 20
  [[build.task]]
  id = "S.2"
  title = "Reading it again"
  prompt = "Write it."
  minutes = 30
  [build.verify]
  run = ["test -e storage/S.2.txt"]

[[build]]
id = "search"
title = "Find it again, by any word and in any order, within the time that a person is willing to wait for an answer"
message = "feat: Find it again"
after = ["storage"]
  [[build.task]]
  id = "F.1"
  title = "An index"
  prompt = "Write it."
  minutes = 40
  [build.verify]
  run = [{found}]

[[build]]
id = "guide"
title = {hostile}
prompt = "Write it."
after = ["search"]

[[build]]
id = "dear"
title = {dear}
budget_usd = 0.25
  [[build.task]]
  id = "D.1"
  title = "A task without an end"
  prompt = "Write it."
  minutes = 60

[[build]]
id = "quiet"
title = "Nobody says what this costs"
prompt = "Write it."
"""


def report_worthy(repo: Scratch, tools: Path, *, hostile: str = HOSTILE, secret: str = SECRET) -> None:
    """Run the plan to its release: storage, search and quiet land, guide is put aside, dear is over its budget."""
    agent = script(tools, "agent.py", _AGENT)
    found = f"{PYTHON} -c \"assert open('search/index.txt').read() == 'found\\\\n', 'nothing is found'\""
    dear = f"What costs more than it may {secret}".strip()
    values = {"budget": float(BUDGET), "agent": agent, "found": found, "hostile": hostile, "dear": dear}
    repo.plan(_PLAN.format(**{key: json.dumps(value, ensure_ascii=False) for key, value in values.items()}))
    repo.br3("up", "--trust")
    run = repo.br3("status", "--json").json["run"]
    for build, model, (cost_p50, cost_p90) in ESTIMATES:
        # As br3 run writes it, for agents whose models have a price.
        said = {"score": 6.2, "level": "medium", "critical": False, "minutes_p50": 0.02, "minutes_p90": 0.5}
        money = {"cost_p50_usd": cost_p50, "cost_p90_usd": cost_p90}
        Journal(repo.common_dir).append("estimate.made", run=run, build=build, model=model, **said, **money)
    repo.br3("run", "--trust", code=4)
    repo.br3("merge", code=1)
    repo.br3("finish", "storage", "search", "quiet", code=1)
