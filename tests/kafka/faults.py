#!/usr/bin/env python3
"""What a broker can do to a running tarn: rights taken away, topics deleted, recreated and widened, records dropped or
refused, a bit flipped, the producer fenced. Each is said in /readyz and one log line, the other queries go on exactly, and
tarn goes on by itself where that loses nothing.
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from kafka_server import Cluster, java, set_topic_property  # noqa: E402
from tarn_server import ROOT, Server  # noqa: E402

WAIT_SECONDS = 180
AHEAD = "message.timestamp.after.max.ms"
TOPICS = ("gone", "anew", "wider", "big", "fine")
AUTHORIZER = {"authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
              "super.users": "User:ANONYMOUS"}


def pipeline(topics):
    return "".join(f"""
CREATE STREAM {t} (k VARCHAR, n INT) WITH (KAFKA_TOPIC='{t}', VALUE_FORMAT='JSON', PARTITIONS=2);
CREATE TABLE of_{t} WITH (KAFKA_TOPIC='of_{t}', VALUE_FORMAT='JSON', PARTITIONS=2) AS
  SELECT k, COUNT(*) AS c FROM {t} GROUP BY k;
""" for t in topics)


def tool(main, kafka, *arguments):
    """One of Kafka's own tools, as the superuser of the plain listener."""
    done = java(main, "--bootstrap-server", kafka.bootstrap, *arguments)
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout


def topics(kafka, *arguments):
    return tool("org.apache.kafka.tools.TopicCommand", kafka, *arguments)


def acl(kafka, *arguments):
    return tool("org.apache.kafka.tools.AclCommand", kafka, "--force", *arguments)


def peer(what, kafka, *arguments, text):
    """The producer of Kafka's own, told by these lines."""
    done = java(ROOT / "tests" / "kafka" / "Peer.java", what, kafka.bootstrap, *arguments, heap="128m", input=text)
    assert done.returncode == 0, done.stderr


class Tarn:
    def __init__(self, server):
        self.server, self.sent = server, {}
        self.log = pathlib.Path(f"{server.state}.log")

    def send(self, topic, key="a", **more):
        status, body = self.server.request("POST", f"/streams/{topic}", json.dumps({"k": key, "n": 1, **more}).encode())
        assert status // 100 == 2, (topic, status, body)
        self.sent[topic] = self.sent.get(topic, 0) + 1

    def wait(self, what, holds):
        """Until it holds; says what was seen last when it never does."""
        deadline = time.monotonic() + WAIT_SECONDS
        while (seen := holds()) is not True:
            assert self.server.process.poll() is None, f"{what}: tarn ended\n{self.log.read_text()[-3000:]}"
            assert time.monotonic() < deadline, f"{what}: {seen}\n{self.log.read_text()[-3000:]}"
            time.sleep(0.2)  # between two looks

    def ready(self):
        status, body = self.server.request("GET", "/readyz")
        return True if status == 200 else body.decode()

    def wait_missing(self, *words):
        def holds():
            text = self.ready()
            return text is not True and all(word in text for word in words) or text
        self.wait(f"/readyz with {words}", holds)

    def wait_counted(self, topic):
        def holds():
            rows = self.server.sql(f"SELECT SUM(c) FROM of_{topic}", fresh=False)
            return rows == [[self.sent[topic]]] or f"{rows}, {self.sent[topic]} sent"
        self.wait(f"counts of {topic}", holds)

    def lines(self, text):
        return [line for line in self.log.read_text(errors="replace").splitlines() if text in line]

    def goes_on(self):
        """The query nobody touches is exact."""
        self.send("fine")
        self.wait_counted("fine")


def wait_topic(kafka, name, is_there):
    deadline = time.monotonic() + WAIT_SECONDS
    while (name in topics(kafka, "--list").split()) != is_there:
        assert time.monotonic() < deadline, f"topic {name}"


def topic_faults(kafka, folder):
    (folder / "pipeline.sql").write_text(pipeline(TOPICS))
    given = {"application.id": "faults", "kafka.bootstrap.servers": kafka.bootstrap}
    with Server(folder / "pipeline.sql", folder / "state", given) as server:
        tarn = Tarn(server)
        server.wait_ready()
        for t in TOPICS:
            tarn.send(t)
            tarn.wait_counted(t)
        topics(kafka, "--alter", "--topic", "wider", "--partitions", "5")
        tarn.wait_missing("'wider' has 5 partitions now")
        tarn.goes_on()
        topics(kafka, "--delete", "--topic", "gone")
        tarn.wait_missing("'gone'")
        tarn.goes_on()
        topics(kafka, "--delete", "--topic", "anew")
        wait_topic(kafka, "anew", False)
        topics(kafka, "--create", "--topic", "anew", "--partitions", "2")
        tarn.wait_missing("'anew'")
        tarn.goes_on()
        tool("kafka.admin.ConfigCommand", kafka, "--alter", "--entity-type", "topics", "--entity-name", "of_big",
             "--add-config", "max.message.bytes=300")
        tarn.send("big", "b" * 2000)
        tarn.wait_missing("topic 'of_big'", "too large")
        tarn.goes_on()
        assert server.process.poll() is None
        fenced(kafka, folder, tarn)
        assert server.stop() == 0
    print("topics wider, deleted and recreated, a record too large, a fenced producer: said, the others exact")


def fenced(kafka, folder, tarn):
    """Somebody takes our transactional id once: noticed, settled, and nothing is lost or counted twice."""
    text = topics_of_transactions(kafka)
    ids = [word for line in text.splitlines() for word in line.split() if word.startswith("faults-")]
    assert ids, text
    peer("transact", kafka, ids[0], text="fine\t-\t-\nabort\n")
    for _ in range(3):
        tarn.goes_on()
    assert tarn.lines("commit not settled"), "the fence was not noticed"


def topics_of_transactions(kafka):
    return tool("org.apache.kafka.tools.TransactionsCommand", kafka, "list")


def stopped(kafka, folder, name, topic):
    """One that has counted an event of the topic and ended; it can be started again."""
    (folder / f"{name}.sql").write_text(pipeline([topic, "fine"]))
    given = {"application.id": name, "kafka.bootstrap.servers": kafka.bootstrap}
    tarn = Tarn(Server(folder / f"{name}.sql", folder / name, given))
    with tarn.server as server:
        server.wait_ready()
        tarn.send(topic)
        tarn.wait_counted(topic)
        assert server.stop() == 0
    return tarn


def dropped_records(kafka, folder):
    """Retention removed what was not read while tarn was away: said, and it goes on behind it."""
    tarn = stopped(kafka, folder, "dropping", "lost")
    lines = "".join(f"lost\t{'a'.encode().hex()}\t{json.dumps({'k': 'a', 'n': 1}).encode().hex()}\n" for _ in range(4))
    peer("produce", kafka, text=lines + "\n")
    cut = folder / "cut.json"
    cut.write_text(json.dumps({"version": 1, "partitions": [{"topic": "lost", "partition": p, "offset": -1} for p in (0, 1)]}))
    tool("org.apache.kafka.tools.DeleteRecordsCommand", kafka, "--offset-json-file", cut)
    with tarn.server as server:
        server.wait_ready()
        tarn.send("lost")
        tarn.wait_counted("lost")
        assert tarn.lines("records were dropped by retention before they were read"), tarn.log.read_text()[-2000:]
        assert server.stop() == 0
    print("records dropped before they were read: said, and passed")


def corrupt_batch(kafka, folder):
    """One bit of a batch flips on the broker's disk: topic, partition and offset are said, nothing is passed over."""
    tarn = stopped(kafka, folder, "corrupt", "bits")
    subprocess.run(["kcat", "-b", kafka.bootstrap, "-P", "-t", "bits", "-p", "0", "-X", "acks=all"], check=True, text=True,
                   input='{"k":"flipped","n":1}\n')
    segment = next(kafka.folder.glob("node*/data/bits-0/*.log"))
    with open(segment, "r+b") as file:
        data = file.read()
        at = data.rindex(b"flipped")
        file.seek(at)
        file.write(bytes([data[at] ^ 1]))
    with tarn.server as server:
        tarn.wait_missing("topic 'bits' partition 0", "offset")
        assert server.sql("SELECT SUM(c) FROM of_bits", fresh=False) == [[1]]
        tarn.sent["fine"] = server.sql("SELECT COALESCE(SUM(c), 0) FROM of_fine", fresh=True)[0][0]
        tarn.send("fine")
        assert server.sql("SELECT SUM(c) FROM of_fine", fresh=True) == [[tarn.sent["fine"]]]
        assert server.stop() == 0
    print("a flipped bit in a batch: said, nothing passed over, the other query exact")


def far_ahead(kafka, folder):
    """Events of next year: counted as all others in topics that tarn made. A topic that refuses such times is named, with
    the time, the limit and what helps; the other query goes on, and once it takes them everything is exact.
    """
    (folder / "ahead.sql").write_text("""
CREATE STREAM at (k VARCHAR, n INT, ts BIGINT) WITH (KAFKA_TOPIC='at', VALUE_FORMAT='JSON', PARTITIONS=2, TIMESTAMP='ts');
CREATE TABLE of_at WITH (KAFKA_TOPIC='of_at', VALUE_FORMAT='JSON', PARTITIONS=2) AS SELECT k, COUNT(*) AS c FROM at GROUP BY k;
CREATE TABLE of_limited WITH (KAFKA_TOPIC='of_limited', VALUE_FORMAT='JSON', PARTITIONS=2) AS
  SELECT k, COUNT(*) AS c FROM at GROUP BY k;
""")
    at = int(time.time() * 1000) + 366 * 86400_000
    given = {"application.id": "ahead", "kafka.bootstrap.servers": kafka.bootstrap}
    tarn = Tarn(Server(folder / "ahead.sql", folder / "ahead", given))

    def counted(*tables):
        rows = [tarn.server.sql(f"SELECT SUM(c) FROM {table}", fresh=False) for table in tables]
        return rows == [[[tarn.sent["at"]]]] * len(tables) or f"{rows}, {tarn.sent['at']} sent"
    with tarn.server as server:
        server.wait_ready()
        tarn.send("at", ts=at)
        tarn.wait("counts of next year", lambda: counted("of_at", "of_limited"))
        set_topic_property(kafka.nodes[0].port, "of_limited", AHEAD, "7200000")
        tarn.send("at", ts=at)
        year = time.strftime("%Y-%m-%dT", time.gmtime(at // 1000))
        tarn.wait_missing("topic 'of_limited'", year, f"{AHEAD} of the topic (7200000 now)")
        tarn.wait("counts of the other", lambda: counted("of_at"))
        assert server.stop() == 0
    set_topic_property(kafka.nodes[0].port, "of_limited", AHEAD, str(2**63 - 1))
    with tarn.server as server:
        tarn.wait("counts afterwards", lambda: counted("of_at", "of_limited"))
        assert server.stop() == 0
    print("events of next year: counted; refused by a topic: said, nothing lost")


def rights(folder):
    """A user whose rights come and go."""
    with Cluster(folder / "kafka-acl", security=True, settings=AUTHORIZER) as kafka:
        who = ("--allow-principal", f"User:{kafka.user}")
        (folder / "acl.sql").write_text(pipeline(["fine"]))
        given = {"application.id": "rights", "kafka.bootstrap.servers": kafka.secure_bootstrap,
                 "kafka.security.protocol": "SASL_SSL", "kafka.sasl.mechanism": "SCRAM-SHA-256",
                 "kafka.sasl.username": kafka.user, "kafka.sasl.password": kafka.password,
                 "kafka.ssl.ca.location": kafka.certificate}
        command = Server(folder / "acl.sql", folder / "acl", given)
        assert not command.start(), "it started without any right"
        assert command.process.returncode == 2, command.process.returncode
        text = (folder / "acl.log").read_text()
        assert "ACL" in text or "uthoriz" in text, text
        acl(kafka, "--add", *who, "--operation", "All", "--topic", "*", "--group", "*", "--transactional-id", "*")
        acl(kafka, "--add", *who, "--operation", "All", "--cluster")
        with Server(folder / "acl.sql", folder / "acl", given) as server:
            tarn = Tarn(server)
            server.wait_ready()
            tarn.goes_on()
            acl(kafka, "--add", "--deny-principal", f"User:{kafka.user}", "--operation", "Read", "--group", "rights")
            tarn.send("fine")
            tarn.wait_missing("group")
            acl(kafka, "--remove", "--deny-principal", f"User:{kafka.user}", "--operation", "Read", "--group", "rights")
            tarn.wait("ready again", tarn.ready)
            tarn.goes_on()
            acl(kafka, "--add", "--deny-principal", f"User:{kafka.user}", "--operation", "Write", "--topic", "of_fine")
            tarn.send("fine")
            tarn.wait_missing("topic 'of_fine'", "uthoriz")
            assert server.stop() == 0
        acl(kafka, "--remove", "--deny-principal", f"User:{kafka.user}", "--operation", "Write", "--topic", "of_fine")
        with Server(folder / "acl.sql", folder / "acl", given) as server:
            tarn.server = server
            tarn.wait_counted("fine")
            assert server.stop() == 0
    print("rights taken away: said; given back: it goes on")


def main():
    with tempfile.TemporaryDirectory(prefix="tarn-kafka-") as name:
        folder = pathlib.Path(name)
        with Cluster(folder / "kafka") as kafka:
            topic_faults(kafka, folder)
            dropped_records(kafka, folder)
            corrupt_batch(kafka, folder)
            far_ahead(kafka, folder)
        rights(folder)


if __name__ == "__main__":
    main()
