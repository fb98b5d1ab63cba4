"""The `gainkt` command: `gainkt train experiment=v4_belief` is `python -m gainkt.train experiment=v4_belief`."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from gainkt import __version__
from gainkt.errors import ConfigError, nearest
from gainkt.interruption import leave_at_once

LOOKS = {"--help", "-h", "--hydra-help", "--cfg", "-c", "--info", "-i", "--version"}
"""Arguments that Hydra answers from the config alone."""
OWN_WORDS = ("model=", "settings.", "sweep.resume=", "datasets.", "experiments.", "references.", "peers.")
"""Starts of arguments that a door rewords before Hydra sees them (`reference`, `benchmark`, a resumed sweep)."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a door, or list them all.

    Args:
        arguments: the door's name and its arguments; those of the command line where None.
    """
    if arguments is None:
        leave_at_once()
    given = sys.argv[1:] if arguments is None else list(arguments)
    known = doors()
    if not given or given[0] in ("--help", "-h", "help"):
        print(listing(known))
    elif given[0] == "--version":
        print(f"gainkt {__version__}")
    elif given[0] not in known:
        unknown = ConfigError(f"{given[0]}: no such command{nearest(given[0], known)}; gainkt --help lists them all")
        sys.exit(f"gainkt: error: {unknown}")
    else:
        door, *rest = given
        sys.argv = [f"gainkt {door}", *rest]
        # What provenance.json keeps, and a sweep's report reads, as if the door had been called by itself.
        sys.orig_argv[1:] = ["-m", f"gainkt.{door}", *rest]
        asks = LOOKS & {a.partition("=")[0] for a in rest} and not any(a.startswith(OWN_WORDS) for a in rest)
        if asks and "=" in known[door]:  # one without settings, as inspect, has no config
            look(door)
        else:
            import_module(f"gainkt.{door}").main()


def doors() -> dict[str, str]:
    """Return the name of each door, a module at the package's top with a function `main`, and what it does.

    The modules are read, not imported: to list them must not cost the seconds that torch takes.
    """
    found = {}
    for path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in module.body):
            found[path.stem] = (ast.get_docstring(module) or "").partition("\n")[0]
    return found


def listing(known: dict[str, str]) -> str:
    """Return the doors in a line each: what stands before the colon of a docstring, and the example after it."""
    rows = []
    for door, said in known.items():
        does, _, rest = said.partition(":")
        example = re.search(rf"`python -m gainkt\.{door} ?([^`]*)`", rest)
        rows.append((door, does.rstrip("."), example[1] if example else ""))
    width, wide = (max(len(row[i]) for row in rows) for i in (0, 1))
    lines = [f"  {door:{width}}  {does:{wide}}  {example}".rstrip() for door, does, example in rows]
    head = ["usage: gainkt <command> [key=value ...]", ""]
    tail = [
        "",
        "gainkt <command> --help lists its config groups and settings; --cfg job prints them as they would be used.",
    ]
    return "\n".join([*head, *lines, *tail])


def look(door: str) -> None:
    """Have Hydra answer for a door, whose config has its name, without importing what the door computes with."""
    import hydra

    from gainkt.config import conf_dir, run_main

    def never(cfg: Any) -> None:
        raise AssertionError(f"{door}: Hydra was to answer by itself")

    never.__module__ = f"gainkt.{door}"  # whose last part Hydra takes for the command's name
    run_main(hydra.main(config_path=conf_dir(), config_name=door, version_base="1.3")(never))


if __name__ == "__main__":
    main()
