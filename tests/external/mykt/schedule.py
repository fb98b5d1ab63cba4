"""A schedule."""

from gainkt.errors import ConfigError
from gainkt.training.schedules import Constant, Weights


class Alternate(Constant):
    """Every other epoch the weight of one term is multiplied."""

    def __init__(self, *, term: str, factor: float) -> None:
        if not factor >= 0:
            raise ConfigError(f"factor={factor}: 0 or more")
        self.term, self.factor = term, factor

    def weights(self, epoch: int, num_epochs: int, base: Weights) -> dict[str, float]:
        return {**base, self.term: base.get(self.term, 0.0) * (self.factor if epoch % 2 else 1.0)}
