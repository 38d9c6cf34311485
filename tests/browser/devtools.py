"""Drive a headless Chromium through its debugging pipe: JSON messages, a zero byte after each."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless",
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
PATIENCE_S = 60.0


class BrowserError(RuntimeError):
    """The browser is missing, did not answer, or refused a command."""


class Browser:
    """A Chromium of its own, with an empty profile, ended on leaving the context."""

    def __init__(self) -> None:
        program = next((path for name in NAMES if (path := shutil.which(name))), None)
        if program is None:
            raise BrowserError(f"no browser found, looked for {', '.join(NAMES)}")
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        read_commands, self._to = os.pipe()
        self._from, write_answers = os.pipe()
        # Chromium reads commands from descriptor 3 and answers on 4; the shell puts them there.
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        profile = [f"--user-data-dir={self._profile.name}", "about:blank"]
        place = f'exec "$@" 3<&{read_commands} 4>&{write_answers}'
        self._process = subprocess.Popen(
            ["bash", "-c", place, "browser", program, *FLAGS, *sandbox, *profile],
            pass_fds=(read_commands, write_answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_commands)
        os.close(write_answers)
        self._buffer = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._to)
        try:
            self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._from)
        self._profile.cleanup()

    def page(self) -> Page:
        """A new tab."""
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        attached = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})
        return Page(self, attached["sessionId"])

    def call(
        self, method: str, parameters: dict[str, Any] | None = None, session: str | None = None
    ) -> dict[str, Any]:
        """Send a command and wait for its answer; events on the way are kept."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": parameters or {}}
        if session:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        answer = self.wait(lambda item: item.get("id") == number, method)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error'].get('message')}")
        result: dict[str, Any] = answer["result"]
        return result

    def wait(self, wanted: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """Read messages until the wanted one; `what` names it in the error if it never comes."""
        end = time.monotonic() + PATIENCE_S
        while True:
            *whole, self._buffer = self._buffer.split(b"\0")
            for i, text in enumerate(whole):
                message: dict[str, Any] = json.loads(text)
                if "id" not in message:
                    self.events.append(message)
                if wanted(message):
                    self._buffer = b"\0".join([*whole[i + 1 :], self._buffer])
                    return message
            left = end - time.monotonic()
            if left <= 0.0 or not select.select([self._from], [], [], left)[0]:
                raise BrowserError(f"the browser did not answer within {PATIENCE_S:g} s: {what}")
            data = os.read(self._from, 1 << 16)
            if not data:
                raise BrowserError(f"the browser ended before it answered: {what}")
            self._buffer += data


class Page:
    """One tab."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A DevTools command to this tab."""
        return self._browser.call(method, parameters, self._session)

    def view(self, width: int, height: int, scheme: str, *, mobile: bool) -> None:
        """Set the size of the window and the colour scheme that the reader prefers."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if mobile else 1,
            mobile=mobile,
        )
        self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )

    def open(self, url: str) -> list[dict[str, Any]]:
        """Load an address to the end; gives the events on the way."""
        self._browser.events.clear()
        answer = self.call("Page.navigate", url=url)
        if "errorText" in answer:
            raise BrowserError(f"{url}: {answer['errorText']}")
        if not any(event["method"] == "Page.loadEventFired" for event in self._browser.events):
            self._browser.wait(lambda item: item.get("method") == "Page.loadEventFired", url)
        self.evaluate("document.fonts.ready.then(() => 0)")
        return list(self._browser.events)

    def evaluate(self, expression: str) -> Any:
        """Value of a JavaScript expression in the page, a promise awaited."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise BrowserError(f"{expression[:60]}: {answer['exceptionDetails'].get('text')}")
        return answer["result"].get("value")
