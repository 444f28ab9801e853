"""Drives a real Chromium over its DevTools pipe with nothing but Python's standard library.

Why the pipe: it needs no port and no WebSocket client, and the browser ends with it. Only what the page tests need:
open a page, evaluate expressions, wait for one to become true, emulate media and sizes, take screenshots.
"""
import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
         "--disable-dev-shm-usage", "--disable-default-apps", "--metrics-recording-only", "--force-color-profile=srgb"]
NAMES = ["chromium", "chromium-browser", "google-chrome"]


def find_browser():
    """Path of an installed Chromium, or None."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Browser:
    """A headless browser with a fresh profile; one page."""

    def __init__(self, path, limit_s=120):
        self.limit_s = limit_s
        self.profile = tempfile.mkdtemp(prefix="tarn-browser-")
        to_browser, self.out = os.pipe()
        self.into, from_browser = os.pipe()

        def set_pipes():
            # Copies above 4 first: either end may be 3 or 4 itself, and one must not overwrite the other.
            ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 5) for end in (to_browser, from_browser)]
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)

        args = [path, *FLAGS, f"--user-data-dir={self.profile}", "--remote-debugging-pipe", "about:blank"]
        self.process = subprocess.Popen(args, preexec_fn=set_pipes, close_fds=False, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self.number = 0
        self.buffer = b""
        self.events = []
        self.session = None
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(t for t in targets if t["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(domain + ".enable")

    def close(self):
        try:
            self.session = None
            self.call("Browser.close")
        except (OSError, RuntimeError, TimeoutError):
            self.process.kill()
        self.process.wait()
        os.close(self.out)
        os.close(self.into)
        shutil.rmtree(self.profile, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.close()

    def _receive(self, until):
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.into], [], [], max(0, until - time.monotonic()))
            if not ready:
                raise TimeoutError("no answer from the browser")
            data = os.read(self.into, 1 << 16)
            if not data:
                raise RuntimeError("the browser has ended")
            self.buffer += data
        text, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(text)

    def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + self.limit_s
        while True:
            answer = self._receive(until)
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            if "method" in answer:
                self.events.append(answer)

    def open(self, url):
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def eval(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(expression + ": " + json.dumps(result["exceptionDetails"].get("exception", {})))
        return result["result"].get("value")

    def wait(self, expression, limit_s=None):
        """Until the expression is true; asks again whenever the page has had a frame's time."""
        until = time.monotonic() + (limit_s or self.limit_s)
        while True:
            try:
                if self.eval(f"Boolean({expression})"):
                    return
            except RuntimeError:
                pass  # a page that is being loaded has no document yet
            if time.monotonic() > until:
                raise TimeoutError(f"never became true: {expression}")
            self.eval("new Promise((go) => setTimeout(go, 50))")

    def size(self, width, height, is_mobile=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=2 if is_mobile else 1, mobile=is_mobile)

    def media(self, **features):
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": k.replace("_", "-"), "value": v} for k, v in features.items()])

    def key(self, name, code, text="", modifiers=0):
        """modifiers: 2 = Ctrl."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=code, text=text if kind == "keyDown" else "",
                      modifiers=modifiers,
                      windowsVirtualKeyCode={"Tab": 9, "Enter": 13, "Escape": 27, "Space": 32}.get(code, 0))

    def type(self, text):
        self.call("Input.insertText", text=text)

    def screenshot(self, path, is_whole=True):
        picture = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=is_whole)
        with open(path, "wb") as file:
            file.write(base64.b64decode(picture["data"]))

    def problems(self):
        """Errors the page has logged, exceptions and refused or failed loads."""
        self.eval("0")
        found = []
        for event in self.events:
            params = event.get("params", {})
            if event["method"] == "Runtime.exceptionThrown":
                found.append("exception: " + params["exceptionDetails"].get("exception", {}).get("description", "?"))
            elif event["method"] == "Log.entryAdded" and params["entry"]["level"] == "error":
                found.append("log: " + params["entry"]["text"])
            elif event["method"] == "Network.loadingFailed" and not params.get("canceled"):
                found.append("load: " + params.get("errorText", "?"))
        return found

    def requests(self):
        """URLs of all requests the page has made."""
        self.eval("0")
        return [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]
