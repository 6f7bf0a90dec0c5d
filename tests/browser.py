"""Headless Chromium, led through its debugging pipe: no driver and no package beside the browser itself."""

import base64
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or ""


class Page:
    """A tab; errors that the page logs are in `logged`, what it asks for in `requested`."""

    def __init__(self, browser: "Browser", session: str) -> None:
        self._browser, self._session = browser, session
        self.logged: list[str] = []
        self.requested: list[str] = []
        browser.pages[session] = self
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        return self._browser.send(method, params, self._session)

    def open(self, url: str) -> None:
        self.send("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, script: str) -> Any:
        """The value of an expression; a promise is awaited."""
        answer = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"].get("exception", answer["exceptionDetails"]))
        return answer["result"].get("value")

    def wait(self, condition: str, seconds: float = 30) -> None:
        """Until a condition holds, looked at once a picture of the page."""
        script = f"""new Promise((done, fail) => {{
            const end = performance.now() + {1000 * seconds};
            const look = () => {{
                if ({condition}) done(true);
                else if (performance.now() > end) fail(new Error("never: " + {json.dumps(condition)}));
                else setTimeout(look, 20);
            }};
            look();
        }})"""
        self.run(script)

    def size(self, width: int, height: int, scale: float = 1, *, dark: bool = False) -> None:
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def move(self, x: float, y: float) -> None:
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str) -> None:
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        code = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowRight": 39}.get(key, 0)
        self.send("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        data = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))


class Browser:
    """A browser process."""

    def __init__(self, folder: str) -> None:
        (theirs, self._out), (self._in, ours) = os.pipe(), os.pipe()
        command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
        command += [f"--user-data-dir={folder}", "--no-first-run", "--disable-background-networking", "about:blank"]

        def pass_pipes() -> None:  # Chromium reads commands from 3 and answers on 4, which either pipe may be by chance
            commands, answers = (fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (theirs, ours))
            os.dup2(commands, 3)
            os.dup2(answers, 4)

        null = subprocess.DEVNULL
        self.process = subprocess.Popen(command, preexec_fn=pass_pipes, close_fds=False, stdout=null, stderr=null)
        os.close(theirs)
        os.close(ours)
        self.pages: dict[str, Page] = {}
        self._last, self._buffer = 0, b""

    def page(self) -> Page:
        target = self.send("Target.createTarget", {"url": "about:blank"})["targetId"]
        return Page(self, self.send("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"])

    def send(self, method: str, params: dict[str, Any], session: str = "") -> dict[str, Any]:
        self._last += 1
        said = {"id": self._last, "method": method, "params": params} | ({"sessionId": session} if session else {})
        os.write(self._out, json.dumps(said).encode() + b"\0")
        while True:
            heard = self._hear()
            if heard.get("id") == self._last:
                if "error" in heard:
                    raise AssertionError(f"{method}: {heard['error']}")
                return dict(heard["result"])
            self._note(heard)

    def _hear(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            data = os.read(self._in, 1 << 20)
            if not data:
                raise AssertionError("the browser ended")
            self._buffer += data
        one, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(one))

    def _note(self, event: dict[str, Any]) -> None:
        page, params = self.pages.get(event.get("sessionId", "")), event.get("params", {})
        if page is None:
            return
        if event["method"] == "Runtime.exceptionThrown":
            page.logged.append(str(params["exceptionDetails"]))
        if event["method"] == "Log.entryAdded" and params["entry"]["level"] == "error":
            page.logged.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        if event["method"] == "Network.requestWillBeSent":
            page.requested.append(params["request"]["url"])


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with an empty profile, closed at the end."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        browser = Browser(folder)
        try:
            yield browser
        finally:
            browser.process.terminate()
            browser.process.wait(30)
