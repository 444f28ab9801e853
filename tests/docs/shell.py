#!/usr/bin/env python3
"""`tarn sql` at a real terminal (a pty): prompt, lines, history, Tab, Ctrl-C, Ctrl-D, errors, wide tables. And what else
stands on the command line: --help of every command, and bash completion, sourced in bash.
"""
import os
import pathlib
import pty
import re
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
import fcntl

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from tarn_server import BINARY, Server  # noqa: E402

PIPELINE = """CREATE STREAM plays (song VARCHAR KEY, listener VARCHAR, seconds INT)
  WITH (KAFKA_TOPIC='plays', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE TABLE plays_by_song AS SELECT song, COUNT(*) AS plays_counted FROM plays GROUP BY song EMIT CHANGES;
"""


class Terminal:
    def __init__(self, command, home, columns=100):
        self.seen = ""
        pid, self.fd = pty.fork()
        if pid == 0:
            os.environ.update(HOME=str(home), TERM="xterm")
            os.execv(command[0], command)
        self.pid = pid
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))

    def expect(self, pattern, seconds=60):
        """Waits until the pattern stands in what came since the last expect; returns what came up to its end."""
        deadline = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self.seen, re.S)
            if found:
                text, self.seen = self.seen[:found.end()], self.seen[found.end():]
                return text
            ready, _, _ = select.select([self.fd], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"no {pattern!r} in {self.seen!r}"
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            assert data, f"the terminal closed before {pattern!r}: {self.seen!r}"
            self.seen += re.sub(r"\r|\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]", "", data.decode(errors="replace"))

    def type(self, text):
        os.write(self.fd, text.encode())

    def end(self):
        """Exit status; reads until the other side is gone."""
        while True:
            try:
                if not os.read(self.fd, 65536):
                    break
            except OSError:
                break
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


def shell(tarn, home, columns=100):
    terminal = Terminal([str(BINARY), "sql", "--url", f"http://{tarn.address}"], home, columns)
    terminal.expect("help shows more")
    terminal.expect("tarn> ")
    return terminal


def editing(tarn, home):
    t = shell(tarn, home)
    t.type("SELECT song, plays_counted\r")
    t.expect("   -> ")
    t.type("FROM plays_by_song ORDER BY song;\r")
    assert "Believe" in t.expect(r"\(2 rows\)"), "a statement of two lines"
    t.expect("tarn> ")
    t.type("\x1b[A")  # arrow up: both lines come back as one
    t.expect("SELECT song, plays_counted FROM plays_by_song ORDER BY song;")
    t.type("\r")
    t.expect(r"\(2 rows\)")
    t.expect("tarn> ")
    t.type("selec\t1 + 1 AS two;\r")  # Tab: keyword, in the case that was begun
    t.expect("select 1")
    assert re.search(r"\b2\n", t.expect(r"\(1 row\)"))
    t.expect("tarn> ")
    t.type("SELECT COUNT(*) FROM plays_b\t;\r")  # Tab: a table
    t.expect("plays_by_song")
    t.expect(r"\(1 row\)")
    t.expect("tarn> ")
    t.type("SELECT plays\t\t")  # two tables and a column: a list
    t.expect("plays_counted")
    t.type("\x03")
    t.expect(r"\^C\n")
    t.expect("tarn> ")
    t.type("SELEC 1;\r")
    assert "SELECT" in t.expect("tarn> "), "an error names the nearest word"
    t.type("SELECT nothing FROM plays_by_song;\r")
    assert "nothing" in t.expect("tarn> ")
    t.type("help\r")
    t.expect("EMIT CHANGES")
    t.expect("tarn> ")
    t.type("\x04")
    assert t.end() == 0
    history = (home / ".tarn_history").read_text()
    assert "plays_by_song" in history, history
    assert (home / ".tarn_history").stat().st_mode & 0o077 == 0, "the history is its owner's"


def cancelling(tarn, home):
    t = shell(tarn, home)
    t.type("\x1b[A")  # history of the session before
    t.expect("nothing FROM plays_by_song;")
    t.type("\x15SELECT * FROM plays_by_song EMIT\tCHANGES;\r".replace("\t", "  "))
    t.expect("EMIT  CHANGES;")
    tarn.request("POST", "/streams/plays", b'{"song":"Perfect","listener":"x","seconds":1}')
    t.expect("Perfect")
    t.type("\x03")
    t.expect("cancelled")
    t.expect("tarn> ")
    six = ", ".join(f"system.metrics {name}" for name in "abcdef")  # hours
    while True:  # one Ctrl-C always does something: before the statement runs it drops the line
        t.type(f"SELECT COUNT(*) AS never FROM {six} WHERE a.name < f.name;\r")
        t.expect("f.name;")
        t.type("\x03")
        is_cancelled = "cancelled" in t.expect(r"cancelled|\^C\n")
        t.expect("tarn> ")
        if is_cancelled:
            break
    t.type("SELECT 1 AS one;\r")
    t.expect(r"\(1 row\)")
    t.expect("tarn> ")
    t.type("quit\r")
    assert t.end() == 0


def wide(tarn, home):
    t = shell(tarn, home, columns=40)
    t.type("SELECT song, 'a long text to fill a line' AS text, plays_counted FROM plays_by_song LIMIT 1;\r")
    t.expect(r"-\[ row 1 \]-")
    t.expect(r"plays_counted \| ")
    t.expect("tarn> ")
    t.type("exit;\r")
    assert t.end() == 0


def run(*arguments, **options):
    done = subprocess.run([str(BINARY), *arguments], capture_output=True, text=True, timeout=60, **options)
    return done.returncode, done.stdout, done.stderr


def command_line(work):
    status, text, _ = run("--help")
    commands = re.findall(r"^  (\w+) ", text, re.M)
    assert status == 0 and {"run", "sql", "verify", "produce"} <= set(commands), text
    for command in commands:
        status, text, errors = run(command, "--help")
        assert status == 0 and text.strip() and not errors, (command, status, text, errors)
    status, _, errors = run("verfy")
    assert status == 2 and "verify" in errors, errors
    status, script, _ = run("completion")
    assert status == 0
    (work / "a.sql").write_text("")

    def complete(line):
        words = line.split(" ")
        quoted = " ".join(f"'{word}'" for word in words)
        bash = (f"{script}\nCOMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; COMP_LINE='{line}'; "
                "_tarn; printf '%s\\n' \"${COMPREPLY[@]}\"")
        done = subprocess.run(["bash", "-c", bash], capture_output=True, text=True, timeout=60, cwd=work)
        assert done.returncode == 0 and not done.stderr, done.stderr
        return set(done.stdout.split())

    assert complete("tarn ver") == {"verify", "version"}, complete("tarn ver")
    assert "--state" in complete("tarn verify --st")
    assert complete("tarn sql --form") == {"--format"}
    assert "csv" in complete("tarn sql --format c"), complete("tarn sql --format c")
    assert "a.sql" in complete("tarn run a"), complete("tarn run a")
    assert "commit.interval.ms=" in complete("tarn run --set commit."), complete("tarn run --set commit.")


def main():
    with tempfile.TemporaryDirectory(prefix="tarn-shell-") as name:
        work = pathlib.Path(name)
        (work / "home").mkdir()
        (work / "pipeline.sql").write_text(PIPELINE)
        command_line(work)
        with Server(work / "pipeline.sql", work / "state") as tarn:
            tarn.request("POST", "/streams/plays", b'{"song":"Believe","listener":"a","seconds":1}')
            tarn.request("POST", "/streams/plays", b'{"song":"Sometimes","listener":"b","seconds":2}')
            tarn.sql("SELECT * FROM plays_by_song", fresh=True)
            editing(tarn, work / "home")
            cancelling(tarn, work / "home")
            wide(tarn, work / "home")


main()
