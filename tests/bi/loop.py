"""A bare client of the Trino protocol over http.client, which checks every document it gets: exact content type, no null
members, columns before data, tokens of the right kind, the order of states. Stands in for the strict Java decoder."""
import gzip
import http.client
import json
import re
import urllib.parse

ORDER = ["id", "infoUri", "nextUri", "columns", "data", "stats", "error", "warnings", "updateType", "updateCount"]


class Token(str):
    """A JSON number as written."""


def parse(text):
    pairs = []

    def hook(items):
        pairs.append([key for key, _ in items])
        return dict(items)

    document = json.loads(text, parse_int=Token, parse_float=Token, object_pairs_hook=hook)
    return document, pairs[-1]  # the outermost object is complete last


def check_cell(value, signature):
    raw = signature["rawType"]
    if value is None:
        return
    if raw in ("tinyint", "smallint", "integer", "bigint"):
        assert isinstance(value, Token) and re.fullmatch(r"-?\d+", value), (raw, value)
    elif raw in ("real", "double"):
        assert value in ("NaN", "Infinity", "-Infinity") or (isinstance(value, Token) and re.search(r"[.eE]", value)), value
    elif raw == "boolean":
        assert value is True or value is False, value
    elif raw == "array":
        for item in value:
            check_cell(item, signature["arguments"][0]["value"])
    elif raw == "map":
        for item in value.values():
            check_cell(item, signature["arguments"][1]["value"])
    elif raw == "row":
        for item, field in zip(value, signature["arguments"]):
            check_cell(item, field["value"]["typeSignature"])
    elif raw.startswith("timestamp"):
        digits = int(signature["arguments"][0]["value"]) if signature["arguments"] else 3
        zone = r" \S+" if raw.endswith("zone") else ""
        fraction = r"\.\d{%d}" % digits if digits else ""
        assert re.fullmatch(r"[+-]?\d{4,}-\d\d-\d\d \d\d:\d\d:\d\d" + fraction + zone, value), (raw, value)
    else:
        assert isinstance(value, str) and not isinstance(value, Token), (raw, value)


def check_document(document, keys, is_first):
    assert keys == [key for key in ORDER if key in keys], keys
    assert all(document[key] is not None for key in document), document
    assert "state" in document["stats"] and document["warnings"] == []
    if is_first:
        assert set(keys) == {"id", "infoUri", "nextUri", "stats", "warnings"}, keys
    for column in document.get("columns", []):
        assert list(column) == ["name", "type", "typeSignature"], column
        assert not re.search(r"[<>,]", column["typeSignature"]["rawType"])
    if "data" in document:
        assert document["data"] and "columns" in document, "data without rows or columns"
        assert document["stats"]["state"] in ("RUNNING", "FINISHED"), document["stats"]["state"]
        for row in document["data"]:
            assert len(row) == len(document["columns"])
            for cell, column in zip(row, document["columns"]):
                check_cell(cell, column["typeSignature"])
    if "error" in document:
        assert document["stats"]["state"] == "FAILED" and "nextUri" not in document and "data" not in document
        assert document["error"]["errorName"] and document["error"]["failureInfo"]["stack"] == []
    elif "nextUri" not in document:
        assert document["stats"]["state"] == "FINISHED"


class Failed(Exception):
    def __init__(self, error):
        super().__init__(f"{error['errorName']} {error['errorCode']}: {error['message']}")
        self.error = error
        self.name = error["errorName"]


class Result:
    def __init__(self):
        self.columns, self.rows, self.pages, self.headers, self.update_type, self.update_count = None, [], 0, {}, None, None
        self.bytes = 0


class Loop:
    """One keep-alive connection and one session that follows what the server answers."""

    def __init__(self, address, family="X-Trino", user="loop", catalog="hive", schema="default", datetime=True, **headers):
        self.host, self.port = address.split(":")
        self.family = family
        self.http = http.client.HTTPConnection(self.host, int(self.port), timeout=30)
        self.headers = {f"{family}-User": user, f"{family}-Catalog": catalog, f"{family}-Schema": schema}
        if datetime:
            self.headers[f"{family}-Client-Capabilities"] = "PARAMETRIC_DATETIME"
        self.headers.update({key.replace("_", "-"): value for key, value in headers.items()})
        self.prepared = {}
        self.session = {}

    def request(self, method, uri, body=None, headers=None):
        self.http.request(method, uri, body=body, headers=headers or {})
        answer = self.http.getresponse()
        data = answer.read()
        if answer.getheader("Content-Encoding") == "gzip":
            data = gzip.decompress(data)
        return answer, data

    def document(self, method, uri, body=None, headers=None):
        answer, data = self.request(method, uri, body, headers)
        assert answer.status == 200, (answer.status, data[:300])
        assert answer.getheader("Content-Type") == "application/json", answer.getheader("Content-Type")
        document, keys = parse(data.decode())
        check_document(document, keys, method == "POST")
        return document, answer, data

    def post(self, sql, headers=None):
        own = dict(self.headers, **(headers or {}))
        if self.prepared:
            own[f"{self.family}-Prepared-Statement"] = ",".join(
                f"{urllib.parse.quote_plus(key)}={urllib.parse.quote_plus(text)}" for key, text in self.prepared.items())
        if self.session:
            own[f"{self.family}-Session"] = ",".join(f"{k}={urllib.parse.quote_plus(v)}" for k, v in self.session.items())
        return self.document("POST", "/v1/statement", sql.encode(), own)[0]

    def follow(self, answer, result):
        """Session headers of an answer."""
        for key, value in answer.getheaders():
            key = key.lower().removeprefix(self.family.lower() + "-")
            if key in ("set-catalog", "set-schema"):
                self.headers[f"{self.family}-{key[4:].title()}"] = value
            elif key == "set-session":
                name, text = value.split("=")
                self.session[name] = urllib.parse.unquote_plus(text)
            elif key == "clear-session":
                self.session.pop(value, None)
            elif key == "added-prepare":
                name, text = value.split("=")
                self.prepared[urllib.parse.unquote_plus(name)] = urllib.parse.unquote_plus(text)
            elif key == "deallocated-prepare":
                self.prepared.pop(urllib.parse.unquote_plus(value), None)
            elif key == "started-transaction-id":
                self.headers[f"{self.family}-Transaction-Id"] = value
            elif key == "clear-transaction-id":
                self.headers[f"{self.family}-Transaction-Id"] = "NONE"
            else:
                continue
            result.headers[key] = value

    def run(self, sql, headers=None, get_headers=None):
        document = self.post(sql, headers)
        result = Result()
        while "nextUri" in document:
            document, answer, data = self.document("GET", urllib.parse.urlsplit(document["nextUri"]).path,
                                                   headers=get_headers)
            result.bytes += len(data)
            result.columns = document.get("columns", result.columns)
            result.rows += document.get("data", [])
            result.pages += "data" in document
            result.update_type = document.get("updateType", result.update_type)
            result.update_count = document.get("updateCount")
            self.follow(answer, result)
        if "error" in document:
            raise Failed(document["error"])
        assert result.columns is not None, "no columns at the end"
        return result
