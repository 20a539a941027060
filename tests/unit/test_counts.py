from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from br3.orchestrator.counts import (
    MAX_LINE_CHARS,
    Tests,
    read_closing_lines,
    read_counts,
    read_coverage,
    read_junit,
    read_log,
)


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def run(*command: str | Path, cwd: Path, **environ: str) -> str:
    """What a command printed, in a surrounding that has no say in its form."""
    sealed = {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT") if name in os.environ}
    shown = subprocess.run(
        command,
        cwd=cwd,
        env=sealed | {"PYTHONDONTWRITEBYTECODE": "1"} | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )
    return shown.stdout


def test_tests_add_up() -> None:
    assert Tests(1, 2, 3) + Tests(10, 20, 30) == Tests(11, 22, 33)


# -- real runners --

PYTEST_SUITE = """
import warnings
import pytest

def test_passes(): pass
@pytest.mark.parametrize("n", range(3))
def test_each(n): warnings.warn("careful")
def test_fails(): assert 0
@pytest.mark.skip
def test_skipped(): pass
@pytest.mark.xfail
def test_expected(): assert 0
@pytest.mark.xfail
def test_unexpected(): pass
@pytest.fixture
def broken(): raise RuntimeError
def test_error(broken): pass
@pytest.fixture
def breaks_after():
    yield
    raise RuntimeError
def test_passes_then_breaks(breaks_after): pass
def test_fails_then_breaks(breaks_after): assert 0
"""


@pytest.mark.parametrize("options", ["", "-q", "-v --color=yes", "--tb=no -rA"])
def test_the_log_and_the_xml_of_a_real_pytest_tell_the_same(tmp_path: Path, options: str) -> None:
    written(tmp_path / "test_suite.py", PYTEST_SUITE)
    xml = tmp_path / "junit.xml"
    addopts = f"--junit-xml={xml} -p no:cacheprovider {options}"
    output = run(sys.executable, "-m", "pytest", cwd=tmp_path, PYTEST_ADDOPTS=addopts)
    log = written(tmp_path / "log", output)
    expected = Tests(passed=6, failed=5, skipped=2)
    assert read_closing_lines(output) == read_log(log) == read_junit(xml) == expected
    assert read_counts(xml, log) == read_counts(None, log) == expected


def test_a_second_real_pytest_that_overwrites_the_xml_is_summed_from_the_log(tmp_path: Path) -> None:
    written(tmp_path / "test_one.py", "def test_a(): pass\ndef test_b(): assert 0\n")
    written(tmp_path / "test_two.py", "def test_c(): pass\n")
    xml = tmp_path / "junit.xml"
    addopts = f"--junit-xml={xml} -p no:cacheprovider"
    one, two = (
        run(sys.executable, "-m", "pytest", name, cwd=tmp_path, PYTEST_ADDOPTS=addopts)
        for name in ("test_one.py", "test_two.py")
    )
    log = written(tmp_path / "log", one + two)
    assert read_junit(xml) == Tests(1, 0, 0)
    assert read_counts(xml, log) == Tests(2, 1, 0)


def test_a_real_pytest_without_tests_ran_none(tmp_path: Path) -> None:
    output = run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", cwd=tmp_path)
    assert read_closing_lines(output) == Tests(0, 0, 0)


def test_a_real_pytest_that_only_collects_shows_nothing(tmp_path: Path) -> None:
    written(tmp_path / "test_one.py", "def test_a(): pass\n")
    output = run(sys.executable, "-m", "pytest", "--collect-only", "-p", "no:cacheprovider", cwd=tmp_path)
    assert "1 test collected" in output
    assert read_closing_lines(output) is None


UNITTEST_SUITE = """
import unittest

class Suite(unittest.TestCase):
    def test_passes(self): pass
    def test_passes_too(self): pass
    def test_fails(self): self.fail()
    def test_breaks(self): raise RuntimeError
    @unittest.skip("")
    def test_skipped(self): pass
    @unittest.expectedFailure
    def test_expected(self): self.fail()
    @unittest.expectedFailure
    def test_unexpected(self): pass
"""


def test_the_closing_lines_of_a_real_unittest(tmp_path: Path) -> None:
    written(tmp_path / "test_suite.py", UNITTEST_SUITE)
    output = run(sys.executable, "-m", "unittest", "-v", cwd=tmp_path)
    assert read_closing_lines(output) == Tests(passed=2, failed=3, skipped=2)


# -- closing lines, as the runners print them --

GO_VERBOSE = """\
=== RUN   TestAdd
--- PASS: TestAdd (0.00s)
=== RUN   TestTable
=== RUN   TestTable/one
=== RUN   TestTable/two
    add_test.go:14: got 3, want 4
--- FAIL: TestTable (0.01s)
    --- PASS: TestTable/one (0.00s)
    --- FAIL: TestTable/two (0.00s)
=== RUN   TestSlow
=== PAUSE TestSlow
=== CONT  TestSlow
    add_test.go:20: short
--- SKIP: TestSlow (0.00s)
FAIL
FAIL\texample.org/add\t0.012s
ok  \texample.org/other\t0.003s
FAIL
"""
GO_QUIET = """\
--- FAIL: TestTable (0.01s)
    --- FAIL: TestTable/two (0.00s)
        add_test.go:14: got 3, want 4
FAIL
FAIL\texample.org/add\t0.012s
ok  \texample.org/other\t0.003s
FAIL
"""
CARGO = """\
running 3 tests
test tests::adds ... ok
test tests::slow ... ignored
test tests::breaks ... FAILED

test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s

   Doc-tests add

test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 2 filtered out
"""
JEST = """\
Test Suites: 1 failed, 1 passed, 2 total
Tests:       1 failed, 2 skipped, 1 todo, 7 passed, 11 total
Snapshots:   0 total
Time:        0.512 s
Ran all test suites.
"""
VITEST = """\
\x1b[2m Test Files \x1b[22m \x1b[1m\x1b[31m1 failed\x1b[39m\x1b[22m\x1b[90m (1)\x1b[39m
\x1b[2m      Tests \x1b[22m \x1b[1m\x1b[31m1 failed\x1b[39m\x1b[22m\x1b[2m | \x1b[22m\x1b[1m\x1b[32m7 passed\x1b[39m\
\x1b[22m\x1b[2m | \x1b[22m\x1b[33m2 skipped\x1b[39m\x1b[90m (10)\x1b[39m
\x1b[2m   Start at \x1b[22m 10:00:00
"""
MAVEN = """\
[INFO] Running org.example.AddTest
[ERROR] Tests run: 3, Failures: 1, Errors: 0, Skipped: 0, Time elapsed: 0.05 s <<< FAILURE! -- in org.example.AddTest
[INFO] Tests run: 2, Failures: 0, Errors: 0, Skipped: 1, Time elapsed: 0.01 s -- in org.example.SubTest
[INFO]
[INFO] Results:
[INFO]
[ERROR] Failures:
[ERROR]   AddTest.adds:12 expected:<3> but was:<4>
[INFO]
[ERROR] Tests run: 5, Failures: 1, Errors: 0, Skipped: 1
[INFO]
[INFO] Results:
[INFO]
[WARNING] Tests run: 4, Failures: 0, Errors: 1, Skipped: 2
"""
NODE = "# tests 7\n# suites 1\n# pass 3\n# fail 1\n# cancelled 1\n# skipped 1\n# todo 1\n# duration_ms 12.3\n"


@pytest.mark.parametrize(
    ("output", "tests"),
    [
        ("== 3 failed, 21 passed, 1 skipped, 2 xfailed, 1 error in 0.12s ==\n", Tests(21, 4, 3)),
        ("=== 1 passed, 3 deselected, 2 warnings in 75.10s (0:01:15) ===\n", Tests(1, 0, 0)),
        ("3 failed, 21 passed, 1 xpassed, 2 errors, 4 rerun in 0.12s\n", Tests(22, 5, 0)),
        ("= 1 failed, 4 passed, 1 subtests failed, 3 subtests passed in 0.01s =", Tests(4, 2, 0)),
        ("no tests ran in 0.00s", Tests(0, 0, 0)),
        ("Ran 5 tests in 0.001s\n\nOK\n", Tests(5, 0, 0)),
        ("Ran 1 test in 0.001s\r\n\r\nOK (skipped=1)\r\n", Tests(0, 0, 1)),
        (
            "Ran 9 tests in 0.001s\n\nFAILED (failures=1, errors=2, skipped=1, expected failures=1,"
            " unexpected successes=1)\n",
            Tests(3, 4, 2),
        ),
        ("Ran 0 tests in 0.000s\n\nNO TESTS RAN\n", Tests(0, 0, 0)),
        ("Ran 1 test in 0.001s\n\nFAILED (failures=3)\n", Tests(0, 3, 0)),
        (GO_VERBOSE, Tests(1, 1, 1)),
        (GO_QUIET, None),
        ("ok  \texample.org/add\t0.003s\n", None),
        (CARGO, Tests(5, 1, 1)),
        (JEST, Tests(7, 1, 3)),
        ("Tests:       0 total\n", Tests(0, 0, 0)),
        (VITEST, Tests(7, 1, 2)),
        (MAVEN, Tests(4, 2, 3)),
        (NODE, Tests(3, 2, 2)),
        (NODE.replace("#", "ℹ").replace("\n", "\r\n"), Tests(3, 2, 2)),
        (
            "\x1b[31m== \x1b[1m1 failed\x1b[0m, \x1b[32m2 passed\x1b[0m\x1b[31m in 0.12s\x1b[0m ==\x1b[0m",
            Tests(2, 1, 0),
        ),
        (NODE + CARGO + MAVEN + GO_VERBOSE + JEST + VITEST, Tests(27, 8, 12)),
        ("== 1 passed in 0.1s ==\nRan 2 tests in 0.1s\n\nOK\n== 1 failed in 0.1s ==\n", Tests(3, 1, 0)),
        ("progress 10%\rprogress 100%\r2 passed in 0.1s\n", Tests(2, 0, 0)),
        ("", None),
    ],
)
def test_closing_lines_are_read_and_summed(output: str, tests: Tests | None) -> None:
    assert read_closing_lines(output) == tests


@pytest.mark.parametrize(
    "line",
    [
        "expected: == 3 failed, 21 passed in 0.12s ==",
        "== 3 failed, 21 passed in 0.12s",
        "21 passed in 0.12s ==",
        "E   21 passed in 0.12s",
        "21 passed in 0.12s, said the log",
        "21 people passed in 0.12s",
        "== 5 tests collected in 0.01s ==",
        "Ran 5 tests in 0.001s\nand then\nOK",
        "OK (skipped=1)",
        "--- PASS: TestAdd (0.00s)",
        "=== RUN   TestAdd\n    --- PASS: TestAdd (0.00s)",
        "> test result: ok. 5 passed; 0 failed; 1 ignored",
        "test result: ok. 5 passed",
        "# pass 3",
        "# pass 3 of the plan",
        "Tests: 5",
        "see Tests:       7 passed, 7 total",
        "Tests  7 passed (7) and more",
        "[INFO] Tests run: 3, Failures: 1, Errors: 0, Skipped: 0, Time elapsed: 0.05 s -- in A",
        "[INFO] [stdout] Tests run: 3, Failures: 1, Errors: 0, Skipped: 0",
        "९ passed in 0.12s",
        "9999999999 passed in 0.12s",
    ],
)
def test_a_line_that_only_looks_similar_does_not_count(line: str) -> None:
    assert read_closing_lines(f"before\n{line}\nafter\n") is None


def test_long_lines_are_passed_over_whole(tmp_path: Path) -> None:
    long = "." * MAX_LINE_CHARS + "1 passed in 0.1s"
    log = written(tmp_path / "log", f"{long}\n2 passed in 0.1s\n{long * 3}")
    assert read_log(log) == Tests(2, 0, 0)


def test_bytes_that_are_no_text_do_no_harm(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"\xff\xfe\x00\n\x1b[31m2 passed in 0.1s\x1b[0m\r\n\x80")
    assert read_log(log) == Tests(2, 0, 0)


def test_a_log_that_is_not_there_shows_nothing(tmp_path: Path) -> None:
    assert read_log(tmp_path / "log") is None
    assert read_counts(tmp_path / "junit.xml", tmp_path / "log") is None
    assert read_coverage(tmp_path / "coverage.xml", tmp_path / "log") is None


# -- JUnit XML --


@pytest.mark.parametrize(
    ("xml", "tests"),
    [
        ('<testsuite tests="5" failures="1" errors="1" skipped="1"/>', Tests(2, 2, 1)),
        ('<testsuite tests="5" failures="1" errors="1" skips="1" disabled="1"/>', Tests(1, 2, 2)),
        (
            "<testsuites><testsuite><testcase/><testcase><failure/></testcase><testcase><error/></testcase>"
            "<testcase><skipped/></testcase></testsuite></testsuites>",
            Tests(1, 2, 1),
        ),
        (
            '<testsuites tests="9" failures="9"><testsuite tests="9"><testcase/>'
            '<testsuite tests="2" failures="1"/><testsuite tests="1"><testcase/></testsuite></testsuite>'
            "<testcase><failure/></testcase></testsuites>",
            Tests(3, 2, 0),
        ),
        ("<testsuite><testcase><properties><skipped/></properties></testcase></testsuite>", Tests(1, 0, 0)),
        (
            "<testsuite><testcase><system-out><![CDATA[<!DOCTYPE html>]]></system-out></testcase></testsuite>",
            Tests(1, 0, 0),
        ),
        ('<testsuite tests="many" failures="-1"><testcase/></testsuite>', Tests(1, 0, 0)),
        ("<testsuites/>", Tests(0, 0, 0)),
        ("<testsuites>" + "<testsuite>" * 5000 + "</testsuite>" * 5000 + "</testsuites>", Tests(0, 0, 0)),
        ("<testsuites><testsuite tests='1'/>", None),
        ("<html><testsuite tests='1'/></html>", None),
        ("", None),
        ("not XML", None),
        ('<?xml version="1.0" encoding="no-such"?><testsuite tests="1"/>', None),
        ("<!DOCTYPE testsuite><testsuite tests='1'/>", None),
        (
            '<!DOCTYPE t [<!ENTITY a "lol"><!ENTITY b "&a;&a;">]><testsuite tests="1">&b;</testsuite>',
            None,
        ),
        ('<!DOCTYPE t [<!ENTITY a SYSTEM "file:///etc/hosts">]><testsuite>&a;</testsuite>', None),
    ],
)
def test_junit_files(tmp_path: Path, xml: str, tests: Tests | None) -> None:
    assert read_junit(written(tmp_path / "junit.xml", xml)) == tests


def test_a_doctype_is_refused_in_any_encoding(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    path.write_bytes("<!DOCTYPE t><testsuite tests='1'/>".encode("utf-16"))
    assert read_junit(path) is None


def test_a_junit_file_that_is_malformed_leaves_the_word_to_the_log(tmp_path: Path) -> None:
    log = written(tmp_path / "log", "2 passed in 0.1s\n")
    assert read_counts(written(tmp_path / "junit.xml", "<testsuite"), log) == Tests(2, 0, 0)


def test_a_junit_file_is_believed_over_other_closing_lines(tmp_path: Path) -> None:
    xml = written(tmp_path / "junit.xml", '<testsuite tests="5" failures="1"/>')
    log = written(tmp_path / "log", CARGO + "2 passed in 0.1s\n")
    assert read_counts(xml, log) == Tests(4, 1, 0)


# -- coverage --


@pytest.mark.parametrize("branch", ["", "--cov-branch"])
def test_the_log_and_the_xml_of_a_real_coverage_run_tell_the_same(tmp_path: Path, branch: str) -> None:
    written(tmp_path / "calc.py", "def f(n):\n    if n:\n        return 1\n    return 2\n")
    written(tmp_path / "test_calc.py", "import calc\ndef test_f(): assert calc.f(1) == 1\n")
    addopts = f"-p no:cacheprovider --cov=calc --cov-report=term-missing --cov-report=xml {branch}"
    output = run(sys.executable, "-m", "pytest", cwd=tmp_path, PYTEST_ADDOPTS=addopts)
    log = written(tmp_path / "log", output)
    from_log, from_xml = read_coverage(None, log), read_coverage(tmp_path / "coverage.xml", log)
    assert from_log is not None
    assert from_xml == pytest.approx(200 / 3 if branch else 75)
    assert from_log == pytest.approx(from_xml, abs=0.5)


GO_COVERAGE = """\
ok  \texample.org/add\t0.003s\tcoverage: 83.2% of statements
ok  \texample.org/sub\t(cached)\tcoverage: 71.0% of statements in ./...
coverage: 90.0% of statements
ok  \texample.org/mul\t0.003s\tcoverage: [no statements]
"""
ISTANBUL = """\
----------|---------|----------|---------|---------|-------------------
File      | % Stmts | % Branch | % Funcs | % Lines | Uncovered Line #s
----------|---------|----------|---------|---------|-------------------
All files |   85.71 |      100 |   66.66 |   85.71 |
 add.js   |   85.71 |      100 |   66.66 |   85.71 | 7
"""


@pytest.mark.parametrize(
    ("text", "percent"),
    [
        ("TOTAL             120      6    95%\n", 95.0),
        ("TOTAL   120   6   40   3   94.25%\r\n", 94.25),
        ("TOTAL   120   6   95%\nmore\nTOTAL   120   60   50%\n", 50.0),
        (GO_COVERAGE, 71.0),
        ("\texample.org/untested\t\tcoverage: 0.0% of statements\n" + GO_COVERAGE, 0.0),
        (ISTANBUL, 85.71),
        ("\x1b[32;1mAll files\x1b[0m |\x1b[32;1m   90 \x1b[0m|  80 | 75 | 85.7 |   \n", 90.0),
        ("85.71% coverage, 6/7 lines covered\n", 85.71),
        ("85.71% coverage, 6/7 lines covered, +1.20% change in coverage\n", 85.71),
        (GO_COVERAGE + ISTANBUL, 71.0),
        ("the TOTAL   120   6   95%\n", None),
        ("TOTAL   120   6   950%\n", None),
        ("we want coverage: 83.2% of statements\n", None),
        ("85.71% coverage, which is fine\n", None),
        ("", None),
    ],
)
def test_coverage_in_a_log(tmp_path: Path, text: str, percent: float | None) -> None:
    assert read_coverage(None, written(tmp_path / "log", text)) == percent


@pytest.mark.parametrize(
    ("xml", "percent"),
    [
        ('<coverage line-rate="0.8571"/>', 85.71),
        ('<coverage line-rate="1"/>', 100.0),
        ('<coverage lines-valid="8" lines-covered="6" line-rate="0.9"/>', 75.0),
        (
            '<coverage lines-valid="8" lines-covered="6" branches-valid="2" branches-covered="1"/>',
            70.0,
        ),
        ('<coverage lines-valid="8" lines-covered="6" branches-valid="0" branches-covered="0"/>', 75.0),
        ('<coverage lines-valid="0" lines-covered="0" line-rate="1"/>', 100.0),
        (
            '<!DOCTYPE coverage SYSTEM "http://cobertura.sourceforge.net/xml/coverage-04.dtd">'
            '<coverage line-rate="0.5"/>',
            50.0,
        ),
        ('<!DOCTYPE coverage [<!ENTITY a "1">]><coverage line-rate="&a;"/>', 12.0),
        ('<coverage line-rate="nan"/>', 12.0),
        ("<coverage", 12.0),
        ('<report line-rate="0.5"/>', 12.0),
    ],
)
def test_coverage_in_cobertura_xml_and_the_log_when_it_is_unfit(tmp_path: Path, xml: str, percent: float) -> None:
    log = written(tmp_path / "log", "TOTAL   100   88   12%\n")
    assert read_coverage(written(tmp_path / "coverage.xml", xml), log) == pytest.approx(percent)
