#!/usr/bin/env python3
"""A real S3 server for tests: Ceph monitor, one OSD in memory and radosgw, on free loopback ports with data in a
temporary folder; no root, no cephx, no systemd. Up in about two seconds; needs the packages of `bin/setup s3`.

    with Radosgw() as store: store.url, store.env (AWS_* variables), store.bucket("name"), store.s3 (raw requests)
    tests/support/radosgw.py --bucket lake -- COMMAND …   runs a command beside it, its environment set

radosgw answers on 127.0.0.1 with path addressing. Gateway, OSD and monitor are ended in this order, by process id; the
folder is removed. stop_gateway and start_gateway are for tests of a store that goes away: data stays.
"""
import argparse
import hashlib
import hmac
import http.client
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import uuid

START_SECONDS = 60
ACCESS_KEY, SECRET_KEY = "TARNTESTACCESS", "tarn+test/secret+key/of-no-value"
TOOLS = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph", "monmaptool", "osdmaptool")

CONF = """[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{port}]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
ms bind msgr1 = false
ms bind port min = {port_min}
ms bind port max = {port_max}
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
ms mon cluster mode = crc
ms mon service mode = crc
ms client mode = crc
ms cluster mode = crc
ms service mode = crc
keyring = {dir}/keyring
run dir = {dir}/run
admin socket = {dir}/run/$name.asok
pid file = {dir}/run/$name.pid
log file = {dir}/log/$name.log
crash dir = {dir}/log
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
[mon]
mon data = {dir}/mon
mon cluster log file = {dir}/log/cluster.log
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail warn = 2
mon data avail crit = 1
paxos propose interval = 0.01
paxos min wait = 0.005
[osd]
osd data = {dir}/osd
osd objectstore = memstore
memstore device bytes = 8589934592
osd crush update on start = false
osd class update on start = false
osd client watch timeout = 4
[client]
admin socket = {dir}/run/$name.$pid.asok
client notify timeout = 2
objecter tick interval = 1
rgw data = {dir}/rgw
rgw frontends = beast endpoint=127.0.0.1:{gateway} tcp_nodelay=1 {frontend}
rgw dns name = localhost
rgw run sync thread = false
rgw override bucket index max shards = 1
rgw gc max objs = 1
rgw lc max objs = 1
rgw md log max shards = 1
rgw data log num shards = 1
rgw num control oids = 1
rgw gc obj min wait = 5
rgw gc processor period = 5
{extra}
"""


class S3:
    """Bare signed requests, for what the adapter cannot do (buckets, policies) and to look behind its back."""

    def __init__(self, host, access=ACCESS_KEY, secret=SECRET_KEY, region="us-east-1"):
        self.host, self.access, self.secret, self.region = host, access, secret, region

    def request(self, method, path, query=(), body=b"", headers=None):
        """(status, headers, body)"""
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        quote = lambda text, safe="": urllib.parse.quote(text, safe=safe + "-_.~")
        target, canonical_query = quote(path, "/"), "&".join(
            sorted(f"{quote(name)}={quote(value)}" for name, value in query))
        digest = hashlib.sha256(body).hexdigest()
        signed = {"host": self.host, "x-amz-content-sha256": digest, "x-amz-date": now}
        names = ";".join(sorted(signed))
        canonical = "\n".join([method, target, canonical_query,
                               *(f"{name}:{signed[name]}" for name in sorted(signed)), "", names, digest])
        scope = f"{now[:8]}/{self.region}/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + self.secret).encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        signed["Authorization"] = (f"AWS4-HMAC-SHA256 Credential={self.access}/{scope}, SignedHeaders={names}, "
                                   f"Signature={signature}")
        connection = http.client.HTTPConnection(self.host, timeout=30)
        try:
            connection.request(method, target + ("?" + canonical_query if canonical_query else ""), body,
                               {**signed, **(headers or {})})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def get(self, bucket, key):
        status, _, body = self.request("GET", f"/{bucket}/{key}")
        return body if status == 200 else None

    def keys(self, bucket, prefix=""):
        """All keys, by one page after the other; plain text search, since keys of tests are plain."""
        import xml.etree.ElementTree as tree
        found, token = [], None
        while True:
            query = [("list-type", "2"), ("prefix", prefix)] + ([("continuation-token", token)] if token else [])
            status, _, body = self.request("GET", f"/{bucket}", query)
            assert status == 200, (status, body)
            root = tree.fromstring(body)
            name = lambda text: "{" + root.tag[1:].split("}")[0] + "}" + text
            found += [item.findtext(name("Key")) for item in root.iter(name("Contents"))]
            token = root.findtext(name("NextContinuationToken"))
            if root.findtext(name("IsTruncated")) != "true":
                return found


def free_ports():
    """A base with 17 free ports for monitor and OSD, below the range the system hands out itself."""
    for base in range(20000 + os.getpid() % 400 * 20, 32700, 20):
        held = []
        try:
            for port in range(base, base + 17):
                held.append(socket.socket())
                held[-1].bind(("127.0.0.1", port))
            return base
        except OSError:
            continue
        finally:
            for one in held:
                one.close()
    raise RuntimeError("no 17 free ports in a row below 32768")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Radosgw:
    def __init__(self, extra="", frontend=""):
        """`frontend`: more words for its web server, such as ssl_endpoint=…"""
        self.extra, self.frontend, self.processes, self.dir = extra, frontend, {}, None

    def __enter__(self):
        missing = [tool for tool in TOOLS if not shutil.which(tool)]
        if missing:
            raise RuntimeError(f"{missing[0]} is missing: run bin/setup s3")
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="tarn-rgw-", dir="/tmp"))
        try:
            self._start()
        except BaseException:
            for log in sorted((self.dir / "log").glob("*")):
                print(f"--- {log.name}\n{log.read_text(errors='replace')[-1500:]}", file=sys.stderr)
            self.__exit__()
            raise
        return self

    def _run(self, *command):
        result = subprocess.run(command, cwd=self.dir, env=self.ceph_env, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, timeout=START_SECONDS, check=False)
        if result.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {result.stdout.decode()[-500:]}")
        return result.stdout.decode()

    def _spawn(self, name, *command):
        out = open(self.dir / "log" / f"{name}.out", "ab")
        self.processes[name] = subprocess.Popen(command, cwd=self.dir, env=self.ceph_env, stdout=out, stderr=out,
                                                start_new_session=True)

    def _start(self):
        for name in ("mon", "osd", "rgw", "log", "run"):
            (self.dir / name).mkdir()
        port, self.gateway_port = free_ports(), free_port()
        self.fsid, osd = str(uuid.uuid4()), str(uuid.uuid4())
        (self.dir / "ceph.conf").write_text(CONF.format(
            dir=self.dir, fsid=self.fsid, port=port, port_min=port + 1, port_max=port + 16,
            gateway=self.gateway_port, extra=self.extra, frontend=self.frontend))
        self.ceph_env = {**os.environ, "CEPH_CONF": str(self.dir / "ceph.conf")}
        self._run("monmaptool", "--create", "--fsid", self.fsid, "--addv", "a", f"[v2:127.0.0.1:{port}]", "monmap")
        self._run("osdmaptool", "osdmap", "--createsimple", "1", "--osd_crush_chooseleaf_type", "0")
        self._run("ceph-mon", "-i", "a", "--mkfs", "--monmap", "monmap", "--osdmap", "osdmap")
        self._spawn("mon", "ceph-mon", "-i", "a", "-f")
        self._run("ceph", "osd", "new", osd, "0")
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        self._spawn("osd", "ceph-osd", "-i", "0", "-f")
        self.user("test", ACCESS_KEY, SECRET_KEY)
        self.host = f"127.0.0.1:{self.gateway_port}"
        self.url = f"http://{self.host}"
        self.s3 = S3(self.host)
        self.env = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
                    "AWS_ENDPOINT_URL_S3": self.url, "AWS_REGION": "us-east-1"}
        self.start_gateway()

    def user(self, name, access, secret):
        self.admin("user", "create", f"--uid={name}", f"--display-name={name}", f"--access-key={access}",
                   f"--secret-key={secret}")

    def admin(self, *words):
        return self._run("radosgw-admin", "-n", "client.rgw", *words)

    def start_gateway(self):
        self._spawn("rgw", "radosgw", "-n", "client.rgw", "-f")
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                http.client.HTTPConnection(self.host, timeout=5).request("GET", "/")
                return
            except OSError:
                if time.monotonic() > deadline or self.processes["rgw"].poll() is not None:
                    raise RuntimeError("radosgw did not start") from None
                time.sleep(0.05)  # polls the port; nothing depends on how long it takes

    def stop_gateway(self, how=signal.SIGTERM):
        self._stop("rgw", how)

    def signal_gateway(self, number):
        """SIGSTOP and SIGCONT: a store that hangs."""
        os.kill(self.processes["rgw"].pid, number)

    def bucket(self, name):
        status, _, body = self.s3.request("PUT", f"/{name}")
        assert status == 200, (status, body)
        return name

    def _stop(self, name, how=signal.SIGTERM):
        process = self.processes.pop(name, None)
        if process is None or process.poll() is not None:
            return
        process.send_signal(how)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __exit__(self, *_):
        # a gateway without its OSD ignores SIGTERM: the order matters
        for name in ("rgw", "osd", "mon"):
            self._stop(name)
        if self.dir and self.dir.name.startswith("tarn-rgw-"):
            shutil.rmtree(self.dir, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description="run a command beside a radosgw of its own")
    parser.add_argument("--bucket", action="append", default=[], help="bucket to make first")
    parser.add_argument("command", nargs="+")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with Radosgw() as store:
        for name in args.bucket:
            store.bucket(name)
        return subprocess.run(args.command, env={**os.environ, **store.env}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
