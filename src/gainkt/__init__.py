"""gainkt: knowledge tracing whose mastery estimates can be trusted and explained."""

__version__ = "0.1.0"
