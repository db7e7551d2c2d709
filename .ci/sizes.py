"""How large each room is: lines, and lines and tokens of code. Reported, held by no test.

Code leaves out docstrings, comments, blank lines and imports, so that explaining costs nothing.
Data, captions, tables of test cases, JavaScript and CSS count as what they are: lines.
"""

from __future__ import annotations

import ast
import collections
import io
import subprocess
import tokenize
from pathlib import Path

DEFINES = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
LAYOUT = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
    tokenize.ENCODING, tokenize.ENDMARKER,
}  # fmt: skip
#: What is no Python and yet decides what a reader sees, by its place and the end of its name.
OTHERS = {
    "data/": (".yaml", ".json"),
    "families/": (".yaml",),
    "book/captions/": (".yaml",),
    "tests/cases/": (".yaml", ".js", ".html"),
    "book/ (JavaScript)": (".js",),
    "book/ (CSS)": (".css",),
    "companion/ (JavaScript)": (".js",),
    "companion/ (CSS)": (".css",),
    "book/ (pages)": (".md",),
}


def not_code(tree: ast.Module) -> set[int]:
    """Numbers of the lines that docstrings and imports take."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            lines |= {*range(node.lineno, (node.end_lineno or 0) + 1)}
        if isinstance(node, DEFINES) and ast.get_docstring(node, clean=False) is not None:
            lines |= {*range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)}
    return lines


def of_python(source: str) -> tuple[int, int, int]:
    """Lines, lines of code and tokens of code."""
    out, lines = not_code(ast.parse(source)), source.splitlines()
    code = [i for i, line in enumerate(lines, 1) if line.strip() and line.strip()[0] != "#"]
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    counted = sum(token.type not in LAYOUT and token.start[0] not in out for token in tokens)
    return len(lines), len({*code} - out), counted


def main() -> None:
    """Print a row for each room of the files that git knows."""
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=True)
    names = [name for name in listed.stdout.split("\0") if name and Path(name).is_file()]
    rooms: dict[str, list[int]] = collections.defaultdict(lambda: [0, 0, 0])
    for name in (name for name in names if name.endswith(".py")):
        top, *inner = Path(name).parts
        room = "/".join([top, *inner[:1]]) if len(inner) > 1 else top
        for place, count in enumerate(of_python(Path(name).read_text(encoding="utf-8"))):
            rooms[room][place] += count
    print(f"{'Python':24s}{'lines':>8s}{'code':>8s}{'tokens':>9s}")
    for room, (lines, code, tokens) in sorted(rooms.items()):
        print(f"{room:24s}{lines:8,}{code:8,}{tokens:9,}")
    print(f"\n{'other':24s}{'lines':>8s}")
    for room, ends in OTHERS.items():
        inside = [n for n in names if n.startswith(room.partition(" ")[0]) and n.endswith(ends)]
        total = sum(Path(n).read_text(encoding="utf-8").count("\n") for n in inside)
        measured = [n for n in inside if n.startswith("data/measurements/")]
        kept = sum(Path(n).read_text(encoding="utf-8").count("\n") for n in measured)
        also = f"  and {kept:,} of measurements" if kept else ""
        print(f"{room:24s}{total - kept:8,}{also}")


if __name__ == "__main__":
    main()
