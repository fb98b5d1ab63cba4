"""Size."""

from __future__ import annotations

from dataclasses import dataclass

from gainkt.errors import ConfigError


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
        for name in ("d_model", "num_heads", "num_blocks", "d_ff"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}: must be 1 or more")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout={self.dropout}: a probability, at least 0 and below 1")
        if self.d_model % (2 * self.num_heads):
            raise ConfigError(
                f"num_heads={self.num_heads}: must divide d_model={self.d_model} into heads of "
                f"even width; choose a d_model that is a multiple of {2 * self.num_heads}"
            )
