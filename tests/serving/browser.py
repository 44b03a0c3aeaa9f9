"""A real browser for tests: Chromium without a window, spoken to over a pair of pipes (the DevTools protocol)."""

import base64
import json
import os
import select
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATIENCE_SECONDS = 30.0


def program() -> str | None:
    """Where a Chromium is, if there is one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """A tab. `complaints` holds what the browser wrote to its console: errors, what a policy forbade."""

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back = to, back
        self._number, self._buffer = 0, b""
        self._session: str | None = None
        self.complaints: list[str] = []
        self.asked: list[str] = []  # the addresses that were fetched
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def open(self, url: str, dark: bool = False, width: int = 1200) -> None:
        """Go to an address, with the colours and the width of a person's screen."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._call("Emulation.setEmulatedMedia", features=scheme)
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self._call("Emulation.setDeviceMetricsOverride", **size)
        self._loaded = False
        self._call("Page.navigate", url=url)
        while not self._loaded:
            self._hear(self._next())

    def run(self, script: str) -> object:
        """The value of a script; a promise is awaited."""
        done = self._call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True, userGesture=True
        )
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def until(self, script: str) -> None:
        """Wait until a script is true."""
        wait = f"new Promise(done => {{ const look = () => ({script}) ? done() : setTimeout(look, 20); look(); }})"
        self.run(wait)

    def screenshot(self, path: Path) -> None:
        """The whole page as PNG."""
        data = self._call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))

    def _call(self, method: str, **parameters: object) -> dict:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self._hear(answer)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def _next(self) -> dict:
        while b"\0" not in self._buffer:
            readable, _, _ = select.select([self._back], [], [], PATIENCE_SECONDS)
            assert readable, "the browser does not answer"
            self._buffer += os.read(self._back, 1 << 16)
        said, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(said)

    def _hear(self, event: dict) -> None:
        match event:
            case {"method": "Page.loadEventFired"}:
                self._loaded = True
            case {"method": "Log.entryAdded", "params": {"entry": entry}}:
                self.complaints.append(f"{entry['level']}: {entry['text']}")
            case {"method": "Runtime.exceptionThrown", "params": {"exceptionDetails": details}}:
                self.complaints.append(
                    f"exception: {details['text']} {details.get('exception', {}).get('description')}"
                )
            case {"method": "Runtime.consoleAPICalled", "params": {"type": kind, "args": arguments}}:
                self.complaints.append(f"{kind}: {arguments}")
            case {"method": "Network.requestWillBeSent", "params": {"request": request}}:
                self.asked.append(request["url"])


@contextmanager
def opened(profile: Path) -> Iterator[Page]:
    """A browser with an empty profile in the folder `profile`; it is ended with the test."""
    reads, to = os.pipe()
    back, writes = os.pipe()
    browser = program()
    assert browser
    # Chromium reads from descriptor 3 and writes to 4. In a container it has no sandbox of its own.
    command = f"exec {browser} --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run"
    command += f" --disable-background-networking --disable-component-update --user-data-dir='{profile}'"
    command += f" --remote-debugging-pipe about:blank 3<&{reads} 4>&{writes}"
    process = subprocess.Popen(["bash", "-c", command], pass_fds=(reads, writes), stderr=subprocess.DEVNULL)
    os.close(reads)
    os.close(writes)
    try:
        yield Page(to, back)
    finally:
        os.close(to)
        os.close(back)
        process.terminate()
        process.wait(timeout=PATIENCE_SECONDS)
