#!/usr/bin/env python3
"""The lint must fail when a rule is broken: plant one violation of each kind in a copy of the tree and look for it."""
import pathlib
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import lint  # noqa: E402

HEAD = "/* planted */\n"
PLANTS = [
    ("stream/x.c", HEAD + '#include "store/db.h"\n', "stream/ may not include store/"),
    ("store/x.c", HEAD + '#include "connectors/formats.h"\n', "store/ may not include connectors/"),
    ("connectors/x.c", HEAD + '#include "sql/db.h"\n', "connectors/ may not include sql/"),
    ("sql/x.c", HEAD + '#include "dashboards/page.h"\n', "sql/ may not include dashboards/"),
    ("sql/x.c", HEAD + "#include <rocksdb/c.h>\n", "<rocksdb/c.h> belongs to store/ alone"),
    ("stream/x.c", HEAD + "#include <unistd.h>\n", "stream/ is pure"),
    ("sql/x.c", HEAD + "void f(void)\n{\n    strcpy(a, b);\n}\n", "'strcpy' is banned"),
    ("sql/x.c", "int a;\n", "file without a header comment"),
    ("sql/x.c", HEAD + "void f(void)\n{\n" + "    g();\n" * 120 + "}\n", "function of 121 lines"),
    ("store/README.md", "# store\n", "heading '## Purpose' is missing"),
]


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    failed = 0
    for name, text, want in PLANTS:
        with tempfile.TemporaryDirectory() as tmp:
            copy = pathlib.Path(tmp)
            for folder in lint.FOLDERS:
                (copy / folder).mkdir()
                readme = root / folder / "README.md"
                if readme.exists():
                    shutil.copy(readme, copy / folder / "README.md")
            (copy / name).write_text(text)
            found = lint.lint(copy)
            if not any(want in line for line in found):
                print(f"not caught: {name}: {want}; lint said {found}")
                failed += 1
    print(f"{len(PLANTS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
