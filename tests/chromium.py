"""A headless Chromium, driven over its own protocol (CDP): what the tests of pages need of one.

Real key presses and mouse moves, every request and console message, screens of any size. The
network is cut; a page that asks for anything is found out.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), "")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-dev-shm-usage", "--disable-extensions",
    "--no-proxy-server",
    "--no-first-run", "--hide-scrollbars", "--remote-debugging-port=0", "--remote-allow-origins=*",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip
KEYS = {
    "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Home": 36, "End": 35,
    "Tab": 9, "Enter": 13, "Escape": 27, " ": 32,
}  # fmt: skip
LOCAL = ("file:", "data:", "blob:", "about:")


class Browser:
    """One Chromium; `open` gives pages. Use as a context manager."""

    def __init__(self, profile: Path):
        command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        self.socket = self._connect()
        self.number = 0

    def _connect(self):
        import websocket

        for line in self.process.stderr:
            if "DevTools listening on" in line:
                return websocket.create_connection(line.split()[-1], timeout=600)
        raise RuntimeError("Chromium did not start")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
        self.process.terminate()
        self.process.wait(20)
        self.process.stderr.close()

    def open(self, path: Path, width: int = 1200, height: int = 900, **settings) -> Page:
        """A file in a new page, loaded."""
        return Page(self, width, height, **settings).go(path.as_uri())


class Page:
    """A page: what it says, what it asked for, and hands to use it with."""

    def __init__(self, browser: Browser, width: int, height: int, *, script=True, dark=False):
        self.browser, self.complaints, self.requests, self.events = browser, [], [], []
        target = self._send("Target.createTarget", {"url": "about:blank"}, session=False)
        attach = {"targetId": target["targetId"], "flatten": True}
        self.session = self._send("Target.attachToTarget", attach, session=False)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._send(f"{domain}.enable")
        self._send("Network.emulateNetworkConditions", {
            "offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0,
        })  # fmt: skip
        self.resize(width, height)
        self._send("Emulation.setScriptExecutionDisabled", {"value": not script})
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._send("Emulation.setEmulatedMedia", {"features": [scheme]})

    # -- the protocol ----------------------------------------------------------------------------

    def _send(self, method: str, params: dict | None = None, *, session: bool = True) -> dict:
        browser = self.browser
        browser.number += 1
        message = {"id": browser.number, "method": method, "params": params or {}}
        if session:
            message["sessionId"] = self.session
        browser.socket.send(json.dumps(message))
        while True:
            answer = json.loads(browser.socket.recv())
            if answer.get("id") == browser.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer.get("result", {})
            self._note(answer)

    def _note(self, event: dict) -> None:
        """Keep what a page must not do, and that it has loaded."""
        name, params = event.get("method", ""), event.get("params", {})
        if name == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"][:200])
        elif name == "Log.entryAdded":
            self.complaints.append(params["entry"]["text"])
        elif name == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"]))
        elif name == "Runtime.consoleAPICalled":
            self.complaints.append(json.dumps(params["args"]))
        self.events.append(name)

    # -- looking ---------------------------------------------------------------------------------

    def go(self, url: str) -> Page:
        """Load an address and wait for it."""
        self._send("Page.navigate", {"url": url})
        self.wait("document.readyState === 'complete'")
        return self

    def run(self, script: str):
        """The value of a JavaScript expression; promises are awaited."""
        params = {"expression": script, "returnByValue": True, "awaitPromise": True}
        answer = self._send("Runtime.evaluate", params)
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"])[:2000])
        return answer["result"].get("value")

    def wait(self, condition: str, seconds: float = 30) -> None:
        """Until a JavaScript expression is true."""
        end = time.monotonic() + seconds
        while not self.run(f"Boolean({condition})"):
            if time.monotonic() > end:
                raise TimeoutError(condition)
            time.sleep(0.02)

    def settle(self) -> None:
        """Until two frames were drawn."""
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    @property
    def outside(self) -> list[str]:
        """Requests for anything that is not in the page or beside it."""
        return [url for url in self.requests if not url.startswith(LOCAL)]

    def screenshot(self, path: Path, whole: bool = False) -> None:
        """What is on the screen, or the whole page, as PNG."""
        params = {"captureBeyondViewport": whole}
        if whole:
            size = self._send("Page.getLayoutMetrics")["cssContentSize"]
            params["clip"] = {
                "x": 0,
                "y": 0,
                "width": size["width"],
                "height": size["height"],
                "scale": 1,
            }
        path.write_bytes(base64.b64decode(self._send("Page.captureScreenshot", params)["data"]))

    def pdf(self, path: Path) -> None:
        """The page as it prints."""
        data = self._send("Page.printToPDF", {"printBackground": False})["data"]
        path.write_bytes(base64.b64decode(data))

    # -- using -----------------------------------------------------------------------------------

    def resize(self, width: int, height: int) -> None:
        """Size of the window."""
        self._send("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": False,
        })  # fmt: skip

    def press(self, key: str, times: int = 1) -> None:
        """A key, down and up."""
        text = {"text": "\r"} if key == "Enter" else {"text": " "} if key == " " else {}
        params = {
            "key": key,
            "code": {" ": "Space"}.get(key, key),
            "windowsVirtualKeyCode": KEYS[key],
        }
        for _ in range(times):
            self._send("Input.dispatchKeyEvent", {"type": "keyDown", **params, **text})
            self._send("Input.dispatchKeyEvent", {"type": "keyUp", **params})
        self.settle()

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """Left, top, width and height of an element on the screen, scrolled into view."""
        return tuple(self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center', behavior: 'instant'});"
            "const b = e.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; })()"
        ))  # fmt: skip

    def mouse(self, kind: str, x: float, y: float, pressed: bool = False) -> None:
        """`mouseMoved`, `mousePressed` or `mouseReleased`."""
        button = "none" if kind == "mouseMoved" and not pressed else "left"
        params = {"type": kind, "x": x, "y": y, "button": button, "clickCount": 1}
        self._send("Input.dispatchMouseEvent", params | ({"buttons": 1} if pressed else {}))

    def click(self, selector: str) -> None:
        """In the middle of an element."""
        left, top, width, height = self.box(selector)
        self.drag((left + width / 2, top + height / 2))

    def drag(self, *points: tuple[float, float]) -> None:
        """Press at the first point, release at the last."""
        self.mouse("mouseMoved", *points[0])
        self.mouse("mousePressed", *points[0], pressed=True)
        for point in points[1:]:
            self.mouse("mouseMoved", *point, pressed=True)
        self.mouse("mouseReleased", *points[-1])
        self.settle()

    def close(self) -> None:
        """The page."""
        self._send("Page.close")
