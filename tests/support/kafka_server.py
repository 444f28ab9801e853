"""Starts and ends Apache Kafka (KRaft, combined nodes) for tests.

    with Cluster(folder) as kafka:                    # one node; Cluster(folder, nodes=3) for three
        … kafka.bootstrap …                           # "127.0.0.1:PORT[,…]"
        kafka.nodes[0].kill(); kafka.nodes[0].start() # by process id; data are kept

All ports are free loopback ports, data live under `folder`, and a cluster counts as started when a Metadata answer
lists all of its nodes. `security=True` adds a SASL_SSL listener with SCRAM-SHA-256 and a certificate of its own
(`secure_bootstrap`, `certificate`, `user`, `password`). What it needs comes from `bin/setup kafka`.

Run as a program it starts one node, prints `bootstrap HOST:PORT`, and stays until its standard input ends:
    kafka_server.py FOLDER [NODES]
"""
import base64
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import time

from kafka_proxy import read_frame, send_frame

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIB = pathlib.Path(os.environ.get("TARN_KAFKA_LIB", ROOT / "build" / "kafka" / "lib"))
START_SECONDS = 180
HEAP = {1: "512m", 3: "384m"}


def free_ports(count):
    """Free now; held together while they are chosen, so no two are equal."""
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def ask(port, api, version, body, seconds=5):
    """The body of a broker's answer, for versions whose header is the first one."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        send_frame(connection, struct.pack(">hhih", api, version, 7, 4) + b"test" + body)
        return read_frame(connection)[4:]


def set_topic_property(port, topic, name, value):
    """IncrementalAlterConfigs v0: SET of one property of one topic."""
    def text(one):
        return struct.pack(">h", len(one)) + one.encode()
    answer = ask(port, 44, 0, struct.pack(">ib", 1, 2) + text(topic) + struct.pack(">i", 1) + text(name) + b"\0" + text(value) + b"\0",
                 seconds=60)
    assert struct.unpack_from(">h", answer, 8)[0] == 0, answer  # behind the throttle time and the count of resources


def metadata_nodes(port, seconds=5):
    """Node ids that the broker at `port` lists: Metadata v1, no topics."""
    answer = ask(port, 3, 1, struct.pack(">i", 0), seconds)
    at, nodes = 4, []
    for _ in range(struct.unpack_from(">i", answer, 0)[0]):
        node, length = struct.unpack_from(">ih", answer, at)
        at += 6 + length + 4
        rack = struct.unpack_from(">h", answer, at)[0]
        at += 2 + max(rack, 0)
        nodes.append(node)
    return nodes


def java(main, *arguments, heap="256m", **options):
    """A finished run of a Java program with Kafka's classes."""
    return subprocess.run(["java", f"-Xmx{heap}", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", f"{LIB}/*",
                           main, *map(str, arguments)], capture_output=True, text=True, timeout=180, **options)


class Node:
    def __init__(self, cluster, number, ports):
        self.cluster, self.number = cluster, number
        self.port, self.controller_port, self.secure_port, self.proxy_port = ports
        self.folder = cluster.folder / f"node{number}"
        self.process = None

    def properties(self):
        count = len(self.cluster.nodes)
        voters = ",".join(f"{n.number}@127.0.0.1:{n.controller_port}" for n in self.cluster.nodes)
        listeners = [f"PLAINTEXT://127.0.0.1:{self.port}"]
        protocols = ["PLAINTEXT:PLAINTEXT", "CONTROLLER:PLAINTEXT"]
        given = {
            "process.roles": "broker,controller",
            "node.id": self.number,
            "controller.quorum.voters": voters,
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": self.folder / "data",
            "offsets.topic.replication.factor": min(count, 3),
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": min(count, 3),
            "transaction.state.log.min.isr": 1 if count == 1 else 2,
            "transaction.state.log.num.partitions": 4,
            "share.coordinator.state.topic.replication.factor": min(count, 3),
            "share.coordinator.state.topic.min.isr": 1,
            "default.replication.factor": min(count, 3),
            "min.insync.replicas": 1 if count == 1 else 2,
            "group.initial.rebalance.delay.ms": 0,
            "auto.create.topics.enable": "false",
            "log.cleaner.backoff.ms": 1000,
            "log.cleaner.dedupe.buffer.size": 8388608,
            "log.initial.task.delay.ms": 1000,
            "message.max.bytes": 20000000,
            "replica.fetch.max.bytes": 20000000,
            "log.retention.check.interval.ms": 1000,
        }
        if self.cluster.security:
            listeners.append(f"SECURE://127.0.0.1:{self.secure_port}")
            protocols.append("SECURE:SASL_SSL")
            given.update({
                "sasl.enabled.mechanisms": "SCRAM-SHA-256",
                "listener.name.secure.scram-sha-256.sasl.jaas.config":
                    "org.apache.kafka.common.security.scram.ScramLoginModule required;",
                "ssl.keystore.location": self.cluster.folder / "server.p12",
                "ssl.keystore.type": "PKCS12",
                "ssl.keystore.password": "keystore-password",
            })
        advertised = list(listeners)
        if self.cluster.proxied:
            listeners.append(f"PROXIED://127.0.0.1:{self.secure_port}")
            advertised.append(f"PROXIED://127.0.0.1:{self.proxy_port}")
            protocols.append("PROXIED:PLAINTEXT")
        given["listeners"] = ",".join(listeners + [f"CONTROLLER://127.0.0.1:{self.controller_port}"])
        given["advertised.listeners"] = ",".join(advertised)
        given["listener.security.protocol.map"] = ",".join(protocols)
        given.update(self.cluster.settings)
        return "".join(f"{name}={value}\n" for name, value in given.items())

    def format(self):
        self.folder.mkdir(parents=True)
        (self.folder / "server.properties").write_text(self.properties())
        more = []
        if self.cluster.security:
            more = ["--add-scram", f"SCRAM-SHA-256=[name={self.cluster.user},password={self.cluster.password}]"]
        done = java("kafka.tools.StorageTool", "format", "-t", self.cluster.id, "-c",
                    self.folder / "server.properties", *more)
        if done.returncode != 0:
            raise AssertionError(f"format: {done.stdout}{done.stderr}")

    def start(self):
        self.log = open(self.folder / "log", "ab")
        heap = HEAP[1 if len(self.cluster.nodes) == 1 else 3]
        self.process = subprocess.Popen(
            ["java", f"-Xmx{heap}", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{LIB}/*", "kafka.Kafka",
             str(self.folder / "server.properties")], stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)

    def end(self, how):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None
        self.log.close()

    def kill(self):
        self.end(signal.SIGKILL)

    def freeze(self):
        """Nobody answers, but connections stay."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        self.end(signal.SIGTERM)


class Cluster:
    user, password = "tarn", "a-secret-of-the-test"

    def __init__(self, folder, nodes=1, security=False, settings=None, proxied=False):
        if not LIB.is_dir():
            raise AssertionError("no Kafka here: run bin/setup kafka")
        self.folder, self.security, self.settings = pathlib.Path(folder), security, settings or {}
        self.proxied = proxied  # a second plain listener, which is advertised at proxy_port
        ports = free_ports(4 * nodes)
        self.nodes = [Node(self, i + 1, ports[4 * i:4 * i + 4]) for i in range(nodes)]
        self.bootstrap = ",".join(f"127.0.0.1:{n.port}" for n in self.nodes)
        self.secure_bootstrap = ",".join(f"127.0.0.1:{n.secure_port}" for n in self.nodes)
        self.certificate = self.folder / "ca.pem"
        raw = b"\xfb" * 16
        while base64.urlsafe_b64encode(raw).startswith(b"-"):  # a leading dash would look like an option
            raw = os.urandom(16)
        self.id = base64.urlsafe_b64encode(raw).decode().rstrip("=")

    def _certificates(self):
        def openssl(*arguments):
            subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, cwd=self.folder)
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2",
                "-subj", "/CN=tarn test authority")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.key", "-out", "server.csr", "-subj",
                "/CN=127.0.0.1")
        (self.folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
        openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out",
                "server.pem", "-days", "2", "-extfile", "names")
        openssl("pkcs12", "-export", "-in", "server.pem", "-inkey", "server.key", "-out", "server.p12", "-passout",
                "pass:keystore-password")

    def start(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.security:
            self._certificates()
        for node in self.nodes:
            node.format()
        for node in self.nodes:
            node.start()
        self.wait_ready()
        return self

    def wait_ready(self, seconds=START_SECONDS):
        """Every running node lists every running node."""
        wanted = sorted(n.number for n in self.nodes if n.process)
        deadline = time.monotonic() + seconds
        for node in self.nodes:
            while node.process:
                try:
                    if sorted(metadata_nodes(node.port)) == wanted:
                        break
                except (OSError, struct.error):
                    pass
                if node.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"Kafka node {node.number} is not up: " +
                                         (node.folder / "log").read_text(errors="replace")[-2000:])
                select_pause()

    def stop(self):
        for node in self.nodes:
            if node.process and node.process.poll() is None:
                node.process.send_signal(signal.SIGTERM)
        for node in self.nodes:
            node.stop()

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_):
        for node in self.nodes:
            node.kill()  # test data: nobody waits for a clean end


def select_pause():
    """Between two readiness requests (the request decides, not the pause)."""
    time.sleep(0.1)


def main():
    with Cluster(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1) as kafka:
        print("bootstrap", kafka.bootstrap, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
