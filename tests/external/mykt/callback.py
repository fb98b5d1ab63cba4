"""A callback."""

from typing import Any

from lightning import Callback, Trainer

from gainkt.errors import ConfigError, nearest


class TableRange(Callback):
    """Logs how far apart the gain head's numbers are."""

    def __init__(self, *, part: str) -> None:
        self.part = part

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        parameters = dict(pl_module.model.named_parameters())
        if self.part not in parameters:
            raise ConfigError(f"callbacks.table_range.part={self.part}: no such part{nearest(self.part, parameters)}")
        values = parameters[self.part].detach()
        pl_module.log("mine/range", values.max() - values.min())
