"""A headless Chromium that tests drive over its own protocol, through a pipe: no driver, no port, no other package."""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PATH = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome") or ""


class Chromium:
    """One tab.

    Args:
        width, height: of the window, CSS pixels.
        dark: whether the page is asked for dark colours.
        downloads: where files go that a page saves.
    """

    def __init__(self, width: int = 1280, height: int = 900, *, dark: bool = False, downloads: Path | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        self._number, self._buffer = 0, b""
        self.events: list[dict[str, Any]] = []
        self._process, self._to, self._from = _started(self._folder.name, width, height)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Performance"):
            self.call(f"{domain}.enable")
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        if downloads:
            self.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._to)
        os.close(self._from)
        self._folder.cleanup()

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """The answer to one command of the protocol. Raises RuntimeError for a refusal, and after a minute without an answer."""
        self._number += 1
        asked: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if hasattr(self, "_session"):
            asked["sessionId"] = self._session
        os.write(self._to, json.dumps(asked).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return dict(answer["result"])
            self.events.append(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not select.select([self._from], [], [], 60)[0]:
                raise RuntimeError("Chromium is silent")
            self._buffer += os.read(self._from, 1 << 20)
        line, self._buffer = self._buffer.split(b"\0", 1)
        return dict(json.loads(line))

    def open(self, page: Path | str, ready: str = "true") -> None:
        """Open a page, and wait until the expression holds in it."""
        self.call("Page.navigate", url=page if isinstance(page, str) else page.resolve().as_uri())
        self.until(f"document.readyState === 'complete' && Boolean({ready})")

    def js(self, expression: str) -> Any:
        """The value of an expression, awaited. Raises RuntimeError with what it threw."""
        found = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(json.dumps(found["exceptionDetails"])[:2000])
        return found["result"].get("value")

    def until(self, expression: str, seconds: float = 30) -> None:
        """Wait until an expression holds. Raises RuntimeError if it never does."""
        end = time.monotonic() + seconds
        while not self.js(f"Boolean({expression})"):
            if time.monotonic() > end:
                raise RuntimeError(f"never came true: {expression}; {self.troubles()}")
            time.sleep(0.02)

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """`pressed`, `moved` or `released` at a point of the window."""
        button = {"button": "left", "buttons": 0 if kind == "released" else 1, "clickCount": 1} if "button" not in more else {}
        self.call("Input.dispatchMouseEvent", type=f"mouse{kind.capitalize()}", x=x, y=y, **{**button, **more})

    def click(self, selector: str) -> None:
        """Click the middle of the first element that matches."""
        x, y = self.middle(selector)
        for kind in ("pressed", "released"):
            self.mouse(kind, x, y)

    def middle(self, selector: str) -> tuple[float, float]:
        """The middle of an element in the window; it is scrolled into view."""
        box = self.js(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: 'center', "
            "behavior: 'instant'}); const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        return float(box[0]), float(box[1])

    def key(self, name: str, text: str = "", shift: bool = False) -> None:
        """Press and release a key, by the name that the page sees."""
        same = {"key": name, "modifiers": 8 if shift else 0, "windowsVirtualKeyCode": _CODES.get(name, 0)}
        self.call("Input.dispatchKeyEvent", type="keyDown", **same, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **same)

    def heap(self) -> int:
        """Bytes of the page's heap in use, after a collection, with what its arrays hold beside it."""
        self.call("HeapProfiler.collectGarbage")
        found = self.call("Runtime.getHeapUsage")
        return int(found["usedSize"] + found.get("backingStorageSize", 0) + found.get("embedderHeapUsedSize", 0))

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Write what the window shows, or the whole page."""
        more = {"captureBeyondViewport": True} if whole else {}
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png", **more)["data"]))

    def requests(self) -> list[str]:
        """The addresses that the page asked for so far."""
        self.js("0")
        sent = [e["params"]["request"]["url"] for e in self.events if e.get("method") == "Network.requestWillBeSent"]
        return [str(url) for url in sent]

    def troubles(self) -> list[str]:
        """What was thrown in the page or told as an error, as JSON."""
        self.js("0")
        bad = [e for e in self.events if e.get("method") == "Runtime.exceptionThrown"]
        bad += [e for e in self.events if e.get("method") == "Runtime.consoleAPICalled" and e["params"]["type"] == "error"]
        return [json.dumps(event["params"])[:500] for event in bad]


_CODES = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}


def _started(folder: str, width: int, height: int) -> tuple["subprocess.Popen[bytes]", int, int]:
    """The process, and the ends of the pipes to and from it: Chromium reads from descriptor 3 and writes to 4."""
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--mute-audio", "--hide-scrollbars"]
    command = [PATH, *flags, "--remote-debugging-pipe", f"--window-size={width},{height}", f"--user-data-dir={folder}"]
    shell = f'exec "$@" 3<&{to_read} 4>&{from_write}'
    process = subprocess.Popen(
        ["bash", "-c", shell, "chromium", *command],
        pass_fds=(to_read, from_write),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_read)
    os.close(from_write)
    return process, to_write, from_read
