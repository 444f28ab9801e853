#!/usr/bin/env python3
"""The README's section "Beside Kafka", run as written against a real broker (its address apart)."""
import pathlib
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from kafka_server import Cluster  # noqa: E402
from tarn_server import ROOT, Server  # noqa: E402


def main():
    found = dict(re.findall(r"<!-- test: (\S+) -->\n```\w*\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.S))
    with tempfile.TemporaryDirectory(prefix="tarn-kafka-") as name, Cluster(pathlib.Path(name) / "kafka") as kafka:
        folder = pathlib.Path(name)

        def shell(text):
            done = subprocess.run(["bash", "-euc", text.replace("127.0.0.1:9092", kafka.bootstrap)], capture_output=True,
                                  text=True, timeout=60, cwd=folder)
            assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
            return done.stdout

        (folder / "pipeline.sql").write_text(found["pipeline.sql"])
        command = found["kafka-run"].strip().splitlines()[-1]
        assert command == ("build/tarn run pipeline.sql --state ./state --listen 127.0.0.1:8090 --set "
                           "kafka.bootstrap.servers=127.0.0.1:9092"), command
        with Server(folder / "pipeline.sql", folder / "state", {"kafka.bootstrap.servers": kafka.bootstrap}) as tarn:
            tarn.wait_ready()
            shell(found["kafka-send"])
            rows = tarn.sql("SELECT song, plays, ms FROM plays_by_song", fresh=True)
            assert rows == [["Believe", 2, 1500]], rows
            deadline = time.monotonic() + 60
            while (got := shell(found["kafka-read"])) != found["kafka-answer"]:  # Kafka's marker follows its answer
                assert time.monotonic() < deadline, got
            assert tarn.stop() == 0
    print("README beside Kafka: fine")


if __name__ == "__main__":
    main()
