"""What practice is worth in tables is what the model made of it."""

from functools import partial

import numpy as np
import torch

from gainkt.evaluation.statistics.practice import worth
from gainkt.model.bounded import Bounded
from gainkt.model.curve import PowerCurve, SigmoidCurve

PLAIN = partial(Bounded, mean=1.0)


def test_worth_is_the_curves() -> None:
    practice, skills = np.linspace(0, 9, 7), torch.zeros(7, dtype=torch.int64)
    given = torch.tensor(practice, dtype=torch.float32), skills
    wearing = PowerCurve(1, beta=PLAIN, saturation=PLAIN, offset=PLAIN, experience=partial(Bounded, mean=0.3, low=0.0))
    straight = SigmoidCurve(1, beta=PLAIN, saturation=PLAIN, offset=PLAIN)
    np.testing.assert_allclose(worth(practice, np.array(0.3)), wearing.worth(*given).detach().numpy(), rtol=1e-5)
    np.testing.assert_allclose(worth(practice, np.array(np.nan)), straight.worth(*given).numpy(), rtol=1e-6)
