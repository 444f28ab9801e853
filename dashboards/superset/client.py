#!/usr/bin/env python3
"""Superset's REST API as far as tarn needs it, with the standard library alone.

    client.py import SUPERSET TARN    connects SUPERSET (http://host:port) to TARN (host:port) and imports the dashboard
"""
import http.cookiejar
import io
import json
import pathlib
import re
import sys
import time
import urllib.error
import urllib.request
import uuid
import zipfile

ASSETS = pathlib.Path(__file__).parent / "assets"


class Superset:
    """A session: bearer token for the API, cookie and CSRF token for what changes something."""

    def __init__(self, base, user="admin", password="admin"):
        self.base = base
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
        self.headers = {}
        login = self.call("POST", "/api/v1/security/login",
                          {"username": user, "password": password, "provider": "db", "refresh": True})
        self.headers = {"Authorization": "Bearer " + login["access_token"], "Referer": base}
        self.headers["X-CSRFToken"] = self.call("GET", "/api/v1/security/csrf_token/")["result"]

    def call(self, method, path, body=None, kind="application/json"):
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data=data, method=method, headers=dict(self.headers))
        if data is not None:
            request.add_header("Content-Type", kind)
        try:
            with self.opener.open(request, timeout=120) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.code} {error.read()[:600].decode(errors='replace')}") from None

    def import_dashboard(self, tarn):
        """`tarn`: host:port. Repeating it replaces what was imported before."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for path in sorted(ASSETS.rglob("*.yaml")):
                text = path.read_text(encoding="utf-8")
                text = re.sub(r"trino://superset@[^/]*/", f"trino://superset@{tarn}/", text)
                archive.writestr("tarn/" + str(path.relative_to(ASSETS)), text)
        mark = uuid.uuid4().hex
        body = (f"--{mark}\r\nContent-Disposition: form-data; name=\"formData\"; filename=\"tarn.zip\"\r\n"
                "Content-Type: application/zip\r\n\r\n").encode() + buffer.getvalue() + (
            f"\r\n--{mark}\r\nContent-Disposition: form-data; name=\"overwrite\"\r\n\r\ntrue\r\n--{mark}--\r\n").encode()
        self.call("POST", "/api/v1/dashboard/import/", body, "multipart/form-data; boundary=" + mark)
        # A database that was there before keeps its address through an import.
        self.call("PUT", f"/api/v1/database/{self.database()}",
                  {"database_name": "tarn", "sqlalchemy_uri": f"trino://superset@{tarn}/hive/default"})

    def database(self, name="tarn"):
        found = self.call("GET", "/api/v1/database/?q=(page_size:100)")["result"]
        return next(item["id"] for item in found if item["database_name"] == name)

    def chart_ids(self):
        return {item["slice_name"]: item["id"]
                for item in self.call("GET", "/api/v1/chart/?q=(page_size:100)")["result"]}

    def chart_data(self, chart_id, force=True):
        """What the browser asks for when it draws the chart."""
        chart = self.call("GET", f"/api/v1/chart/{chart_id}")["result"]
        params = json.loads(chart["params"])
        dataset = params.get("datasource", "").split("__")[0]
        query = {"columns": params.get("groupby", []), "metrics": [params["metric"]], "filters": [],
                 "extras": {"having": "", "where": ""}, "row_limit": params.get("row_limit", 1000),
                 "orderby": [[params["metric"], False]] if params.get("groupby") else []}
        body = {"datasource": {"id": int(dataset), "type": "table"}, "force": force, "queries": [query],
                "form_data": params, "result_format": "json", "result_type": "full"}
        return self.call("POST", "/api/v1/chart/data", body)["result"][0]

    def sql(self, database, sql, schema="default", limit=1000):
        return self.call("POST", "/api/v1/sqllab/execute/",
                         {"database_id": database, "sql": sql, "catalog": "hive", "schema": schema,
                          "queryLimit": limit, "runAsync": False, "client_id": uuid.uuid4().hex[:10]})


def wait(base, seconds=180):
    """Until Superset answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + seconds
    while True:
        try:
            opener.open(base + "/health", timeout=10).read()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def main():
    if len(sys.argv) != 4 or sys.argv[1] != "import":
        sys.exit(__doc__)
    wait(sys.argv[2])
    Superset(sys.argv[2]).import_dashboard(sys.argv[3])
    print(f"dashboard: {sys.argv[2]}/superset/dashboard/music/ (admin, admin)")


if __name__ == "__main__":
    main()
