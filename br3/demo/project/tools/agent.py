"""Stands in for a coding agent, so that the demonstration needs no key: it does the edits of its task.

A real agent would read the prompt (it is on standard input) and think; this one looks up the files that the task's
edit consists of, under tools/edits/BUILD/TASK, and writes them into the worktree.
"""

import os
import shutil
import sys
from pathlib import Path

prompt = sys.stdin.read()
build, task = os.environ["BR3_BUILD"], os.environ["BR3_TASK"]
edits = Path("tools", "edits", build, task)
print(f"read a prompt of {len(prompt.splitlines())} lines for {build} {task}")
written = []
for source in sorted(path for path in edits.rglob("*") if path.is_file()):
    target = Path(*source.relative_to(edits).parts)
    if target.suffix == ".edit":
        target = target.with_suffix("")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    written.append(str(target))
if not written:
    sys.exit(f"nothing to do for {build} {task}")
print("wrote " + ", ".join(written))
