"""Values of settings are held to the annotations of the constructor that gets them, at any depth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from omegaconf import OmegaConf

from gainkt.config import check_keys
from gainkt.errors import ConfigError


class Inner:
    """A part."""


class Part:
    """Asks for a value of each kind."""

    def __init__(
        self,
        number: float = 0.0,
        count: int | None = None,
        names: Sequence[str] = (),
        pair: tuple[float, float] = (0.0, 1.0),
        nested: Mapping[str, Sequence[Sequence[float]]] | None = None,
        word: Literal["a", "b"] = "a",
        file: Path | None = None,
        inner: Inner | None = None,
        function: Callable[[int], int] = abs,
        loose: Any = None,
        wrong: int = None,  # noqa: RUF013  # as libraries write
        **weights: float,
    ) -> None:
        """Take them."""


NODE = {"_target_": "pathlib.Path"}


def check(monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]) -> None:
    monkeypatch.setattr("gainkt.config._locate", lambda target, path: Part)
    check_keys(OmegaConf.create({"part": {"_target_": "mine.Part", **settings}}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(
            ("number", 1),
            ("number", float("inf")),
            ("count", None),
            ("names", []),
            ("names", ["x"]),
            ("pair", [1, 2.5]),
        ),
        *(("nested", {"x": [[0, 1.5]]}), ("nested", None), ("word", "b"), ("file", "x/y"), ("inner", None)),
        *(
            ("inner", NODE),
            ("function", NODE),
            ("loose", [None, {"a": 1}]),
            ("wrong", None),
            ("bce", 2),
            ("count", "???"),
        ),
    ],
)
def test_what_fits(monkeypatch: pytest.MonkeyPatch, key: str, value: Any) -> None:
    check(monkeypatch, {key: value})


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("number", float("nan"), r"part\.number=nan: is not a number"),
        ("number", [], r"part\.number=\[\]: must be float, found a list"),
        ("number", True, r"part\.number=True: must be float, found bool"),
        ("count", {"a": 1}, r"part\.count=.*: must be int or null, found settings by name"),
        ("count", 1.5, r"part\.count=1\.5: must be int or null, found float"),
        ("names", "abc", r"part\.names=abc: must be a list, found str"),
        ("names", ["a", None], r"part\.names\.1=None: must be str, found NoneType"),
        ("pair", [0.0, "x"], r"part\.pair\.1=x: must be float, found str"),
        ("pair", [0.0], r"part\.pair=\[0\.0\]: must be a list of 2, found a list"),
        ("nested", {"x": [[0, float("nan")]]}, r"part\.nested\.x\.0\.1=nan: is not a number"),
        ("nested", {"x": 3}, r"part\.nested\.x=3: must be a list, found int"),
        ("word", "c", r"part\.word=c: must be 'a' or 'b', found str"),
        ("file", 3, r"part\.file=3: must be a part, which has a _target_ or null"),
        ("inner", "maybe", r"part\.inner=maybe: must be a part, which has a _target_ or null, found str"),
        ("inner", {"a": 1}, r"part\.inner=.*: must be a part"),
        ("function", None, r"part\.function=None: must be a part, which has a _target_, found NoneType"),
        ("bce", "x", r"part\.bce=x: must be float, found str"),
    ],
)
def test_what_does_not(monkeypatch: pytest.MonkeyPatch, key: str, value: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=f"^{said}"):
        check(monkeypatch, {key: value})
