import grpc
import pytest

from libs.triton import errors

STATUS = grpc.StatusCode


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (STATUS.UNAVAILABLE, "failed to connect to all addresses", errors.ServerUnavailable),
        (STATUS.UNAVAILABLE, "busy: 32 requests are waiting", errors.EngineBusy),
        (STATUS.UNAVAILABLE, "[request id: 7] busy: 32 are waiting", errors.EngineBusy),
        (STATUS.UNAVAILABLE, "draining: handed back after step 3", errors.HandedBack),
        (STATUS.UNAVAILABLE, "the engine is stopping", errors.ServerUnavailable),
        (STATUS.INTERNAL, "Stub process 'diffusion_0_0' is not healthy.", errors.EngineUnhealthy),
        (
            STATUS.UNKNOWN,
            "Request for unknown model: 'diffusion' has no available versions",
            errors.ServerDraining,
        ),
        (
            STATUS.NOT_FOUND,
            "Request for unknown model: 'diffusion' is not found",
            errors.ServerDraining,
        ),
        (STATUS.INVALID_ARGUMENT, "steps must be a whole number", errors.InvalidGeneration),
        (STATUS.CANCELLED, "cancelled", errors.GenerationCancelled),
        (STATUS.INTERNAL, "the picture failed: RuntimeError", errors.GenerationFailed),
    ],
)
def test_a_status_becomes_the_error_that_says_what_to_do(
    code: grpc.StatusCode, text: str, kind: type[errors.TritonError]
) -> None:
    error = errors.classify(code, text)
    assert type(error) is kind
    assert text in str(error)


def test_only_what_may_run_later_is_retryable() -> None:
    retryable = {kind.__name__ for kind in errors.Retryable.__subclasses__()}
    assert retryable == {
        "ServerUnavailable",
        "ServerDraining",
        "EngineBusy",
        "HandedBack",
        "EngineUnhealthy",
        "EngineStalled",
    }
    for kind in (errors.InvalidGeneration, errors.GenerationFailed, errors.GenerationCancelled):
        assert not issubclass(kind, errors.Retryable)
