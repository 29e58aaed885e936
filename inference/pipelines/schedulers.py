"""Samplers by the names of the API, each built on the noise schedule of the model's own folder."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_euler_ancestral_discrete import EulerAncestralDiscreteScheduler
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from diffusers.schedulers.scheduling_heun_discrete import HeunDiscreteScheduler
from diffusers.schedulers.scheduling_lms_discrete import LMSDiscreteScheduler
from diffusers.schedulers.scheduling_pndm import PNDMScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from numpy.polynomial.legendre import leggauss

from inference.pipelines.request import InvalidRequest


class LinearMultistepScheduler(LMSDiscreteScheduler):
    """Diffusers' linear multistep scheduler without SciPy.

    SciPy would cost every engine a second of start and 50 MB only to integrate polynomials.
    """

    def get_lms_coefficient(self, order: int, t: int, current_order: int) -> float:
        """The integral over [sigma_t, sigma_t+1] of the Lagrange basis polynomial `current_order`.

        These are the coefficients of the Adams-Bashforth method on uneven sigmas. Gauss-Legendre
        quadrature with n points is exact up to degree 2n - 1; the polynomial has `order` - 1.
        """
        nodes, weights = leggauss(order // 2 + 1)
        sigmas = np.asarray(self.sigmas, dtype=np.float64)
        middle, half = (sigmas[t + 1] + sigmas[t]) / 2, (sigmas[t + 1] - sigmas[t]) / 2
        tau = middle + half * nodes
        basis = np.ones_like(tau)
        for k in range(order):
            if k != current_order:
                basis *= (tau - sigmas[t - k]) / (sigmas[t - current_order] - sigmas[t - k])
        return float(half * np.dot(weights, basis))


TWO_M = {"algorithm_type": "dpmsolver++", "solver_order": 2}
# PNDM without its Runge-Kutta warm-up is what Stable Diffusion folders configure (PLMS).
SCHEDULERS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "euler": (EulerDiscreteScheduler, {}),
    "euler_a": (EulerAncestralDiscreteScheduler, {}),
    "ddim": (DDIMScheduler, {}),
    "dpmpp_2m": (DPMSolverMultistepScheduler, {**TWO_M, "use_karras_sigmas": False}),
    "dpmpp_2m_karras": (DPMSolverMultistepScheduler, {**TWO_M, "use_karras_sigmas": True}),
    "unipc": (UniPCMultistepScheduler, {}),
    "pndm": (PNDMScheduler, {"skip_prk_steps": True}),
    "heun": (HeunDiscreteScheduler, {}),
    "lms": (LinearMultistepScheduler, {}),
}


# Diffusers has not written these for models that predict the clean sample instead of noise.
NOT_FOR_SAMPLES = frozenset({"euler_a", "pndm"})


def make_scheduler(name: str, config: Mapping[str, Any]) -> Any:
    """A fresh scheduler; `config` is the scheduler configuration of the model's folder.

    A scheduler holds the history of one picture, so every picture needs its own. Raises
    InvalidRequest for one that cannot go with the model.
    """
    if config.get("prediction_type") == "sample" and name in NOT_FOR_SAMPLES:
        can = [other for other in SCHEDULERS if other not in NOT_FOR_SAMPLES]
        raise InvalidRequest(
            f"scheduler: {name} is not for models that predict samples; {', '.join(can)} are"
        )
    scheduler_class, overrides = SCHEDULERS[name]
    return scheduler_class.from_config(dict(config), **overrides)
