"""What practice is worth on the learning curve of a recorded run."""

from __future__ import annotations

import numpy as np

from gainkt.evaluation.statistics.bootstrap import Array


def worth(practice_N: Array, experience_N: Array) -> Array:
    """W(P) = E log(1 + P / E), as in gainkt.model.curve.PowerCurve; P where the curve has no E.

    Args:
        practice_N: accumulated gains P, >= 0.
        experience_N: E > 0 of each one's skill, nan where practice does not wear off; broadcasts.
    """
    worn = np.isfinite(experience_N)
    experience = np.where(worn, experience_N, 1.0)
    return np.where(worn, experience * np.log1p(practice_N / experience), practice_N)
