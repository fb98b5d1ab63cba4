"""A trained model in one file: weights, config, vocabularies, scorecard and model card; no data, nothing that runs.

A bundle is a zip archive of stored (not compressed) members: JSON, Markdown and safetensors, each with its digest. It
is held to the rules of a run's folder (`gainkt.runs.received`): its config may only name gainkt's own parts and those
of packages that the user trusts by name, and it is read without evaluating, importing or unpickling anything.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from gainkt import __version__
from gainkt.config import build, check_keys
from gainkt.data.readers.table import TableReader
from gainkt.digests import read_json
from gainkt.errors import ConfigError
from gainkt.files import plain, write_whole
from gainkt.model import GainKT
from gainkt.model.typical import with_typical_skills
from gainkt.model.velocity import FixedVelocity, StudentVelocity
from gainkt.names import visible
from gainkt.runs.card import model_card
from gainkt.runs.folder import Run, require_fit, way_out
from gainkt.runs.moved import at_new_places
from gainkt.runs.received import check_targets, leaves

FORMAT = 1
"""Of the archive; raised where an older gainkt would read a newer one wrongly."""
MANIFEST, WEIGHTS, CARD = "gainkt.json", "weights.safetensors", "README.md"
MEMBERS = (MANIFEST, "model.json", "vocabulary.json", "results.json", "scorecard.json", CARD, WEIGHTS)
LARGEST_SETTING = 4096
"""A whole number in a model's settings (a width, say) may always be so large; above, the weights must bear it out."""


@dataclass(frozen=True)
class Content:
    """A trained model as plain data: what a bundle holds, apart from how it is packed."""

    name: str
    """Of the run."""
    model: dict[str, Any]
    """The run's `model` settings, resolved."""
    weights: dict[str, Tensor]
    """Of the model, on the CPU."""
    skills: tuple[str, ...]
    """Names, in the order of their numbers."""
    items: tuple[str, ...]
    """The same; empty where the data had none."""
    num_students: int = 0
    """Students that a part has parameters of; 0 for every shipped part, since new students need none."""
    windows: dict[str, int] = field(default_factory=lambda: {"length": 1024, "context": 256})
    """Steps of a history that go through the model at once, and those that attention sees again."""
    reading: dict[str, Any] = field(default_factory=dict)
    """Settings of the table reader that read the training data: names of columns and what words mean."""
    results: dict[str, Any] = field(default_factory=dict)
    """As results.json; {} where training did not finish."""
    scorecard: dict[str, Any] | None = None
    """As scorecard.json."""
    untrained: tuple[int, ...] = ()
    """Encoders, of 1 and 2, that were fitted to nothing."""
    source: str = WEIGHTS
    """Where it was read from, for messages."""

    @cached_property
    def digest(self) -> str:
        """32 hex digits that identify weights, settings and vocabularies: what a state belongs to."""
        found = hashlib.sha256(_json({"model": self.model, "skills": self.skills, "items": self.items}))
        for name, tensor in sorted(self.weights.items()):
            found.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
            found.update(tensor.contiguous().numpy().tobytes())
        return found.hexdigest()[:32]

    def build(self, more: int = 0) -> GainKT:
        """Build the model, ready to predict.

        Args:
            more: typical skills that it gets beside its own, numbered after them.

        Raises:
            ConfigError: settings and weights do not fit together.
        """
        node = OmegaConf.create({"model": self.model})
        check_keys(node)
        sizes = {"num_skills": len(self.skills), "num_items": len(self.items), "num_students": self.num_students}
        self._require_borne_out()
        with torch.device("meta"):  # shapes first: settings that ask for more than the weights cost nothing
            require_fit(build(node.model, **sizes), self.weights, Path(self.source))
        with torch.random.fork_rng([]):
            model: GainKT = build(node.model, **sizes)
        model.load_state_dict(self.weights)
        if more:
            with torch.random.fork_rng([]):
                wider: GainKT = build(node.model, **{**sizes, "num_skills": len(self.skills) + more})
            model = with_typical_skills(model, wider, len(self.skills))
        return model.eval().requires_grad_(False)

    def _require_borne_out(self) -> None:
        borne = max(LARGEST_SETTING, sum(tensor.numel() for tensor in self.weights.values()))
        for key, value in leaves(self.model):
            if isinstance(value, int) and abs(value) > borne:
                raise ConfigError(f"model.{key}={value}: more than the {borne} weights that there are")
        for name, tensor in self.weights.items():
            if not torch.isfinite(tensor).all():
                raise ConfigError(f"{self.source}: {name} is not finite; train again, with a lower optimizer.lr")


def content_of(run: Run, phase: str | None = None) -> Content:
    """Return a run's best model of a phase, the last one if none is named, without anything about its students.

    A velocity learnt for each training student (model/velocity=student) becomes their mean, which is what the model
    takes for everybody else: whose velocity is whose, a run does not keep.

    Raises:
        ConfigError: there is no such phase, or its checkpoint cannot be read.
    """
    network = run.model(phase)
    node, num_students = _plain(run.config.model), run.sizes.num_students
    weights = {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
    if isinstance(network.velocity, StudentVelocity):
        target = f"{FixedVelocity.__module__}.{FixedVelocity.__qualname__}"
        mean = float(network.velocity.gamma().detach().mean())
        node["velocity"] = {"_target_": target, "_partial_": True, "mean": mean}
        weights = {name: tensor for name, tensor in weights.items() if not name.startswith("velocity.")}
    sized = any(num_students in tensor.shape for tensor in weights.values())
    dataset, card = run.config.dataset, run.directory.path / "scorecard.json"
    return Content(
        name=str(run.config.name),
        model=node,
        weights=weights,
        skills=run.sizes.skill_names,
        items=run.sizes.item_names,
        num_students=num_students if sized else 0,
        windows={"length": int(dataset.window_length), "context": int(dataset.window_context)},
        reading=_reading(_plain(dataset.read), run.results.get("account") or {}),
        results=run.results,
        scorecard=read_json(card, way_out(card), {"checks": list}) if card.is_file() else None,
        untrained=run.untrained(phase),
    )


COLUMNS = ("student", "skill", "correct", "item", "order")
SPELLING = (
    "missing",
    "partial",
    "threshold",
    "responses",
    "row_expansion",
    "separator",
    "missing_words",
    "date_format",
)
"""Settings of the table reader that say how answers are written: a new table is read as the training data was."""
READING = (*COLUMNS, *SPELLING, "duplicates", "only", "delimiter", "encoding")


def _reading(node: Mapping[str, Any], account: Mapping[str, Any]) -> dict[str, Any]:
    """What a run's table was read with; {} where it was none."""
    target = str(node.get("_target_"))
    if not (target.endswith(".TableReader") or account.get("format") == "table"):
        return {}
    usual = vars(TableReader())
    return {key: node[key] for key in READING if key in node and not (node[key] is usual[key] is None)}


def _plain(node: Any) -> dict[str, Any]:
    found = OmegaConf.to_container(node, resolve=True)
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


def _json(content: Any) -> bytes:
    return json.dumps(plain(content), sort_keys=True, ensure_ascii=False, indent=1).encode(errors="surrogatepass")


def write_bundle(content: Content, path: str | Path) -> Path:
    """Write a bundle, whole or not at all; the same model gives the same bytes.

    Raises:
        ConfigError: the path is a folder.
        OSError: it cannot be written.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise ConfigError(f"{path}: a folder; give the name of the file too, such as {path / content.name}.gainkt")
    members = {
        "model.json": _json(
            {key: getattr(content, key) for key in ("name", "model", "num_students", "windows", "reading")}
            | ({"untrained": content.untrained} if content.untrained else {})
        ),
        "vocabulary.json": _json({"skills": content.skills, "items": content.items}),
        "results.json": _json(content.results),
        "scorecard.json": _json(content.scorecard),
        CARD: model_card(content).encode(),
        WEIGHTS: save({name: tensor.contiguous() for name, tensor in content.weights.items()}),
    }
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
    manifest = {"format": FORMAT, "gainkt": __version__, "model": content.digest, "sha256": digests}

    def write(building: Path) -> None:
        with zipfile.ZipFile(building, "w", zipfile.ZIP_STORED) as archive:
            for name, data in {MANIFEST: _json(manifest), **members}.items():
                archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)

    write_whole(path, write)
    return path


def read_bundle(path: str | Path, trust: Iterable[str] = ()) -> Content:
    """Read a bundle, which may have come from anybody.

    Args:
        path: the file.
        trust: packages that its config may name besides gainkt.

    Raises:
        ConfigError: it is no bundle, damaged, of a format that this version does not read, or names code it may not.
    """
    path = Path(path).expanduser()
    try:
        members = _members(path)
        said = json.loads(members["model.json"])
        names = json.loads(members["vocabulary.json"])
        said["model"] = at_new_places(said["model"])
        for key, value in leaves(said):
            if isinstance(value, str) and "${" in value and key.startswith("model."):
                raise ConfigError(f"{path}: {key}={value}: interpolations are not evaluated in what is read from disk")
        check_targets(said["model"], f"{path}: model", trust)
        windows = {key: int(said["windows"][key]) for key in ("length", "context")}
        reading = {str(key): value for key, value in said["reading"].items() if key in READING}
        return Content(
            name=str(said["name"]),
            model=dict(said["model"]),
            weights=load(members[WEIGHTS]),
            skills=tuple(map(str, names["skills"])),
            items=tuple(map(str, names["items"])),
            num_students=int(said["num_students"]),
            windows=windows,
            reading=reading,
            results=dict(json.loads(members["results.json"])),
            scorecard=json.loads(members["scorecard.json"]),
            untrained=tuple(encoder for encoder in said.get("untrained", ()) if encoder in (1, 2)),
            source=str(path),
        )
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise ConfigError(f"{path}: no gainkt bundle, or a damaged one ({error}); ask for it again") from error
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, SafetensorError) as error:
        if isinstance(error, ConfigError):
            raise
        reason = f"{type(error).__name__}: {' '.join(visible(error).split())}"
        raise ConfigError(f"{path}: a damaged bundle ({reason}); ask for it again") from error


def _members(path: Path) -> dict[str, bytes]:
    """Return the members' bytes, each as its digest says.

    Raises:
        ConfigError: members are missing, strange, larger than the file, changed, or of another format.
    """
    again = "no bundle that gainkt wrote; ask for it again"
    if not path.is_file():
        raise ConfigError(f"{path}: no such run or bundle")
    with zipfile.ZipFile(path) as archive:
        found = archive.infolist()
        if sum(member.file_size for member in found) > path.stat().st_size:
            raise ConfigError(f"{path}: its members are larger than the file itself; {again}")
        odd = [m.filename for m in found if m.compress_type != zipfile.ZIP_STORED or m.flag_bits & 1]
        by_name = {member.filename: member for member in found}
        if MANIFEST not in by_name or odd or len(by_name) < len(found):
            what = f"{MANIFEST} is missing" if MANIFEST not in by_name else "members are packed, locked or stand twice"
            raise ConfigError(f"{path}: {what}; {again}")
        manifest = json.loads(archive.read(MANIFEST))
        if manifest["format"] != FORMAT:
            wrote, form = visible(manifest.get("gainkt")), visible(manifest["format"])
            raise ConfigError(
                f"{path}: format {form}, written by gainkt {wrote}; this is gainkt {__version__}, which reads format "
                f"{FORMAT}: install gainkt {wrote} or newer to read it"
            )
        if set(by_name) != set(MEMBERS) or set(manifest["sha256"]) != set(MEMBERS) - {MANIFEST}:
            strange = sorted(set(by_name) ^ set(MEMBERS))
            raise ConfigError(f"{path}: {visible(', '.join(strange))}: missing or strange members; {again}")
        members = {name: archive.read(name) for name in MEMBERS}
    for name, digest in manifest["sha256"].items():
        if hashlib.sha256(members[name]).hexdigest() != digest:
            raise ConfigError(f"{path}: {name} is not as it was written (its digest differs); {again}")
    return members
