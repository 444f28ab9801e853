#!/usr/bin/env python3
"""Files of a sink that are larger than what it may hold in memory, and a store that stops answering in the middle of
one. The memory of the process grows by less than BUDGET whatever rotation asks for and however long the store is
away; reading pauses, queries and ingest go on, the upload is gone on with, and every event is in one file. A kill in
the middle gives the same object. With --full the files are of 1 GiB."""
import os
import pathlib
import shutil
import sys
import tempfile
import time
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import fault_proxy as fault  # noqa: E402
from lake_files import BucketStore, FolderStore, Table  # noqa: E402
from radosgw import Radosgw  # noqa: E402
from tarn_server import Server  # noqa: E402

FULL = bool(os.environ.get("TARN_TEST_FULL"))
MIB = 1 << 20
FILE_BYTES = 1024 * MIB if FULL else 140 * MIB  # of the folder; what a sink may hold is 128
S3_BYTES = 1024 * MIB if FULL else 64 * MIB
BUDGET = 80 * MIB  # by which resident memory may grow while the sink writes
PAD = "x" * 4000
ROW = 4096  # about, in a file
POST_ROWS = 1000
STREAM = "CREATE STREAM s (a INT, pad VARCHAR) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);\n"


def fill(tarn, first, count):
    for at in range(first, first + count, POST_ROWS):
        rows = range(at, min(at + POST_ROWS, first + count))
        body = "".join(f'{{"a":{a},"pad":"{PAD}"}}\n' for a in rows).encode()
        status, answer = tarn.request("POST", "/streams/s", body, {"Content-Type": "application/x-ndjson"})
        assert status == 200, answer
    return first + count


def memory(tarn, name):
    text = pathlib.Path(f"/proc/{tarn.process.pid}/status").read_text()
    return int(text.split(name + ":")[1].split()[0]) * 1024


class Peak:
    """Growth of resident memory, its highest point, from now on."""

    def __init__(self, tarn):
        self.tarn = tarn
        pathlib.Path(f"/proc/{tarn.process.pid}/clear_refs").write_text("5")
        self.start = memory(tarn, "VmRSS")

    def check(self, what):
        grown = memory(self.tarn, "VmHWM") - self.start
        print(f"{what}: resident {self.start // MIB} MiB, grew by at most {grown / MIB:.0f} MiB", flush=True)
        assert grown < BUDGET, f"{what}: grew by {grown / MIB:.0f} MiB, allowed are {BUDGET // MIB}"


def wait(tarn, what, condition):
    deadline = time.monotonic() + 600
    names = ("state", "rows", "open_rows", "open_bytes", "error")
    while True:
        row = dict(zip(names, tarn.sql(f"SELECT {', '.join(names)} FROM system.sinks", fresh=False)[0]))
        if condition(row):
            return row
        assert time.monotonic() < deadline, f"{what}: {row}"
        time.sleep(0.05)


def check_table(store, rows, least):
    """Files as the log says, piece by piece; every number once."""
    table = Table(store, "s")
    paths = [file["path"] for file in table.files]
    assert sorted(paths) == table.data, f"objects and log differ: {set(paths) ^ set(table.data)}"
    seen = bytearray(rows)
    for file in table.files:
        body = table.read(file["path"])
        assert len(body) == file["size"] and f"{zlib.crc32(body):08x}" == file["crc32"], file["path"]
        for line in body.splitlines():
            at = line.index(b'"a":') + 4
            seen[int(line[at:line.index(b",", at)])] += 1
        del body
    assert seen == b"\1" * rows, f"{rows - seen.count(1)} of {rows} events are not in exactly one file"
    assert max(file["size"] for file in table.files) >= least, [file["size"] for file in table.files]


def with_clause(size):
    options = {"layout": "change", "compression": "none", "rotate.bytes": str(size), "rotate.records": "0",
               "rotate.idle": "1s", "retry.backoff": "20ms", "retry.backoff.max": "200ms"}
    return ", ".join(f"{name}='{value}'" if name != "rotate.records" else f"{name}={value}"
                     for name, value in options.items())


def folder_case(root):
    """A file of FILE_BYTES and the rest; a kill after the upload, another process makes the same file again."""
    pipeline, state = root / "p.sql", root / "state"
    pipeline.write_text(STREAM)
    rows = FILE_BYTES * 5 // 4 // ROW
    with Server(pipeline, state) as tarn:
        fill(tarn, 0, rows)
    pipeline.write_text(STREAM + f"CREATE SINK k FROM s INTO a.s TO '{root}/lake/s' WITH ({with_clause(FILE_BYTES)});")
    with Server(pipeline, state, env={"TARN_CRASH_POINT": "sink-after-upload"}) as tarn:
        tarn.process.wait(timeout=600)
    first = [path for path in (root / "lake" / "s").iterdir() if path.name.startswith("s-")]
    assert len(first) == 1 and first[0].stat().st_size >= FILE_BYTES, first
    identity = first[0].stat().st_ino
    with Server(pipeline, state) as tarn:
        peak = Peak(tarn)
        wait(tarn, "the folder's files", lambda row: row["rows"] == rows and row["open_rows"] == 0)
        peak.check("large files to a folder")
    assert first[0].stat().st_ino == identity, "the same file was written again"
    assert not list((state / "spool").iterdir()), "the spool is not empty"
    check_table(FolderStore(root / "lake"), rows, FILE_BYTES)


def s3_case(root):
    """The store stops answering at a part in the middle of a file, while more comes in; the upload is gone on with. It
    stops again, and the process is killed: the next one makes the same file, and nothing is left of the upload."""
    pipeline, seen, limit = root / "p.sql", [], [5]

    def stall(exchange):
        part = int(exchange.head.split(b"partNumber=")[1].split(b"&")[0].split(b" ")[0])
        seen.append(part)
        return part >= limit[0] and fault.hang_before(exchange)

    rows = S3_BYTES * 5 // 4 // ROW
    with Radosgw() as gateway, fault.FaultProxy(gateway.host) as proxy:
        gateway.bucket("lake")
        proxy.spoil(stall, query="partNumber", times=-1)
        pipeline.write_text(STREAM)
        settings = {"s3.endpoint": proxy.url, "s3.timeout.ms": "2s", "s3.stall.timeout.ms": "500ms",
                    "s3.retry.backoff.ms": "5", "s3.retry.backoff.max.ms": "50"}
        with Server(pipeline, root / "state", settings, gateway.env) as tarn:
            fill(tarn, 0, rows)
        pipeline.write_text(STREAM + f"CREATE SINK k FROM s INTO a.s TO 's3://lake/s' WITH ({with_clause(S3_BYTES)});")
        with Server(pipeline, root / "state", settings, gateway.env) as tarn:
            peak = Peak(tarn)
            wait(tarn, "the stall is told", lambda row: row["state"] == "RETRYING" and 5 in seen)
            more = fill(tarn, rows, 8 * MIB // ROW)
            assert tarn.sql("SELECT count(*), max(a) FROM s") == [[more, more - 1]]
            row = wait(tarn, "reading pauses", lambda row: row["state"] == "RETRYING")
            assert row["rows"] == 0 and row["open_bytes"] < S3_BYTES + 32 * MIB, row
            limit[0] = 7
            wait(tarn, "the second stall", lambda row: row["state"] == "RETRYING" and 7 in seen)
            assert min(seen[seen.index(5):]) == 5, f"the upload began again: {seen}"
            peak.check("large files to a store that stalls")
            tarn.kill()
        limit[0] = 1 << 30
        with Server(pipeline, root / "state", settings, gateway.env) as tarn:
            peak = Peak(tarn)
            wait(tarn, "caught up", lambda row: row["rows"] == more and row["open_rows"] == 0)
            peak.check("the same again after a kill")
        _, _, uploads = gateway.s3.request("GET", "/lake", [("uploads", "")])
        assert b"<Upload>" not in uploads, uploads
        check_table(BucketStore(gateway, "lake"), more, S3_BYTES)


def main():
    for case in (folder_case, s3_case):
        root = pathlib.Path(tempfile.mkdtemp(prefix="tarn-large-"))
        case(root)
        shutil.rmtree(root)
        print(f"{case.__name__}: ok", flush=True)


if __name__ == "__main__":
    main()
