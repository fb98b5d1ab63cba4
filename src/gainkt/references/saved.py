"""Reading back what a reference model's `save` wrote, with errors that say what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gainkt.errors import DataError


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no parameter")


@contextmanager
def reading(path: str | Path, file_format: str, model: str) -> Iterator[dict[str, Any]]:
    """Give the content of a saved model; what fails while it is put together counts as damage.

    Raises:
        DataError: the file is missing, damaged or of another format.
    """
    again = f"fit {model} again"
    try:
        content = json.loads(Path(path).read_text(), parse_constant=_refuse)
        if content["format"] != file_format:
            raise DataError(f"{path}: format {content['format']!r}, this version reads {file_format!r}; {again}")
        yield content
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; give a model that {model}.save wrote") from error
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: damaged ({error}); {again}") from error


def numbers(values: list[float], size: int) -> NDArray[np.float64]:
    """Return saved parameters as an array.

    Raises:
        ValueError: they are not `size` finite numbers.
    """
    found = np.array(values, dtype=np.float64)
    if found.shape != (size,):
        raise ValueError(f"{found.shape} parameters of {size} skills")
    if not np.isfinite(found).all():
        raise ValueError("a parameter is not finite")
    return found
