"""gainkt: knowledge tracing whose mastery estimates can be trusted and explained."""

__version__ = "0.1.0"

_LAZY = {"read": "gainkt.data.readers"}
"""What is imported when it is first used, so that `import gainkt` costs nothing."""


def __getattr__(name: str) -> object:
    """Import a name of the Python API from its room."""
    if name not in _LAZY:
        raise AttributeError(f"module 'gainkt' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
