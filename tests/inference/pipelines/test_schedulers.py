import numpy as np
import pytest
import torch
from numpy.polynomial import Polynomial

from inference.pipelines.request import SCHEDULERS as NAMES
from inference.pipelines.request import InvalidRequest
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


def test_a_name_means_what_it_says_whatever_the_folder_had() -> None:
    config = {"use_karras_sigmas": True, "algorithm_type": "sde-dpmsolver++", "solver_order": 3}
    plain, karras = (make_scheduler(name, config) for name in ("dpmpp_2m", "dpmpp_2m_karras"))
    assert not plain.config.use_karras_sigmas and karras.config.use_karras_sigmas
    for scheduler in (plain, karras):
        assert (scheduler.config.algorithm_type, scheduler.config.solver_order) == (
            "dpmsolver++",
            2,
        )


def test_a_scheduler_that_a_model_cannot_use_is_refused_with_the_reason() -> None:
    for name in NAMES:
        scheduler_works = step_with_samples(name)
        if scheduler_works:
            make_scheduler(name, {"prediction_type": "sample"})
        else:
            with pytest.raises(InvalidRequest, match=f"scheduler: {name} is not for .* ddim"):
                make_scheduler(name, {"prediction_type": "sample"})


def step_with_samples(name: str) -> bool:
    """Whether diffusers' own class can take a step from a predicted sample."""
    scheduler_class, overrides = SCHEDULERS[name]
    scheduler = scheduler_class(prediction_type="sample", **overrides)
    scheduler.set_timesteps(4)
    latents = torch.ones(1, 4, 2, 2)
    try:
        scheduler.step(latents, scheduler.timesteps[0], latents)
    except (NotImplementedError, ValueError):
        return False
    return True
