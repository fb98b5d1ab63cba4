"""The experiments that rules of the decision tree name, each with when it is still open to a run."""

from __future__ import annotations

from gainkt.evaluation.advice import state as state
from gainkt.evaluation.advice.rule import Way
from gainkt.evaluation.advice.symptoms import LEAST_CARRIED, only_counting

OWN_GAIN = Way(
    "a gain head that gives the practised skills a gain of their own and others little, at a price",
    "own-gain",
    overrides=("model/gain_head=own_transfer", "model/receivers=all", "loss=sparse"),
    open=lambda run: not state.is_v4(run),
)
SPARSER = Way(
    "three times the price on gains of skills that a step does not practise",
    "sparser",
    overrides=(lambda run: f"loss.gain_sparsity={3 * run.setting('loss.gain_sparsity', 0.0) or 0.003:.2g}",),
)
OWN_CURVE = Way(
    "an initial mastery, steepness and level of its own for every skill",
    "own-curve",
    overrides=("model/curve=per_skill",),
    open=lambda run: not state.has_own_curves(run),
)
ONE_UNIT = Way(
    "a unit of practice that is the same for all skills, so that gains alone say which are learnt slowly",
    "one-unit",
    overrides=("++model.curve.beta.per_skill=false",),
    open=lambda run: (
        state.is_v4(run) and state.has_own_curves(run) and run.setting("model.curve.beta.per_skill", True) is not False
    ),
)
POWER_CURVE = Way(
    "practice that is worth less the more came before it, as the power law of practice has it",
    "power-curve",
    overrides=("model/curve=power",),
    # Strictly monotone curves bend less often along it (docs/results.md).
    open=lambda run: (
        state.is_v4(run) and run.has("curve", "SigmoidCurve") and not run.has("readiness", "FirstContactReadiness")
    ),
)
LEARNT_READOUT = Way(
    "threshold and temperature learnt, from values between which p2 reaches what students reach",
    "learnt-readout",
    overrides=("model/readout=learnt",),
    open=lambda run: run.setting("model.readout.temperature.learn") is False and not state.reads_wide(run),
)
WIDE_READOUT = Way(
    "a temperature so high that mastery must use its whole range, and fixed",
    "wide-readout",
    overrides=("model/readout=wide",),
    open=lambda run: (
        state.is_v4(run)
        and run.has("readout", "ThresholdReadout")
        and run.setting("model.readout.temperature.learn") is not False
    ),
)
LOWER_TEMPERATURE = Way(
    "two thirds of the temperature, so that mastery says more",
    "lower-temperature",
    overrides=(lambda run: f"model.readout.temperature.mean={state.lower_temperature(run):.2g}",),
    open=lambda run: (
        run.has("readout", "ThresholdReadout")
        and state.reads_wide(run)
        and state.lower_temperature(run) >= state.LEAST_TEMPERATURE
    ),
)
INFERRED_VELOCITY = Way(
    "learning velocity inferred from the history, and revised with it",
    "inferred-velocity",
    overrides=("model/velocity=inferred",),
    open=lambda run: not run.has("velocity", "InferredVelocity"),
)
FIXED_VELOCITY = Way(
    "one velocity for everybody, so that only gains and readiness can carry the history",
    "fixed-velocity",
    overrides=("model/velocity=fixed",),
    open=lambda run: run.has("velocity", "InferredVelocity"),
)
SLOWER = Way(
    "half the velocity, so that gains must be larger to move mastery as far",
    "slower",
    overrides=(state.slower,),
    open=lambda run: run.setting("model.velocity.mean") is not None,
)
MORE_DROPOUT = Way(
    "more dropout",
    "more-dropout",
    overrides=(lambda run: f"model.size.dropout={run.setting('model.size.dropout') + 0.1:.2g}",),
    open=lambda run: run.setting("model.size.dropout", 1.0) + 0.1 <= state.MOST_DROPOUT + state.EPSILON,
)
SHRUNKEN_ITEMS = Way(
    "difficulties of items that are shrunk harder, so that rare items fall back to their skill",
    "shrunken-items",
    overrides=(f"loss.item_shrinkage={state.MOST_ITEM_SHRINKAGE:g}",),
    open=lambda run: state.knows_items(run) and run.setting("loss.item_shrinkage", 0.0) < state.MOST_ITEM_SHRINKAGE,
)
FEWER_EPOCHS = Way(
    "epochs up to Encoder 1's best, over which the learning rate falls",
    "fewer-epochs",
    overrides=(lambda run: f"trainer.max_epochs={state.epochs_of_encoder1(run)}",),
    open=state.can_stop_earlier,
)
MORE_EPOCHS = Way(
    "half as many epochs again", "more-epochs", overrides=(state.more_epochs,), open=state.ended_at_its_best
)

V4_BELIEF = "v4_belief"
BELIEF = Way(
    "V4: own gains, curves of their own along which practice wears off, and a belief that may be revised",
    experiment=V4_BELIEF,
    # A readiness fixed at first contact is no belief that a failure can revise.
    open=lambda run: run.has("readiness", "NoReadiness", "FirstContactReadiness"),
)
ALL_AT_ONCE = Way(BELIEF.change, experiment=V4_BELIEF, open=lambda run: not state.is_v4(run))
SKILL_BELIEF = Way(
    "a readiness for every skill",
    experiment="v4_belief_skill",
    # Where gains carry too little already, a richer belief would take the rest from them.
    open=lambda run: (
        run.has("readiness", "StudentReadiness")
        and (run.fall("gains") or 0) >= LEAST_CARRIED
        and only_counting(run) is None
    ),
)
LESS_BELIEF = Way(
    "one readiness a student instead of one a skill",
    experiment=V4_BELIEF,
    open=lambda run: run.has("readiness", "SkillReadiness"),
)
NO_BELIEF = Way(
    "no belief that is revised, only what was there at first contact: strictly monotone mastery",
    experiment="v4_monotone",
    open=lambda run: run.has("readiness", "StudentReadiness"),
)
DEARER_READINESS = Way(
    "a higher price on readiness, so that what practice can explain is left to practice",
    "dearer-readiness",
    overrides=(f"loss.readiness_size={state.MOST_READINESS_SIZE:g}",),
    open=lambda run: state.readiness_leads(run) and run.setting("loss.readiness_size", 0.0) < state.MOST_READINESS_SIZE,
)
FASTER_GAINS = Way(
    "the gain head at five times the learning rate, as in V4",
    "faster-gains",
    overrides=(f"++optimizer.lr_scale.gain_head={state.V4_GAIN_RATE:g}",),
    open=lambda run: state.is_v4(run) and run.setting("optimizer.lr_scale.gain_head", 1.0) < state.V4_GAIN_RATE,
)
LOWER_RATE = Way(
    "a third of the learning rate",
    "lower-lr",
    overrides=(lambda run: f"optimizer.lr={run.setting('optimizer.lr') / 3:.2g}",),
)
GUARDS = Way(
    "the diagnosis again, with the leakage guards; report what it says",
    module="diagnose",
    overrides=("leakage=true",),
)
NO_DECAY = Way("the same without weight decay", "no-decay", overrides=("optimizer.weight_decay=0",))
BCE2_LEADS = Way(
    "without the pull of the other terms",
    "bce2-leads",
    overrides=(lambda run: str((run.cause("gradients") or {})["override"]),),
)
BOTH_SELECT = Way(
    "the epoch chosen by both encoders",
    "both-select",
    overrides=("callbacks.select.monitor=val/combined_score",),
    open=lambda run: run.setting("callbacks.select.monitor") == "val/encoder2_auc",
)
LSTM = Way(
    "an LSTM as Encoder 1, and V4's sizes for both",
    "lstm",
    overrides=("model/encoder1=lstm", "model/size=lstm"),
    open=lambda run: not run.has("encoder1", "LSTMStream") and not state.is_distance_attention(run),
)
DISTANCE_ATTENTION = Way(
    "attention that fades with distance as Encoder 1, for data with items",
    "distance-attention",
    overrides=("model/encoder1=distance_attention", state.blocks),
    open=lambda run: state.knows_items(run) and not state.is_distance_attention(run),
)
OVER_FOLDS_AND_SEEDS = Way(
    "the same over folds and seeds",
    overrides=(state.folds, "seed=0,1,2"),
    sweep=True,
)
TRY_GAIN_FLOOR = Way(
    "V1 with gains that cannot be uniform",
    experiment="try_gain_floor",
    open=lambda run: state.is_v1_to_v3(run) and not run.has("gain_head", "FlooredGain"),
)
TRY_Q_MATRIX = Way(
    "V1 started on the Q-matrix",
    experiment="try_q_matrix",
    open=lambda run: state.is_v1_to_v3(run) and not run.has("gain_head", "QMatrixGain"),
)
TRY_GAIN_RESPONSE = Way(
    "V1 with a loss term for gains that go with the response",
    experiment="try_gain_response",
    open=lambda run: state.is_v1_to_v3(run) and not run.setting("loss.gain_response_correlation", 0.0),
)
