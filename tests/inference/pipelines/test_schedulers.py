import numpy as np
import pytest
from numpy.polynomial import Polynomial

from inference.pipelines.request import SCHEDULERS as NAMES
from inference.pipelines.schedulers import SCHEDULERS, LinearMultistepScheduler, make_scheduler


def test_every_name_of_the_contract_has_a_scheduler() -> None:
    assert tuple(SCHEDULERS) == NAMES


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_multistep_coefficients_are_exact_integrals(order: int) -> None:
    scheduler = LinearMultistepScheduler(beta_start=0.00085, beta_end=0.012)
    scheduler.set_timesteps(9)
    sigmas, t = np.asarray(scheduler.sigmas, dtype=np.float64), 5
    for current in range(order):
        basis = Polynomial([1.0])
        for k in (k for k in range(order) if k != current):
            basis *= Polynomial([-sigmas[t - k], 1.0]) / (sigmas[t - current] - sigmas[t - k])
        exact = basis.integ()(sigmas[t + 1]) - basis.integ()(sigmas[t])
        assert scheduler.get_lms_coefficient(order, t, current) == pytest.approx(exact, rel=1e-9)


def test_a_schedule_is_that_of_the_models_folder() -> None:
    config = {"beta_start": 0.001, "beta_end": 0.02, "prediction_type": "v_prediction"}
    for name in NAMES:
        scheduler = make_scheduler(name, config)
        assert scheduler.config.beta_end == 0.02
        assert scheduler.config.prediction_type == "v_prediction"
