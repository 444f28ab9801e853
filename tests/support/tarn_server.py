"""Starts and ends a tarn for tests: `with Server(pipeline, state) as tarn: tarn.sql("SELECT …")`.

A server listens on a free loopback port, is ready when it prints its ready line, and is ended by its process id. No
sleeps: readiness, ends and freshness are waited for through pipes, wait() and ?fresh=1.
"""
import http.client
import json
import os
import pathlib
import select
import signal
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("TARN_BINARY", ROOT / "build" / "tarn"))
START_SECONDS = 120


class Gone(Exception):
    """The server died under the request."""


class Server:
    def __init__(self, pipeline, state, settings=None, env=None, listen="127.0.0.1:0"):
        self.pipeline, self.state, self.listen = str(pipeline), str(state), listen
        self.settings, self.env = settings or {}, env or {}
        self.process = self.connection = None

    def start(self):
        command = [str(BINARY), "run", self.pipeline, "--state", self.state, "--listen", self.listen]
        for name, value in self.settings.items():
            command += ["--set", f"{name}={value}"]
        self.log = open(f"{self.state}.log", "ab")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log,
                                        env={**os.environ, **self.env})
        line = self._ready_line()
        if line is None:
            return False
        self.address = line.split("http://")[1].strip()
        self.connection = None
        return True

    def _ready_line(self):
        deadline, text = time.monotonic() + START_SECONDS, b""
        while time.monotonic() < deadline:
            ready, _, _ = select.select([self.process.stdout], [], [], deadline - time.monotonic())
            chunk = os.read(self.process.stdout.fileno(), 4096) if ready else b""
            if not chunk:
                break
            text += chunk
            if b"\n" in text:
                return text.decode()
        self.process.wait()
        return None

    def request(self, method, path, body=b"", headers=None):
        """(status, body); Gone when the server died before a full answer."""
        try:
            if self.connection is None or self._is_closed():
                host, port = self.address.rsplit(":", 1)
                self.connection = http.client.HTTPConnection(host, int(port), timeout=120)
            self.connection.request(method, path, body, headers or {})
            answer = self.connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.connection = None
            raise Gone(f"{error}; {self._end()}") from error

    def _is_closed(self):
        """The server has closed the idle connection (http.idle.timeout.ms): before a request nothing else is readable."""
        sock = self.connection.sock
        return sock is not None and bool(select.select([sock], [], [], 0)[0])

    def _end(self):
        """How the process ended, with its last lines; or that it runs."""
        try:
            status = self.process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            return "it still runs"
        text = pathlib.Path(f"{self.state}.log").read_text(errors="replace")
        return f"exit status {status}, its last lines:\n{text[-4000:]}"

    def sql(self, text, fresh=True):
        """Rows as lists; raises on an error answer."""
        status, body = self.request("POST", "/sql?fresh=1" if fresh else "/sql", text.encode(),
                                    {"Accept": "application/json"})
        if status != 200:
            raise AssertionError(f"{status} for {text}: {body.decode(errors='replace')}")
        return json.loads(body)["rows"]

    def wait_ready(self):
        """Until /readyz is 200: joined its group, state restored, inputs followed."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            status, body = self.request("GET", "/readyz")
            if status == 200:
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"not ready: {body.decode()}")
            time.sleep(0.05)  # between two questions; the answer decides

    def kill(self):
        """kill -9 and reap."""
        self.process.send_signal(signal.SIGKILL)
        return self.wait()

    def kill_if_running(self):
        if self.process and self.process.poll() is None:
            self.kill()

    def stop(self):
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self):
        status = self.process.wait(timeout=120)
        self.process.stdout.close()
        self.log.close()
        self.connection = None
        return status

    def __enter__(self):
        if not self.start():
            raise AssertionError("tarn did not start: " + pathlib.Path(f"{self.state}.log").read_text()[-2000:])
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()


def verify(state, application_id):
    """Output of `tarn verify` on a stopped state folder; raises when it finds differences."""
    done = subprocess.run([str(BINARY), "verify", "--state", str(state), "--set",
                           f"application.id={application_id}"], capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise AssertionError(f"verify: {done.stdout}{done.stderr}")
    return done.stdout
