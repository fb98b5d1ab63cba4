"""Where the parts of runs made by earlier versions are now, so that these runs still load, score and resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from gainkt.config import conf_dir

MOVED: dict[str, str] = {
    "gainkt.balancing.GradientNorm": "gainkt.training.balancing.GradientNorm",
    "gainkt.balancing.Uncertainty": "gainkt.training.balancing.Uncertainty",
    "gainkt.callbacks.PhaseCheckpoint": "gainkt.training.callbacks.checkpoint.PhaseCheckpoint",
    "gainkt.callbacks.PhaseEarlyStopping": "gainkt.training.callbacks.early_stopping.PhaseEarlyStopping",
    "gainkt.curriculum.SkillCurriculum": "gainkt.training.callbacks.skill_curriculum.SkillCurriculum",
    "gainkt.data.simulator.simulate": "gainkt.simulation.simulate.simulate",
    "gainkt.gain_floor.GainFloor": "gainkt.training.callbacks.gain_floor.GainFloor",
    "gainkt.model.belief.Ability": "gainkt.model.readiness.Ability",
    "gainkt.model.belief.FirstContactReadiness": "gainkt.model.readiness.FirstContactReadiness",
    "gainkt.model.belief.FixedVelocity": "gainkt.model.velocity.FixedVelocity",
    "gainkt.model.belief.InferredVelocity": "gainkt.model.velocity.InferredVelocity",
    "gainkt.model.belief.NoReadiness": "gainkt.model.readiness.NoReadiness",
    "gainkt.model.belief.SkillReadiness": "gainkt.model.readiness.SkillReadiness",
    "gainkt.model.belief.StudentReadiness": "gainkt.model.readiness.StudentReadiness",
    "gainkt.model.belief.StudentVelocity": "gainkt.model.velocity.StudentVelocity",
    "gainkt.model.embeddings.ItemDifficulty": "gainkt.model.item_difficulty.ItemDifficulty",
    "gainkt.model.embeddings.RaschDifficulty": "gainkt.model.item_difficulty.RaschDifficulty",
    "gainkt.model.encoders.AttentionStream": "gainkt.model.encoder.AttentionStream",
    "gainkt.model.encoders.Decay": "gainkt.model.encoder.Decay",
    "gainkt.model.encoders.LSTMStream": "gainkt.model.encoder.LSTMStream",
    "gainkt.model.encoders.SharedStream": "gainkt.model.encoder.SharedStream",
    "gainkt.model.expert_gains.ExpertGain": "gainkt.model.gain_head.experts.ExpertGain",
    "gainkt.model.expert_gains.GroupedGain": "gainkt.model.gain_head.experts.GroupedGain",
    "gainkt.model.expert_gains.MixtureGain": "gainkt.model.gain_head.experts.MixtureGain",
    "gainkt.model.floored_gain.FlooredGain": "gainkt.model.gain_head.floored.FlooredGain",
    "gainkt.model.gains.AllSkills": "gainkt.model.receivers.AllSkills",
    "gainkt.model.gains.LinearGain": "gainkt.model.gain_head.linear.LinearGain",
    "gainkt.model.gains.MLPGain": "gainkt.model.gain_head.linear.MLPGain",
    "gainkt.model.gains.NoGain": "gainkt.model.gain_head.scalar.NoGain",
    "gainkt.model.gains.OwnAndMatrixGain": "gainkt.model.gain_head.own.OwnAndMatrixGain",
    "gainkt.model.gains.OwnAndTransferGain": "gainkt.model.gain_head.own.OwnAndTransferGain",
    "gainkt.model.gains.Practised": "gainkt.model.receivers.Practised",
    "gainkt.model.gains.QMatrixGain": "gainkt.model.gain_head.own.QMatrixGain",
    "gainkt.model.gains.ScalarGain": "gainkt.model.gain_head.scalar.ScalarGain",
    "gainkt.model.gains.SkillAttentionGain": "gainkt.model.gain_head.skill_attention.SkillAttentionGain",
    "gainkt.model.mastery.GuessSlipReadout": "gainkt.model.readout.GuessSlipReadout",
    "gainkt.model.mastery.MasteryReadout": "gainkt.model.readout.MasteryReadout",
    "gainkt.model.mastery.PowerCurve": "gainkt.model.curve.PowerCurve",
    "gainkt.model.mastery.SigmoidCurve": "gainkt.model.curve.SigmoidCurve",
    "gainkt.model.mastery.ThresholdReadout": "gainkt.model.readout.ThresholdReadout",
    "gainkt.model.parameters.Bounded": "gainkt.model.bounded.Bounded",
    "gainkt.model.response.MLPHead": "gainkt.model.response_head.MLPHead",
    "gainkt.model.response.SkillHead": "gainkt.model.response_head.SkillHead",
    "gainkt.model.table_gain.OwnTableGain": "gainkt.model.gain_head.own.OwnTableGain",
    "gainkt.optimizers.adam": "gainkt.training.optimizers.adam",
    "gainkt.searching.report.ReportToTrial": "gainkt.training.callbacks.report_to_trial.ReportToTrial",
    "gainkt.references.fits.bkt": "gainkt.references.bkt.BKT.fit",
    "gainkt.references.fits.pfa": "gainkt.references.pfa.PFA.fit",
    "gainkt.references.fits.rasch": "gainkt.references.rasch.Rasch.fit",
    "gainkt.schedules.AlignmentWarmup": "gainkt.training.schedules.AlignmentWarmup",
    "gainkt.schedules.Constant": "gainkt.training.schedules.Constant",
    "gainkt.schedules.Knots": "gainkt.training.schedules.Knots",
    "gainkt.schedules.TwoPhase": "gainkt.training.schedules.TwoPhase",
}
"""Each `_target_` that a run's config.yaml may name and that has moved since, and its new place."""


LOSS_SETTINGS = {
    "skill_triplet_margin": "skill_triplet.margin",
    "gain_discriminator_noise": "gain_discriminator.noise",
    "gain_target_low": "gain_target.low",
    "gain_target_high": "gain_target.high",
    "gain_target_ratio": "gain_target.ratio",
    "gain_target_seed": "gain_target.seed",
    "beta_spread_target": "beta_spread.target",
}
"""Settings of loss terms that stood among the weights, and their places in `loss.terms`."""


def _with_terms(loss: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a loss group that named its terms in code with the terms in it."""
    terms = OmegaConf.load(Path(conf_dir(), "loss", "base.yaml")).terms
    for old, new in LOSS_SETTINGS.items():
        if old in loss:
            OmegaConf.update(terms, new, loss[old], force_add=True)
    kept = {key: value for key, value in loss.items() if key not in LOSS_SETTINGS}
    return {**dict.fromkeys(map(str, terms), 0.0), **kept, "terms": OmegaConf.to_container(terms)}


READERS = {
    "gainkt.data.readers.read_akt": "gainkt.data.readers.AktReader",
    "gainkt.data.readers.read_csv": "gainkt.data.readers.TableReader",
    "gainkt.data.readers.read_pykt": "gainkt.data.readers.PyktReader",
}
"""Readers that were functions, called with `_partial_`, and are classes now."""


def _reader(node: dict[str, Any]) -> dict[str, Any]:
    """Return the config of a reader that was a function, which read on where its class now asks."""
    settings = {key: x for key, x in node.items() if key != "_partial_"} | {"_target_": READERS[node["_target_"]]}
    if node["_target_"].endswith("read_csv"):
        settings = {"separator": ";"} | settings
        settings["order"] = settings.get("order") or False
        if not settings.get("item"):
            settings |= {"row_expansion": "keep", "duplicates": "keep"}
    return settings


def at_new_places(node: Any) -> Any:
    """Return plain config content with every moved `_target_` at its new place, and the loss's terms in it."""
    if isinstance(node, dict) and node.get("_target_") in READERS:
        return _reader(node)
    if isinstance(node, dict):
        if node.get("_target_") == "gainkt.losses.Loss" and "terms" not in node:
            node = _with_terms(node)
        if node.get("_target_") == "gainkt.data.datamodule.KTDataModule":
            node = {"carry_state": False, **node}  # as it was trained, so that it scores as it did
        return {key: MOVED.get(x, x) if key == "_target_" else at_new_places(x) for key, x in node.items()}
    return [at_new_places(x) for x in node] if isinstance(node, list) else node
