"""Build a W&B workspace and a report of gainkt's runs: `python scripts/wandb_dashboard.py --group sweep-...`.

Shows both encoders' AUC by epoch, loss weights, gains, parameters of the curve and readout, and the trade-off of a
sweep. With --offline, or where nobody is logged in to W&B, the specification of both is written as JSON instead.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gainkt.files import write_json

AUC = {f"Encoder {n} AUC": [f"{part}/encoder{n}_auc" for part in ("val", "train")] for n in (1, 2)}
BY_EPOCH: dict[str, dict[str, list[str]]] = {
    "AUC by epoch": {
        **AUC,
        "E1 + 0.5 E2": ["val/combined_score"],
        "Test, at the epoch kept": ["test/encoder1_auc", "test/encoder2_auc"],
    },
    "Loss weights by phase": {
        "Weights of the cross-entropies": ["weight/bce1", "weight/bce2"],
        "Weights on gains": ["weight/gain_variance", "weight/skill_contrast", "weight/gain_sparsity"],
        "Weighted cross-entropies": ["weighted_loss/bce1", "weighted_loss/bce2"],
        "Raw cross-entropies": ["loss/bce1", "loss/bce2"],
    },
    "Gains": {
        "Minus variance over skills within a step": ["loss/gain_variance"],
        "Minus variance over skills of mean gains": ["loss/skill_contrast"],
        "Gains of skills not practised": ["loss/gain_sparsity"],
        "Std over skills (callbacks=[default,gain_floor])": ["gain/std_over_skills"],
        "Gradient at the gain head": ["gradient/bce2_at_gain_head", "gradient/gain_sparsity_at_gain_head"],
    },
    "Parameters": {
        **{
            f"{name}, {what} over skills": [f"parameter/{part}_{what}"]
            for name, part in (
                ("Steepness beta", "curve.beta"),
                ("Saturation M_sat", "curve.saturation"),
                ("Offset", "curve.offset"),
            )
            for what in ("mean", "std")
        },
        "Experience E": ["parameter/curve.experience_mean"],
        "Threshold theta": ["parameter/readout.threshold_mean"],
        "Temperature": ["parameter/readout.temperature_mean"],
    },
}
"""Section -> panel -> figures over epochs, named as in metrics.csv."""
TRADE_OFF = "Trade-off of a sweep"


def reports() -> Any:
    """Return W&B's module of reports and panels, which is imported only here: it is an extra."""
    return import_module("wandb_workspaces.reports.v2")


def line_panels(section: str) -> list[Any]:
    """Return a section's line plots over epochs."""
    wr = reports()

    return [
        wr.LinePlot(title=title, x="epoch", y=list(names), layout=wr.Layout(x=8 * (n % 3), y=6 * (n // 3), w=8, h=6))
        for n, (title, names) in enumerate(BY_EPOCH[section].items())
    ]


def trade_off_panels(parameters: Sequence[str]) -> list[Any]:
    """Return plots of a sweep: both AUCs over each parameter and over one another, all at once, and importance."""
    wr = reports()

    e1, e2 = (wr.SummaryMetric(f"val/encoder{n}_auc") for n in (1, 2))
    panels: list[Any] = [wr.ScatterPlot(title="Encoder 2 over Encoder 1", x=e1, y=e2)]
    for key in parameters:
        panels += [
            wr.ScatterPlot(title=f"Encoder {n} AUC over {key}", x=wr.Config(key), y=metric)
            for n, metric in ((1, e1), (2, e2))
        ]
    columns = [wr.ParallelCoordinatesPlotColumn(metric=x) for x in (*map(wr.Config, parameters), e1, e2)]
    panels += [wr.ParallelCoordinatesPlot(title="All runs", columns=columns)]
    panels += [wr.ParameterImportancePlot(with_respect_to="val/encoder2_auc")]
    for number, panel in enumerate(panels):
        panel.layout = wr.Layout(x=8 * (number % 3), y=6 * (number // 3), w=8, h=6)
    return panels


def build(entity: str, project: str, group: str | None, parameters: Sequence[str]) -> tuple[Any, Any]:
    """Return the workspace (wandb_workspaces.workspaces.Workspace) and the report (reports.v2.Report).

    Args:
        entity: user or team of W&B.
        project: of W&B.
        group: show only runs of this W&B group: a sweep or an experiment; all where None.
        parameters: dotted keys that the sweep varies.
    """
    wr, ws = reports(), import_module("wandb_workspaces.workspaces")

    filters = f"Metric('group') == '{group}'" if group else ""
    name = f"gainkt: {group}" if group else "gainkt"
    sections = [ws.Section(name=title, panels=line_panels(title), is_open=True) for title in BY_EPOCH]
    sections.append(ws.Section(name=TRADE_OFF, panels=trade_off_panels(parameters), is_open=True))
    workspace = ws.Workspace(
        entity=entity,
        project=project,
        name=name,
        sections=sections,
        settings=ws.WorkspaceSettings(x_axis="epoch", max_runs=100),
        runset_settings=ws.RunsetSettings(filters=filters),
    )

    def grid(panels: list[Any]) -> Any:
        # A run set without a project shows the report's own, and needs no server to be written down.
        return wr.PanelGrid(runsets=[wr.Runset(filters=filters)], panels=panels)

    blocks: list[Any] = [wr.TableOfContents()]
    for title in BY_EPOCH:
        blocks += [wr.H2(text=title), wr.P(text=EXPLAINED[title]), grid(line_panels(title))]
    blocks += [wr.H2(text=TRADE_OFF), wr.P(text=EXPLAINED[TRADE_OFF]), grid(trade_off_panels(parameters))]
    report = wr.Report(
        entity=entity, project=project, title=name, description="Both encoders, run by run.", blocks=blocks
    )
    return workspace, report


EXPLAINED = {
    "AUC by epoch": "Encoder 1 predicts from history alone, Encoder 2 through gains and mastery. Runs are selected on "
    "validation; test is logged once, for the epoch that was kept.",
    "Loss weights by phase": "Weights as the schedule sets them, at the start of each epoch; a phase change is a jump.",
    "Gains": "Panels stay empty for terms that a run gives no weight. The whole scorecard is in the run's folder.",
    "Parameters": "Of the learning curve and of the readout, mean and standard deviation over skills.",
    TRADE_OFF: "Figures of the last epoch on validation. scripts/summarize_sweep.py ranks by the epoch that was kept.",
}


def specification(workspace: Any, report: Any) -> dict[str, Any]:
    """Return both as the plain containers that W&B is sent."""
    return {
        "workspace": json.loads(workspace._to_model().model_dump_json(by_alias=True, exclude_none=True)),
        "report": json.loads(report._to_model().model_dump_json(by_alias=True, exclude_none=True)),
    }


def logged_in() -> bool:
    """Tell whether W&B's client has a login of its own."""
    import wandb

    return bool(wandb.api.api_key)


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entity", default="", help="user or team of W&B; your own where left out")
    parser.add_argument("--project", default="gainkt", help="project of W&B (default gainkt)")
    parser.add_argument("--group", help="show only this group: a sweep, or an experiment")
    parser.add_argument(
        "--parameter", action="append", help="key that the sweep varies, repeatable (default loss.bce1)"
    )
    parser.add_argument("--offline", action="store_true", help="write the specification, ask no server")
    parser.add_argument("--output", type=Path, default=Path("wandb_dashboard.json"), help="where to write it")
    options = parser.parse_args()
    if find_spec("wandb_workspaces") is None:
        print("error: wandb-workspaces is not installed; pip install 'gainkt[dashboard]'", file=sys.stderr)
        return 1
    offline = options.offline or not logged_in()
    entity = options.entity
    if not offline and not entity:
        import wandb

        entity = wandb.Api().default_entity
    workspace, report = build(entity or "entity", options.project, options.group, options.parameter or ["loss.bce1"])
    if offline:
        try:
            write_json(options.output, specification(workspace, report))
        except OSError as error:
            print(f"error: {options.output}: {error.strerror}; choose another --output", file=sys.stderr)
            return 1
        why = "" if options.offline else "not logged in to W&B (wandb login): "
        print(f"{why}specification written to {options.output}")
        return 0
    for made in (workspace, report):
        made.save()
        print(made.url)
    return 0


if __name__ == "__main__":
    sys.exit(main())
