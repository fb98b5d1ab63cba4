"""Size."""

from __future__ import annotations

from dataclasses import dataclass

from gainkt.errors import ConfigError

LARGEST = {"d_model": 65_536, "num_heads": 1_024, "num_blocks": 1_024, "d_ff": 262_144}
"""Of each size; what is beyond is a slip, which would take all memory before it failed."""


@dataclass(frozen=True)
class Size:
    """Sizes that the parts of a model share."""

    d_model: int
    """Width of the streams, D."""
    num_heads: int
    """Attention heads; divides d_model into heads of even width."""
    num_blocks: int
    """Blocks stacked in a stream."""
    d_ff: int
    """Hidden width of feed-forward layers and heads."""
    dropout: float
    """Dropout probability, in [0, 1)."""

    def __post_init__(self) -> None:
        """Check that the sizes fit together."""
        for name, most in LARGEST.items():
            if not 1 <= getattr(self, name) <= most:
                raise ConfigError(f"{name}={getattr(self, name)}: must be 1 or more, and at most {most}")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout={self.dropout}: a probability, at least 0 and below 1")
        if self.d_model % (2 * self.num_heads):
            raise ConfigError(
                f"num_heads={self.num_heads}: must divide d_model={self.d_model} into heads of "
                f"even width; choose a d_model that is a multiple of {2 * self.num_heads}"
            )
