#!/usr/bin/env python3
"""TLS and SASL/SCRAM: tarn works through them; a wrong password, an unknown authority and a missing one are refused at the
start with one line that names the thing and the setting, and without the secret."""
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from kafka_server import Cluster  # noqa: E402
from tarn_server import BINARY, Server  # noqa: E402

PIPELINE = """
CREATE STREAM plays (song VARCHAR KEY, ms INT)
  WITH (KAFKA_TOPIC='plays', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON', PARTITIONS=2);
CREATE TABLE by_song AS SELECT song, COUNT(*) AS n FROM plays GROUP BY song;
"""


def given(kafka, **other):
    return {
        "application.id": "secure",
        "kafka.bootstrap.servers": kafka.secure_bootstrap,
        "kafka.security.protocol": "SASL_SSL",
        "kafka.sasl.mechanism": "SCRAM-SHA-256",
        "kafka.sasl.username": kafka.user,
        "kafka.sasl.password": kafka.password,
        "kafka.ssl.ca.location": kafka.certificate,
        **other,
    }


def refused(folder, settings, *words):
    command = [str(BINARY), "run", str(folder / "pipeline.sql"), "--state", str(folder / "refused")]
    for name, value in settings.items():
        if value is not None:
            command += ["--set", f"{name}={value}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    text = done.stdout + done.stderr
    assert done.returncode == 2, (done.returncode, text)
    lines = [line for line in done.stderr.splitlines() if line.startswith("tarn: ")]
    assert len(lines) == 1 and all(word in lines[0] for word in words), text
    assert settings.get("kafka.sasl.password") not in text, text


def main():
    with tempfile.TemporaryDirectory(prefix="tarn-kafka-") as name:
        folder = pathlib.Path(name)
        (folder / "pipeline.sql").write_text(PIPELINE)
        with Cluster(folder / "kafka", security=True) as kafka:
            with Server(folder / "pipeline.sql", folder / "state", given(kafka)) as tarn:
                tarn.wait_ready()
                assert tarn.request("POST", "/streams/plays", b'{"song":"Believe","ms":1}')[0] == 200
                rows = tarn.sql("SELECT song, n FROM by_song")
                assert rows == [["Believe", 1]], rows
                assert tarn.stop() == 0
            log = (folder / "state.log").read_text()
            assert kafka.password not in log, log
            refused(folder, given(kafka, **{"kafka.sasl.password": "wrong-secret"}), "refuses us", "kafka.sasl.password")
            other = folder / "other.pem"
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "/dev/null", "-out",
                            other, "-days", "2", "-subj", "/CN=somebody else"], check=True, capture_output=True)
            refused(folder, given(kafka, **{"kafka.ssl.ca.location": other}), "refuses us", "kafka.ssl.ca.location")
            refused(folder, given(kafka, **{"kafka.ssl.ca.location": None}), "refuses us", "kafka.ssl.ca.location")
    print("TLS and SCRAM: fine")


if __name__ == "__main__":
    main()
