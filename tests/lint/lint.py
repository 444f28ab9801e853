#!/usr/bin/env python3
"""House rules that a compiler does not check. Usage: lint.py [ROOT]; prints file:line: rule; exit 1 when any is broken.

Include arrows, owners of third-party headers, banned functions, file header comments, folder READMEs with their five
headings, function length, line length, words that must not appear.
"""
import pathlib
import re
import subprocess
import sys

FOLDERS = ["stream", "store", "connectors", "sql", "dashboards", "tests"]
MAY_INCLUDE = {
    "stream": {"stream"},
    "store": {"store", "stream"},
    "connectors": {"connectors", "stream"},
    "sql": {"sql", "stream", "store", "connectors"},
    "dashboards": {"dashboards", "sql", "stream", "store", "connectors"},
    "tests": set(FOLDERS),
    "main": set(FOLDERS) - {"tests"},
}
OWNER = {  # third-party header → the only folder that includes it
    "rocksdb/c.h": {"store"},
    "librdkafka/rdkafka.h": {"connectors"},
    "microhttpd.h": {"connectors"},
    "sqlite3.h": {"sql"},
    "curl/curl.h": {"connectors"},
    "histedit.h": {"sql"},
    "editline/readline.h": {"sql"},
    "pcre2.h": {"stream"},
}
IMPURE = {"sys/socket.h", "fcntl.h", "unistd.h", "time.h", "sys/stat.h", "netinet/in.h", "dirent.h", "sys/time.h"}
BANNED = ["strcpy", "strcat", "sprintf", "vsprintf", "gets", "strtok", "alloca", "malloc", "calloc", "realloc", "free"]
MAY_MALLOC = {"stream/base/mem.c"}
HEADINGS = ["Purpose", "Data flow", "Invariants", "Threads and ownership", "How to add one"]
FUNCTION_LINES_MAX = 100
LINE_MAX = 100
WORDS = ["../" + "shared", "/work/" + "shared", "farm-" + "studio", "farm-" + "bench"]


def source_files(root):
    out = subprocess.run(["git", "-C", str(root), "ls-files", "-co", "--exclude-standard"], capture_output=True,
                         text=True)
    names = out.stdout.split("\n") if out.returncode == 0 and out.stdout else [
        str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()]
    return [n for n in names if n and (root / n).is_file()]


def strip_comments(text):
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.S)


def check_includes(name, text, report):
    folder = name.split("/")[0] if "/" in name else "main"
    for number, line in enumerate(text.split("\n"), 1):
        found = re.match(r'\s*#\s*include\s+(["<])([^">]+)[">]', line)
        if not found:
            continue
        quote, target = found.groups()
        if quote == '"':
            to = target.split("/")[0]
            if target == "main.h" and folder == "main":
                continue
            if to not in FOLDERS and not target.endswith("generated.h"):
                report(name, number, f"include path '{target}' does not start at the root")
            elif to in FOLDERS and to not in MAY_INCLUDE[folder]:
                report(name, number, f"{folder}/ may not include {to}/ ('{target}')")
            continue
        if target in OWNER and folder not in OWNER[target] | {"tests"}:
            report(name, number, f"<{target}> belongs to {'/'.join(OWNER[target])}/ alone")
        if folder == "stream" and target in IMPURE:
            report(name, number, f"stream/ is pure: <{target}> is not allowed")


def check_code(name, text, report):
    code = strip_comments(text)
    product = not name.startswith("tests/")
    for number, line in enumerate(code.split("\n"), 1):
        for word in BANNED if product and name not in MAY_MALLOC else []:
            if re.search(rf"(?<![\w.>]){word}\s*\(", line):
                report(name, number, f"'{word}' is banned; see stream/base/mem.h and buf.h")
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > LINE_MAX and "http" not in line:
            report(name, number, f"line longer than {LINE_MAX} columns")
    if not text.lstrip().startswith("/*"):
        report(name, 1, "file without a header comment")
    start = None
    for number, line in enumerate(code.split("\n"), 1):
        if line.startswith("{"):
            start = number
        elif line.startswith("}") and start:
            if product and number - start > FUNCTION_LINES_MAX:
                report(name, start, f"function of {number - start} lines (limit {FUNCTION_LINES_MAX})")
            start = None
    if name.endswith(".h") and "#ifndef TN_" not in text:
        report(name, 1, "header without a TN_ guard")


def lint(root):
    broken = []

    def report(name, number, rule):
        broken.append(f"{name}:{number}: {rule}")

    names = source_files(root)
    for name in names:
        if name.endswith((".png", ".ico", ".gz")):
            continue
        text = (root / name).read_text(encoding="utf-8", errors="replace")
        for word in WORDS:
            if word in text and not name.endswith("lint.py"):
                report(name, 1, f"'{word}' must not be mentioned")
        if name.endswith((".c", ".h")):
            check_includes(name, text, report)
            check_code(name, text, report)
    for folder in FOLDERS:
        readme = root / folder / "README.md"
        text = readme.read_text(encoding="utf-8") if readme.exists() else ""
        for heading in HEADINGS:
            if f"## {heading}" not in text:
                report(f"{folder}/README.md", 1, f"heading '## {heading}' is missing")
    return broken


if __name__ == "__main__":
    result = lint(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve())
    print("\n".join(result) if result else "lint: clean")
    sys.exit(1 if result else 0)
