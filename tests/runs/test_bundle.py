"""A bundle is the whole model and nothing else; one that came from anybody runs nothing and ends in one line."""

import hashlib
import io
import json
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from made_trained import ITEMS, SKILLS, V4, content_with, table_of, trained
from safetensors.torch import load, save

from conftest import random_log
from gainkt import __version__
from gainkt.data.datamodule import Sizes
from gainkt.errors import ConfigError
from gainkt.overrides import compose_train
from gainkt.runs import bundle
from gainkt.runs.bundle import content_of, read_bundle
from gainkt.runs.folder import build_model
from gainkt.runs.trained import TrainedModel
from gainkt.runs.trained import load as load_model

TABLE = table_of(random_log(num_students=4, longest=10))


@pytest.mark.parametrize("experiment", V4)
def test_it_is_the_whole_model(tmp_path: Path, experiment: str) -> None:
    model = trained(experiment)
    again = load_model(model.save(tmp_path / "a.gainkt"))
    assert again.digest == model.digest
    assert again.predict(TABLE).equals(model.predict(TABLE))
    again.save(tmp_path / "b.gainkt")
    assert (tmp_path / "a.gainkt").read_bytes() == (tmp_path / "b.gainkt").read_bytes()


def test_what_it_holds(tmp_path: Path) -> None:
    results = {
        "protocol": "pupils of <b>one</b> school",
        "selected": "train",
        "phases": {"train": {"figures": {"test": {"encoder1_auc": 0.7}}}},
    }
    check = {"title": "T1 | gains", "verdict": "fail", "reading": "too `uniform`"}
    card = {"checks": [check], "level": "none", "carries": {"gains": {"fall": 0.03, "share_of_logit": 0.5}}}
    path = bundle.write_bundle(content_with(results=results, scorecard=card), tmp_path / "x.gainkt")
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == list(bundle.MEMBERS)
        said = archive.read("README.md").decode()
    for part in (
        "# v4_belief",
        "## Data and protocol",
        "| test | Encoder 1 | 0.7000 |",
        "Level reached: none",
        "## Limits",
        "0.0300",
    ):
        assert part in said, part
    assert "<b>" not in said
    assert "T1 | gains" not in said, "a name ends no cell"
    assert "It fails these checks" in said
    assert read_bundle(path).scorecard == card


class _Run:
    """A run as far as content_of looks."""

    def __init__(self, folder: Path, experiment: str, num_students: int) -> None:
        self.config = compose_train([f"experiment={experiment}", "model.size.d_model=16", "model.size.num_heads=2"])
        self.sizes = Sizes(7, num_students, 11, SKILLS, ITEMS)
        self.directory, self.results = type("D", (), {"path": folder}), {}
        torch.manual_seed(0)
        self.network = build_model(self.config.model, self.sizes).eval()
        self.model = lambda phase: self.network
        self.untrained = lambda phase: ()


def test_a_velocity_for_each_training_student_becomes_their_mean(tmp_path: Path) -> None:
    run = _Run(tmp_path, "v1_per_skill", 23)
    with torch.no_grad():
        run.network.velocity.gamma.raw.add_(torch.randn(23))
    content = content_of(run)
    assert not any(23 in x.shape or name.startswith("velocity") for name, x in content.weights.items())
    assert content.num_students == 0
    model = TrainedModel(content)
    assert torch.equal(model.network.velocity.gamma, run.network.velocity.gamma().mean())
    assert model.predict(TABLE)["p2"].notna().all()


def rewritten(path: Path, change, digests: bool = True, **options) -> Path:
    """A bundle with changed members, whose digests fit again."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    if digests and bundle.MANIFEST in members:
        manifest = json.loads(members[bundle.MANIFEST])
        manifest["sha256"] = {n: hashlib.sha256(x).hexdigest() for n, x in members.items() if n != bundle.MANIFEST}
        members[bundle.MANIFEST] = json.dumps(manifest).encode()
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def edited(member: str, edit):
    """Change a member's JSON."""

    def change(members: dict[str, bytes]) -> None:
        content = json.loads(members[member])
        edit(content)
        members[member] = json.dumps(content).encode()

    return change


def weights(edit):
    def change(members: dict[str, bytes]) -> None:
        tensors = load(members[bundle.WEIGHTS])
        edit(tensors)
        members[bundle.WEIGHTS] = save({name: x.contiguous() for name, x in tensors.items()})

    return change


def setting(*path, value):
    def edit(content) -> None:
        node = content["model"]
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = value

    return edited("model.json", edit)


HOSTILE = {
    "a target that runs": (
        setting("gain_head", "_target_", value="os.system"),
        r"gain_head\._target_=os\.system.*trust=\[os\]",
    ),
    "a loader as target": (setting("velocity", value={"_target_": "pandas.read_pickle", "path": "x"}), "read_pickle"),
    "a resolver": (setting("readout", "reduce", value="${oc.env:HOME}"), "interpolations are not evaluated"),
    "a width without weights": (setting("size", "d_model", value=10**9), "more than the"),
    "another width": (setting("size", "d_model", value=32), "32"),
    "a setting nobody takes": (setting("curve", "slope", value=3), "takes no such setting"),
    "a model that is none": (edited("model.json", lambda c: c.update(model=7)), "damaged"),
    "no windows": (edited("model.json", lambda c: c.pop("windows")), "damaged"),
    "names that are none": (edited("vocabulary.json", lambda c: c.update(skills=None)), "damaged"),
    "a skill too few": (
        edited("vocabulary.json", lambda c: c["skills"].pop()),
        r"x\.gainkt: curve.*is \(7,\)",
    ),
    "weights that are pickled": (lambda m: m.update({bundle.WEIGHTS: pickle.dumps({"a": 1})}), "damaged"),
    "weights that are not finite": (weights(lambda t: next(iter(t.values())).fill_(torch.nan)), "is not finite"),
    "a weight is missing": (weights(lambda t: t.pop("curve.beta.raw")), "curve.beta.raw"),
    "JSON that is deep": (lambda m: m.update({"results.json": b"[" * 100_000}), "damaged"),
    "a member that is none": (lambda m: m.update({"../evil.py": b"x"}), "strange members"),
    "a member of code": (lambda m: m.update({"model.py": b"x"}), "strange members"),
    "a member is missing": (lambda m: m.pop("scorecard.json"), "missing or strange"),
    "no manifest": (lambda m: m.pop(bundle.MANIFEST), "is missing"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_bundle_ends_in_one_line(tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.system", lambda command: pytest.fail("ran"))
    change, expected = HOSTILE[case]
    path = rewritten(trained().save(tmp_path / "x.gainkt"), change)
    with pytest.raises(ConfigError, match=expected) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


def test_what_was_changed_is_noticed(tmp_path: Path) -> None:
    path = rewritten(trained().save(tmp_path / "x.gainkt"), setting("readout", "reduce", value="mean"), digests=False)
    with pytest.raises(ConfigError, match=r"model\.json is not as it was written"):
        load_model(path)
    whole = trained().save(tmp_path / "x.gainkt").read_bytes()
    for place in range(0, len(whole), 997):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        try:
            assert load_model(path).digest == trained().digest, "what the archive does not need"
        except ConfigError as error:
            assert "\n" not in str(error)  # noqa: PT017
    for end in (0, 10, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:end])
        with pytest.raises(ConfigError, match="no gainkt bundle"):
            load_model(path)


def test_an_archive_that_grows_is_refused(tmp_path: Path) -> None:
    def grow(members: dict[str, bytes]) -> None:
        members["results.json"] = b" " * 50_000_000 + members["results.json"]

    path = rewritten(trained().save(tmp_path / "x.gainkt"), grow, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1_000_000
    with pytest.raises(ConfigError, match="larger than the file itself"):
        load_model(path)
    path = rewritten(trained().save(tmp_path / "x.gainkt"), lambda m: None, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ConfigError, match=r"larger than|packed"):
        load_model(path)
    twice = io.BytesIO()
    with zipfile.ZipFile(twice, "w") as archive:
        archive.writestr(bundle.MANIFEST, "{}")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr(bundle.MANIFEST, "{}")
    path.write_bytes(twice.getvalue())
    with pytest.raises(ConfigError, match="stand twice"):
        load_model(path)


def test_a_newer_format_names_the_version_that_reads_it(tmp_path: Path) -> None:
    change = edited(bundle.MANIFEST, lambda c: c.update(format=2, gainkt="3.1.0"))
    path = rewritten(trained().save(tmp_path / "x.gainkt"), change)
    with pytest.raises(
        ConfigError, match=rf"format 2, written by gainkt 3\.1\.0; this is gainkt {__version__}.*install gainkt 3\.1\.0"
    ):
        load_model(path)


def test_parts_of_a_trusted_package_are_built(tmp_path: Path) -> None:
    content = content_with()
    node = {**content.model, "velocity": {**content.model["velocity"], "_target_": "mine.Velocity"}}
    path = bundle.write_bundle(replace(content, model=node), tmp_path / "x.gainkt")
    with pytest.raises(ConfigError, match=r"trust=\[mine\]"):
        load_model(path)
    with pytest.raises(ConfigError, match=r"mine\.Velocity: cannot be imported"):
        load_model(path, trust=["mine"])
