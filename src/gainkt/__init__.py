"""gainkt: knowledge tracing whose mastery estimates can be trusted and explained."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gainkt.data.readers import read
    from gainkt.runs.trained import TrainedModel, load
    from gainkt.simulation.simulate import simulate, simulate_with_truth
    from gainkt.training.fit import fit

if sys.argv[:1] == ["-m"]:  # a command, `python -m gainkt.<door>`, is being imported
    from gainkt.interruption import leave_at_once

    leave_at_once()

__version__ = "0.1.0"
__all__ = ["TrainedModel", "__version__", "fit", "load", "read", "simulate", "simulate_with_truth"]

_PLACES = {
    "TrainedModel": "gainkt.runs.trained",
    "fit": "gainkt.training.fit",
    "load": "gainkt.runs.trained",
    "read": "gainkt.data.readers",
    "simulate": "gainkt.simulation.simulate",
    "simulate_with_truth": "gainkt.simulation.simulate",
}
"""Where each name of the Python API is defined. It is imported when it is first used: torch alone takes seconds."""


def __getattr__(name: str) -> Any:
    """Import a name of the API."""
    if name not in _PLACES:
        raise AttributeError(f"module 'gainkt' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_PLACES[name]), name)
    return value


def __dir__() -> list[str]:
    """List the API's names too."""
    return sorted({*globals(), *_PLACES})
