"""How many tests a verification command ran, and how much of the code they covered.

Two sources: the XML a runner writes when asked to (JUnit for tests, Cobertura for coverage), and the closing
lines it prints anyway. XML is preferred, since text can be quoted by anybody; the closing lines are the only
source for the runners that write no XML.

Decisions:

- None means that nothing was shown; ``Tests(0, 0, 0)`` means that a runner said it ran nothing.
- What keeps a suite from being green is failed: errors, cancelled tests, unexpected successes of unittest.
- What ran without being asked to hold is skipped: skips, expected failures, todo, ignored.
- A closing line counts only if the whole line has the runner's form, from its first column to its last.
- Logs are read once, line by line, in bounded memory: they can be hundreds of megabytes, and hostile.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO
from xml.parsers import expat

MAX_LINE_CHARS = 10_000


@dataclass(frozen=True)
class Tests:
    """How many tests passed, failed (or broke), and were skipped (or expected to fail)."""

    # pytest would otherwise try to collect it wherever it is imported
    __test__ = False

    passed: int
    failed: int
    skipped: int

    def __add__(self, other: Tests) -> Tests:
        return Tests(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)


def read_counts(junit: Path | None, log: Path) -> Tests | None:
    """The tests one verification ran: from its JUnit XML when there is one, else from its log.

    Two pytest runs in one command write the same XML file, and the second overwrites the first: then the log,
    which has both closing lines, is the fuller source.
    """
    counted = read_junit(junit) if junit is not None else None
    if counted is None:
        return read_log(log)
    shown = _read_log(log)
    return shown.tests if shown.pytest_runs >= 2 else counted


# -- JUnit XML ---------------------------------------------------------------------------------------------


def read_junit(path: Path) -> Tests | None:
    """The counts of a JUnit XML file; None when it is absent, malformed, or has a DOCTYPE.

    The format has no owner; https://github.com/testmoapp/junitxml collects what runners write. No runner
    writes a DOCTYPE, which is where entity bombs live.
    """
    suites = _JUnit()
    if not _parse_xml(path, suites.start, suites.end, allow_doctype=False):
        return None
    return suites.total


class _Suite:
    """One open ``testsuite``: what it claims in its attributes, and what its own testcases show."""

    def __init__(self, attributes: dict[str, str]) -> None:
        self.attributes = attributes
        self.has_suites = False
        self.cases = 0
        self.failures: list[str] = []
        self.errors: list[str] = []
        self.skipped = 0

    def add(self, name: str, outcomes: set[str]) -> None:
        self.cases += 1
        if "failure" in outcomes:
            self.failures.append(name)
        elif "error" in outcomes:
            self.errors.append(name)
        elif "skipped" in outcomes:
            self.skipped += 1

    def counts(self) -> Tests:
        failures, errors = len(self.failures), len(self.errors)
        if self.has_suites:
            # Some runners put the sum of the inner suites into the outer's attributes, others don't.
            return _rest_passed(self.cases, failures + errors, self.skipped)
        failed = self._claimed(failures, "failures") + self._claimed(errors, "errors")
        skipped = self._claimed(self.skipped, "skipped", "skips", "skip") + self._claimed(0, "disabled")
        # A test whose call and teardown both fail is one of pytest's `tests`, yet a failure and an error.
        twice = set(self.failures) & set(self.errors) - {""}
        return _rest_passed(self._claimed(self.cases - len(twice), "tests") + len(twice), failed, skipped)

    def _claimed(self, otherwise: int, *names: str) -> int:
        values = (self.attributes.get(name, "") for name in names)
        return next((int(value) for value in values if re.fullmatch(r"[0-9]{1,9}", value)), otherwise)


class _JUnit:
    """Adds up suites as they close, so that neither size nor depth of the XML matters."""

    def __init__(self) -> None:
        self.total: Tests | None = None
        self._suites: list[_Suite] = []
        self._path: list[str] = []
        self._case = ""
        self._outcomes: set[str] = set()

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        parent = self._path[-1] if self._path else ""
        self._path.append(tag)
        if tag in ("testsuites", "testsuite"):
            if self._suites:
                self._suites[-1].has_suites = True
            self._suites.append(_Suite(attributes))
        elif not self._suites:
            raise _Refused(f"the root is <{tag}>, not <testsuites>")
        elif tag == "testcase":
            self._case = " ".join(attributes.get(name, "") for name in ("classname", "name")).strip()
            self._outcomes = set()
        elif parent == "testcase" and tag in ("failure", "error", "skipped"):
            self._outcomes.add(tag)

    def end(self, tag: str) -> None:
        self._path.pop()
        if tag in ("testsuites", "testsuite"):
            counts = self._suites.pop().counts()
            self.total = counts if self.total is None else self.total + counts
        elif tag == "testcase":
            self._suites[-1].add(self._case, self._outcomes)


class _Refused(Exception):
    """The XML is not what it should be; parsing stops here."""


class _Enough(Exception):
    """What was looked for is found; parsing stops here."""


def _parse_xml(
    path: Path,
    start: Callable[[str, dict[str, str]], None],
    end: Callable[[str], None] | None = None,
    *,
    allow_doctype: bool,
) -> bool:
    """Whether the file could be read. Even an allowed DOCTYPE may declare nothing itself."""

    def doctype(name: str, system_id: str | None, public_id: str | None, has_subset: bool) -> None:
        if has_subset or not allow_doctype:
            raise _Refused(f"<!DOCTYPE {name}>")

    # expat, not ElementTree: an exception in one of its handlers stops it at once, before any entity grows.
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = doctype
    parser.StartElementHandler = lambda tag, attributes: start(tag.rpartition(":")[2], attributes)
    if end is not None:
        parser.EndElementHandler = lambda tag: end(tag.rpartition(":")[2])
    try:
        with path.open("rb") as file:
            parser.ParseFile(file)
    except _Enough:
        return True
    except (OSError, expat.ExpatError, _Refused, ValueError, LookupError):
        return False
    return True


# -- closing lines -----------------------------------------------------------------------------------------


def read_closing_lines(output: str) -> Tests | None:
    """The sum of what every runner in ``output`` said at its end; None when none said anything."""
    return _read_lines(_lines(io.StringIO(output, newline=None))).tests


def read_log(path: Path) -> Tests | None:
    """``read_closing_lines`` of a file, without holding it in memory; None when it can't be read."""
    return _read_log(path).tests


_NUMBER = r"\d{1,9}"
_PYTEST_PART = (
    rf"{_NUMBER} (?:failed|passed|skipped|deselected|xfailed|xpassed|warnings?|errors?|rerun"
    r"|subtests (?:passed|failed|skipped))"
)

# Each is a whole line. The words behind the numbers are looked up in _KINDS.
_PLAIN_LINES = {
    # 3 failed, 21 passed, 2 xfailed, 1 error in 62.12s (0:01:02), between rows of = unless -q
    "pytest": rf"(?P<bar>=+ )?(?P<counts>no tests ran|{_PYTEST_PART}(?:, {_PYTEST_PART})*)"
    r" in \d+(?:\.\d+)?s(?: \([^()]*\))?(?(bar) =+)",
    # test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
    "cargo": rf"test result: (?:ok|FAILED)\. (?P<counts>{_NUMBER} passed; {_NUMBER} failed; {_NUMBER} ignored)"
    rf"(?:; {_NUMBER} measured)?(?:; {_NUMBER} filtered out)?(?:; finished in [\d.]+s)?",
    # Tests:       1 failed, 2 skipped, 7 passed, 10 total
    "jest": rf"Tests: +(?P<counts>(?:{_NUMBER} (?:failed|skipped|pending|todo|passed), )*)"
    rf"(?:{_NUMBER} of )?{_NUMBER} total",
    #       Tests  1 failed | 7 passed | 2 skipped (10)
    "vitest": r" +Tests  (?P<counts>no tests|VITEST(?: \| VITEST)* \(\d+\))".replace(
        "VITEST", rf"{_NUMBER} (?:failed|passed|expected fail|skipped|todo)"
    ),
}
_PLAIN = {runner: re.compile(pattern, re.ASCII) for runner, pattern in _PLAIN_LINES.items()}

_COUNT = re.compile(rf"({_NUMBER}) ([a-z]+(?: [a-z]+)?)", re.ASCII)
# xpassed is a pass, as in pytest's own XML: a strict one is reported as failed.
_KINDS = {
    "passed": "passed",
    "xpassed": "passed",
    "failed": "failed",
    "error": "failed",
    "errors": "failed",
    "subtests failed": "failed",
    "skipped": "skipped",
    "xfailed": "skipped",
    "expected fail": "skipped",
    "ignored": "skipped",
    "pending": "skipped",
    "todo": "skipped",
}

# The line of a class ends in "Time elapsed"; those without it are the sums of a module.
_MAVEN = re.compile(
    rf"(?:\[(?:INFO|WARNING|ERROR)\] )?Tests run: ({_NUMBER}), Failures: ({_NUMBER}), Errors: ({_NUMBER})"
    rf", Skipped: ({_NUMBER})(?:, Flakes: {_NUMBER})?",
    re.ASCII,
)
_UNITTEST_RAN = re.compile(rf"Ran ({_NUMBER}) tests? in \d+\.\d+s", re.ASCII)
_UNITTEST_ENDED = re.compile(r"(?:OK|FAILED|NO TESTS RAN)(?: \(([a-z =,\d]+)\))?", re.ASCII)
_UNITTEST_COUNT = re.compile(rf"([a-z ]+)=({_NUMBER})(?:, )?", re.ASCII)
_GO_RUN = re.compile(r"=== RUN +([^\s/]+)")
_GO_RESULT = re.compile(r"--- (PASS|FAIL|SKIP): ([^\s/]+) \(\d+\.\d+s\)", re.ASCII)
_NODE = re.compile(rf"(?:#|ℹ) (tests|suites|pass|fail|cancelled|skipped|todo) +({_NUMBER})", re.ASCII)

# One look at the beginning of a line rules out nearly all of a log.
_MAYBE = re.compile(r"[=\d]|no tests ran|Ran \d|--- |test result: |# |ℹ |Tests| +Tests |\[[A-Z]+\] Tests run")


class _ClosingLines:
    """Takes a log line by line and adds up what the runners in it said."""

    def __init__(self) -> None:
        self.tests: Tests | None = None
        self.pytest_runs = 0
        self._unittest_ran: int | None = None
        self._go_running: set[str] = set()
        self._node: dict[str, int] = {}

    def feed(self, line: str) -> None:
        if self._unittest_ran is not None and self._unittest_ends(line):
            return
        maybe = _MAYBE.match(line) is not None
        if self._node and not (maybe and _NODE.fullmatch(line)):
            self._node_ends()
        if maybe:
            self._read(line)

    def close(self) -> None:
        self._node_ends()

    def _add(self, tests: Tests) -> None:
        self.tests = tests if self.tests is None else self.tests + tests

    def _read(self, line: str) -> None:
        for runner, pattern in _PLAIN.items():
            if found := pattern.fullmatch(line):
                self.pytest_runs += runner == "pytest"
                self._add(_by_kind(found["counts"]))
                return
        if found := _MAVEN.fullmatch(line):
            run, failures, errors, skipped = map(int, found.groups())
            self._add(_rest_passed(run, failures + errors, skipped))
        elif found := _UNITTEST_RAN.fullmatch(line):
            self._unittest_ran = int(found[1])
        elif found := _NODE.fullmatch(line):
            self._node[found[1]] = int(found[2])
        elif found := _GO_RUN.fullmatch(line):
            self._go_running.add(found[1])
        elif found := _GO_RESULT.fullmatch(line):
            self._go_ends(verdict=found[1], test=found[2])

    def _unittest_ends(self, line: str) -> bool:
        """Takes what follows "Ran 5 tests": an empty line, then the verdict. Anything else was a quotation."""
        if not line:
            return True
        assert self._unittest_ran is not None
        ran, self._unittest_ran = self._unittest_ran, None
        found = _UNITTEST_ENDED.fullmatch(line)
        if found is None:
            return False
        said = {name: int(count) for name, count in _UNITTEST_COUNT.findall(found[1] or "")}
        failed = sum(said.get(name, 0) for name in ("failures", "errors", "unexpected successes"))
        self._add(_rest_passed(ran, failed, said.get("skipped", 0) + said.get("expected failures", 0)))
        return True

    def _go_ends(self, verdict: str, test: str) -> None:
        # Without -v go prints the failed tests only: a result whose start wasn't shown is no count.
        if test in self._go_running:
            self._go_running.remove(test)
            self._add(Tests(int(verdict == "PASS"), int(verdict == "FAIL"), int(verdict == "SKIP")))

    def _node_ends(self) -> None:
        # A heading such as "# pass 3" alone is not the runner's block of counts.
        said, self._node = self._node, {}
        if "pass" in said and ("tests" in said or "fail" in said):
            failed = said.get("fail", 0) + said.get("cancelled", 0)
            self._add(Tests(said["pass"], failed, said.get("skipped", 0) + said.get("todo", 0)))


def _by_kind(counts: str) -> Tests:
    totals = {"passed": 0, "failed": 0, "skipped": 0}
    for number, word in _COUNT.findall(counts):
        if kind := _KINDS.get(word):
            totals[kind] += int(number)
    return Tests(**totals)


def _rest_passed(ran: int, failed: int, skipped: int) -> Tests:
    """Subtests and class fixtures fail without being counted as run: the rest may come out below 0."""
    return Tests(max(ran - failed - skipped, 0), failed, skipped)


def _read_lines(lines: Iterable[str]) -> _ClosingLines:
    closing = _ClosingLines()
    for line in lines:
        closing.feed(line)
    closing.close()
    return closing


def _read_log(path: Path) -> _ClosingLines:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return _read_lines(_lines(file))
    except OSError:
        return _ClosingLines()


_ANSI = re.compile(r"\x1b(?:\[[0-?]*+[ -/]*+[@-~]|\][^\x07\x1b]*+(?:\x07|\x1b\\)|[()][0-9A-B])")


def _lines(file: TextIO) -> Iterator[str]:
    """Lines without colours and trailing space. Longer ones than MAX_LINE_CHARS are nobody's closing line."""
    in_long_line = False
    while line := file.readline(MAX_LINE_CHARS):
        ended = line.endswith("\n")
        if not (in_long_line or (not ended and len(line) == MAX_LINE_CHARS)):
            yield (_ANSI.sub("", line) if "\x1b" in line else line).rstrip()
        in_long_line = not ended


# -- coverage ----------------------------------------------------------------------------------------------


def read_coverage(xml: Path | None, log: Path) -> float | None:
    """How much of the code the tests covered, in percent (0 to 100); None when nothing said so.

    From Cobertura XML (https://github.com/cobertura/web/blob/master/htdocs/xml/coverage-04.dtd) when there is
    one, else from the tables of coverage.py, go, istanbul (jest, vitest, c8) and cargo-tarpaulin in the log.
    """
    percent = _cobertura(xml) if xml is not None else None
    return percent if percent is not None else _logged_coverage(log)


def _cobertura(path: Path) -> float | None:
    root: dict[str, str] = {}

    def start(tag: str, attributes: dict[str, str]) -> None:
        if tag != "coverage":
            raise _Refused(f"the root is <{tag}>, not <coverage>")
        root.update(attributes)
        raise _Enough

    # Istanbul and gcovr name Cobertura's DTD; it is never fetched.
    if not _parse_xml(path, start, allow_doctype=True):
        return None
    covered, valid = _decimal(root, "lines-covered"), _decimal(root, "lines-valid")
    if covered is not None and valid:
        branches_covered, branches_valid = _decimal(root, "branches-covered"), _decimal(root, "branches-valid")
        if branches_covered is not None and branches_valid:
            # as the TOTAL of coverage.py does, so that XML and log tell the same figure
            covered, valid = covered + branches_covered, valid + branches_valid
        return min(100.0 * covered / valid, 100.0)
    rate = _decimal(root, "line-rate")
    return min(100.0 * rate, 100.0) if rate is not None else None


def _decimal(attributes: dict[str, str], name: str) -> float | None:
    value = attributes.get(name, "")
    return float(value) if re.fullmatch(r"[0-9]{1,12}(?:\.[0-9]{1,30})?", value) else None


_PERCENT = r"(?P<percent>\d{1,3}(?:\.\d{1,9})?)"
_COVERAGE = {
    # TOTAL   120   6   40   3   94.2%
    "coverage.py": rf"TOTAL +\d+ +\d+(?: +\d+ +\d+)? +{_PERCENT}%",
    # ok   example.org/pkg  0.005s  coverage: 83.2% of statements in ./...
    "go": r"(?:(?:ok)?\s++\S++\s++(?:(?:\(cached\)|[\d.]++s)\s++)?)?"
    rf"coverage: {_PERCENT}% of statements(?: in \S.*)?",
    # All files |   85.71 |      100 |   66.66 |   85.71 |
    "istanbul": rf"All files *+\| *+{_PERCENT} *+\|[ \d.|]*+",
    # 85.71% coverage, 6/7 lines covered, +1.20% change in coverage
    "tarpaulin": rf"{_PERCENT}% coverage, \d+/\d+ lines covered(?:, [+-]?[\d.]+% change in coverage)?",
}
_COVERAGE_LINES = {kind: re.compile(pattern, re.ASCII) for kind, pattern in _COVERAGE.items()}
_COVERAGE_HINTS = ("% coverage, ", "coverage: ", "TOTAL ", "All files")


def _logged_coverage(log: Path) -> float | None:
    """A later table of one kind replaces an earlier one: runs that append to one data file print both.

    Go prints a figure per package, and kinds are about different code: neither says how much code it is
    about, so no mean can be formed. The smallest is the one that is true of every part.
    """
    shown: dict[str, float] = {}
    try:
        with log.open(encoding="utf-8", errors="replace") as file:
            for line in _lines(file):
                if any(hint in line for hint in _COVERAGE_HINTS):
                    for kind, percent in _coverage_in(line):
                        shown[kind] = min(percent, shown.get(kind, percent)) if kind == "go" else percent
    except OSError:
        return None
    return min(shown.values(), default=None)


def _coverage_in(line: str) -> Iterator[tuple[str, float]]:
    for kind, pattern in _COVERAGE_LINES.items():
        if (found := pattern.fullmatch(line)) and float(found["percent"]) <= 100:
            yield kind, float(found["percent"])
