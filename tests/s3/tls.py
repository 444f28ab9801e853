#!/usr/bin/env python3
"""A real radosgw over https with a certificate of an authority of its own, buckets in the path and in the host name:
a whole tarn with sink and zone table both ways (with --full also the port's conformance), and what is said of certificates that are not
to be trusted. Names below localhost are this machine for libcurl, so no name server is asked."""
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import faults  # noqa: E402
from faults import Tool, check  # noqa: E402
from radosgw import Radosgw, free_port  # noqa: E402
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lake"))
import sinks  # noqa: E402

BUCKETS = ("lake", "tables")
NAMES = ["localhost"] + [f"{bucket}.localhost" for bucket in BUCKETS]


def openssl(*words):
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def authority(folder, name):
    """Key and certificate of an authority."""
    key, cert = folder / f"{name}.key", folder / f"{name}.pem"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", f"/CN=tarn test {name}", "-keyout", key, "-out", cert)
    return key, cert


def certificate(folder, key, cert):
    """A server's, signed by the authority, for NAMES only."""
    own, request, signed, names = (folder / f"server.{end}" for end in ("key", "csr", "pem", "ext"))
    names.write_text("subjectAltName=" + ",".join(f"DNS:{name}" for name in NAMES))
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=radosgw",
            "-keyout", own, "-out", request)
    openssl("x509", "-req", "-in", request, "-CA", cert, "-CAkey", key, "-CAcreateserial", "-days", "2",
            "-extfile", names, "-out", signed)
    return own, signed


def conform(store, bucket, *options):
    done = subprocess.run([os.environ["S3_CONFORM"], f"s3://{bucket}", *options], env={**os.environ, **store.env},
                          capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    check(done.returncode == 0, f"conformance with {options}: {lines[-8:]}")
    print(options[-1], lines[-1], flush=True)


def refused(url, ca, other):
    """Each answer names what is wrong and the setting."""
    for what, endpoint, trusted, words in (
            ("no authority", url, "", ("certificate is not trusted", "s3.ca.file")),
            ("another authority", url, other, ("certificate is not trusted", "s3.ca.file")),
            ("a name that is not in it", url.replace("localhost", "127.0.0.1"), ca,
             ("certificate", "127.0.0.1")),
            ("no such file", url, "/no/such/ca.pem", ("s3.ca.file", "/no/such/ca.pem"))):
        with Tool(endpoint, s3_ca_file=trusted) as tool:
            answer = tool.ask("put a body")
            print(what, answer, flush=True)
            for word in words:
                check(answer[0] != "OK" and word in answer[3], what, answer)


def whole(store, url, ca, style, place="https"):
    """A sink writes, one file in parts, and a zone table reads."""
    place = f"{place}-{style}"
    settings = {"s3.part.bytes": "5m", "s3.endpoint": url, "s3.ca.file": str(ca), "s3.path.style": style}
    keys = {name: value for name, value in store.env.items() if "ENDPOINT" not in name}
    case = sinks.Case(f"tls-{place}", f"""
CREATE STREAM s (a INT, pad VARCHAR) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE SINK k FROM s INTO z.s TO 's3://tables/{place}/s' WITH (rotate.idle='100ms');
""", env=keys, settings=settings)
    with case.server() as tarn:
        pad = "x" * 100_000
        sinks.post(tarn, "/streams/s", "\n".join(f'{{"a":{a},"pad":"{pad}"}}' for a in range(100)), "application/x-ndjson")
        sinks.settle(tarn, {"k": 100})
        check(tarn.sql("SELECT count(*), sum(a) FROM z.s") == [[100, 4950]], place)
    check(len(store.s3.keys("tables", f"{place}/s/s-")) >= 1, "its files")
    case.done()


def main():
    with tempfile.TemporaryDirectory() as temp:
        folder = pathlib.Path(temp)
        key, ca = authority(folder, "authority")
        own, signed = certificate(folder, key, ca)
        _, other = authority(folder, "other")
        port = free_port()
        frontend = f"ssl_endpoint=127.0.0.1:{port} ssl_certificate={signed} ssl_private_key={own}"
        url = f"https://localhost:{port}"
        with Radosgw(frontend=frontend) as store:
            for bucket in BUCKETS:
                store.bucket(bucket)
            for style in ("true", "false"):
                whole(store, url, ca, style)
            whole(store, store.url.replace("127.0.0.1", "localhost"), ca, "false", "plain")
            if os.environ.get("TARN_TEST_FULL"):
                conform(store, "lake", f"s3.endpoint={url}", f"s3.ca.file={ca}", "s3.path.style=false")
            refused(url, ca, other)
    print(f"{faults.checks} checks, {len(faults.failures)} failed")
    return 1 if faults.failures or not faults.checks else 0


if __name__ == "__main__":
    sys.exit(main())
