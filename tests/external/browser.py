"""A headless Chromium, steered over a pipe by its DevTools protocol: no driver, no port, nothing from outside."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.external.agents import EXTERNAL

ROOT = EXTERNAL / "chromium"
MISSING = EXTERNAL / "chromium.missing"
_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")

# Of what a page says while it is looked at. Whatever it would load goes through requestWillBeSent.
_COMPLAINTS = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled", "Security.securityStateChanged")


def why_none() -> str | None:
    """Why there is no browser here; None when there is one."""
    if _program() is not None:
        return None
    said = MISSING.read_text().strip() if MISSING.exists() else "bash tests/external/install fetches one"
    return f"no Chromium here: {said}"


def _program() -> Path | None:
    own = ROOT / "usr" / "lib" / "chromium" / "chromium-headless-shell"
    if own.exists():
        return own
    return next((Path(found) for name in _NAMES if (found := shutil.which(name))), None)


# The protocol is spoken on descriptors 3 and 4; the shells' words for that know no descriptor above 9.
_ON_3_AND_4 = """\
import fcntl, os, sys
commands, answers = (fcntl.fcntl(int(word), fcntl.F_DUPFD, 10) for word in sys.argv[1:3])
os.dup2(commands, 3)
os.dup2(answers, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Page:
    """One page in the browser, and all that it asked for and complained of since it was opened."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session

    @property
    def requests(self) -> list[str]:
        """Every address that was asked for."""
        sent = [e["params"]["request"]["url"] for e in self._events("Network.requestWillBeSent")]
        return [url for url in sent if not url.startswith("data:")]

    @property
    def complaints(self) -> list[Any]:
        """Errors, warnings and whatever else stands on the console."""
        return [event["params"] for name in _COMPLAINTS[:3] for event in self._events(name)]

    def say(self, method: str, **given: Any) -> dict[str, Any]:
        """A command of the protocol, and its answer."""
        return self._browser.say(method, self._session, **given)

    def open(
        self, file: Path, *, width: int = 1280, height: int = 900, dark: bool = False, scripts: bool = True
    ) -> None:
        """Show a file at this width in pixels, and wait until it is there."""
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.say(f"{domain}.enable")
        self.say("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.say("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.say("Emulation.setEmulatedMedia", media="", features=[scheme])
        self.say("Page.navigate", url=file.as_uri())
        self._browser.wait_for("Page.loadEventFired", self._session)

    def value(self, expression: str) -> Any:
        """What an expression gives in the page."""
        answer = self.say("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def screenshot(self, *, whole: bool = False) -> bytes:
        """A PNG of what is seen, or of the whole page."""
        return base64.b64decode(self.say("Page.captureScreenshot", captureBeyondViewport=whole)["data"])

    def printed(self) -> bytes:
        """A PDF of it, on A4."""
        answer = self.say("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, preferCSSPageSize=True)
        return base64.b64decode(answer["data"])

    def _events(self, method: str) -> list[dict[str, Any]]:
        self.say("Page.getLayoutMetrics")  # what was said before this answer has been read
        return [e for e in self._browser.events if e["method"] == method and e.get("sessionId") == self._session]


class Browser:
    """The process, with commands and answers as JSON between NULs."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = os.fdopen(commands, "wb", buffering=0)
        self._answers = os.fdopen(answers, "rb", buffering=0)
        self._rest = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []

    def page(self) -> Page:
        target = self.say("Target.createTarget", url="about:blank")["targetId"]
        return Page(self, self.say("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])

    def say(self, method: str, session: str | None = None, **given: Any) -> dict[str, Any]:
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": given, **({"sessionId": session} if session else {})}
        self._commands.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return dict(answer["result"])

    def wait_for(self, method: str, session: str) -> None:
        """Until an event of this kind has come since it was last waited for."""
        seen = getattr(self, "_waited", 0)
        while True:
            for place in range(seen, len(self.events)):
                event = self.events[place]
                if event["method"] == method and event.get("sessionId") == session:
                    self._waited = place + 1
                    return
            seen = len(self.events)
            self._read()

    def close(self) -> None:
        self._commands.close()
        self._answers.close()

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            more = self._answers.read(1 << 16)
            assert more, "the browser is gone"
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        if "method" in message:
            self.events.append(message)
        return message


@contextmanager
def browser(home: Path) -> Iterator[Browser]:
    """A browser with a profile of its own in ``home``; it ends with the block."""
    program = _program()
    assert program is not None
    to_it, commands = os.pipe()
    answers, from_it = os.pipe()
    words = [
        str(program),
        "--headless",
        "--no-sandbox",  # CI runs as root, where Chromium has none; what it opens is made here
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--no-first-run",
        "--disable-background-networking",
        "--force-color-profile=srgb",
        f"--user-data-dir={home / 'profile'}",
        "--remote-debugging-pipe",
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", _ON_3_AND_4, str(to_it), str(from_it), *words],
        env={**os.environ, **_libraries(), "HOME": str(home)},
        pass_fds=(to_it, from_it),
        stdout=subprocess.DEVNULL,
        stderr=(home / "chromium.log").open("wb"),
        start_new_session=True,
    )
    os.close(to_it)
    os.close(from_it)
    found = Browser(commands, answers)
    try:
        yield found
    finally:
        found.close()
        process.kill()
        process.wait()


def _libraries() -> dict[str, str]:
    """Where the fetched one finds what was fetched with it."""
    if not ROOT.exists():
        return {}
    places = sorted({str(path.parent) for path in (ROOT / "usr" / "lib").rglob("*.so*")})
    fonts = ROOT / "fonts.conf"
    own = {"FONTCONFIG_FILE": str(fonts)} if fonts.exists() else {}
    return {"LD_LIBRARY_PATH": os.pathsep.join([*places, os.environ.get("LD_LIBRARY_PATH", "")]), **own}
