#!/usr/bin/env python3
"""tarn beside a real Kafka, ended at random moments and at named points, then reconciled.

A Java producer feeds a topic while processes of one application are killed (kill -9), frozen past their session
(SIGSTOP, SIGCONT), stopped and started in a storm, or lose their brokers. In the end the result topics, folded by a
Java consumer with read_committed, must equal a recount of what was produced; results of a counting table may only
grow, record by record; each closed window appears once; and the tables of the last process must agree.

Usage: kafka_crash.py MODE [--events N] [--kills N] [--seed N]
  random     one process, kill -9 at random moments
  points     one process, kill -9 at each named point of the code in turn; one that is not reached fails
  group      3 processes, 3 brokers: kill -9 of processes and of brokers
  zombie     2 processes: SIGSTOP past the session, take-over, SIGCONT
  storm      3 processes, one of them comes or goes every 2 s
  away       one process; the broker frozen or killed for longer than the session, again and again
  endtxn     one process; the end of transactions lost or late at a proxy, for commit and abort
  aborted    one process, kill -9; 30 % of the input aborted, also at the tail
  at-least-once   one process, kill -9: nothing may be missing
"""
import argparse
import collections
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from kafka_proxy import END_TXN, PRODUCE, KafkaProxy  # noqa: E402
from kafka_server import LIB, Cluster  # noqa: E402
from tarn_server import ROOT, Gone, Server  # noqa: E402

PARTITIONS = 8
T0 = 1_700_000_000_000
SILENCE_SECONDS = 240  # of the watchdog
STUCK_SECONDS = 90  # a producer that confirms nothing more
PIPELINE = f"""
CREATE STREAM ev (k VARCHAR, n INT, ts BIGINT)
  WITH (KAFKA_TOPIC='ev', VALUE_FORMAT='JSON', PARTITIONS={PARTITIONS}, TIMESTAMP='ts');
CREATE TABLE by_key WITH (KAFKA_TOPIC='by_key', VALUE_FORMAT='JSON') AS
  SELECT k, COUNT(*) AS c, SUM(n) AS s FROM ev GROUP BY k;
CREATE TABLE avgs WITH (KAFKA_TOPIC='avgs', VALUE_FORMAT='JSON') AS SELECT k, AVG(n) AS a FROM ev GROUP BY k;
CREATE TABLE closed WITH (KAFKA_TOPIC='closed', VALUE_FORMAT='JSON') AS
  SELECT k, COUNT(*) AS c FROM ev WINDOW TUMBLING (SIZE 1 MINUTE, GRACE PERIOD 1 DAY) GROUP BY k EMIT FINAL;
"""
POINTS = {"kafka-before-offsets": 20, "kafka-before-commit": 20, "kafka-after-commit": 20, "commit-before-write": 20,
          "commit-after-write": 20, "flush-before": 4, "flush-after": 4, "restore-step": 1}
# mode: kills and events of the short form, of the long form (TARN_TEST_FULL=1), events a second
SIZES = {"random": (10, 35000, 34, 120000, 2500), "points": (8, 1000000, 64, 1000000, 400),
         "group": (4, 20000, 12, 100000, 1000), "zombie": (1, 10000, 8, 60000, 700),
         "storm": (3, 10000, 30, 90000, 600), "away": (3, 1000000, 12, 1000000, 800),
         "endtxn": (4, 1000000, 16, 1000000, 400), "aborted": (3, 20000, 12, 60000, 1500),
         "at-least-once": (4, 10000, 12, 50000, 1500)}
FLUSH = {"state.flush.every.commit": "true"}


# ---- watchdog ----

def stacks(pid):
    """Where all threads of a process stand: one line each, innermost function first."""
    if not shutil.which("gdb"):
        tasks = sorted(pathlib.Path(f"/proc/{pid}/task").iterdir())
        return "\n".join(f"{task.name}: " + " ".join((task / name).read_text(errors="replace").strip()
                                                     for name in ("comm", "wchan", "syscall")) for task in tasks)
    text = subprocess.run(["gdb", "-p", str(pid), "-batch", "-ex", "set pagination off", "-ex", "set width 0", "-ex",
                           "thread apply all bt 16"], capture_output=True, text=True, timeout=120).stdout
    lines = []
    for thread in re.split(r"\n(?=Thread )", text)[1:]:
        frames = re.findall(r"^#\d+ +(?:0x[0-9a-f]+ in )?([^ (]+) \(.*?\)(?: at (?:\S*/)?([^/\s]+:\d+))?", thread, re.M)
        name = re.search(r'"([^"]*)"', thread)
        ours = [f"{function}({at})" if at else function for function, at in frames
                if not re.search(r"futex|pthread_cond|^\?\?$|^clone|start_thread", function)]
        lines.append(f"  {name.group(1) if name else '?'}: {' < '.join(ours)}")
    return "\n".join(lines)


class Watchdog(threading.Thread):
    """Ends the test with all stacks when nothing has moved for too long."""

    def __init__(self, processes):
        super().__init__(daemon=True)
        self.processes, self.at, self.done = processes, time.monotonic(), threading.Event()

    def beat(self):
        self.at = time.monotonic()

    def run(self):
        while not self.done.wait(5):
            if time.monotonic() - self.at < SILENCE_SECONDS:
                continue
            print(f"watchdog: nothing moved for {SILENCE_SECONDS} s", flush=True)
            for one in self.processes():
                if one.process and one.process.poll() is None:
                    print(f"==== {one.state}\n{stacks(one.process.pid)}", flush=True)
                print(pathlib.Path(f"{one.state}.log").read_text(errors="replace")[-3000:], flush=True)
            subprocess.run(["pkill", "-KILL", "-P", str(os.getpid())], check=False)  # they hold our output open
            os._exit(1)


# ---- the producer and the consumer ----

class Feed(threading.Thread):
    """A Java producer with default settings, fed at a steady pace; the model of what it sent."""

    def __init__(self, bootstrap, events, seed, per_second):
        super().__init__(daemon=True)
        self.rng, self.events, self.per_second = random.Random(seed), events, per_second
        self.values = collections.defaultdict(list)
        self.windows = collections.Counter()
        self.sent, self.failure, self.is_enough = 0, None, threading.Event()
        self.bootstrap, self.is_stuck = bootstrap, False
        self.process = peer("produce", bootstrap, stdin=subprocess.PIPE)

    def keep(self, batch):
        for event in batch:
            self.values[event["k"]].append(event["n"])
            self.windows[event["k"], max(event["ts"], 0) // 60000 * 60000] += 1
        self.sent += len(batch)

    def write(self, batch, end=""):
        lines = []
        for event in batch:
            value = json.dumps(event, separators=(",", ":")).encode()
            lines.append(f"ev\t{event['k'].encode().hex()}\t{value.hex()}\n")
        self.process.stdin.write(("".join(lines) + end).encode())
        self.process.stdin.flush()

    def event(self, number):
        key = f"k{min(int(self.rng.paretovariate(0.6)), 3000)}"
        late = self.rng.randrange(30_000) if number % 10 == 0 else 0
        return {"k": key, "n": self.rng.randrange(-1000, 1000), "ts": T0 + number * 20 - late}

    def run(self):
        try:
            for start in range(0, self.events, 250):
                batch = [self.event(number) for number in range(start, min(start + 250, self.events))]
                self.write(batch)
                self.keep(batch)
                if self.is_enough.is_set():
                    break
                time.sleep(250 / self.per_second)  # the pace of the input, not a wait for anything
            self.end(b"\n")
        except BaseException as error:  # noqa: B902
            self.failure = error

    def end(self, last):
        answer, self.events = self.process.communicate(last)[0], self.sent
        assert int(answer) == self.events, f"the producer confirmed {answer!r} of {self.events}"

    def check(self):
        if self.failure and not self.is_stuck:
            raise self.failure

    def finish(self, beat):
        """Everything is sent and confirmed; the brokers are there."""
        last = -1
        while self.is_alive() and self.sent != last:
            last = self.sent
            self.join(STUCK_SECONDS)
            beat()
        if self.is_alive():
            self.recount()
        self.check()

    def recount(self):
        """Kafka's own producer may wait for ever when its broker was killed (it sends a sequence number again that the
        broker refuses each time). Then what stands in the topic is what must be counted."""
        self.is_stuck = True
        self.process.kill()
        self.join()
        self.values.clear()
        self.windows.clear()
        written, self.sent = self.sent, 0
        self.keep([event for _, _, event in committed(self.bootstrap, "ev")])
        self.events = self.sent
        print(f"the producer is stuck: {self.events} of {written} events stand in the topic", flush=True)


class AbortingFeed(Feed):
    """The same in transactions, of which 30 % are aborted, also the last ones."""

    def __init__(self, bootstrap, events, seed, per_second):
        super().__init__(bootstrap, events, seed, per_second)
        self.process.stdin.close()
        self.process.wait()
        self.process = peer("transact", bootstrap, "feed", stdin=subprocess.PIPE)
        self.aborted = 0

    def run(self):
        try:
            for start in range(0, self.events, 250):
                is_last = start + 5 * 250 >= self.events
                batch = [self.event(number) for number in range(start, min(start + 250, self.events))]
                if is_last or self.rng.random() < 0.3:
                    self.write(batch, "abort\n")
                    self.aborted += len(batch)
                else:
                    self.write(batch, "commit\n")
                    self.keep(batch)
                time.sleep(250 / self.per_second)  # the pace of the input, not a wait for anything
            self.end(b"")
        except BaseException as error:  # noqa: B902
            self.failure = error


def peer(*arguments, **options):
    return subprocess.Popen(["java", "-Xmx256m", "-Ddelivery.ms=1500000", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", f"{LIB}/*",
                             str(ROOT / "tests" / "kafka" / "Peer.java"), *arguments], stdout=subprocess.PIPE, **options)


def committed(bootstrap, topic):
    """(partition, key bytes, value or None) of everything committed, in order per partition."""
    process = peer("consume", bootstrap, topic)
    text = process.communicate(timeout=600)[0].decode()
    assert process.returncode == 0, f"the consumer of '{topic}' failed"
    for line in text.splitlines():
        partition, _, _, key, value = line.split("\t")
        yield int(partition), bytes.fromhex(key), None if value == "-" else json.loads(bytes.fromhex(value))


def column(row, name):
    return next(v for k, v in row.items() if k.lower() == name)


# ---- the test ----

class Run:
    def __init__(self, options, folder, kafka):
        self.options, self.folder, self.kafka = options, folder, kafka
        self.rng = random.Random(options.seed)
        self.pipeline = folder / "pipeline.sql"
        self.pipeline.write_text(PIPELINE)
        self.is_exact = options.mode != "at-least-once"
        self.bootstrap = None  # of tarn, where it is not the cluster's
        self.servers, self.kills, self.counts = [], 0, collections.Counter()
        self.watchdog = Watchdog(lambda: self.servers)
        self.watchdog.start()

    def server(self, number, settings=None, env=None):
        given = {"application.id": "app", "kafka.bootstrap.servers": self.bootstrap or self.kafka.bootstrap,
                 "default.partitions": str(PARTITIONS), "num.standby.replicas": "0", **(settings or {})}
        if not self.is_exact:
            given["processing.guarantee"] = "at_least_once"
        one = Server(self.pipeline, self.folder / f"state{number}", given, env)
        self.servers = [s for s in self.servers if s.state != one.state] + [one]
        return one

    def start(self, number, settings=None, env=None):
        one = self.server(number, settings, env)
        if not one.start():
            raise AssertionError("tarn did not start: " +
                                 pathlib.Path(f"{one.state}.log").read_text(errors="replace")[-3000:])
        self.watchdog.beat()
        return one

    def feed(self, kind=Feed):
        self.input = kind(self.kafka.bootstrap, self.options.events, self.options.seed, SIZES[self.options.mode][4])
        self.input.start()

    # -- what must hold --

    def settle(self, one):
        """All of the input is counted by this process (it has all partitions) and visible."""
        self.input.finish(self.watchdog.beat)
        deadline = time.monotonic() + SILENCE_SECONDS
        while True:
            total = -1
            try:
                total = int(one.sql("SELECT SUM(c) FROM by_key")[0][0] or 0)
            except AssertionError as error:
                if time.monotonic() > deadline:
                    raise
                print("   not yet:", str(error)[:160], flush=True)
            if total == self.input.events or (not self.is_exact and total > self.input.events):
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"{total} events counted of {self.input.events}")
            if total >= 0:
                self.watchdog.beat()
            time.sleep(1)  # between two looks; the count decides

    def fold_counts(self):
        got, wrong = {}, []
        for _, key, value in committed(self.kafka.bootstrap, "by_key"):
            count = column(value, "c") if value else 0
            if self.is_exact and count <= got.get(key, (0,))[0]:
                wrong.append((key, got.get(key), count))
            got[key] = (count, column(value, "s") if value else 0)
        assert not wrong, f"{len(wrong)} results did not grow, e.g. {wrong[:3]}"
        return {key.decode(): list(row) for key, row in got.items()}

    def check_windows(self):
        seen = collections.Counter()
        for _, key, value in committed(self.kafka.bootstrap, "closed"):
            name, start = key[:-8].decode(), int.from_bytes(key[-8:], "big")
            seen[name, start] += 1
            wanted = self.input.windows[name, start]
            assert column(value, "c") == wanted, f"window {name} {start}: {value}, want {wanted}"
        again = [w for w, count in seen.items() if count > 1]
        assert not again, f"{len(again)} windows were emitted twice, e.g. {again[:3]}"

    def check_logs(self):
        """No broker deleted a changelog of tarn's own because the events are from 2023."""
        for log in self.folder.glob("state*.log"):
            lost = [line for line in log.read_text(errors="replace").splitlines() if "rebuilding windows of" in line]
            assert not lost, lost[0]

    def reconcile(self, one):
        self.settle(one)
        self.check_logs()
        want = {k: [len(v), sum(v)] for k, v in self.input.values.items()}
        table = {r[0]: r[1:] for r in one.sql("SELECT k, c, s FROM by_key")}
        topic = self.fold_counts()
        assert table == topic, "the topic does not fold to the table: " + diff(topic, table)
        if not self.is_exact:
            missing = [k for k, v in want.items() if table.get(k, [0])[0] < v[0]]
            assert not missing, f"events are missing: {missing[:5]}"
            return
        assert table == want, "the table differs: " + diff(table, want)
        averages = {r[0]: r[1] for r in one.sql("SELECT k, a FROM avgs")}
        assert averages.keys() == want.keys()
        assert all(abs(averages[k] - s / c) < 1e-6 for k, (c, s) in want.items()), "averages differ"
        self.check_windows()

    def kill(self, one):
        one.kill()
        self.kills += 1
        self.watchdog.beat()

    # -- modes --

    def random(self):
        one = self.start(0)
        self.feed()
        while self.kills < self.options.kills:
            time.sleep(self.rng.uniform(0.2, 2.0))  # the moment of the kill
            self.kill(one)
            one = self.start(0)
        self.reconcile(one)
        assert one.stop() == 0

    def points(self):
        self.start(0).stop()
        self.feed()
        names = [self.options.point] if self.options.point else list(POINTS)
        names *= max(1, self.options.kills // len(POINTS))
        for name in names:
            if name == "restore-step":  # something to restore: a kill before the flush
                one = self.start(0)
                self.wait_for_commits(one)
                self.kill(one)
            one = self.server(0, FLUSH if name.startswith("flush") else {},
                              {"TARN_CRASH_POINT": f"{name}:{self.rng.randint(1, POINTS[name])}"})
            one.start()
            try:
                status = one.process.wait(timeout=180)
            except subprocess.TimeoutExpired:
                print(stacks(one.process.pid))
                raise AssertionError(f"point {name} was not reached") from None
            assert status == -signal.SIGKILL, f"{name}: exit status {status}"
            one.wait()
            self.kills += 1
            self.counts[name] += 1
            self.watchdog.beat()
        self.input.is_enough.set()  # events came as long as there was a point to reach
        one = self.start(0)
        self.reconcile(one)
        assert one.stop() == 0

    def commits(self, one):
        try:
            text = one.request("GET", "/metrics")[1].decode()
        except Gone:
            status = one.process.poll()
            assert status is None, f"tarn ended by itself: status {status}"
            return -1  # an idle connection was closed
        for line in text.splitlines():
            if line.startswith("tarn_engine_commits_total"):
                return float(line.split()[-1])
        return 0

    def wait_for_commits(self, one):
        first = self.commits(one)
        while self.commits(one) < first + 5:
            self.input.check()
            time.sleep(0.1)  # between two looks

    def last_one(self, live):
        """Stops all but one, which takes over everything."""
        for one in live[1:]:
            if one.process.poll() is None:
                assert one.stop() == 0
        self.reconcile(live[0])
        assert live[0].stop() == 0

    def group(self):
        live = [self.start(n) for n in range(3)]
        self.feed()
        brokers = 0
        while self.kills < self.options.kills:
            time.sleep(self.rng.uniform(0.5, 4.0))  # the moment of the kill
            number = self.rng.randrange(3)
            self.kill(live[number])
            if self.kills % 3 == 0:
                node = self.rng.choice(self.kafka.nodes)
                node.kill()
                node.start()
                brokers += 1
                self.kafka.wait_ready()
            if self.rng.random() < 0.3:
                shutil.rmtree(live[number].state)  # a take-over without local state
            live[number] = self.start(number)
        self.counts["brokers"] = brokers
        self.last_one(live)

    def zombie(self):
        live = [self.start(n) for n in range(2)]
        self.feed()
        for step in range(self.options.kills):
            time.sleep(self.rng.uniform(1.0, 3.0))
            sleeper = live[step % 2]
            sleeper.process.send_signal(signal.SIGSTOP)
            time.sleep(14)  # longer than session.timeout.ms: the other takes over
            sleeper.process.send_signal(signal.SIGCONT)
            self.kills += 1
            self.watchdog.beat()
        for number, one in enumerate(live):
            if one.process.poll() is not None:  # fenced, and ended
                live[number] = self.start(number)
                self.counts["ended"] += 1
        self.last_one(live)

    def storm(self):
        live = [self.start(n) for n in range(3)]
        self.feed()
        end = time.monotonic() + 6 * self.options.kills
        while time.monotonic() < end:
            time.sleep(2)  # the storm's beat
            one = live[1 + self.rng.randrange(2)]
            number = live.index(one)
            if one.process.poll() is None:
                assert one.stop() == 0
            else:
                live[number] = self.start(number)
            self.kills += 1
            self.watchdog.beat()
        self.last_one(live)

    def away(self):
        """No broker for a while, again and again: frozen (connections stay, nobody answers) or killed."""
        one = self.start(0)
        self.feed()
        is_long = self.options.kills > 10
        for step in range(self.options.kills):
            time.sleep(self.rng.uniform(0.5, 3.0))  # the moment it goes
            is_frozen = step % 2 == 0
            for node in self.kafka.nodes:
                node.freeze() if is_frozen else node.kill()
            # longer than the session and the transaction last
            time.sleep(60 if is_long and step < 2 else self.rng.uniform(11, 25))
            assert one.process.poll() is None, "tarn ended while no broker answered"
            for node in self.kafka.nodes:
                node.thaw() if is_frozen else node.start()
            self.kafka.wait_ready()
            self.counts["frozen" if is_frozen else "killed"] += 1
            self.kills += 1
            self.watchdog.beat()
            self.goes_on(one)
        self.input.is_enough.set()
        self.reconcile(one)
        assert one.stop() == 0

    def endtxn(self):
        """The end of transactions: requests or answers lost once, lost for longer than tarn waits, delivered late."""
        node = self.kafka.nodes[0]
        kinds = [("lose-answer", 0), ("lose-request", 25), ("lose-answer", 25), ("late", 0)]
        with KafkaProxy(node.secure_port, node.proxy_port) as proxy:
            self.bootstrap = f"127.0.0.1:{node.proxy_port}"
            one = self.start(0)
            self.feed()
            while self.kills < self.options.kills:
                kind, seconds = kinds[self.kills // 2 % len(kinds)]
                self.spoil(one, proxy, self.kills % 2 == 0, kind, seconds)
                self.kills += 1
                self.goes_on(one)
            self.input.is_enough.set()
            self.reconcile(one)
            self.counts.update({kind.replace(" ", "-"): count for kind, count in proxy.counts.items()})
            assert one.stop() == 0

    def spoil(self, one, proxy, is_commit, kind, seconds):
        """One fault. An abort is brought about by a produce request that is never answered."""
        until, ended = [None], threading.Event()

        def rule(request):
            if request.api == PRODUCE and not is_commit and until[0] is None:
                return "no-answer"
            if request.api != END_TXN or request.is_commit != is_commit or ended.is_set():
                return None
            until[0] = until[0] or time.monotonic() + seconds
            if time.monotonic() >= until[0]:
                ended.set()  # this is the last one
            return ("late", 3 + self.rng.random() * 20) if kind == "late" else kind
        proxy.rule = rule
        deadline = time.monotonic() + SILENCE_SECONDS
        while not ended.is_set() and (until[0] is None or time.monotonic() < until[0]):
            self.input.check()
            if time.monotonic() > deadline:
                raise AssertionError(f"no transaction was ended: {'commit' if is_commit else 'abort'} {kind}\n" +
                                     stacks(one.process.pid))
            time.sleep(0.1)  # between two looks
        proxy.rule = None
        self.watchdog.beat()
        print(f"   {'commit' if is_commit else 'abort'}: {kind} for {seconds} s", flush=True)

    def aborted(self):
        """30 % of the input aborted, also its tail: never counted, and passed."""
        one = self.start(0)
        self.feed(AbortingFeed)
        while self.kills < self.options.kills:
            time.sleep(self.rng.uniform(2.0, 4.0))  # the moment of the kill
            self.kill(one)
            one = self.start(0)
        self.reconcile(one)
        self.counts["aborted"] = self.input.aborted
        deadline = time.monotonic() + SILENCE_SECONDS
        while (lag := one.sql("SELECT SUM(lag_records) FROM system.queries", fresh=False)[0][0]) != 0:
            assert time.monotonic() < deadline, f"{lag} records behind an input that ends with aborted ones"
            time.sleep(0.2)  # between two looks
        assert one.stop() == 0

    def goes_on(self, one):
        """Counts grow again, by this process's own doing."""
        first, began = self.commits(one), time.monotonic()
        while self.commits(one) < first + 3:
            self.input.check()
            if time.monotonic() > began + SILENCE_SECONDS:
                print(f"==== {one.state}\n{stacks(one.process.pid)}", flush=True)
                raise AssertionError("no commit since the broker is back: " +
                                     one.request("GET", "/readyz")[1].decode(errors="replace"))
            time.sleep(0.1)  # between two looks
        print(f"   goes on after {time.monotonic() - began:.1f} s", flush=True)

    def run(self):
        getattr(self, {"at-least-once": "random"}.get(self.options.mode, self.options.mode))()
        self.watchdog.done.set()
        extra = "".join(f" {k}={v}" for k, v in sorted(self.counts.items()))
        print(f"{self.options.mode}: {self.input.events} events, {self.kills} kills, seed {self.options.seed}{extra}: "
              f"{len(self.input.values)} keys equal")

    def close(self):
        for one in self.servers:
            if one.process and one.process.poll() is None:
                one.process.send_signal(signal.SIGCONT)
                one.process.kill()
                one.process.wait()


def diff(got, want):
    keys = [k for k in set(got) | set(want) if got.get(k) != want.get(k)]
    return f"{len(keys)} keys, e.g. " + ", ".join(f"{k}: got {got.get(k)}, want {want.get(k)}" for k in sorted(keys)[:5])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=list(SIZES))
    parser.add_argument("--events", type=int)
    parser.add_argument("--kills", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--point", choices=list(POINTS), help="of mode points: this one only")
    options = parser.parse_args()
    sizes = SIZES[options.mode][2 if os.environ.get("TARN_TEST_FULL") else 0:]
    options.kills, options.events = options.kills or sizes[0], options.events or sizes[1]
    nodes, proxied = 3 if options.mode == "group" else 1, options.mode == "endtxn"
    with tempfile.TemporaryDirectory(prefix="tarn-kafka-crash-") as folder, \
            Cluster(pathlib.Path(folder) / "kafka", nodes=nodes, proxied=proxied) as kafka:
        run = Run(options, pathlib.Path(folder), kafka)
        try:
            run.run()
        except BaseException:
            for one in run.servers:
                path = pathlib.Path(f"{one.state}.log")
                if path.exists():
                    print(f"---- {path.name}\n" + path.read_text(errors="replace")[-4000:])
            raise
        finally:
            run.close()


if __name__ == "__main__":
    main()
