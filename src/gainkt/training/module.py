"""GainKTModule: adapts model, loss and optimiser to Lightning; holds no science."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import Optimizer

from gainkt.data.batch import Batch
from gainkt.errors import ConfigError
from gainkt.evaluation.statistics.metrics import PredictionMetrics
from gainkt.losses import Loss
from gainkt.model import Carrier, GainKT, Output, State
from gainkt.model.bounded import Bounded
from gainkt.model.readout import probability
from gainkt.training.optimizers import clip_gradients

LOOK_EVERY = 100
"""Batches after which it is looked whether the loss is finite, where a GPU computes it."""
NEVER = 2**62
ON_BAR = ("encoder1_auc", "encoder2_auc")
"""Figures that the progress bar shows."""


class GainKTModule(LightningModule):
    """Trains a GainKT by the weighted sum of loss terms and logs both encoders' figures every epoch."""

    def __init__(
        self,
        model: GainKT,
        loss: Loss,
        optimizer: Callable[[nn.Module, int], OptimizerLRSchedulerConfig],
        *,
        gradient_every: int = 25,
    ) -> None:
        """Keep the parts.

        Args:
            model: the two encoders.
            loss: named terms and their base weights.
            optimizer: makes the optimiser for the model and the number of training steps planned.
            gradient_every: steps between measurements of each term's gradient norm; 0 for never.
        """
        super().__init__()
        self.model, self.loss, self.make_optimizer = model, loss, optimizer
        self.gradient_every, self.is_checked = gradient_every, False
        self.weights = dict(loss.weights)
        self.train_metrics, self.val_metrics = PredictionMetrics(), PredictionMetrics()
        self.train_carrier, self.val_carrier = Carrier(), Carrier()
        self.state_before: State | None = None
        self.broken: Tensor | None = None  # of each loss term the first batch of the epoch in which it was not finite
        self.terms: tuple[str, ...] = ()

    def forward(self, batch: Batch) -> Output:
        """Predict a batch."""
        return self.model(batch)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return the optimiser and the course of its learning rate."""
        parts = nn.ModuleDict(dict(self.model.named_children()))
        if any(True for _ in self.loss.parameters()):
            parts["loss"] = self.loss  # a discriminator learns too
        return self.make_optimizer(parts, int(self.trainer.estimated_stepping_batches))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the weighted loss of a batch and log its terms.

        Raises:
            ConfigError: a term is not finite, or nothing that the terms depend on may change.
        """
        share = self._share(batch)
        if not len(batch):  # of several processes, one that has no part in the batch
            return torch.stack([p.sum() for p in self.parameters() if p.requires_grad]).sum() * 0.0
        if not self.is_checked:
            self.model.check_columns(batch)
            self.is_checked = True
        state = self.train_carrier.before(batch)
        every = self.loss.needs_every_skill(self.weights, self.model.knows_others)
        output = self.model(batch, state, every_skill=every or None)
        self.train_carrier.after(batch, output)
        raw = self.loss(output, batch, self.weights)
        weighted = {name: self.weights[name] * value for name, value in raw.items()}
        if self.gradient_every and batch_idx % self.gradient_every == 0:
            self._log_gradients(weighted, output)
        total = torch.stack(list(weighted.values())).sum()
        self._look_for_broken({**raw, "sum": total.detach()}, batch_idx)
        if not total.requires_grad:
            active = ", ".join(name for name, weight in self.weights.items() if weight)
            raise ConfigError(
                f"epoch {self.current_epoch}: every part that {active} would train is frozen; weight another term, or "
                "take a part off the schedule's frozen ones"
            )
        logged = {f"loss/{name}": value.detach() for name, value in raw.items()}
        logged |= {f"weighted_loss/{name}": value.detach() for name, value in weighted.items()}
        count: Any = batch.scored_BT.sum()  # Lightning only multiplies by it, and a number would have to be waited for
        self.log_dict(logged, on_step=False, on_epoch=True, batch_size=count, sync_dist=True)
        self._score(self.train_metrics, output, batch)
        return total * share if self.trainer.world_size > 1 else total

    def _share(self, batch: Batch) -> float | Tensor:
        """What a process's loss counts for in the mean over processes that its gradients enter.

        That is its number of scored steps over the mean number, so that the sum is the loss of the whole batch.
        """
        if self.trainer.world_size == 1:
            return 1.0
        own = batch.scored_BT.sum().float()
        mean = self.trainer.strategy.reduce(own.clone(), reduce_op="mean")
        return own / mean.clamp_min(1e-9)

    def on_validation_epoch_start(self) -> None:
        """Start with no student's state."""
        self.val_carrier = Carrier()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep the predictions of a batch, and for callbacks the state of its students before it, `state_before`."""
        if not len(batch):  # metrics are gathered from every process, of none too
            self.val_metrics.update(*torch.zeros(3, 0, device=self.device))
            return
        self.state_before = self.val_carrier.before(batch)
        output = self.model(batch, self.state_before)
        self.val_carrier.after(batch, output)
        self._score(self.val_metrics, output, batch)

    def on_train_epoch_start(self) -> None:
        """Start with no student's state: what an earlier epoch left is of other weights, and a resumed run has none."""
        self.train_carrier, self.broken = Carrier(), None

    def on_train_epoch_end(self) -> None:
        """Log the training figures, and mean and spread of every learnt curve and readout parameter."""
        self._require_finite()
        self._log_figures("train", self.train_metrics)
        for name, part in self.model.named_modules():
            if isinstance(part, Bounded):
                value = part().detach()
                self.log(f"parameter/{name}_mean", value.mean())
                self.log(f"parameter/{name}_std", value.std(correction=0))

    def on_validation_epoch_end(self) -> None:
        """Log the validation figures."""
        self._log_figures("val", self.val_metrics)

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: Any = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip the gradient's norm as Lightning would, and log it as it was before."""
        norm = clip_gradients(self.parameters(), gradient_clip_val or float("inf"))
        self.log("gradient/norm_max", norm, on_step=False, on_epoch=True, reduce_fx="max", sync_dist=True)

    def _look_for_broken(self, terms: dict[str, Tensor], batch_idx: int) -> None:
        """Note which terms are not finite; looked at in every batch on a CPU, where that is free, else now and then.

        A GPU is not waited for in each step; no checkpoint is written of an epoch before it was looked at.

        Raises:
            ConfigError: a term was not finite.
        """
        fine = torch.stack([torch.isfinite(value).all() for value in terms.values()])
        never = torch.full(fine.shape, NEVER, device=fine.device)
        first = never if self.broken is None else self.broken
        self.broken = torch.minimum(first, never.masked_fill(~fine, batch_idx))
        self.terms = tuple(terms)
        if self.device.type == "cpu" or batch_idx % LOOK_EVERY == 0:
            self._require_finite()

    def _require_finite(self) -> None:
        if self.broken is None or int(first := self.broken.min()) == NEVER:
            return
        *broken, whole = [name for name, at in zip(self.terms, self.broken.tolist(), strict=True) if at == int(first)]
        raise ConfigError(
            f"epoch {self.current_epoch}, batch {int(first)}: loss term {', '.join(broken) or whole} is not finite; "
            "lower optimizer.lr or trainer.gradient_clip_val"
        )

    def _score(self, metrics: PredictionMetrics, output: Output, batch: Batch) -> None:
        scored, columns = batch.scored_BT, (output.logit1_BT.detach(), output.logit2_BT.detach(), batch.response_BT)
        if scored.is_cpu:
            logit1, logit2, response = (x[scored] for x in columns)
        else:  # how many there are, a GPU would have to be waited for
            logit1, logit2, response = (x.flatten() for x in columns)
            response = torch.where(scored.flatten(), response, -1.0)
        metrics.update(probability(logit1), probability(logit2), response)

    def _log_figures(self, split: str, metrics: PredictionMetrics) -> None:
        for name, value in metrics.compute().items():
            exact = torch.tensor(value, dtype=torch.float64)
            self.log(f"{split}/{name}", exact, prog_bar=split == "val" and name in ON_BAR)
        metrics.reset()

    def _log_gradients(self, weighted: dict[str, Tensor], output: Output) -> None:
        """Norm of each weighted term's gradient at the gain head, in Encoder 2's whole stream, and at the curves.

        A head without parameters (V0, l_23) has the value stream that is read in its stead. A frozen part has none, 0.
        """
        read: list[Tensor] = [*self.model.gain_head.parameters()] or [output.value_BTD]
        parts = {
            "gain_head": read,
            "encoder2": self.model.encoder2.parameters(),
            "curve": self.model.curve.parameters(),
        }
        asked = [(place, x) for place, part in parts.items() for x in part if x.requires_grad]
        for name, value in weighted.items():
            if not value.requires_grad:
                continue
            inputs = [x for _, x in asked]
            gradients = torch.autograd.grad(value, inputs, retain_graph=True, allow_unused=True) if inputs else ()
            for place in parts:
                own = [g for (of, _), g in zip(asked, gradients, strict=True) if of == place and g is not None]
                squares = [g.detach().float().square().sum() for g in own]
                norm = torch.stack(squares).sum().sqrt() if squares else torch.zeros((), device=self.device)
                at = f"gradient/{name}_at_{place}"
                self.log(at, norm, on_step=False, on_epoch=True, batch_size=1, sync_dist=True)
