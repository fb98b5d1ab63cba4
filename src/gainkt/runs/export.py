"""A trained model as ONNX, for places without Python or torch: one answer at a time, or whole histories at once.

step.onnx, batch of one student:
    skills int64 [1, S], numbers, -1 in empty slots; item int64 [1], -1 unknown; right float32 [1]; and the state
    -> p1, p2, mastery float32 [1, K], what is expected of each skill now; and the state after the answer
histories.onnx, any B, T and S:
    skills int64 [B, T, S]; item int64 [B, T]; right float32 [B, T], 0 where it is not known
    -> p1, p2 float32 [B, T]; mastery float32 [B, T, S], of each step's skills before it
The names of skills and items, in the order of their numbers, and the state before a first answer are in model.json.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gainkt.errors import ConfigError
from gainkt.files import write_json, write_whole
from gainkt.model import GainKT
from gainkt.model.readout import probability
from gainkt.runs.tracer import OfAllSkills, Stepper, ask, questions, started, step, with_cells

if TYPE_CHECKING:
    from gainkt.runs.trained import TrainedModel

OPSET = 18


class Histories(nn.Module):
    """What a model says of whole histories."""

    def __init__(self, network: GainKT) -> None:
        super().__init__()
        self.network = network

    def forward(self, skills_BTS: Tensor, item_BT: Tensor, right_BT: Tensor) -> tuple[Tensor, ...]:
        """Return p1 and p2, [B, T], and mastery, [B, T, S]."""
        output = self.network(questions(skills_BTS, item_BT, right_BT), every_skill=True)
        return probability(output.logit1_BT), probability(output.logit2_BT), output.mastery_before_BTS


class Step(nn.Module):
    """One more answer of a student, and what the model expects of every skill after it."""

    def __init__(self, network: GainKT) -> None:
        super().__init__()
        self.network, self.stepper = with_cells(network), Stepper(network)

    def forward(self, skills_1S: Tensor, item_1: Tensor, right_1: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Return p1, p2 and mastery, [1, K], and the tensors of the state."""
        after = step(self.network, self.stepper.state(state, OfAllSkills), skills_1S, item_1, right_1)
        tensors, number = self.stepper.tensors(after), self.network.num_skills
        every = questions(torch.arange(number)[None, :, None], torch.full((1, number), -1), torch.zeros(1, number))
        found = ask(self.network, self.stepper.state(tensors, OfAllSkills), every)
        return probability(found.logit1_BQ), probability(found.logit2_BQ), found.mastery_BQS[..., 0], *tensors


def export(model: TrainedModel, folder: str | Path, *, slots: int = 4) -> Path:
    """Write step.onnx, histories.onnx and model.json into a folder; see the module.

    Args:
        model: the trained model.
        folder: made where it is missing.
        slots: skills that an answer may have in step.onnx, S.

    Raises:
        ConfigError: the packages of the extra `export` are missing, a stream keeps no state, or a part of the model has
            no counterpart in ONNX.
    """
    folder, network = Path(folder).expanduser(), model.network
    draw, number = torch.Generator().manual_seed(0), network.num_skills
    skills = torch.randint(0, number, (3, 5, 2), generator=draw)
    histories = (skills, torch.full((3, 5), -1), torch.ones(3, 5))
    inputs, outputs = ["skills", "item", "right"], ["p1", "p2", "mastery"]
    steps, slots_too = {0: "B", 1: "T"}, {0: "B", 1: "T", 2: "S"}
    axes = {name: slots_too if name in ("skills", "mastery") else steps for name in (*inputs, *outputs)}
    _write(folder / "histories.onnx", Histories(network).eval(), histories, inputs, outputs, axes)

    one = Step(network).eval()
    names, state = one.stepper.named(), one.stepper.tensors(started(network, 1))
    answer = (torch.tensor([[0, *[-1] * (slots - 1)]]), torch.tensor([-1]), torch.ones(1))
    after = [f"{name} after" for name in names]
    _write(folder / "step.onnx", one, (*answer, *state), [*inputs, *names], [*outputs, *after], {})
    kinds = [(list(x.shape), str(x.dtype).removeprefix("torch.")) for x in state]
    content = {
        "model": model.digest,
        "skills": model.skills.names,
        "items": model.items.names,
        "slots": slots,
        "state": {name: {"shape": shape, "type": kind} for name, (shape, kind) in zip(names, kinds, strict=True)},
    }
    write_json(folder / "model.json", content)
    return folder


def _write(
    path: Path,
    part: nn.Module,
    example: tuple[Tensor, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    axes: dict[str, Any],
) -> None:
    """Have torch write a part as ONNX."""
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                part,
                example,
                buffer,  # type: ignore[arg-type]
                dynamo=False,  # the other exporter refuses checks that look at numbers
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_axes=axes,
                opset_version=OPSET,
            )
    except ImportError as error:
        raise ConfigError(f"export: {error.name} is missing; pip install 'gainkt[export]'") from error
    except torch.onnx.errors.OnnxExporterError as error:
        why = str(error).splitlines()[0]
        raise ConfigError(f"export: {why}; a part of this model has no counterpart in ONNX") from error
    write_whole(path, lambda building: building.write_bytes(buffer.getvalue()))
