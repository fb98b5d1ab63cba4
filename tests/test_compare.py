"""Comparing runs: what is shown, and what is refused in one line."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_pages import made_run, named_tables
from omegaconf import OmegaConf

from gainkt.compare import compare_config
from gainkt.console import make_console
from gainkt.errors import ConfigError
from gainkt.reporting.comparison_view import comparison_view
from test_hostile_names import composed


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root, tables = tmp_path_factory.mktemp("sweep"), named_tables(num_students=40)
    worse = named_tables(num_students=40)
    noise = np.random.default_rng(0).normal(0, 0.4, len(worse.predictions))
    worse.predictions["p2"] = np.clip(worse.predictions.p2 + noise, 0.01, 0.99)
    made = [made_run(root / "0", tables), made_run(root / "1", worse, name="<b>$$x$$")]
    path = made[1] / "config.yaml"
    config = OmegaConf.load(path)
    config.loss.bce1 = 0.25
    OmegaConf.save(config, path)
    return made


def compare(tmp_path: Path, *runs: Path):
    cfg = composed("compare", f"runs=[{','.join(map(str, runs))}]", f"output={tmp_path}/compare.html")
    return compare_config(cfg)


def test_terminal_and_page(runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, path = compare(tmp_path, *runs)
    make_console().print(comparison_view(content))
    said = capsys.readouterr().out
    row = next(line for line in said.splitlines() if "Encoder 2 AUC" in line and "worse" in line)
    assert "< .001" in row
    assert "loss.bce1" in said
    assert path is not None
    page = path.read_text()
    assert "&lt;b&gt;$$x$$" in page
    assert "<b>$$" not in page
    difference = next(m for m in content["metrics"] if m["name"] == "encoder2_auc")["differences"][1]["value"]
    assert f"{difference:+.4f}" in page
    assert [entry["key"] for entry in content["settings"]] == ["loss.bce1"]
    (runs[0] / "report.html").write_text("a page")
    assert 'href="' in compare(tmp_path, *runs)[1].read_text()  # type: ignore[union-attr]
    (runs[0] / "report.html").unlink()


def test_an_encoder_that_was_not_trained_is_told(runs: list[Path], tmp_path: Path, capsys) -> None:
    path = runs[1] / "results.json"
    before = path.read_text()
    results = json.loads(before)
    results["phases"][results["selected"]]["untrained"] = [2]
    path.write_text(json.dumps(results))
    try:
        content, page = compare(tmp_path, *runs)
    finally:
        path.write_text(before)
    make_console().print(comparison_view(content))
    assert "Encoder 2 of <b>$$x$$ was not trained" in " ".join(capsys.readouterr().out.split())
    assert page is not None
    assert "Encoder 2 of &lt;b&gt;$$x$$ was not trained" in page.read_text()


def test_a_sweeps_folder_stands_for_its_runs(runs: list[Path], tmp_path: Path) -> None:
    content, _ = compare(tmp_path, runs[0].parent)
    assert [run["folder"] for run in content["runs"]] == [str(run) for run in runs]


def test_runs_of_several_seeds_are_paired(runs: list[Path], tmp_path: Path) -> None:
    """The data set's seed is that of the order of batches; who is in which part is the split's own."""
    other = made_run(tmp_path / "other", named_tables(num_students=40))
    config = OmegaConf.load(other / "config.yaml")
    config.seed = config.dataset.seed = 7
    OmegaConf.save(config, other / "config.yaml")
    content, _ = compare(tmp_path, runs[0], other)
    assert {"dataset.seed"} <= {entry["key"] for entry in content["settings"]}
    assert all(metric["differences"][1]["value"] == 0 for metric in content["metrics"])


def other_data(run: Path) -> None:
    made = json.loads((run / "provenance.json").read_text())
    made["data"]["digest"] = "def"
    (run / "provenance.json").write_text(json.dumps(made))


def other_fold(run: Path) -> None:
    config = OmegaConf.load(run / "config.yaml")
    config.dataset.fold = 3
    OmegaConf.save(config, run / "config.yaml")


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (other_data, ConfigError, r"other data than .* \(digest def, and abc\)"),
        (other_fold, ConfigError, r"another split than .* \(dataset\.fold=3, and 0\)"),
        (
            lambda run: (run / "predictions.parquet").unlink(),
            ConfigError,
            r"is missing; `python -m gainkt",
        ),
        (lambda run: (run / "predictions.parquet").write_bytes(b"PAR1"), ConfigError, "was changed|is damaged"),
        (
            lambda run: (run / "results.json").unlink(),
            ConfigError,
            r"did not finish; `python -m gainkt",
        ),
    ],
)
def test_what_cannot_be_paired_is_refused_in_one_line(
    runs: list[Path], tmp_path: Path, change: Callable[[Path], None], error: type[Exception], says: str
) -> None:
    other = made_run(tmp_path / "other", named_tables(num_students=40), card=False)
    change(other)
    with pytest.raises(error, match=says) as raised:
        compare(tmp_path, runs[0], other)
    assert "\n" not in str(raised.value)


def test_one_run_is_none_to_compare(runs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="1 finished runs to compare; give 2 to 20"):
        compare(tmp_path, runs[0])
    with pytest.raises(ConfigError, match="no such folder"):
        compare(tmp_path, runs[0], tmp_path / "nowhere")
