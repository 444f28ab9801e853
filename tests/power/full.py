#!/usr/bin/env python3
"""A full disk in the middle of work: ingest answers 503, queries go on, and when there is room everything resumes by
itself, without a restart; what was acknowledged is counted exactly once. Some moments are followed by kill -9 while the
disk is full.

Usage: full.py (--shim LIBPOWER | --tmpfs) [--moments N] [--seed N] [--small]
  --shim   the disk is full while a file exists (tests/power/power_shim.c)
  --tmpfs  a small file system, filled by another file; needs the right to mount
"""
import argparse
import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "crash"))
import crash  # noqa: E402

PATIENCE_SECONDS = 150
ANSWER_SECONDS = 20


class Shim:
    def __init__(self, path, folder):
        self.flag = folder / "full"
        self.env = {"LD_PRELOAD": path, "TARN_POWER_FOLDER": str(folder / "state"), "TARN_POWER_FULL": str(self.flag)}

    def fill(self, _rng):
        self.flag.touch()

    def make_room(self):
        self.flag.unlink(missing_ok=True)

    def is_full(self):
        return self.flag.exists()

    def describe(self):
        return f"simulated; full: {self.flag.exists()}"


class Tmpfs:
    """All but some KiB of the file system are taken by a file."""

    STEP = 1 << 20

    def __init__(self, folder):
        self.filler, self.env = folder / "filler", {}

    def free(self):
        info = os.statvfs(self.filler.parent)
        return info.f_bavail * info.f_frsize

    def fill(self, rng):
        """In steps: tarn writes meanwhile, and of one request that does not fit as a whole tmpfs keeps nothing."""
        left, step, size = rng.choice([0, 4096, 65536, 300000]), self.STEP, 0
        with open(self.filler, "wb") as file:
            while step >= 4096 and self.free() > left:
                try:
                    more = min(max(self.free() - left, 1), step)
                    os.posix_fallocate(file.fileno(), size, more)
                    size += more
                except OSError:
                    step //= 2
        assert size > 0, "nothing was left to be filled"

    def make_room(self):
        self.filler.unlink(missing_ok=True)

    def is_full(self):
        return self.filler.exists()

    def describe(self):
        size = self.filler.stat().st_size if self.filler.exists() else 0
        return f"{self.free()} bytes are free; others took {size}"


def try_post(driver, tarn):
    """None when the batch was taken; what was answered when the disk is full."""
    try:
        driver.post(tarn)
        return None
    except AssertionError as error:
        assert str(error).startswith("503"), error
        return str(error)


def is_refused(driver, tarn, disk):
    """A post that was written and could not be synced is not answered before there is room: it has to be made then."""
    room = threading.Timer(ANSWER_SECONDS, disk.make_room)
    room.start()
    answer = try_post(driver, tarn)
    room.cancel()
    room.join()
    return answer is not None or not disk.is_full()


def what_is_there(driver, tarn, disk):
    """What tells a disk that is full indeed from a server that does not go on."""
    lines = [disk.describe(), "/readyz: {} {!r}".format(*tarn.request("GET", "/readyz"))]
    for path in sorted(driver.state.parent.rglob("*")):
        with contextlib.suppress(FileNotFoundError):  # tarn goes on
            lines.append(f"{path.stat().st_size:>10} bytes, {path.stat().st_blocks // 2:>6} KiB: {path}")
    for path in (driver.state.with_suffix(".log"), driver.state / "db" / "LOG"):
        lines.append(f"end of {path.name}:\n" + path.read_text(errors="replace")[-3000:])
    return "\n".join(lines)


def one_moment(driver, disk, tarn):
    """Fills the disk, meets it, makes room. Returns the server, another one after kill -9."""
    rng = driver.rng
    for _ in range(rng.randint(1, 8)):
        driver.post(tarn)
    disk.fill(rng)
    count = 0
    while not is_refused(driver, tarn, disk):
        count += 1
        assert count < 500, "the disk is full, and posts are answered 200"
    tarn.sql("SELECT COUNT(*) FROM by_key", fresh=False)
    if rng.random() < 0.25:
        tarn.kill()
        disk.make_room()
        tarn = driver.server(env=disk.env)
        driver.must_start(tarn)
    disk.make_room()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while answer := try_post(driver, tarn):
        if time.monotonic() >= deadline:
            raise AssertionError(f"there is room, and posts are still refused: {answer}\n"
                                 + what_is_there(driver, tarn, disk))
        time.sleep(0.1)  # as Retry-After asks of a client, only shorter
    crash.reconcile(tarn, driver.model)
    return tarn


def run(options, folder, disk):
    driver = crash.Driver(argparse.Namespace(seed=options.seed, small=options.small, events=0, power=None), folder)
    # little buffers for every server: a WAL of the default size takes 48 MiB of the disk in advance
    driver.settings.update({"store.reserve.bytes": "0", "store.write.buffer.bytes": "1m"})
    try:
        tarn = driver.server(env=disk.env)
        driver.must_start(tarn)
        for _ in range(options.moments):
            tarn = one_moment(driver, disk, tarn)
        assert tarn.stop() == 0, "exit status after SIGTERM"
        text = driver.finish()
    finally:
        driver.last.kill_if_running()  # after a failure
    print(f"{options.moments} times full, {driver.sent} events, exact; {text.strip().splitlines()[-1]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shim", metavar="LIBPOWER")
    parser.add_argument("--tmpfs", action="store_true")
    parser.add_argument("--moments", type=int, default=30 if os.environ.get("TARN_TEST_FULL") else 8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    print(f"seed {options.seed}")
    with tempfile.TemporaryDirectory(prefix="tarn-full-") as name:
        folder = pathlib.Path(name)
        if not options.tmpfs:
            run(options, folder, Shim(options.shim, folder))
            return
        mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tarn-test", name]
        if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
            print("skipped: no right to mount a file system here; the same is tested with --shim")
            sys.exit(77)
        try:
            run(options, folder, Tmpfs(folder))
        finally:
            subprocess.run(["umount", "-l", name], check=True)


if __name__ == "__main__":
    main()
