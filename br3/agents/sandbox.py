"""The command line of bubblewrap around an agent: what it sees, and the little that it may write.

Decisions:

- The system is there read-only, its own processes are all that it sees of them, and they end with it. What it may
  write: its worktree, its configuration, a temporary and a cache directory of its own, and of git's directory the
  worktree's own part and loose objects. Packs, alternates, hooks, configuration and other worktrees stay read-only;
  so do the pointers (``.git``, ``commondir``, ``gitdir``) that tell git outside where all that lies.
- A ref is replaced by renaming, so a single ref cannot be opened for writing, only its directory with all that lies in
  it. The agent gets a copy of that directory, and of its logs: it commits as ever, other branches cannot move, and
  ``bring_back`` moves the build's branch, and no other, when it has ended. Until then the branch stands where it stood.
  ``packed-refs`` stays read-only: deleting and packing refs fails, committing does not touch it.
- Places with credentials, sockets that lead out (ssh-agent, docker, the session's), what other builds were asked and
  what they said: empty, and read-only too.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from br3.errors import Refused
from br3.repo import refs
from br3.repo.refs import CommitId
from br3.repo.runner import Git

SECRET_PLACES = (
    ".ssh .aws .azure .gnupg .kube .docker .password-store .config/gcloud .config/gh .config/glab-cli .config/op "
    ".config/br3 .local/share/keyrings .mozilla .config/google-chrome .config/chromium "
    ".claude .codex .gemini .local/share/opencode"
).split()
SECRET_FILES = ".netrc .git-credentials .config/git/credentials .pypirc .npmrc .cargo/credentials.toml .pgpass".split()
"""Below HOME; hidden where they are there. What the agent needs of its own is opened again."""

_WAYS_OUT = tuple(Path(place) for place in ("/run/user", "/run/docker.sock", "/run/containerd", "/run/podman"))
_TMP = Path("/tmp")
_ID = re.compile(rb"(?:[0-9a-f]{40}|[0-9a-f]{64})\n?")


@dataclass(frozen=True)
class Ground:
    """Where one attempt in the sandbox takes place.

    ``git_dir`` is the worktree's own (``worktrees/<name>``), ``private`` a directory for the sandbox's own use, kept
    until ``bring_back``; ``readable`` and ``writable`` are opened in addition, in this order.
    """

    worktree: Path
    git_dir: Path
    common_dir: Path
    branch: str
    private: Path
    home: Path
    network: bool = True
    readable: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()

    @property
    def branch_dir(self) -> str:
        """The directory of the branch's ref, below the git directory."""
        return f"refs/heads/{self.branch}".rpartition("/")[0]


def check() -> None:
    """Refused when bubblewrap is not here or does not work."""
    if shutil.which("bwrap") is None:
        raise Refused(
            'sandbox = "bwrap" needs bubblewrap, which is not installed',
            hint='apt install bubblewrap (dnf, pacman and apk call it the same); macOS has none: sandbox = "none"',
        )
    done = subprocess.run([*_BASE, "--", "/bin/sh", "-c", ":"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = done.stderr.strip().split("\n")[-1]
        raise Refused(f"bubblewrap does not work here: {said}", hint="the system may forbid user namespaces")


def prepare(ground: Ground) -> None:
    """Make the directories that ``wrap`` opens, with the refs as they stand.

    What an earlier attempt left there is brought back first. Refused as by ``bring_back``.
    """
    bring_back(ground)
    git = Git(ground.common_dir)
    head = refs.resolve(git, f"refs/heads/{ground.branch}")
    if head is None:
        raise Refused(f"the branch {ground.branch} is not there")
    shutil.rmtree(ground.private, ignore_errors=True)
    ground.private.mkdir(parents=True, mode=0o700)
    for name in ("tmp", "cache", "logs"):
        (ground.private / name).mkdir()
    (ground.private / "nothing").touch()
    (ground.private / "head").write_text(f"{head}\n")
    (ground.common_dir / ground.branch_dir).mkdir(parents=True, exist_ok=True)
    (ground.common_dir / "logs" / ground.branch_dir).mkdir(parents=True, exist_ok=True)
    shutil.copytree(ground.common_dir / ground.branch_dir, ground.private / "refs", ignore=_locks)
    (ground.private / "refs" / Path(ground.branch).name).write_text(f"{head}\n")
    for name in ("info", "pack"):
        (ground.common_dir / "objects" / name).mkdir(exist_ok=True)


def wrap(command: Sequence[str], ground: Ground) -> list[str]:
    """``command`` in the sandbox; ``prepare`` has been called."""
    common, private = ground.common_dir, ground.private
    words = [*_BASE, *([] if ground.network else ["--unshare-net"])]
    words += _bound("--bind", private / "tmp", _TMP)
    for place in _below_tmp(ground):
        words += _bound("--ro-bind", place)
    emptied = [
        *(ground.home / name for name in SECRET_PLACES),
        *_WAYS_OUT,
        *(common / "br3" / name for name in ("runs", "agents")),
    ]
    emptied = [place for place in emptied if place.is_dir()]
    for place in emptied:
        words += ["--tmpfs", str(place)]
    for place in [*(ground.home / name for name in SECRET_FILES), *_WAYS_OUT]:
        if place.exists() and not place.is_dir():
            words += _bound("--ro-bind", private / "nothing", place)
    for place in (ground.worktree, ground.git_dir, common / "objects"):
        words += _bound("--bind", place)
    pointers = [ground.worktree / ".git", ground.git_dir / "commondir", ground.git_dir / "gitdir"]
    for place in [*pointers, common / "objects" / "info", common / "objects" / "pack"]:
        words += _bound("--ro-bind", place)
    words += _bound("--ro-bind-try", ground.git_dir / "config.worktree")
    words += _bound("--bind", private / "refs", common / ground.branch_dir)
    words += _bound("--bind", private / "logs", common / "logs" / ground.branch_dir)
    words += _bound("--bind", private / "cache")
    for place in ground.readable:
        words += _bound("--ro-bind", place)
    for place in ground.writable:
        words += _bound("--bind", place)
    for place in emptied:  # only now: what was opened in them needed a place to be mounted on
        words += ["--remount-ro", str(place)]
    for name, value in (("TMPDIR", _TMP), ("XDG_CACHE_HOME", private / "cache")):
        words += ["--setenv", name, str(value)]
    for name in ("SSH_AUTH_SOCK", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"):
        words += ["--unsetenv", name]
    return [*words, "--chdir", str(ground.worktree), "--", *command]


def bring_back(ground: Ground) -> CommitId | None:
    """Move the branch to where the agent left it; returns that commit, None when the branch was not moved.

    Refused when it is no commit, or when the branch has been moved by somebody else meanwhile: then the agent's commits
    are kept as a ref below ``refs/br3/salvage``. What has been brought back, or was refused, is not looked at again.
    """
    taken = ground.private / "head"
    if not taken.exists():
        return None
    git = Git(ground.common_dir)
    ref = f"refs/heads/{ground.branch}"
    before = CommitId(taken.read_text().strip())
    text = _id_in(ground.private / "refs" / Path(ground.branch).name)
    left = refs.resolve(git, text) if text else None
    if left is None:
        taken.unlink()
        raise Refused(f"the agent left the branch {ground.branch} at something that is no commit")
    moved = left not in (before, refs.resolve(git, ref))
    if moved and not refs.move(git, ref, left, before, "br3: from the sandbox"):
        kept = f"refs/br3/salvage/{ground.branch}/{left[:12]}"
        git("update-ref", kept, left)
        taken.unlink()
        raise Refused(
            f"the branch {ground.branch} was moved while its agent worked in the sandbox; what it committed is {kept}"
        )
    taken.unlink()
    return left if moved else None


def logins(config_dir: Path, names: Iterable[str]) -> tuple[Path, ...]:
    """The user's files that a configuration directory links to: the agent renews its login in them."""
    links = [config_dir / name for name in names]
    return tuple(link.resolve() for link in links if link.is_symlink() and link.exists())


def git_dirs(git_dir: Path, common_dir: Path) -> tuple[Path, ...]:
    """The directories that a CLI's own sandbox must open for a commit in a linked worktree."""
    return (git_dir, *(common_dir / name for name in ("objects", "refs", "logs")))


def tried(line: bytes) -> list[str]:
    """The paths that a line of output says could not be written, as programs say it of read-only places."""
    found = [match.decode(errors="replace").replace("\\/", "/") for match in _READ_ONLY.findall(line)]
    return list(dict.fromkeys(found))


_READ_ONLY = re.compile(rb"(?<![\w./~-])(/[^\s'\":\\\x00]+)\\?['\"]?: Read-only file system")

_BASE = (
    "bwrap --unshare-user-try --unshare-pid --unshare-ipc --unshare-uts --cap-drop ALL --new-session --die-with-parent "
    "--ro-bind / / --dev /dev --proc /proc"
).split()


def _id_in(path: Path) -> str | None:
    """The id in a ref's file, which may be anything: the agent could write there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would wait for its writer
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as source:
        text = source.read(100)
    return text.decode().strip() if _ID.fullmatch(text) else None


def _bound(how: str, source: Path, target: Path | None = None) -> list[str]:
    return [how, str(source), str(target or source)]


def _below_tmp(ground: Ground) -> list[Path]:
    """What would vanish with the system's own temporary directory: the repository, other worktrees, HOME."""
    places = (ground.common_dir.parent, ground.common_dir, ground.worktree.parent, ground.home)
    return [place for place in places if place.is_relative_to(_TMP) and place != _TMP]


def below_tmp_on_path(path: str) -> tuple[Path, ...]:
    """The directories of PATH that would vanish with ``/tmp``, with what lies beside a ``bin`` that is one of them."""
    entries = (Path(entry) for entry in path.split(os.pathsep) if entry)
    below = [entry for entry in entries if entry.is_relative_to(_TMP) and entry.is_dir()]
    whole = (entry.parent if entry.name in ("bin", ".bin") and entry.parent != _TMP else entry for entry in below)
    return tuple(dict.fromkeys(whole))


def _locks(directory: str, names: list[str]) -> set[str]:
    return {name for name in names if name.endswith(".lock")}


__all__ = [
    "SECRET_FILES",
    "SECRET_PLACES",
    "Ground",
    "below_tmp_on_path",
    "bring_back",
    "check",
    "git_dirs",
    "logins",
    "prepare",
    "tried",
    "wrap",
]
