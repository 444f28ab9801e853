#!/usr/bin/env python3
"""A table over a prefix of very many files: 50,000 here, a million with --full. Listing and reading them grows the
process by no more than a stated number of bytes a file, also when it is asked again; a statement that may not have so
much memory is told so by name, and nothing of its list stays."""
import json
import os
import pathlib
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from tarn_server import Server  # noqa: E402

FILES = 1_000_000 if os.environ.get("TARN_TEST_FULL") else 50_000
MIB = 1 << 20
A_FILE = 1200  # bytes of memory that one listed file may cost, besides what is kept of contents
BASE = 64 * MIB
CACHE = 16 * MIB


def memory(tarn, name):
    text = pathlib.Path(f"/proc/{tarn.process.pid}/status").read_text()
    return int(text.split(name + ":")[1].split()[0]) * 1024


def ask(tarn, text):
    status, body = tarn.request("POST", "/sql", text.encode(), {"Accept": "application/json"})
    answer = json.loads(body)
    return answer["rows"] if status == 200 else answer["error"]


def fill(folder):
    """Files of two lines in folders of 10,000, as old as they must be to count as written."""
    for at in range(FILES):
        if at % 10_000 == 0:
            place = folder / f"dt=2026-01-{at // 10_000 % 28 + 1:02d}" / f"h={at // 10_000:03d}"
            place.mkdir(parents=True)
        path = f"{place}/{at:07d}.json"
        with open(path, "wb") as file:
            file.write(b'{"a":%d}\n{"a":%d}\n' % (at, -at))
        os.utime(path, (1_600_000_000, 1_600_000_000))


def main():
    root = pathlib.Path(tempfile.mkdtemp(prefix="tarn-many-"))
    fill(root / "many")
    pipeline = root / "p.sql"
    pipeline.write_text(f"""
CREATE SCHEMA z;
CREATE TABLE z.many (a BIGINT, dt VARCHAR, h VARCHAR) WITH (format='json', external_location='{root}/many/',
  partitioned_by=ARRAY['dt', 'h']);
""")
    squares = 2 * sum(a * a for a in range(FILES))
    budget = BASE + CACHE + FILES * A_FILE
    settings = {"sql.cache.bytes": str(CACHE), "sql.timeout.ms": "600s", "sql.memory.bytes": str(4 << 30)}
    with Server(pipeline, root / "state", settings) as tarn:
        start = memory(tarn, "VmRSS")
        for number in range(3):
            got = ask(tarn, "SELECT count(*), sum(a), sum(a * a), max(a) FROM z.many")
            assert got == [[2 * FILES, 0, squares, FILES - 1]], got
            grown = memory(tarn, "VmHWM") - start
            print(f"{FILES} files, query {number + 1}: grew by at most {grown / MIB:.0f} MiB, "
                  f"allowed are {budget / MIB:.0f}", flush=True)
            assert grown < budget, f"grew by {grown / MIB:.0f} MiB, allowed are {budget / MIB:.0f}"
        got = ask(tarn, "SELECT count(*) FROM z.many WHERE dt = '2026-01-02' AND h = '001'")
        assert got == [[20_000]], got
        first = root / "many" / "dt=2026-01-01" / "h=000" / "0000000.json"
        first.unlink()
        got = ask(tarn, "SELECT count(*) FROM z.many")
        assert got == [[2 * FILES - 2]], got
    settings["sql.memory.bytes"] = str(8 * MIB)
    with Server(pipeline, root / "state", settings) as tarn:
        start = memory(tarn, "VmRSS")
        for _ in range(3):
            error = ask(tarn, "SELECT count(*) FROM z.many")
            assert isinstance(error, dict) and "sql.memory.bytes" in error["message"] + str(error.get("hint")), error
        print("refused:", error["name"], error["message"], error.get("hint"), flush=True)
        grown = memory(tarn, "VmRSS") - start
        assert grown < BASE, f"grew by {grown / MIB:.0f} MiB by refused statements"
    shutil.rmtree(root)


if __name__ == "__main__":
    main()
