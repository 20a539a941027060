"""Commands in a worktree: their environment, running one, and ending everything that carries a build's mark.

Agents and test suites start processes in sessions of their own, so a process group does not hold them: every child
inherits ``BR3_MARK``, by which all of them are found again, also after a crash of br3.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from br3.repo.runner import PRIVATE, scrubbed
from br3.secrets import names_secret
from br3.workspace import waking
from br3.workspace.waking import Awake

MARK = "BR3_MARK"
GRACE_S = 5.0
"""From SIGTERM to SIGKILL."""

AGENT_ONLY = "BR3_AGENT_ONLY"
"""Names of variables, space-separated, that an orchestrator holds for agents alone (they came from ``.env``)."""

# What would lead a child astray. BR3_* are those of another build, when br3 was called from inside an agent.
_NOT_INHERITED = frozenset({"VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT", "PYTHONHOME"})

# What a program needs to work at all and what brings no secret with it; agents get this and what the plan names.
_AGENT_NAMES = frozenset(
    [
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "LANG",
        "LANGUAGE",
        "TERM",
        "COLORTERM",
        "TMPDIR",
        "TZ",
        "SSH_AUTH_SOCK",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "all_proxy",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
        "JAVA_HOME",
        "GOPATH",
        "GOROOT",
        "GOCACHE",
        "GOMODCACHE",
        "GOPROXY",
        "GOFLAGS",
        "CARGO_HOME",
        "RUSTUP_HOME",
        "RUSTUP_TOOLCHAIN",
        "NVM_DIR",
        "VOLTA_HOME",
        "PYENV_ROOT",
        "PYENV_VERSION",
        "NIX_PATH",
        "NIX_SSL_CERT_FILE",
        "PYTHONPATH",
        "GIT_AUTHOR_NAME",
        "GIT_AUTHOR_EMAIL",
        "GIT_COMMITTER_NAME",
        "GIT_COMMITTER_EMAIL",
        "GIT_CONFIG_GLOBAL",
        "GIT_CONFIG_SYSTEM",
        "GIT_CONFIG_NOSYSTEM",
    ]
)
_AGENT_PREFIXES = ("LC_", "XDG_", "PIP_", "UV_", "HOMEBREW_")


def mark_of(common_dir: Path, build: str) -> str:
    """The mark of a build's processes; the same for every run, since a build's lock is."""
    return hashlib.sha256(f"{common_dir}\0{build.casefold()}".encode(errors="surrogateescape")).hexdigest()[:24]


def environment(worktree: Path, facts: Mapping[str, str], names: Iterable[str] = ()) -> dict[str, str]:
    """The environment of a set-up or verification command: the user's, without what would mislead or leak.

    The keys of agents are left out, but for those of ``names``. The worktree's ``.venv`` leads PATH when it is there.
    ``facts`` are the ``BR3_*`` variables of DESIGN §6.
    """
    kept = set(names) - {"BR3_TRUST"}
    dropped = _NOT_INHERITED | (PRIVATE - kept) | set(os.environ.get(AGENT_ONLY, "").split())
    chosen = {k: v for k, v in scrubbed(os.environ).items() if k not in dropped and not k.startswith("BR3_")}
    return _with_venv(worktree, {**chosen, **facts})


def agent_environment(worktree: Path, facts: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """The environment of an agent: an allow-list, and the variables of ``names``. Agents hand it to their tools."""
    wanted = set(names)
    chosen = {
        k: v
        for k, v in os.environ.items()
        if k in wanted or k in _AGENT_NAMES or (k.startswith(_AGENT_PREFIXES) and not names_secret(k))
    }
    return _with_venv(worktree, {**chosen, **facts})


def _with_venv(worktree: Path, env: dict[str, str]) -> dict[str, str]:
    venv = worktree / ".venv"
    if (venv / "bin").is_dir():
        env["VIRTUAL_ENV"] = str(venv)
        env["PATH"] = f"{venv / 'bin'}{os.pathsep}{env.get('PATH', os.defpath)}"
    return env


@dataclass(frozen=True)
class Finished:
    """How a command ended. ``cause`` is None, ``timeout`` or ``cancelled``; a signal gives 128 + its number."""

    exit_code: int
    duration_s: float
    cause: str | None = None

    @property
    def ok(self) -> bool:
        return self.exit_code == 0 and self.cause is None


def run_command(
    command: str,
    *,
    cwd: Path,
    env: Mapping[str, str],
    log: Path,
    timeout_s: float,
    cancel: threading.Event | None = None,
    clock: Callable[[], float] | None = None,
) -> Finished:
    """Run ``sh -c COMMAND`` in ``cwd`` in a session of its own, output appended to ``log``; wait for it.

    When the time is up or ``cancel`` is set, it and all its descendants are ended. ``clock`` is asked about once a
    second what counts of the time; without one that in which the machine sleeps does not.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    clock = clock or Awake().now
    started = clock()
    child: subprocess.Popen[bytes] | None = None
    cause = None
    try:
        with log.open("ab") as sink, waking.uninterrupted():
            child = subprocess.Popen(
                ["/bin/sh", "-c", command],
                cwd=cwd,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        while child.poll() is None and cause is None:
            waking.pause(min(1.0, timeout_s), child)
            passed = clock() - started
            if child.poll() is None:
                if cancel is not None and cancel.is_set():
                    cause = "cancelled"
                elif passed > timeout_s:
                    cause = "timeout"
    finally:  # also when a signal raises here
        if child is not None and child.poll() is None:
            end_processes(_tree(child.pid), reap=child)
            if MARK in env:
                end_marked(env[MARK])  # what it forked while its descendants were looked up
    code = child.returncode if child.returncode is not None else -signal.SIGKILL
    return Finished(code if code >= 0 else 128 - code, clock() - started, cause)


def marked(mark: str) -> list[int]:
    """The ids of all processes that carry ``mark``, and of their descendants; never this process or its parents."""
    if _nobody_has(mark):
        return []
    import psutil

    spared = {os.getpid(), *(p.pid for p in psutil.Process().parents())}
    found: set[int] = set()
    for process in psutil.process_iter():
        if process.pid in spared:
            continue
        try:
            if process.environ().get(MARK) == mark:
                found.add(process.pid)
                found.update(p.pid for p in process.children(recursive=True))
        except (psutil.Error, OSError):
            continue  # gone, or somebody else's
    return sorted(found - spared)


def _nobody_has(mark: str) -> bool:
    """Whether no other process carries the mark, where /proc tells; asked so often that psutil is too dear for it."""
    wanted = os.fsencode(f"{MARK}={mark}\0")
    try:
        others = [name for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]
    except OSError:
        return False
    if not others:
        return False  # no /proc of Linux
    for name in others:
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                environ = file.read()
        except OSError:
            continue  # gone, or somebody else's
        if environ.startswith(wanted) or b"\0" + wanted in environ:
            return False
    return True


def signal_marked(mark: str, number: int) -> None:
    """Send a signal to every process that carries ``mark``, what was forked while we looked included."""
    reached: set[int] = set()
    while fresh := set(marked(mark)) - reached:
        for pid in fresh:
            try:
                os.kill(pid, number)
            except (ProcessLookupError, PermissionError):
                continue
        reached |= fresh


def end_marked(mark: str, grace_s: float = GRACE_S) -> list[int]:
    """End every process that carries ``mark``: TERM, ``grace_s`` seconds, KILL. Returns those that were there."""
    pids = marked(mark)
    if pids:
        end_processes(pids, grace_s=grace_s)
        # What was forked while we looked carries the mark as well.
        for _ in range(3):
            late = marked(mark)
            if not late:
                break
            end_processes(late, grace_s=0.5)
    return pids


def end_processes(
    pids: Iterable[int], *, grace_s: float = GRACE_S, reap: subprocess.Popen[bytes] | None = None
) -> None:
    """TERM, up to ``grace_s`` seconds, KILL. ``reap`` is our own child among them, waited for so that it goes."""
    import psutil

    living = []
    for pid in pids:
        try:
            process = psutil.Process(pid)
            process.terminate()
            process.resume()  # one that was stopped acts on nothing
            living.append(process)
        except psutil.Error:
            continue
    deadline = time.monotonic() + grace_s
    while living and time.monotonic() < deadline:
        if reap is not None:
            reap.poll()
        living = [p for p in living if _alive(p)]
        if living:
            time.sleep(0.02)
    for process in living:
        try:
            process.kill()
        except psutil.Error:
            continue
    if reap is not None:
        try:
            reap.wait(timeout=5)
        except subprocess.TimeoutExpired:
            pass


def _alive(process: object) -> bool:
    import psutil

    assert isinstance(process, psutil.Process)
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _tree(pid: int) -> list[int]:
    import psutil

    try:
        process = psutil.Process(pid)
        return [p.pid for p in process.children(recursive=True)] + [pid]
    except psutil.Error:
        return [pid]


def tail(log: Path, lines: int = 20, start: int = 0) -> str:
    """The last ``lines`` lines of a log from its byte ``start`` on, read from its end; undecodable bytes are
    replaced."""
    try:
        with log.open("rb") as source:
            size = source.seek(0, os.SEEK_END)
            source.seek(max(start, size - 64 * 1024))
            text = source.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.rstrip("\n").split("\n")[-lines:])
