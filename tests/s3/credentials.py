#!/usr/bin/env python3
"""Where the S3 adapter gets its keys: services of a machine, of a container and of web identity (small servers of
this test that hand out keys of a real radosgw), keys that end soon, and that no secret is ever printed.
"""
import http.server
import os
import pathlib
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import faults  # noqa: E402
from faults import Tool, check, expect, policy  # noqa: E402
from radosgw import Radosgw  # noqa: E402

FIRST, SECOND = ("FIRSTKEY", "first+secret/value"), ("SECONDKEY", "second+secret/value")


def stamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


class Service(http.server.BaseHTTPRequestHandler):
    """Answers as the three services do; `state` says which keys, until when, and whether it works at all."""
    state = {}

    def log_message(self, *_):
        pass

    def reply(self, body, status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def keys_json(self):
        access, secret = self.state["keys"]
        slashed = secret.replace("/", "\\/")
        return (f'{{"Code":"Success", "AccessKeyId" : "{access}",\n "SecretAccessKey": "{slashed}",'
                f' "Token":"", "Expiration":"{stamp(self.state["seconds"])}"}}')

    def handle_one(self):
        self.state["asked"] += 1
        path, state = self.path.split("?")[0], self.state
        if state["is_broken"]:
            return self.reply("broken", 500)
        if path == "/latest/api/token" and self.command == "PUT":
            return self.reply("imds-token" if self.headers["X-aws-ec2-metadata-token-ttl-seconds"] else "", 200)
        if path.startswith("/latest/meta-data/iam/security-credentials/"):
            if self.headers["X-aws-ec2-metadata-token"] != "imds-token":
                return self.reply("no token", 401)
            return self.reply("lake-role\n" if path.endswith("/") else self.keys_json())
        if path == "/container":
            is_known = self.headers["Authorization"] == "container-token"
            return self.reply(self.keys_json() if is_known else "who?", 200 if is_known else 401)
        if "AssumeRoleWithWebIdentity" in self.path and "WebIdentityToken=web%2Btoken" in self.path:
            access, secret = state["keys"]
            return self.reply(f"<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"
                              f"<AccessKeyId>{access}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>"
                              f"<SessionToken>session</SessionToken><Expiration>{stamp(state['seconds'])}</Expiration>"
                              f"</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>")
        return self.reply("nothing here", 404)

    do_GET = do_PUT = do_POST = handle_one


def sources(folder, url):
    """(s3.credentials, environment) of each source."""
    token = pathlib.Path(folder, "token")
    token.write_text("web+token\n")
    container = pathlib.Path(folder, "container")
    container.write_text("container-token\n")
    return [("machine", {"AWS_EC2_METADATA_SERVICE_ENDPOINT": url}),
            ("container", {"AWS_CONTAINER_CREDENTIALS_FULL_URI": url + "/container",
                           "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(container)}),
            ("web_identity", {"AWS_WEB_IDENTITY_TOKEN_FILE": str(token), "AWS_ROLE_ARN": "arn:aws:iam::1:role/lake",
                              "AWS_ENDPOINT_URL_S3": "", "AWS_ENDPOINT_URL_STS": url})]


def test_source(store, state, kind, env):
    plain = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", **env}
    state.update(keys=FIRST, seconds=3600, is_broken=False, asked=0)
    with Tool(store.url, env=plain, s3_credentials=kind) as tool:
        check(tool.opened[0] == "OK", kind, tool.opened)
        asked = state["asked"]
        for number in range(3):
            expect(tool, f"put {kind}{number} body", "OK")
        check(state["asked"] == asked, kind, "good keys are not asked for again", state["asked"])
    # keys that end within minutes are renewed at once; when that fails the old ones stay
    state.update(seconds=60)
    with Tool(store.url, env=plain, s3_credentials=kind) as tool:
        state.update(is_broken=True)
        expect(tool, f"put {kind} old", "OK")
        check(state["asked"] > asked, kind, "renewal was tried")
    state.update(is_broken=False)
    with Tool(store.url, env=plain, s3_credentials=kind) as tool:
        state.update(keys=SECOND, seconds=3600)
        expect(tool, f"put {kind} new", "OK")
        asked = state["asked"]
        expect(tool, f"put {kind} new", "OK")
        check(state["asked"] == asked, kind, "renewed once")
    state.update(is_broken=True)
    with Tool(store.url, env=plain, s3_credentials=kind) as tool:
        check(tool.opened[0] == "E_DENIED" and "500" in tool.opened[3], kind, tool.opened)


def test_errors(store):
    nothing = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    for kind, env, text in (("machine", {"AWS_EC2_METADATA_DISABLED": "true"}, "AWS_EC2_METADATA_DISABLED"),
                            ("container", {}, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
                            ("container", {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://example.org/x"}, "on this machine"),
                            ("web_identity", {}, "AWS_WEB_IDENTITY_TOKEN_FILE"),
                            ("environment", {}, "AWS_ACCESS_KEY_ID"), ("file", {}, "no profile 'default'"),
                            ("chain", {}, "no credentials")):
        with Tool(store.url, env={**nothing, **env}, s3_credentials=kind) as tool:
            check(tool.opened[0] == "E_DENIED" and text in tool.opened[3], kind, tool.opened)
    with Tool(store.url, env=nothing, s3_credentials="anonymous") as tool:
        expect(tool, "put anonymous body", "E_DENIED")
    for endpoint in ("localhost:80", "ftp://host", "http://", "http://key:SECRET@host", "http://host?x=SECRET"):
        with Tool(endpoint) as tool:
            check(tool.opened[0] == "E_INVALID" and "s3.endpoint" in tool.opened[3], endpoint, tool.opened)
            check("SECRET" not in tool.opened[3], tool.opened)


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever).start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        with Radosgw() as store, tempfile.TemporaryDirectory() as folder:
            store.bucket("lake")
            store.user("first", *FIRST)
            store.user("second", *SECOND)
            both = policy("first", ["s3:*"]).replace(b'"]}, "Action"', b'", "arn:aws:iam:::user/second"]}, "Action"')
            assert store.s3.request("PUT", "/lake", [("policy", "")], both)[0] in (200, 204)
            for kind, env in sources(folder, url):
                test_source(store, Service.state, kind, env)
            test_errors(store)
    finally:
        server.shutdown()
        server.server_close()
    print(f"{faults.checks} checks, {len(faults.failures)} failed")
    return 1 if faults.failures or not faults.checks else 0


if __name__ == "__main__":
    sys.exit(main())
