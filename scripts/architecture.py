"""Count files, lines, rooms and import arrows: `python scripts/architecture.py --against 247a8fe` compares revisions.

A room is a folder or module directly in src/gainkt; an arrow says that one room imports another, anywhere in a file. A
circle is a set of rooms each of which reaches all others along arrows. Prints Markdown, as docs/architecture.md has it.
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def imports(package: Path) -> dict[str, set[str]]:
    """Return the modules of a package that each of its modules imports, dotted and without the package's own name.

    Imports inside functions and for type checkers count too. The package's own `__init__`, which offers names of
    every room, is left out.
    """
    paths = {_module(path.relative_to(package)): path for path in sorted(package.rglob("*.py"))}
    del paths[""]
    found: dict[str, set[str]] = {}
    for module, path in paths.items():
        names = {name.removeprefix(f"{package.name}.") for name in _names(path) if name.startswith(f"{package.name}.")}
        places = {name if name in paths else name.rpartition(".")[0] for name in names}
        found[module] = places & set(paths) - {module}
    return found


def packages(path: Path) -> set[str]:
    """Return the packages that a file imports."""
    return {name.partition(".")[0] for name in _names(path)}


def _names(path: Path) -> set[str]:
    """Everything that a file imports, dotted; of `from a import b` the name is a.b."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _module(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(module: str) -> str:
    """Return the room that a module lies in."""
    return module.partition(".")[0]


def arrows(imported: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return the rooms that each room imports."""
    found: dict[str, set[str]] = {room(module): set() for module in imported}
    for module, others in imported.items():
        found[room(module)] |= {room(other) for other in others} - {room(module)}
    return found


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the sets of rooms that reach each other."""
    reached = {start: set(ends) for start, ends in graph.items()}
    for through in graph:
        for ends in reached.values():
            if through in ends:
                ends |= reached[through]
    together = {frozenset(b for b in reached[a] if a in reached[b]) for a in graph if a in reached[a]}
    return sorted(sorted(group) for group in together)


def measure(root: Path) -> dict[str, str]:
    """Return the rows of the table for a checkout."""
    package = root / "src" / "gainkt"
    imported = imports(package)
    graph = arrows(imported)
    files = {path: _lines(path) for path in package.rglob("*.py")}
    folders = {path.name for path in package.iterdir() if any(path.glob("*.py"))}
    conf, tests = (
        {p: _lines(p) for p in (root / name).rglob(end)} for name, end in (("conf", "*.yaml"), ("tests", "*.py"))
    )
    longest = max(files, key=lambda path: files[path])
    rings = circles(graph)
    return {
        "files in src/gainkt/": f"{len(files)}",
        "lines in src/gainkt/": f"{sum(files.values()):,}",
        "longest file": f"{longest.relative_to(root / 'src' / 'gainkt')} ({files[longest]})",
        "folders in the package": f"{len(folders)}",
        "modules beside them": f"{len(set(graph) - folders)}",
        "imports between modules": f"{sum(map(len, imported.values()))}",
        "arrows between rooms": f"{sum(map(len, graph.values()))}",
        "arrows between folders": f"{sum(len(ends & folders) for name, ends in graph.items() if name in folders)}",
        "circles of rooms": "; ".join(", ".join(ring) for ring in rings) or "none",
        "files and lines in conf/": f"{len(conf)}, {sum(conf.values()):,}",
        "files and lines in tests/": f"{len(tests)}, {sum(tests.values()):,}",
    }


def _lines(path: Path) -> int:
    return len(path.read_bytes().splitlines())


def measure_revision(revision: str) -> dict[str, str]:
    """Return the rows of the table for a revision."""
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", revision], check=True, capture_output=True).stdout
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=BytesIO(archive)) as packed:
        packed.extractall(folder, filter="data")
        return measure(Path(folder))


def main() -> int:
    """Print the table, and the arrows of the working tree."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--against", metavar="REVISION", help="show this revision beside the working tree")
    revision = parser.parse_args().against
    columns = {"now": measure(ROOT)}
    if revision:
        try:
            columns = {revision: measure_revision(revision), **columns}
        except subprocess.CalledProcessError as error:
            print(f"error: --against {revision}: {error.stderr.decode().strip()}", file=sys.stderr)
            return 1
    print("|", *(f"| {name} " for name in columns), "|\n|---" + "|---" * len(columns) + "|", sep="")
    for row in columns["now"]:
        print(f"| {row} |", *(f"{values[row]} |" for values in columns.values()))
    print("\n| room | imports |\n|---|---|")
    for name, ends in sorted(arrows(imports(ROOT / "src" / "gainkt")).items()):
        print(f"| {name} | {', '.join(sorted(ends)) or 'nothing'} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
