#!/usr/bin/env python3
"""Makes sigv4_vectors.txt: requests of our own with the signatures that an independent
implementation (botocore from PyPI) gives them. Not run by the tests; run it to add cases:
    python3 -m venv V && V/bin/pip install botocore && V/bin/python tests/s3/make_vectors.py
"""
import hashlib
import os
from urllib.parse import quote

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

HOST = "tarn-lake.s3.amazonaws.com"
EMPTY = hashlib.sha256(b"").hexdigest()
TIME = "20261121T120000Z"
ACCESS, SECRET = "AKIDTARNEXAMPLE", "tArN+example/secret=key/not+a+real+one"
TOKEN = "FwoGZXIvYXdzEBYaDExample+token/with=signs=="


def body(text):
    return hashlib.sha256(text.encode()).hexdigest()


# name, changes to the plain GET
CASES = [
    ("get-plain", {}),
    ("get-root-path", {"path": "/"}),
    ("get-empty-query-name", {"query": [("uploads", "")]}),
    ("get-query-one", {"query": [("Param1", "value1")]}),
    ("get-query-order-name", {"query": [("b", "2"), ("a", "1"), ("C", "3")]}),
    ("get-query-order-value", {"query": [("a", "2"), ("a", "1"), ("a", "10")]}),
    ("get-query-prefix-of-name", {"query": [("list-type", "2"), ("list", "x")]}),
    ("get-query-unreserved", {"query": [("-._~09azAZ", "-._~09azAZ")]}),
    ("get-query-reserved", {"query": [("a&b=c", "d/e?f+g h%i")]}),
    ("get-query-slash", {"query": [("prefix", "gold/charts/"), ("delimiter", "/")]}),
    ("get-query-utf8", {"query": [("ሴ", "bär")]}),
    ("get-query-empty-value", {"query": [("prefix", ""), ("list-type", "2")]}),
    ("get-list-page", {"query": [("list-type", "2"), ("prefix", "a b/c=d"), ("max-keys", "1000"),
                                 ("encoding-type", "url"), ("continuation-token", "1+/x==")]}),
    ("get-header-space", {"headers": [("x-amz-meta-a", "  two   blanks  inside ")]}),
    ("get-header-tab", {"headers": [("x-amz-meta-a", "tab\tand blank")]}),
    ("get-header-order", {"headers": [("x-amz-meta-z", "1"), ("x-amz-meta-a", "2")]}),
    ("get-header-name-prefix", {"headers": [("x-amz-meta-a-b", "1"), ("x-amz-meta-a", "2"),
                                            ("x-amz-meta-a.b", "3")]}),
    ("get-header-empty", {"headers": [("x-amz-meta-empty", "")]}),
    ("get-header-colon", {"headers": [("x-amz-meta-colon", "a:b:c")]}),
    ("get-header-case", {"headers": [("x-amz-meta-case", "MiXeD")]}),
    ("get-path-blank", {"path": "/gold/a b.json"}),
    ("get-path-hive", {"path": "/gold/day=2026-11-21/hour=07/x.json.gz"}),
    ("get-path-plus", {"path": "/topics/orders/orders+3+0000012345.json"}),
    ("get-path-colon", {"path": "/a:b/c;d/e,f"}),
    ("get-path-percent", {"path": "/a%2Fb/100%"}),
    ("get-path-utf8", {"path": "/Ünïcode/☃"}),
    ("get-path-utf8-four-bytes", {"path": "/𝄞/🎵.json"}),
    ("get-path-slashes", {"path": "//a//b/"}),
    ("get-path-dots", {"path": "/a/../b/./c"}),
    ("get-path-unreserved", {"path": "/-._~azAZ09"}),
    ("get-path-quotes", {"path": "/it's (\"here\") *!$&@[]"}),
    ("get-path-long", {"path": "/" + "k" * 200 + "/" + "é" * 100}),
    ("get-with-token", {"token": TOKEN}),
    ("get-with-token-and-query", {"token": TOKEN, "query": [("uploadId", "2~a+b/c=")]}),
    ("get-port", {"host": "127.0.0.1:7480", "path": "/bucket/key"}),
    ("get-other-region", {"region": "eu-central-1"}),
    ("get-other-service", {"service": "sts", "path": "/"}),
    ("get-new-year", {"time": "20270101T000000Z"}),
    ("get-leap-day", {"time": "20280229T235959Z"}),
    ("get-other-secret", {"access": "K", "secret": "s"}),
    ("get-secret-long", {"secret": "x" * 128}),
    ("head-object", {"method": "HEAD"}),
    ("delete-object", {"method": "DELETE", "path": "/old/object"}),
    ("put-empty", {"method": "PUT"}),
    ("put-body", {"method": "PUT", "payload": body('{"count":7,"songName":"Believe"}'),
                  "headers": [("content-type", "application/json")]}),
    ("put-if-absent", {"method": "PUT", "payload": body("entry"),
                       "path": "/gold/chart/_log/00000000000000000007.commit",
                       "headers": [("x-amz-meta-tarn-token", "0123456789abcdef"),
                                   ("if-none-match", "*")]}),
    ("put-unsigned-payload", {"method": "PUT", "payload": "UNSIGNED-PAYLOAD"}),
    ("put-part", {"method": "PUT", "payload": body("p" * 1000),
                  "query": [("partNumber", "2"), ("uploadId", "2~ABC_def-.ghi")]}),
    ("put-encrypted", {"method": "PUT", "payload": body("x"),
                       "headers": [("x-amz-server-side-encryption", "aws:kms"),
                                   ("x-amz-server-side-encryption-aws-kms-key-id",
                                    "arn:aws:kms:eu-central-1:1:key/k"),
                                   ("x-amz-storage-class", "STANDARD_IA")]}),
    ("post-upload-start", {"method": "POST", "query": [("uploads", "")]}),
    ("post-upload-finish", {"method": "POST", "payload": body("<CompleteMultipartUpload/>"),
                            "query": [("uploadId", "VXBsb2FkIElE+/==")],
                            "headers": [("content-type", "application/xml")]}),
    ("post-form", {"method": "POST", "payload": body("Param1=value1"), "path": "/",
                   "headers": [("content-type",
                                "application/x-www-form-urlencoded; charset=utf-8")]}),
    ("delete-upload", {"method": "DELETE", "query": [("uploadId", "2~x")]}),
    ("post-delete-many", {"method": "POST", "payload": body("<Delete/>"),
                          "query": [("delete", "")],
                          "headers": [("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==")]}),
]


def sign(case):
    host = case.get("host", HOST)
    url = "http://" + host + quote(case["path"], safe="/~")
    headers = [("host", host), ("x-amz-date", case["time"]),
               ("x-amz-content-sha256", case["payload"])] + case["headers"]
    if case["token"]:
        headers.append(("x-amz-security-token", case["token"]))
    request = AWSRequest(method=case["method"], url=url, params=case["query"] or None)
    for name, value in headers:
        request.headers[name] = value
    request.context["timestamp"] = case["time"]
    auth = S3SigV4Auth(Credentials(case["access"], case["secret"], case["token"] or None),
                       case["service"], case["region"])
    canonical = auth.canonical_request(request)
    signature = auth.signature(auth.string_to_sign(request, canonical), request)
    return headers, hashlib.sha256(canonical.encode()).hexdigest(), signature


def main():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sigv4_vectors.txt")
    with open(path, "w", encoding="utf-8") as out:
        out.write("# Requests and their signatures; made by make_vectors.py. A tab parts names from "
                  "values.\n")
        for name, changes in CASES:
            case = {"method": "GET", "path": "/gold/charts/x.json", "query": [], "headers": [],
                    "payload": EMPTY, "time": TIME, "region": "us-east-1", "service": "s3",
                    "access": ACCESS, "secret": SECRET, "token": "", **changes}
            headers, canonical, signature = sign(case)
            out.write(f"\ncase\t{name}\n")
            for field in ("method", "path", "region", "service", "time", "access", "secret",
                          "payload"):
                out.write(f"{field}\t{case[field]}\n")
            for pair in case["query"]:
                out.write("query\t%s\t%s\n" % pair)
            for pair in headers:
                out.write("header\t%s\t%s\n" % pair)
            out.write(f"canonical\t{canonical}\nsignature\t{signature}\n")


main()
