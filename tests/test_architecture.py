"""Imports go down: a room knows the floors below it, and neither its neighbours nor what stands above."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "gainkt"
FLOORS = (
    (
        "errors",
        "interruption",
        "digests",
        "files",
        "names",
        "masking",
        "console",
        "arguments",
        "kinds",
        "config",
        "overrides",
    ),  # words that all may use
    ("data", "evaluation"),
    ("model",),
    ("reporting",),
    ("simulation", "references", "runs"),
    ("losses",),
    ("training",),
)
"""From below; the others (recovery, sweeping, tutoring, the doors) stand on top, where circles alone are forbidden."""
ONLY = {"model": {"data"}, "runs": {"data", "model", "evaluation", "reporting"}, "reporting": {"evaluation"}}
"""What these rooms may import besides the words, whatever else lies below them."""
VOCABULARY = {"evaluation.check", "evaluation.schema"}
"""All that `reporting` may know of `evaluation`."""
NOT = {
    "model": ("lightning", "hydra"),
    "evaluation": ("lightning", "hydra"),
    "reporting": ("torch", "lightning"),
}
"""Packages that a room must do without."""
KNOWN: set[tuple[str, str]] = set()
"""Imports that go up and are still to be mended."""


@pytest.fixture(scope="module")
def architecture():
    found = importlib.util.spec_from_file_location("architecture", ROOT / "scripts" / "architecture.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def floor(room: str) -> int:
    return next((number for number, rooms in enumerate(FLOORS) if room in rooms), len(FLOORS))


def allowed(importer: str, imported: str) -> bool:
    one, other = importer.partition(".")[0], imported.partition(".")[0]
    if one == other or (floor(other) == 0 and floor(one) > 0):
        return True
    if one == "reporting":
        return imported in VOCABULARY
    beside = floor(one) == floor(other) and floor(one) in (0, len(FLOORS))
    return (floor(other) < floor(one) and other in ONLY.get(one, {other})) or beside


def test_imports_go_down(architecture) -> None:
    wrong = {
        (module, other)
        for module, others in architecture.imports(SOURCE).items()
        for other in others
        if not allowed(module, other)
    }
    lines = [f"src/gainkt/{module.replace('.', '/')}.py imports gainkt.{other}" for module, other in wrong - KNOWN]
    assert not lines, "\n".join(sorted(lines))
    assert wrong == KNOWN, "what is mended is no longer known"


def test_no_circles(architecture) -> None:
    imported = architecture.imports(SOURCE)
    mended = {
        module: {other for other in others if (module, other) not in KNOWN} for module, others in imported.items()
    }
    assert architecture.circles(architecture.arrows(mended)) == []
    assert architecture.circles({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}) == [["a", "b", "c"]]


def test_rooms_do_without_what_is_not_theirs(architecture) -> None:
    wrong = [
        f"{path.relative_to(SOURCE)} imports {package}"
        for room, packages in NOT.items()
        for path in sorted((SOURCE / room).rglob("*.py"))
        for package in packages
        if package in architecture.packages(path)
    ]
    assert not wrong, "\n".join(wrong)
