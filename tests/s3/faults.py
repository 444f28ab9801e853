#!/usr/bin/env python3
"""What the S3 adapter does when things go wrong: one test per row of the table of errors, over a proxy that spoils
requests between the adapter and a real radosgw, and with radosgw itself killed, stopped, its users suspended.

Each test reads: what is spoilt, what is asked, what must come out. `tries` counts how often a request was sent, so
that "repeated" and "not repeated" are seen without a clock.
"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))
import fault_proxy as fault  # noqa: E402
from fault_proxy import FaultProxy, status  # noqa: E402
from radosgw import ACCESS_KEY, SECRET_KEY, Radosgw, free_port  # noqa: E402

TOOL = os.environ["S3_TOOL"]
QUICK = {"s3.retry.backoff.ms": "1", "s3.retry.backoff.max.ms": "20", "s3.timeout.ms": "30s"}
failures, checks = [], 0


def check(is_ok, *what):
    global checks
    checks += 1
    if not is_ok:
        failures.append(what)
        print("FAILED:", *what, flush=True)


class Tool:
    """s3_tool as a process; each call is one request."""

    def __init__(self, endpoint, url="s3://lake", env=None, **options):
        settings = {**QUICK, "s3.endpoint": endpoint, **{k.replace("_", "."): str(v) for k, v in options.items()}}
        clean = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        base = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "HOME": "/nonexistent"}
        command = [TOOL, url] + [f"{k}={v}" for k, v in settings.items() if v != ""]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        stderr=subprocess.DEVNULL if not os.environ.get("VERBOSE") else None,
                                        env={**clean, **base, **(env or {})})
        self.opened = self._answer()

    def _answer(self):
        words = self.process.stdout.readline().rstrip("\n").split(" ", 3)
        if len(words) < 4:
            raise RuntimeError("s3_tool ended")
        return words[0], int(words[1]), words[2] == "1", words[3]

    def send(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def ask(self, line):
        """(status, tries, retriable, text)"""
        self.send(line)
        return self._answer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(30)


def expect(tool, line, want, tries=None, text=None, retriable=None):
    got = tool.ask(line)
    check(got[0] == want, line, "got", got, "want", want)
    check(tries is None or got[1] == tries, line, "got", got, "want tries", tries)
    check(text is None or text in got[3], line, "got", got, "want text", text)
    check(retriable is None or got[2] == retriable, line, "got", got, "want retriable", retriable)
    return got


def used(proxy, what):
    check(proxy.clear(), what, "a fault was not used")


# ---- transient errors ----

def transient(store, proxy):
    with Tool(proxy.url) as tool:
        for code, error in ((503, "SlowDown"), (500, "InternalError"), (502, ""), (504, ""), (429, ""),
                            (400, "RequestTimeout"), (503, "")):
            for number, line in enumerate((f"put t{code}{error} body", "get there 0 -1", "head there", "list there",
                                           f"absent a{code}{error} body", "remove nothing")):
                if number == 0:
                    expect(tool, "put there here", "OK")
                    proxy.clear()
                proxy.spoil(status(code, error), times=2)
                got = expect(tool, line, "OK")
                # a HEAD with 400 asks for the reason first, which costs a try of its own
                check(got[1] in (3, 4) if line.startswith("head") else got[1] == 3, line, code, error, got)
                used(proxy, (code, error, line))
            check(store.s3.get("lake", f"t{code}{error}") == b"body", code, "body")
        check(int(tool.ask("retries overload")[3]) > 0, "overload is counted")
        check(int(tool.ask("retries error")[3]) > 0, "errors are counted")
        # Retry-After wins over the pause: longer than the request may take, so it ends at once
    with Tool(proxy.url, s3_timeout_ms="5s") as tool:
        proxy.spoil(status(503, "SlowDown", "Retry-After: 60\r\n"))
        expect(tool, "put later body", "E_TIMEOUT", tries=1, text="overloaded", retriable=True)
        used(proxy, "Retry-After")


def network(store, proxy):
    with Tool(proxy.url, s3_stall_timeout_ms="300ms") as tool:
        for what in (fault.reset_before, fault.reset_after, fault.hang_before, fault.hang_after):
            name = what.__name__
            proxy.spoil(what, method="PUT")
            expect(tool, f"put {name} body", "OK")
            check(store.s3.get("lake", name) == b"body", name)
            used(proxy, name)
            # put-if-absent: the lost try may have won, which is not a lost race
            proxy.spoil(what, method="PUT")
            expect(tool, f"absent if-{name} body", "OK")
            check(store.s3.get("lake", f"if-{name}") == b"body", "if", name)
            used(proxy, name)
            proxy.spoil(what, method="GET")
            expect(tool, f"get {name} 1 2", "OK", text="od")
            used(proxy, name)
        # another's object is another's, also after a lost try
        proxy.spoil(fault.reset_before, method="PUT")
        expect(tool, "absent reset_after other", "E_EXISTS", text="exists already")
        used(proxy, "another's")
        proxy.spoil(fault.cut, method="GET", times=2)
        expect(tool, "get reset_after 0 -1", "OK", tries=3, text="body")
        used(proxy, "cut")
        check(int(tool.ask("retries network")[3]) > 0, "network faults are counted")


def deadline(store, proxy):
    with Tool(proxy.url, s3_timeout_ms="700ms", s3_stall_timeout_ms="200ms") as tool:
        proxy.spoil(status(500, "InternalError"), times=-1)
        expect(tool, "put never body", "E_TIMEOUT", text="last: the store failed", retriable=True)
        expect(tool, "get never 0 -1", "E_TIMEOUT", retriable=True)
        proxy.clear()
        proxy.spoil(fault.hang_after, times=-1)
        got = expect(tool, "absent maybe body", "E_INDEFINITE", text="not known whether it happened", retriable=True)
        check("reachable" in got[3], got)
        proxy.clear()
    check(store.s3.get("lake", "maybe") == b"body", "it did happen")
    with Tool(f"http://127.0.0.1:{free_port()}", s3_timeout_ms="500ms") as tool:
        expect(tool, "put nobody body", "E_TIMEOUT", text="no answer came", retriable=True)


def conflict(_store, proxy):
    with Tool(proxy.url) as tool:
        proxy.spoil(status(409, "ConditionalRequestConflict"), method="PUT", times=2)
        expect(tool, "absent conflict body", "OK", tries=3)
        used(proxy, "409")
        expect(tool, "absent conflict other", "E_EXISTS")


# ---- uploads ----

def uploads(store, proxy):
    whole = b"p" * (5 << 20) + b"tail"
    error = b"<?xml version=\"1.0\"?>\n   <Error><Code>InternalError</Code></Error>"
    padded = b"<?xml version=\"1.0\"?>" + b" " * 2000 + b"\n<Error><Code>SlowDown</Code></Error>"
    unknown = b"<Error></Error>"
    half = b"<?xml version=\"1.0\"?><CompleteMultipartUploadResult><Locat"
    with Tool(proxy.url, s3_stall_timeout_ms="300ms") as tool:
        cases = [("plain", None), ("error", fault.answer_after(200, error)), ("padded", fault.answer_after(200, padded)),
                 ("unknown", fault.answer_after(200, unknown)), ("half", fault.answer_after(200, half)),
                 ("error-before", lambda one: one.answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(error), error)),
                 ("reset-after", fault.reset_after), ("reset-before", fault.reset_before),
                 ("hang-after", fault.hang_after), ("500", fault.answer_after(500, b"")), ("503", status(503, "SlowDown")),
                 ("gone", fault.answer_after(404, b"<Error><Code>NoSuchUpload</Code></Error>"))]
        for name, what in cases:
            if what:
                proxy.spoil(what, method="POST", query="uploadId")
            expect(tool, f"upload big-{name}", "OK")
            check(store.s3.get("lake", f"big-{name}") == whole, "whole", name)
            used(proxy, name)
        proxy.spoil(fault.reset_after, method="PUT", query="partNumber=2")
        proxy.spoil(status(503, "SlowDown"), method="PUT", query="partNumber=1", times=2)
        expect(tool, "upload big-parts", "OK")
        check(store.s3.get("lake", "big-parts") == whole, "parts")
        used(proxy, "parts")
        # an upload that has expired: begin it again, nothing appears
        upload = expect(tool, "start expired", "OK")[3]
        etag = expect(tool, f"part expired {upload} 1", "OK")[3]
        check(store.s3.request("DELETE", "/lake/expired", [("uploadId", upload.split(":", 1)[1])])[0] == 204, "abort")
        expect(tool, f"part expired {upload} 2", "E_CANCELLED", text="aborted or has expired", retriable=True)
        expect(tool, f"finish expired {upload} {etag}", "E_CANCELLED", text="aborted or has expired")
        check(store.s3.get("lake", "expired") is None, "nothing appears")
        # another's object under the name is not taken for ours
        upload = expect(tool, "start other", "OK")[3]
        expect(tool, "put other body", "OK")
        store.s3.request("DELETE", "/lake/other", [("uploadId", upload.split(":", 1)[1])])
        expect(tool, f"finish other {upload} {etag}", "E_CANCELLED")
        # ended, and ended again by a repeat after a crash
        upload = expect(tool, "start twice", "OK")[3]
        etag = expect(tool, f"part twice {upload} 1", "OK")[3]
        expect(tool, f"finish twice {upload} {etag}", "OK")
        expect(tool, f"finish twice {upload} {etag}", "OK")


# ---- clock, keys, regions ----

def clock(_store, proxy):
    for offset in (3600000, -3600000):
        with Tool(proxy.url, clock_offset_ms=offset) as tool:
            expect(tool, f"put clock{offset} body", "OK", tries=2)
            expect(tool, f"get clock{offset} 0 -1", "OK", tries=1, text="body")
            check(tool.ask("retries clock")[3] == "1", "taken over once")
    with Tool(proxy.url, clock_offset_ms=3600000) as tool:
        expect(tool, "head clock3600000", "OK", text="4")  # a HEAD's error has no body
    with Tool(proxy.url) as tool:  # a server that will not be pleased
        proxy.spoil(status(403, "RequestTimeTooSkewed", "Date: Mon, 01 Jan 2024 00:00:00 GMT\r\n"), times=-1)
        expect(tool, "put clock body", "E_DENIED", text="set this machine's clock")
        proxy.clear()


def keys(store, proxy):
    for env, text in (({"AWS_SECRET_ACCESS_KEY": "wrong"}, "secret key does not belong"),
                      ({"AWS_ACCESS_KEY_ID": "NOBODY"}, "access key is not known")):
        with Tool(proxy.url, env=env) as tool:
            for line in ("put keys body", "absent keys body", "get keys 0 -1", "head keys", "list keys", "remove keys",
                         "start keys"):
                got = expect(tool, line, "E_DENIED", text=text, retriable=False)
                check(got[1] <= 2, "not repeated", got)
                check("AWS_ACCESS_KEY_ID" in got[3] and "bucket 'lake'" in got[3] and "request " in got[3], got)
                check(SECRET_KEY not in got[3] and "wrong'" not in got[3], "no secret", got)
    with Tool(proxy.url, env={"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}) as tool:
        check(tool.opened[0] == "E_DENIED" and "no credentials" in tool.opened[3], tool.opened)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "credentials")
        path.write_text(f"[other]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key={SECRET_KEY}\n"
                        "[default]\naws_access_key_id=NOBODY\naws_secret_access_key=nothing\n")
        plain = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SHARED_CREDENTIALS_FILE": str(path)}
        with Tool(proxy.url, env=plain, s3_profile="other") as tool:
            expect(tool, "put profile body", "OK")
            # expired from now on; the file has not changed yet: worth trying again, and nothing is lost
            proxy.clear()
            proxy.spoil(of_key(ACCESS_KEY, status(400, "ExpiredToken")), times=1000)
            expect(tool, "put profile later", "E_DENIED", text="have expired", retriable=True)
            check(store.s3.get("lake", "profile") == b"body", "the old body stays")
            # now somebody renews the file
            store.user("renewed", "RENEWEDKEY", "renewed+secret")
            store.s3.request("PUT", "/lake", [("policy", "")], policy("renewed", ["s3:*"]))
            path.write_text("[other]\naws_access_key_id=RENEWEDKEY\naws_secret_access_key=renewed+secret\n")
            until = time.monotonic() + 60
            while tool.ask("put profile later")[0] != "OK" and time.monotonic() < until:
                time.sleep(0.1)  # between two questions; the file is looked at once a second
            expect(tool, "get profile 0 -1", "OK", text="later")  # the object is the renewed user's
            proxy.clear()
            store.s3.request("DELETE", "/lake", [("policy", "")])
        with Tool(proxy.url, env=plain, s3_profile="nowhere") as tool:
            check(tool.opened[0] == "E_DENIED" and "nowhere" in tool.opened[3], tool.opened)
        with Tool(proxy.url, env={**plain, "AWS_PROFILE": "other"}, s3_credentials="file") as tool:
            expect(tool, "put profile body", "E_DENIED")


def regions(_store, proxy):
    with Tool(proxy.url) as tool:
        proxy.spoil(status(301, "PermanentRedirect", "x-amz-bucket-region: eu-central-1\r\n"))
        expect(tool, "put region body", "OK", tries=2)
        used(proxy, "301")
        expect(tool, "put region body", "OK", tries=1)
    with Tool(proxy.url) as tool:
        proxy.spoil(lambda one: one.answer(*malformed("eu-west-1")))
        expect(tool, "put region body", "OK", tries=2)
        used(proxy, "malformed")
        proxy.spoil(status(301, "PermanentRedirect", "x-amz-bucket-region: eu-central-2\r\n"), method="HEAD")
        expect(tool, "head region", "OK", text="4")
        used(proxy, "HEAD")
        # led to a stranger: refused, and the stranger hears nothing
        with FaultProxy(proxy.upstream) as stranger:
            for location in (f"Location: {stranger.url}/lake/x\r\n", "Location: https://example.org/lake/x\r\n"):
                proxy.spoil(status(307, "TemporaryRedirect", location))
                expect(tool, "put region secret", "E_NAME", text="region", retriable=False)
            check(not stranger.seen, "the stranger saw", stranger.seen)
        proxy.clear()
        proxy.spoil(status(307, "TemporaryRedirect", f"Location: {proxy.url}/lake/region\r\n"))
        expect(tool, "put region body", "OK", tries=2)
        used(proxy, "307")


def malformed(region):
    body = (f"<Error><Code>AuthorizationHeaderMalformed</Code><Message>wrong region</Message><Region>{region}</Region>"
            "</Error>").encode()
    return b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n" % len(body), body


# ---- what the server refuses ----

def of_key(access, fault):
    """Only requests signed with this access key meet the fault."""
    def chosen(exchange):
        return f"Credential={access}/".encode() in exchange.head and fault(exchange)
    return chosen


def policy(user, actions, effect="Allow"):
    return json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": effect, "Principal": {"AWS": [f"arn:aws:iam:::user/{user}"]}, "Action": actions,
         "Resource": ["arn:aws:s3:::lake", "arn:aws:s3:::lake/*"]}]}).encode()


def refusals(store, proxy):
    with Tool(proxy.url, url="s3://nowhere") as tool:
        for line in ("put a body", "absent a body", "get a 0 -1", "head a", "list a", "start a"):
            got = expect(tool, line, "E_NAME", text="the bucket does not exist", retriable=False)
            check("'nowhere'" in got[3] and "s3.endpoint" in got[3], got)
    store.user("guest", "GUESTKEY", "guest+secret")
    guest = {"AWS_ACCESS_KEY_ID": "GUESTKEY", "AWS_SECRET_ACCESS_KEY": "guest+secret"}
    check(store.s3.request("PUT", "/lake", [("policy", "")], policy("guest", ["s3:GetObject", "s3:ListBucket"]))[0] in
          (200, 204), "policy")
    with Tool(proxy.url, env=guest) as tool:
        expect(tool, "get there 0 -1", "OK", text="here")
        for line in ("put guest body", "absent guest body", "remove there", "start guest"):
            got = expect(tool, line, "E_DENIED", tries=1, text="the store refuses it", retriable=False)
            check("policy" in got[3] and "AccessDenied" in got[3], got)
    store.s3.request("DELETE", "/lake", [("policy", "")])
    with Tool(proxy.url, env=guest) as tool:
        expect(tool, "head there", "E_DENIED", text="AccessDenied")
    with Tool(proxy.url) as tool:
        store.admin("quota", "set", "--quota-scope=user", "--uid=test", "--max-objects=1")
        store.admin("quota", "enable", "--quota-scope=user", "--uid=test")
        proxy.spoil(status(403, "QuotaExceeded"), method="PUT")  # radosgw caches its counts for long
        expect(tool, "put quota body", "E_FULL", text="quota", retriable=False)
        store.admin("quota", "disable", "--quota-scope=user", "--uid=test")
        used(proxy, "quota")
        proxy.spoil(status(501, "NotImplemented"), method="PUT")
        expect(tool, "absent not body", "E_UNSUPPORTED", text="conditional PUT", retriable=False)
        used(proxy, "501")
    store.admin("user", "suspend", "--uid=guest")
    with Tool(proxy.url, env=guest) as tool:
        expect(tool, "get there 0 -1", "E_DENIED", retriable=False)


def answers(store, proxy):
    """Answers that are well formed as HTTP and wrong as S3."""
    with Tool(proxy.url, s3_timeout_ms="10s") as tool:
        store.s3.request("PUT", "/lake/digits", body=b"0123456789")
        proxy.spoil(fault.without("Range"), method="GET")
        expect(tool, "get digits 3 4", "OK", text="3456")
        used(proxy, "range ignored")
        proxy.spoil(fault.without("Range"), method="GET")
        expect(tool, "get digits 8 -1", "OK", text="89")
        used(proxy, "range ignored to the end")
        proxy.spoil(fault.rewrite(lambda head, body: (head.replace(b"bytes 3-", b"bytes 2-"), body)), method="GET")
        expect(tool, "get digits 3 4", "OK", tries=2, text="3456")
        used(proxy, "another range")
        proxy.spoil(fault.rewrite(lambda head, body: (head, body[:-1])), method="GET")
        expect(tool, "get digits 3 4", "OK", tries=2, text="3456")
        used(proxy, "a byte short")
        proxy.spoil(fault.damage, method="PUT")
        expect(tool, "put damaged body", "OK", tries=2)
        check(store.s3.get("lake", "damaged") == b"body", "damaged")
        used(proxy, "damaged")
        for name, change in (("cut list", lambda head, body: (head, body[:len(body) // 2])),
                             ("no list", lambda head, body: (head, b"<html><body>hello</body></html>")),
                             ("not XML", lambda head, body: (head, b"nothing & more")),
                             ("entities", lambda head, body: (head, b"<!DOCTYPE a [<!ENTITY b \"c\">]>" + body))):
            proxy.spoil(fault.rewrite(change), method="GET", query="list-type")
            expect(tool, "list digits", "E_CORRUPT", text="list cannot be read")
            used(proxy, name)
        expect(tool, "list digits", "OK", text="digits:10")
        proxy.spoil(fault.cut, method="GET", query="list-type")
        expect(tool, "list digits", "OK", tries=2, text="digits:10")
        used(proxy, "list cut on the way")


def paging_with_faults(store, proxy):
    """A list of several pages whose pages fail in between: each key once, in order."""
    names = [f"page/{number:04d}" for number in range(2100)]
    for name in names:
        store.s3.request("PUT", f"/lake/{name}")
    with Tool(proxy.url) as tool:
        proxy.spoil(status(503, "SlowDown"), method="GET", query="continuation-token", times=1)
        proxy.spoil(fault.cut, method="GET", query="continuation-token", times=1)
        got = expect(tool, "list page/", "OK")
        check(got[3].split() == [f"{name}:0" for name in names], "pages", len(got[3].split()))
        used(proxy, "pages")


# ---- the store goes away ----

def away(store, _proxy):
    with Tool(store.url, s3_connect_timeout_ms="500ms") as tool:
        expect(tool, "put before body", "OK")
        store.stop_gateway(signal.SIGKILL)
        tool.send("absent during body")  # waits, and repeats
        while True:  # until the adapter has met the dead server, however long that takes
            with Tool(store.url, s3_timeout_ms="200ms") as other:
                if other.ask("put x y")[0] == "E_TIMEOUT":
                    break
        store.start_gateway()
        got = tool._answer()
        check(got[0] == "OK", "caught up", got)
        check(store.s3.get("lake", "during") == b"body", "during")
    with Tool(store.url, s3_stall_timeout_ms="200ms") as tool:
        expect(tool, "put before body", "OK")
        store.signal_gateway(signal.SIGSTOP)
        tool.send("put hung body")
        with Tool(store.url, s3_timeout_ms="600ms", s3_stall_timeout_ms="200ms") as other:
            check(other.ask("put x y")[0] == "E_TIMEOUT", "it hangs")
        store.signal_gateway(signal.SIGCONT)
        got = tool._answer()
        check(got[0] == "OK", "after SIGCONT", got)
        check(store.s3.get("lake", "hung") == b"body", "hung")


TESTS = [transient, network, deadline, conflict, uploads, clock, keys, regions, refusals, answers, paging_with_faults,
         away]


def main():
    wanted = sys.argv[1:]
    with Radosgw() as store:
        store.bucket("lake")
        for test in TESTS:
            if wanted and test.__name__ not in wanted:
                continue
            store.s3.request("PUT", "/lake/there", body=b"here")
            started = time.monotonic()
            with FaultProxy(store.host) as proxy:
                test(store, proxy)
            print(f"{test.__name__}: {time.monotonic() - started:.1f} s", flush=True)
    print(f"{checks} checks, {len(failures)} failed")
    return 1 if failures or not checks else 0


if __name__ == "__main__":
    sys.exit(main())
