#!/usr/bin/env python3
"""The README's statements and commands, run as written: each block marked `<!-- test: name -->` is executed or compared.
Also: links lead somewhere, `tarn help` and every `tarn COMMAND --help` work, the completion script is valid bash."""
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))
from tarn_server import BINARY, Server  # noqa: E402


def blocks():
    text = (ROOT / "README.md").read_text()
    return dict(re.findall(r"<!-- test: (\S+) -->\n```\w*\n(.*?)```", text, flags=re.S))


def shell(text, address, folder):
    text = text.replace("127.0.0.1:8090", address)
    done = subprocess.run(["bash", "-euc", text], capture_output=True, text=True, timeout=120, cwd=folder)
    assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
    return done.stdout


def check_pipeline(found, folder):
    (folder / "pipeline.sql").write_text(found["pipeline.sql"])
    assert found["run"].strip() == "build/tarn run pipeline.sql --state ./state --listen 127.0.0.1:8090", found["run"]
    with Server(folder / "pipeline.sql", folder / "state") as tarn:
        shell(found["post"].replace("curl ", "curl -sS --fail-with-body "), tarn.address, folder)
        got = shell(found["query"].replace("curl ", "curl -sS --fail-with-body "), tarn.address, folder)
        assert got.replace("\r\n", "\n").strip() == found["answer"].strip(), f"got:\n{got}\nwant:\n{found['answer']}"
        got = shell(found["hold"], tarn.address, folder).replace("\r\n", "\n")
        assert got.strip() == found["hold-answer"].strip(), f"got:\n{got}\nwant:\n{found['hold-answer']}"


def check_files(found, folder):
    (folder / "empty.sql").write_text("CREATE SCHEMA unused;")
    with Server(folder / "empty.sql", folder / "files-state") as tarn:
        for name in ["files", "sqlite", "sink"]:
            build = BINARY.parent
            got = shell(f"BUILD={build}\n" + found[name], tarn.address, folder).replace("\r\n", "\n")
            assert got.strip() == found[f"{name}-answer"].strip(), f"got:\n{got}\nwant:\n{found[name + '-answer']}"


def check_commands():
    help_text = subprocess.run([BINARY, "help"], capture_output=True, text=True, check=True).stdout
    for command in re.findall(r"^  (\w+) ", help_text, flags=re.M):
        if command in ("help", "version", "options", "completion"):
            subprocess.run([BINARY, command], capture_output=True, check=True)
        else:
            out = subprocess.run([BINARY, command, "--help"], capture_output=True, text=True, check=True).stdout
            assert "usage:" in out, out
    script = subprocess.run([BINARY, "completion"], capture_output=True, text=True, check=True).stdout
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    listed = subprocess.run(["bash", "-c", script + "\nCOMP_WORDS=(tarn ru); COMP_CWORD=1; _tarn; echo ${COMPREPLY[@]}"],
                            capture_output=True, text=True, check=True).stdout
    assert "run" in listed.split(), listed
    wrong = subprocess.run([BINARY, "rum"], capture_output=True, text=True)
    assert wrong.returncode == 2 and "did you mean 'run'" in wrong.stderr, wrong.stderr
    wrong = subprocess.run([BINARY, "run", "x.sql", "--set", "comit.interval.ms=5"], capture_output=True, text=True)
    assert wrong.returncode == 2 and "commit.interval.ms" in wrong.stderr, wrong.stderr


def check_links():
    for readme in [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *ROOT.glob("*/README.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", readme.read_text()):
            assert (readme.parent / target).exists(), f"{readme.relative_to(ROOT)}: link to {target} leads nowhere"


def main():
    found = blocks()
    with tempfile.TemporaryDirectory(prefix="tarn-docs-") as folder:
        check_pipeline(found, pathlib.Path(folder))
        check_files(found, pathlib.Path(folder))
    check_commands()
    check_links()
    print("README, commands and links: fine")


if __name__ == "__main__":
    main()
