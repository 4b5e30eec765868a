"""A headless Chromium that is told what to do through a pipe, with the DevTools protocol.

Rule: what the page says on its console, every exception and every request that it makes is kept, so
that a test can ask for silence. No driver program and no port is needed: the browser reads commands
from file descriptor 3 and answers on 4.
"""

from __future__ import annotations

import base64
import json
import os
import re
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_WAIT = 120.0  # seconds; a busy machine is slow, a dead browser is noticed at once


def program() -> str | None:
    """The browser of this machine; ``PODFENCE_CHROMIUM`` names another."""
    named = os.environ.get("PODFENCE_CHROMIUM")
    return named or next(filter(None, map(shutil.which, NAMES)), None)


class PageError(Exception):
    """What was asked of the page has failed there."""


class Browser:
    """One browser with one page; a context manager."""

    def __init__(self, width: int = 1280, height: int = 800) -> None:
        self.console: list[str] = []
        self.requests: list[str] = []
        self.dialogs: list[str] = []  # accepted as they came
        self.own: tuple[str, ...] = ()  # where else a page may fetch from
        self._size = width, height
        self._number = 0
        self._buffer = b""
        self._trace: list[Mapping[str, Any]] = []
        self._is_recorded = True

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(
            prefix="podfence-web-", ignore_cleanup_errors=True
        )
        down, up = os.pipe(), os.pipe()
        self._write, self._read = down[1], up[0]
        path = program()
        assert path is not None
        self._process = subprocess.Popen(
            [
                "nice",
                path,
                "--headless=new",
                "--remote-debugging-pipe",
                "--no-sandbox",
                "--no-first-run",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--hide-scrollbars",
                "--force-device-scale-factor=1",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                f"--window-size={self._size[0]},{self._size[1]}",
                f"--user-data-dir={self._folder.name}",
            ],
            pass_fds=(3, 4),
            preexec_fn=lambda: _as_three_and_four(down[0], up[1]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(down[0])
        os.close(up[1])
        try:
            self._attach()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _attach(self) -> None:
        self._session = ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.resize(*self._size)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._write)
        os.close(self._read)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    # -- what a person does

    def resize(self, width: int, height: int, scale: int = 1) -> None:
        """The window's size, in CSS pixels. ``scale``: pixels of the screen for one of those."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=False,
        )

    @contextmanager
    def running_first(self, script: str) -> Iterator[None]:
        """What runs in each page before its own scripts; "" for nothing."""
        found = self.call("Page.addScriptToEvaluateOnNewDocument", source=script)
        try:
            yield
        finally:
            identifier = found["identifier"]
            self.call("Page.removeScriptToEvaluateOnNewDocument", identifier=identifier)

    def theme(self, name: str, *, forced: bool = False) -> None:
        """``light`` or ``dark``, as the system would say. ``forced``: it also sets all colours, as
        for high contrast."""
        features = [
            {"name": "prefers-color-scheme", "value": name},
            {"name": "forced-colors", "value": "active" if forced else "none"},
        ]
        self.call("Emulation.setEmulatedMedia", features=features)

    def open(self, path: Path, fragment: str = "") -> None:
        """A file, until its page has said that it is ready, or why not."""
        self.visit(f"{path.resolve().as_uri()}{fragment}")

    def leave(self, *, refused: bool = False) -> None:
        """The page is gone, and asks nobody for anything any more. ``refused``: something of it was
        refused on purpose, or could not be reached; what the browser said of that is forgotten."""
        self.call("Page.navigate", url="about:blank")
        self.wait("location.href === 'about:blank'")
        if refused:
            self.console.clear()

    def visit(self, address: str) -> None:
        """The same of any address."""
        self.leave()
        self.call("Page.navigate", url=address)
        self.wait("document.documentElement?.dataset.state !== undefined")

    def go(self, fragment: str) -> None:
        """Another state of the same page."""
        self.run(f"location.hash = {json.dumps(fragment)}")
        self.settle()

    def press(self, *keys: str) -> None:
        """Keys one after the other, by their names: ``Tab``, ``Enter``, ``Control+ArrowRight``."""
        for each in keys:
            *modifiers, key = each.split("+") if each != "+" else [each]
            code = {"Control": 2, "Shift": 8, "Alt": 1}
            mask = sum(code[name] for name in modifiers)
            event: dict[str, Any] = {"key": key, "modifiers": mask}
            if key in _KEY_CODES:
                event |= {
                    "windowsVirtualKeyCode": _KEY_CODES[key],
                    "code": {" ": "Space"}.get(key, key),
                }
            if key == "Enter":
                event["text"] = "\r"
            elif len(key) == 1:
                event["text"] = key
            self.call("Input.dispatchKeyEvent", type="keyDown", **event)
            event.pop("text", None)
            self.call("Input.dispatchKeyEvent", type="keyUp", **event)
        self.settle()

    def click(self, x: float, y: float) -> None:
        """The left button at a point of the window."""
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        self.settle()

    def type(self, text: str) -> None:
        """Text into what has the focus."""
        self.call("Input.insertText", text=text)
        self.settle()

    # -- what a person sees

    def text(self, selector: str = "body") -> str:
        """The text of the first element of a selector, as it is shown; "" where there is none."""
        found = self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")
        return str(found)

    def screenshot(self, path: Path) -> None:
        """The window as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def pdf(self) -> bytes:
        """The page printed."""
        return base64.b64decode(self.call("Page.printToPDF")["data"])

    # -- the page as a program

    def run(self, expression: str) -> Any:
        """The value of an expression in the page; promises are waited for."""
        return self._evaluated(expression)

    def _evaluated(self, expression: str, **where: int) -> Any:
        answer = self.call(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
            **where,
        )
        if "exceptionDetails" in answer:
            raise PageError(json.dumps(answer["exceptionDetails"])[:2000])
        return answer["result"].get("value")

    def run_beside(self, script: str, expression: str) -> Any:
        """The value of an expression after a script, in a world of their own: they see the page's
        elements, and what the page may not do (its CSP) does not bind them."""
        frame = self.call("Page.getFrameTree")["frameTree"]["frame"]["id"]
        world = self.call("Page.createIsolatedWorld", frameId=frame)["executionContextId"]
        self._evaluated(f"{script}; 0", contextId=world)
        return self._evaluated(expression, contextId=world)

    @contextmanager
    def traced(self, *categories: str) -> Iterator[list[Mapping[str, Any]]]:
        """What the browser records meanwhile; all of it is there once this has ended."""
        found: list[Mapping[str, Any]] = []
        self._trace = found
        self.call("Tracing.start", categories=",".join(categories), transferMode="ReportEvents")
        yield found
        self._is_recorded = False
        self.call("Tracing.end")
        while not self._is_recorded:
            self._told(self._next())

    def settle(self) -> None:
        """Until what was asked has been drawn: two frames later."""
        self.run("new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => r(0))))")

    def wait(self, condition: str) -> None:
        """Until an expression is true. It is not while it fails, as it does where an element that
        it names is not there yet, or while a page gives way to another."""
        deadline = time.monotonic() + _WAIT
        while failed := self._failure(condition):
            if time.monotonic() > deadline:
                raise PageError(f"never true: {condition}; {failed}; {self.console}")
            time.sleep(0.02)
        self.settle()

    def _failure(self, condition: str) -> str:
        """Why a condition does not hold; "" where it does."""
        try:
            return "" if self.run(condition) else "false"
        except PageError as error:
            return str(error)

    # -- the protocol

    def call(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        """One command; what is told meanwhile is kept."""
        number = self._send(method, **arguments)
        while True:
            answer = self._next()
            if answer.get("id") == number:
                if "error" in answer:
                    raise PageError(f"{method}: {answer['error']}")
                result: Mapping[str, Any] = answer["result"]
                return result
            self._told(answer)

    def _send(self, method: str, **arguments: Any) -> int:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": arguments}
        if self._session:
            message["sessionId"] = self._session
        _write_all(self._write, json.dumps(message).encode() + b"\0")
        return self._number

    def _next(self) -> Mapping[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], _WAIT)
            piece = os.read(self._read, 1 << 20) if ready else b""
            if not piece:
                raise PageError("the browser has gone silent")
            self._buffer += piece
        text, _, self._buffer = self._buffer.partition(b"\0")
        found: Mapping[str, Any] = json.loads(text)
        return found

    def _told(self, event: Mapping[str, Any]) -> None:
        method, said = event.get("method"), event.get("params", {})
        if method == "Runtime.consoleAPICalled":
            self.console.append(f"{said['type']}: {json.dumps(said['args'])}")
        elif method == "Runtime.exceptionThrown":
            self.console.append(f"exception: {json.dumps(said['exceptionDetails'])[:2000]}")
        elif method == "Log.entryAdded":
            if not is_asked_again(said["entry"]):
                self.console.append(f"{said['entry']['level']}: {said['entry']['text']}")
        elif method == "Page.javascriptDialogOpening":
            self.dialogs.append(str(said["type"]))
            self._send("Page.handleJavaScriptDialog", accept=True)  # its answer is passed over
        elif method == "Tracing.dataCollected":
            self._trace += said["value"]
        elif method == "Tracing.tracingComplete":
            self._is_recorded = True
        elif method == "Network.requestWillBeSent":
            self.requests.append(said["request"]["url"])


def is_asked_again(entry: Mapping[str, Any]) -> bool:
    """The browser logs every answer of 400 and more. Two of them are no fault of the page, which
    asks again: a part of one revision is answered with 409 once the input has changed again, and
    anything with 503 while the server is busy.
    """
    url, text = entry.get("url", ""), entry["text"]
    parts = "about|map|newcomers|findings|tests|rules"
    is_part = re.search(rf"/api/v1/({parts})\?revision=[^&]*$", url) is not None
    is_outdated = is_part and " status of 409 " in text
    return is_outdated or ("/api/v1/" in url and " status of 503 " in text)


def _as_three_and_four(read: int, write: int) -> None:
    """In the new process: the two ends where the browser looks for them, whatever their numbers."""
    copies = os.dup(read), os.dup(write)
    os.dup2(copies[0], 3)
    os.dup2(copies[1], 4)


def _write_all(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]


_KEY_CODES = {
    "Tab": 9,
    "Enter": 13,
    "Escape": 27,
    "End": 35,
    "Home": 36,
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
    "PageUp": 33,
    "PageDown": 34,
    "Backspace": 8,
    " ": 32,
    "Delete": 46,
}
