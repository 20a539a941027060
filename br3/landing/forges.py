"""GitHub and GitLab, through their own programs: which requests there are for a branch, and opening one.

``gh`` and ``glab`` hold the user's credentials, br3 sees none. Titles are arguments, texts go through standard input,
nothing passes a shell. What is asked of them: `gh pr list`, `gh pr create --body-file -` (cli.github.com/manual) and
the merge requests of GitLab's REST API by `glab api` (docs.gitlab.com/api/merge_requests).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from br3.errors import Br3Error
from br3.repo.refs import CommitId
from br3.repo.runner import PRIVATE, Git, scrubbed

_SCP_LIKE = re.compile(r"(?:[^@/:]+@)?(?P<host>[^@/:]+):(?P<path>(?!//).+)")
_ONE_NAME = {"ssh.github.com": "github.com", "altssh.gitlab.com": "gitlab.com"}
_MOST = 20


@dataclass(frozen=True)
class Place:
    """A repository on a forge: ``github.com`` and ``owner/name``."""

    kind: str
    host: str
    path: str

    def page(self, base: str, branch: str) -> str:
        """Where a person opens a request in a browser."""
        if self.kind == "github":
            compared = f"{quote(base, safe='/')}...{quote(branch, safe='/')}"
            return f"https://{self.host}/{self.path}/compare/{compared}?expand=1"
        asked = {"merge_request[source_branch]": branch, "merge_request[target_branch]": base}
        return f"https://{self.host}/{self.path}/-/merge_requests/new?{urlencode(asked)}"


@dataclass(frozen=True)
class Found:
    """A request that is there; ``state``: open, merged or closed, at that commit of its branch."""

    url: str
    state: str
    commit: CommitId | None


def place_of(git: Git, remote: str) -> Place | None:
    """The forge's repository that a remote is; None when it is no forge that br3 knows."""
    # An alias of the user's (insteadOf) may stand for a forge, or for a mirror of one.
    seen = git("remote", "get-url", "--push", remote).text.split("\n")[:1]
    written = git("config", "--get", f"remote.{remote}.url", ok=(0, 1)).text
    return next((place for url in (*seen, written) if (place := parse(url)) is not None), None)


def parse(url: str) -> Place | None:
    """The repository that a URL (or ``git@host:path``) names, when its host is a forge's."""
    if "://" in url:
        parts = urlsplit(url)
        host, path = parts.hostname or "", parts.path
        if parts.port and parts.scheme in ("http", "https"):
            host = f"{host}:{parts.port}"
    elif found := _SCP_LIKE.fullmatch(url):
        host, path = found["host"], found["path"]
    else:
        return None
    host = _ONE_NAME.get(host.lower(), host.lower())
    path = path.strip("/").removesuffix(".git")
    kind = _kind(host)
    return Place(kind, host, path) if kind and "/" in path else None


def _kind(host: str) -> str | None:
    names = host.split(":")[0].split(".")
    if host.endswith(".ghe.com") or "github" in names or host == os.environ.get("GH_HOST"):
        return "github"
    if "gitlab" in names or host == os.environ.get("GITLAB_HOST"):
        return "gitlab"
    return None


class Forge:
    """A repository on a forge that can be talked to: its program is installed."""

    def __init__(self, place: Place, directory: Path) -> None:
        self.place, self.directory = place, directory
        self.program = "gh" if place.kind == "github" else "glab"

    @property
    def present(self) -> bool:
        return shutil.which(self.program) is not None

    def find(self, branch: str, base: str) -> list[Found]:
        """The requests from ``branch`` to ``base``, the newest first. Br3Error when the program fails."""
        if self.place.kind == "github":
            fields = "url,state,headRefOid,isCrossRepository"
            words = ("--head", branch, "--base", base, "--state", "all", "--limit", str(_MOST), "--json", fields)
            listed = self._json("pr", "list", "--repo", self._repo, *words)
            return [
                Found(item["url"], item["state"].lower(), item.get("headRefOid"))
                for item in listed
                if not item.get("isCrossRepository")
            ]
        query = urlencode({"source_branch": branch, "target_branch": base, "state": "all", "per_page": _MOST})
        listed = self._json("api", "--hostname", self.place.host, f"{self._merge_requests}?{query}")
        states = {"opened": "open", "locked": "open"}
        return [
            Found(item["web_url"], states.get(item["state"], item["state"]), item.get("sha"))
            for item in listed
            if item.get("source_project_id") == item.get("target_project_id")
        ]

    def open(self, branch: str, base: str, title: str, text: str) -> str:
        """Open a request and return its address. Br3Error when the program fails."""
        if self.place.kind == "github":
            about = ("--base", base, "--head", branch, "--title", title, "--body-file", "-")
            return self._run("pr", "create", "--repo", self._repo, *about, input=text).strip().split("\n")[-1]
        asked = {"source_branch": branch, "target_branch": base, "title": title, "description": text}
        words = ("--method", "POST", "--header", "Content-Type: application/json", "--input", "-")
        answer = self._json("api", "--hostname", self.place.host, self._merge_requests, *words, input=json.dumps(asked))
        return str(answer["web_url"])

    @property
    def _repo(self) -> str:
        return f"{self.place.host}/{self.place.path}"

    @property
    def _merge_requests(self) -> str:
        return f"projects/{quote(self.place.path, safe='')}/merge_requests"

    def _json(self, *words: str, input: str | None = None) -> Any:
        answer = self._run(*words, input=input)
        try:
            return json.loads(answer or "[]")
        except ValueError as error:
            raise Br3Error(f"{self.program} {words[0]} answered what is no JSON: {answer[:200]!r}") from error

    def _run(self, *words: str, input: str | None = None) -> str:
        done = subprocess.run(
            [self.program, *words],
            cwd=self.directory,
            env=_environment(),
            input=None if input is None else input.encode(errors="replace"),
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}"
            raise Br3Error(f"{self.program} {' '.join(words[:2])} failed: {said}")
        return done.stdout.decode(errors="replace")


def _environment() -> dict[str, str]:
    quiet = {"GH_PROMPT_DISABLED": "1", "GH_NO_UPDATE_NOTIFIER": "1", "NO_PROMPT": "1", "NO_COLOR": "1"}
    return {**{k: v for k, v in scrubbed(os.environ).items() if k not in PRIVATE}, **quiet}


def standing_for(found: Sequence[Found], commit: CommitId) -> Found | None:
    """The request that stands for a branch at ``commit``: an open one, or one that ended with this very commit."""
    still_open = next((request for request in found if request.state == "open"), None)
    return still_open or next((request for request in found if request.commit == commit), None)
