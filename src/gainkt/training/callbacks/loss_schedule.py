"""LossScheduleCallback: applies a schedule to a training run, epoch by epoch."""

from __future__ import annotations

from typing import Any

from lightning import Callback, Trainer
from torch import nn

from gainkt.errors import ConfigError, nearest
from gainkt.training.schedules import Schedule, Weights, phase_of


class LossScheduleCallback(Callback):
    """Sets the module's loss weights and freezes its model's parts at the start of every epoch, and logs the weights.

    The parameters of a frozen part take no gradient, so that Adam passes them over: neither its running means nor
    weight decay move them. Both follow from the epoch, so that a resumed run continues where it stood.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.phase = ""
        self.learnt: dict[str, list[nn.Parameter]] = {}

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Check every epoch's weights and frozen parts before the first is trained.

        Raises:
            ConfigError: an unknown term or part, or a weight that cannot be used.
        """
        num_epochs, parts = planned_epochs(trainer), dict(pl_module.model.named_children())
        base = pl_module.loss.weights
        for epoch in range(num_epochs):
            try:
                pl_module.loss.check(self.schedule.weights(epoch, num_epochs, base))
            except ConfigError as error:
                raise ConfigError(f"schedule, epoch {epoch}: {error}") from None
            for name in self.schedule.frozen(epoch, num_epochs):
                if name not in parts:
                    raise ConfigError(f"schedule frozen={name}: the model has no such part{nearest(name, parts)}")
        if pl_module.loss.bce_loss_weight is not None:
            for name in ("bce1", "bce2"):
                self._check_heard(name, num_epochs, base)
        # A parameter that its config fixes stays fixed when its part thaws.
        self.learnt = {name: [p for p in part.parameters() if p.requires_grad] for name, part in parts.items()}
        self.schedule.follow(pl_module)

    def _check_heard(self, name: str, num_epochs: int, base: Weights) -> None:
        """Raise ConfigError where the schedule sets a term's weight in every epoch, whatever the loss group says."""
        other = {**base, name: base[name] + 1.0}
        courses = [[self.schedule.weights(e, num_epochs, b)[name] for e in range(num_epochs)] for b in (base, other)]
        if courses[0] == courses[1]:
            raise ConfigError(
                f"loss.bce_loss_weight: the schedule sets the weight of {name} in every epoch, so that it has no "
                "effect; choose another schedule, or set the weights there"
            )

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Switch to the epoch's weights, phase and frozen parts."""
        epoch, num_epochs = trainer.current_epoch, planned_epochs(trainer)
        pl_module.weights = self.schedule.weights(epoch, num_epochs, pl_module.loss.weights)
        self.phase = phase_of(self.schedule, epoch, num_epochs)
        self._freeze(set(self.schedule.frozen(epoch, num_epochs)))
        for name, weight in pl_module.weights.items():
            pl_module.log(f"weight/{name}", weight, on_step=False, on_epoch=True)

    def on_fit_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Leave no part frozen, and nothing watched."""
        self._freeze(set())
        self.schedule.leave()

    def is_last_phase(self, trainer: Trainer) -> bool:
        """Tell whether no other phase follows."""
        return self.phase == self.schedule.phases(planned_epochs(trainer))[-1][0]

    def state_dict(self) -> dict[str, Any]:
        """The phase, kept for readers of a checkpoint, and what a schedule has learnt."""
        return {"phase": self.phase, "schedule": self.schedule.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the phase, and what the schedule had learnt."""
        self.phase = state_dict["phase"]
        self.schedule.load_state_dict(state_dict.get("schedule", {}))  # older checkpoints have none

    def _freeze(self, frozen: set[str]) -> None:
        for name, parameters in self.learnt.items():
            for parameter in parameters:
                parameter.requires_grad_(name not in frozen)
                if name in frozen:
                    parameter.grad = None  # the last batch's, which Adam would apply again


def planned_epochs(trainer: Trainer) -> int:
    """Epochs that the run is planned for.

    Raises:
        ConfigError: the run has no planned end, over which weights could be laid out.
    """
    if trainer.max_epochs is None or trainer.max_epochs < 1:
        raise ConfigError(f"trainer.max_epochs={trainer.max_epochs}: a schedule needs a number of epochs, 1 or more")
    return trainer.max_epochs
