"""`python -m gainkt.advise` on tiny runs; its commands make the run's config again, with the change asked for."""

import json
import shlex
import shutil
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from conftest import TINY, composed
from gainkt import advise as command
from gainkt import train as train_command
from gainkt.advise import advise_run
from gainkt.errors import ConfigError
from gainkt.files import write_json
from gainkt.overrides import changed, compose_train, recompose, settings
from gainkt.reporting.advice_view import advice_view
from gainkt.runs.folder import Run, load_run
from gainkt.train import train

Config = Callable[..., DictConfig]
HEADER = "student,skill,score"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A V1 run on a CSV file with an awkward name, without scorecard."""

    root = tmp_path_factory.mktemp("runs")
    data = root / "my data, it's 50%.csv"
    rows = [f"s{s},k{(s + t) % 4},{int((s * 7 + t * 3 + t // 3) % 5 > 1)}" for s in range(60) for t in range(12)]
    data.write_text("\n".join([HEADER, *rows]))
    quoted = str(data).replace("'", "\\'")
    tiny = [o for o in TINY if not o.startswith("dataset.read")]
    csv = ["dataset=csv", f"dataset.path='{quoted}'", "dataset.read.correct=score", "dataset.fold=2"]
    overrides = ["experiment=v1_per_skill", *csv, *tiny, f"run.root={root}", "seed=3", "trajectories.write=false"]
    return train(compose_train(overrides), overrides).run


def told(config: DictConfig, *left_out: str) -> dict[str, object]:
    """A config without what belongs to one run."""
    found = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
    assert isinstance(found, dict)
    return {key: value for key, value in found.items() if key not in ("run", "logger", *left_out)}


def overrides_of(line: str) -> list[str]:
    words = shlex.split(line)
    assert words[:3] == ["python", "-m", "gainkt.train"]
    return words[4:] if words[3] == "-m" else words[3:]


@pytest.mark.parametrize(("data", "split"), [("csv", "ratio"), ("assist2009", "auto")])
def test_data_and_split_of_a_run_are_recomposed_by_name(data: str, split: str) -> None:
    config = compose_train([f"dataset={data}", f"dataset/split={split}", "dataset.path=x", "dataset.read.missing=drop"])
    again = recompose(config)
    assert {f"dataset={data}", f"dataset/split={split}", "dataset.path=x"} <= set(again)
    assert len([override for override in again if override.startswith(("+", "~"))]) == 0
    assert compose_train(again).dataset == config.dataset


def test_a_run_without_scorecard_is_judged_diagnosed_and_advised(run: Run) -> None:
    home = run.directory.path
    assert not (home / "scorecard.json").exists()
    with pytest.raises(ConfigError, match=r"gainkt\.evaluate"):
        advise_run(run, make=False)
    done = advise_run(run)
    assert {"scorecard.json", "diagnosis.json", "advice.json"} <= {path.name for path in home.iterdir()}
    assert json.loads((home / "advice.json").read_text()) == done.content
    assert done.content["without_diagnosis"] is None
    assert done.content["advice"], "a run of two epochs has much to learn"
    for entry in done.content["advice"]:
        cfg = composed("train", *overrides_of(entry["command"]))
        assert cfg.dataset.path == run.config.dataset.path
        assert cfg.dataset.read.correct == "score"
        assert (cfg.dataset.fold, cfg.seed, cfg.dataset.seed) == (2, 3, 3)
        assert cfg.run.root == run.config.run.root
        if entry["experiment"] is None:
            assert cfg.name.startswith("v1_per_skill-")
            assert cfg.model.size.d_model == 16 or "model/size=lstm" in entry["overrides"]


def test_overrides_that_were_not_saved_are_said_to_be_missing(run: Run, tmp_path: Path) -> None:
    advise_run(run)
    home = tmp_path / "run"
    shutil.copytree(run.directory.path, home)
    provenance = json.loads((home / "provenance.json").read_text())
    del provenance["overrides"]
    write_json(home / "provenance.json", provenance)
    old = load_run(home)
    assert old.overrides is None
    content = advise_run(old).content
    assert not content["overrides_known"]
    for entry in content["advice"]:
        cfg = composed("train", *overrides_of(entry["command"]))
        assert (cfg.dataset.path, cfg.dataset.fold, cfg.seed) == (run.config.dataset.path, 2, 3)
    console = Console(width=200, record=True, file=StringIO())
    console.print(advice_view(content, 200))
    assert "are not known" in console.export_text()


def test_a_command_can_be_run(run: Run) -> None:
    entry = next(e for e in advise_run(run).content["advice"] if e["overrides"] == ["optimizer.weight_decay=0"])
    result = train(composed("train", *overrides_of(entry["command"]), "trainer.max_epochs=1"))
    assert result.run.config.optimizer.weight_decay == 0
    assert result.run.directory.path.parent.name == "v1_per_skill-no-decay"
    again = recompose(result.run.config)
    assert again[0] == "experiment=v1_per_skill"
    assert "name=v1_per_skill-no-decay" in again


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["experiment=v2_enhanced", "seed=5", "optimizer.lr_scale={}"],
        ["experiment=v3_explicit", "model/curve=per_skill", "model.curve.beta.mean=2"],
        ["experiment=v3_inverse_warmup", "schedule.first={bce1:0.1,bce2:0.9}", "dataset.split.num_folds=3"],
        [
            "experiment=v4_belief",
            "name=mine",
            "optimizer.lr_scale.gain_head=2",
            "+optimizer.lr_scale.encoder1=0.5",
            "callbacks.stop.monitor=val/encoder2_auc",
        ],
        ["experiment=v4_monotone", "schedule=ramp", "schedule.knots.bce1=[[0.0,0.9],[1.0,0.1]]", "dataset.seed=9"],
        ["experiment=v4_items_attention", "model/curve=per_skill", "~optimizer.lr_scale.curve", "model/readout=learnt"],
        ["experiment=v4_monotone", "model.velocity.mean=0.5", "++model.curve.beta.learn=false"],
        ["experiment=v1_per_skill", "dataset=assist2015", "dataset.path=/a b/{x}", "logger=[wandb,tensorboard]"],
        ["experiment=v1_per_skill", "dataset=csv", "dataset.path=x.csv", "dataset.read.separator=','"],
    ],
)
def test_a_config_is_composed_again(overrides: list[str]) -> None:
    quoted = [o if " " not in o else f"{o.partition('=')[0]}='{o.partition('=')[2]}'" for o in overrides]
    cfg = composed("train", *quoted)
    plain = OmegaConf.create(OmegaConf.to_container(cfg, resolve=True))
    assert isinstance(plain, DictConfig)
    for saved in (quoted, None):
        again = recompose(plain, saved)
        remade = composed("train", *again)
        assert told(remade) == told(plain)
        assert set(remade.logger) == set(plain.logger)
        assert saved is None or len(again) <= len(overrides) + 5, "no more is said than differs"


def test_what_changed_since_the_start_is_set_key_by_key() -> None:
    saved = [
        "experiment=v1_per_skill",
        "optimizer.lr=0.5",
        "run.dir=here",
        "sweep.resume=null",
        "hydra.job.chdir=false",
    ]
    cfg = compose_train(saved)
    cfg.optimizer.lr, cfg.model.size.d_model = 0.25, 24  # in Python, or in an experiment that is another one by now
    plain = OmegaConf.create(OmegaConf.to_container(cfg, resolve=True))
    assert isinstance(plain, DictConfig)
    again = recompose(plain, saved)
    assert told(compose_train(again)) == told(plain)
    assert {"run", "sweep", "hydra"}.isdisjoint(o.partition(".")[0] for o in again)
    assert sum("d_model" in o for o in again) == 1, "what follows from it is not said"


def test_saved_overrides_bring_in_no_code(run: Run, tmp_path: Path) -> None:
    """A run's folder may come from anybody, and its commands are there to be run."""
    advise_run(run)
    home = tmp_path / "run"
    shutil.copytree(run.directory.path, home)
    provenance = json.loads((home / "provenance.json").read_text())

    def with_overrides(*more: str) -> Run:
        content = provenance | {"overrides": [*provenance["overrides"], *more]}
        write_json(home / "provenance.json", content)
        return load_run(home)

    strange = with_overrides("+callbacks.mine={_target_:os.system,command:ls}")
    with pytest.raises(ConfigError, match=r"provenance\.json: callbacks\.mine\._target_=os\.system: .*trust=\[os\]"):
        advise_run(strange)
    trusted = advise_run(strange, trust=["os"]).content["advice"]
    assert any("os.system" in entry["command"] for entry in trusted)
    for asked in (
        "hydra.searchpath=[pkg://this]",
        "++hydra.searchpath=['pkg://this']",
        "hydra.searchpath=[${now:this}]",
    ):
        content = advise_run(with_overrides(asked)).content
        assert "this" not in sys.modules
        assert all("searchpath" not in entry["command"] for entry in content["advice"])
    gone = advise_run(with_overrides("model/curve=of_other_times")).content
    assert not gone["overrides_known"], "what is not understood any more is left aside"
    assert gone["advice"]


def test_one_run_of_a_grid_is_run_without_the_grid() -> None:
    cfg = compose_train(["experiment=[v4_belief,sweep_bce_weight]", "loss.bce_loss_weight=0.4"])
    plain = OmegaConf.create(OmegaConf.to_container(cfg, resolve=True))
    assert isinstance(plain, DictConfig)
    again = recompose(plain, ["experiment=[v4_belief,sweep_bce_weight]", "loss.bce_loss_weight=0.4"])
    remade = compose_train(again, hydra=True)
    assert not remade.hydra.sweeper.params
    assert remade.loss.bce_loss_weight == 0.4
    assert not settings(again)[1:], "the weight is all that a person set"


def run_train(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr("sys.argv", ["gainkt", *arguments])
    monkeypatch.delenv("GAINKT_DEBUG", raising=False)
    train_command.main()


def test_a_job_of_a_sweep_keeps_its_own_overrides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = ["loss.bce_loss_weight=0.3", *TINY, f"run.root={tmp_path}"]
    run_train(monkeypatch, "-m", "experiment=sweep_bce_weight", *own)
    (job,) = tmp_path.glob("sweep_bce_weight/*/0")
    run = load_run(job)
    assert run.overrides is not None
    assert sorted(run.overrides) == sorted(["experiment=sweep_bce_weight", *own])
    assert run.overrides == json.loads((job / "job.json").read_text())["overrides"]


def test_an_experiment_from_outside_goes_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, outside = tmp_path / "data.csv", tmp_path / "my conf"
    rows = [f"s{s},k{(s + t) % 4},{int((s * 7 + t * 3 + t // 3) % 5 > 1)}" for s in range(60) for t in range(12)]
    data.write_text("\n".join(["student,skill,correct", *rows]))
    (outside / "experiment").mkdir(parents=True)
    (outside / "experiment" / "mine.yaml").write_text(
        "# @package _global_\n"
        "defaults:\n  - v1_per_skill\n  - override /dataset: csv\n  - override /model/curve: per_skill\n"
        "name: mine\ndataset:\n  path: data.csv\n"
    )
    monkeypatch.chdir(tmp_path)
    tiny = [o for o in TINY if not o.startswith("dataset.read")]
    run_train(monkeypatch, "--config-dir", "my conf", "experiment=mine", *tiny, "run.root=runs")
    (home,) = (tmp_path / "runs" / "mine").iterdir()
    run = load_run(home)
    assert run.overrides is not None
    assert run.overrides[1:] == ["experiment=mine", *tiny, "run.root=runs"]
    content = advise_run(run).content
    monkeypatch.chdir(outside)
    assert {None, "v4_belief"} <= {entry["experiment"] for entry in content["advice"]}
    for entry in content["advice"]:
        remade = compose_train(overrides_of(entry["command"]))
        assert remade.dataset.path == str(data), "the data that the experiment chose, from any folder"
        if entry["experiment"] is None:
            assert remade.name.startswith("mine-")
            assert told(compose_train(recompose(run.config, run.overrides))) == told(run.config)


def test_settings_newer_than_the_run_take_their_defaults() -> None:
    plain = OmegaConf.create(OmegaConf.to_container(compose_train(["experiment=v1_per_skill"]), resolve=True))
    assert isinstance(plain, DictConfig)
    del plain.loss.beta_spread, plain.gradient_every
    remade = compose_train(recompose(plain))
    assert remade.loss.beta_spread == 0
    assert remade.gradient_every == 25


def test_another_option_drops_the_settings_inside_the_old_one() -> None:
    base = ["experiment=v1_per_skill", "loss.bce1=0.4", "model.curve.beta.mean=3", "model/curve=published", "seed=1"]
    expected = ["experiment=v1_per_skill", "seed=2", "loss=sparse", "model/curve=per_skill"]
    found = changed(base, ["seed=2", "loss=sparse", "model/curve=per_skill"])
    assert found == expected


def test_a_diagnosis_that_cannot_be_made_is_said(run: Run, tmp_path: Path) -> None:
    advise_run(run)
    home = tmp_path / "run"
    home.mkdir()
    for path in run.directory.path.iterdir():
        if path.is_file() and path.name not in ("diagnosis.json", "advice.json"):
            (home / path.name).write_bytes(path.read_bytes())
    done = advise_run(load_run(home))
    assert "gainkt.diagnose" in done.content["without_diagnosis"]
    (home / "scorecard.json").unlink()
    with pytest.raises(ConfigError, match=r"cannot be made .*gainkt.evaluate"):
        advise_run(load_run(home))
    (home / "results.json").unlink()
    with pytest.raises(ConfigError, match=r"run.resume="):
        advise_run(load_run(home))


def test_the_command(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GAINKT_DEBUG", raising=False)

    def say(*overrides: str) -> None:
        monkeypatch.setattr("sys.argv", ["gainkt", "device=cpu", *overrides])
        command.main()

    say(f"run={run.directory.path}")
    printed = capsys.readouterr().out
    assert "What next?" in printed
    assert "python -m gainkt.train experiment=" in printed
    assert not list(tmp_path.iterdir())
    for overrides, expected in ((["run=nowhere"], "not the folder of a run"), (["mak=false", "run=x"], "mak")):
        with pytest.raises(SystemExit):
            say(*overrides)
        said = capsys.readouterr().err
        assert said.count("gainkt: error:") == 1
        assert expected in said
        assert "Traceback" not in said


def test_the_command_on_simulated_students(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = train(composed("train", "experiment=v4_belief", *TINY, f"run.root={tmp_path}")).run
    assert tiny.config.dataset.get("path") is None, "simulated data lies nowhere"
    monkeypatch.setattr("sys.argv", ["gainkt", "device=cpu", f"run={tiny.directory.path}"])
    command.main()
    assert "What next?" in capsys.readouterr().out
    content = json.loads((tiny.directory.path / "advice.json").read_text())
    assert content["without_diagnosis"] is None
    assert all(entry["stage"] != "sound" for entry in content["advice"]), "items make no run unsound"
