#!/usr/bin/env python3
"""The Kafka log passes the log port's conformance test on a real broker."""
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from kafka_server import Cluster, ROOT  # noqa: E402

PROGRAM = os.environ.get("CONFORM_KAFKA", ROOT / "build" / "tests" / "kafka" / "conform_kafka")


def main():
    with tempfile.TemporaryDirectory(prefix="tarn-kafka-") as folder, Cluster(folder) as kafka:
        for seed in ("1", "2"):
            subprocess.run([PROGRAM, kafka.bootstrap, seed], check=True, timeout=300)


if __name__ == "__main__":
    main()
