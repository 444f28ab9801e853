#!/usr/bin/env python3
"""A full disk in the middle of work: ingest answers 503, queries go on, and when there is room everything resumes by
itself, without a restart; what was acknowledged is counted exactly once. Some moments are followed by kill -9 while the
disk is full.

Usage: full.py (--shim LIBPOWER | --tmpfs) [--moments N] [--seed N] [--small]
  --shim   the disk is full while a file exists (tests/power/power_shim.c)
  --tmpfs  a small file system, filled by another file; needs the right to mount
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "crash"))
import crash  # noqa: E402

PATIENCE_SECONDS = 150


class Shim:
    def __init__(self, path, folder):
        self.flag = folder / "full"
        self.env = {"LD_PRELOAD": path, "TARN_POWER_FOLDER": str(folder / "state"), "TARN_POWER_FULL": str(self.flag)}

    def fill(self, _rng):
        self.flag.touch()

    def make_room(self):
        self.flag.unlink(missing_ok=True)


class Tmpfs:
    """All but some KiB of the file system are taken by a file."""

    def __init__(self, folder):
        self.filler, self.env = folder / "filler", {}

    def fill(self, rng):
        left = rng.choice([0, 4096, 65536, 300000])
        info = os.statvfs(self.filler.parent)
        with open(self.filler, "wb") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, max(info.f_bavail * info.f_frsize - left, 1))
            except OSError:
                pass  # what fitted is taken

    def make_room(self):
        self.filler.unlink(missing_ok=True)


def try_post(driver, tarn):
    """True when the batch was taken; False when the disk is full."""
    try:
        driver.post(tarn)
        return True
    except AssertionError as error:
        assert str(error).startswith("503"), error
        return False


def one_moment(driver, disk, tarn):
    """Fills the disk, meets it, makes room. Returns the server, another one after kill -9."""
    rng = driver.rng
    for _ in range(rng.randint(1, 8)):
        driver.post(tarn)
    disk.fill(rng)
    count = 0
    while try_post(driver, tarn):
        count += 1
        assert count < 3000, "the disk is full, and posts are answered 200"
    tarn.sql("SELECT COUNT(*) FROM by_key", fresh=False)
    if rng.random() < 0.25:
        tarn.kill()
        disk.make_room()
        tarn = driver.server(driver.extra, disk.env)
        driver.must_start(tarn)
    disk.make_room()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not try_post(driver, tarn):
        assert time.monotonic() < deadline, "there is room, and posts are still refused"
        time.sleep(0.1)  # as Retry-After asks of a client, only shorter
    crash.reconcile(tarn, driver.model)
    return tarn


def run(options, folder, disk):
    driver = crash.Driver(argparse.Namespace(seed=options.seed, small=options.small, events=0, power=None), folder)
    driver.extra = {"store.reserve.bytes": "0", "store.write.buffer.bytes": "1m"}
    tarn = driver.server(driver.extra, disk.env)
    driver.must_start(tarn)
    try:
        for _ in range(options.moments):
            tarn = one_moment(driver, disk, tarn)
    except crash.Gone:
        status = tarn.wait()
        raise AssertionError(f"tarn ended ({status}): " + driver.state.with_suffix(".log").read_text()[-2000:])
    assert tarn.stop() == 0, "exit status after SIGTERM"
    text = driver.finish()
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
