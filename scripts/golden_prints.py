"""Fingerprints of runs: read off the files that a run leaves, whatever made them, and how two of them differ."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import torch

Prints = dict[str, dict[str, str]]
"""A run's fingerprint: of each file, what is in each of its parts, a number as it stands or a digest."""
Difference = tuple[str, str, str, str]
"""File, part, old value, new value; MISSING where there is none."""
MISSING = "missing"
MANY = 8
"""Longer lists are told by a digest."""
WIDTH = 60
"""Columns for a value in a line of differences."""


def fingerprint(folder: Path) -> Prints:
    """Fingerprint the files of a run.

    Left out: config.yaml (modules may move), provenance.json (commit, time, command), digests.json (of these two, too),
    logs and pictures, and in a checkpoint what is not weights or optimizer.
    """
    readers = {".ckpt": of_checkpoint, ".csv": of_csv, ".parquet": of_parquet}
    readers[".json"] = lambda path: of_node(json.loads(plain(path.read_text(), folder)), "")
    prints: Prints = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in readers and path.name not in ("provenance.json", "digests.json"):
            name = path.relative_to(folder).as_posix()
            try:
                parts = list(readers[path.suffix](path))
            except Exception as error:  # so is a file that cannot be read
                parts = [("unreadable", f"{type(error).__name__}: {error}")]
            prints[name] = {part: plain(value, folder) for part, value in parts}
    return prints


def of_checkpoint(path: Path) -> Iterator[tuple[str, str]]:
    """Every weight by name; the optimizer's numbers in order, as one."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    for name in ("epoch", "global_step"):
        yield name, repr(content[name])
    for name, value in content["state_dict"].items():
        yield name, of_tensor(value)
    numbers = [
        of_tensor(leaf) if isinstance(leaf, torch.Tensor) else repr(leaf)
        for leaf in leaves(content["optimizer_states"])
    ]
    yield "optimizer", f"{len(numbers)} numbers and tensors {digest(' '.join(numbers).encode())}"


def leaves(node: Any) -> Iterator[Any]:
    """What nested containers hold in the end, in order."""
    if not isinstance(node, Mapping | list | tuple):
        yield node
        return
    for entry in node.values() if isinstance(node, Mapping) else node:
        yield from leaves(entry)


def of_tensor(value: torch.Tensor) -> str:
    """Type, shape, size and digest of a tensor."""
    array = value.detach().contiguous().numpy()
    kind = f"{array.dtype}[{','.join(map(str, array.shape))}]"
    return f"{kind} norm {float(value.double().norm()):.6g} {digest(kind.encode() + array.tobytes())}"


def of_csv(path: Path) -> Iterator[tuple[str, str]]:
    """The text of every column."""
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    for name, *column in zip(header, *rows, strict=True):
        yield name, " ".join(value or "-" for value in column)


def of_parquet(path: Path) -> Iterator[tuple[str, str]]:
    """Type, rows, mean and digest of every column."""
    table = pq.read_table(path)
    for name, kind in zip(table.schema.names, table.schema.types, strict=True):
        column = table[name].to_pandas()
        numbers = pd.api.types.is_numeric_dtype(column)
        content = column.to_numpy().tobytes() if numbers else repr(column.tolist()).encode()
        mean = f" mean {column.mean():.9g}" if numbers else ""
        yield name, f"{kind}[{len(column)}]{mean} {digest(str(kind).encode() + content)}"


def of_node(node: Any, at: str) -> Iterator[tuple[str, str]]:
    """Every number and text at a place of a JSON file and below it; long lists by a digest."""
    inner = node if isinstance(node, dict) else None
    if isinstance(node, list):
        if node and all(isinstance(entry, dict) and "name" in entry for entry in node):
            inner = {entry["name"]: entry for entry in node}
        elif len(node) <= MANY:
            inner = dict(enumerate(node))
        else:
            yield at, f"list of {len(node)} {digest(json.dumps(node).encode())}"
            return
    if not inner:
        yield at, json.dumps(node, ensure_ascii=False)
        return
    for key, entry in inner.items():
        yield from of_node(entry, f"{at}/{key}".lstrip("/"))


def digest(content: bytes) -> str:
    """Return 16 hex digits."""
    return hashlib.sha256(content).hexdigest()[:16]


def plain(text: str, folder: Path) -> str:
    """Return the text without the places of this run."""
    return text.replace(str(folder), "<run>").replace(str(folder.parent), "<runs>")


def differences(old: Prints, new: Prints) -> list[Difference]:
    """Return what differs between two fingerprints of a run; a file that one lacks is one difference."""
    found: list[Difference] = []
    for file in [*old, *(file for file in new if file not in old)]:
        if file not in old or file not in new:
            before, after = (f"{len(run[file])} parts" if file in run else MISSING for run in (old, new))
            found.append((file, "", before, after))
            continue
        was, now = old[file], new[file]
        for part in [*was, *(part for part in now if part not in was)]:
            before, after = was.get(part, MISSING), now.get(part, MISSING)
            if before != after:
                found.append((file, part, before, after))
    return found


def excerpt(text: str, other: str) -> str:
    """Return a value, or the part of a long one around the first place where it differs from the other."""
    if len(text) <= WIDTH:
        return text
    common = next((i for i, pair in enumerate(zip(text, other, strict=False)) if pair[0] != pair[1]), len(other))
    start = max(0, min(common - WIDTH // 3, len(text) - WIDTH))
    return ("..." if start else "") + text[start : start + WIDTH] + ("..." if start + WIDTH < len(text) else "")
