"""Whether a task was asked the same before: its digest, for whoever only looks at what is there."""

from __future__ import annotations

import hashlib
import json

from br3.plan.model import Build, Task


def task_digest(build: Build, task: Task) -> str:
    """What a task was asked to do; work is carried over to a later run only for an equal task."""
    asked = [build.id, build.prompt, task.id, task.title, task.prompt, task.agent, task.command]
    return hashlib.sha256(json.dumps([*asked, list(task.deliverables)]).encode()).hexdigest()[:24]
