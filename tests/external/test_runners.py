"""Closing lines of test runners that are there only where node is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from br3.orchestrator.counts import Tests, read_closing_lines

SUITE = """
const { test, describe } = require("node:test");
test("passes", () => {});
test("fails", () => { throw new Error("no"); });
test("skipped", { skip: true }, () => {});
test("to do", { todo: true }, () => {});
describe("inner", () => { test("passes", () => {}); });
"""


@pytest.mark.parametrize("reporter", ["tap", "spec"])
def test_the_closing_lines_of_a_real_node(tmp_path: Path, reporter: str) -> None:
    suite = tmp_path / "suite.test.js"
    suite.write_text(SUITE)
    command = ["node", f"--test-reporter={reporter}", "--test", str(suite)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert read_closing_lines(done.stdout) == Tests(passed=2, failed=1, skipped=2)
