"""Why Triton gave no picture, in the words of whoever asked."""

import re

import grpc

NOT_HEALTHY = "not healthy"
# The engine's own word comes first; Triton may put the request's id in front.
ENGINES_WORD = re.compile(r"(?:\[[^]]*\] )?(busy|draining): ")
RESTRICTED = "restricted"
NOT_LOADED = ("no available versions", "is not found")


class TritonError(Exception):
    """Base of every failure of this library; the text is Triton's own."""


class InvalidGeneration(TritonError):
    """The request itself is wrong: unknown model, scheduler, size ... Repeating it is useless."""


class GenerationFailed(TritonError):
    """The engine could not draw this picture."""


class GenerationCancelled(TritonError):
    """The engine stopped because the request was cancelled on its side."""


class Retryable(TritonError):
    """The request is fine; it may run later or elsewhere."""


class ServerUnavailable(Retryable):
    """Nothing answers, or the connection broke: the request may or may not have run."""


class ServerDraining(Retryable):
    """The server is up and its model is not: it is starting, stopping or reloading."""


class EngineBusy(Retryable):
    """Too many requests wait already; this one was not taken."""


class HandedBack(Retryable):
    """The engine was asked to let go of this picture: what was done is in its last checkpoint."""


class EngineUnhealthy(Retryable):
    """The engine's process died. Triton never restarts it: only a reload of the model does."""


class EngineStalled(Retryable):
    """The engine answers nothing at all."""


class ControlRefused(TritonError):
    """Loading models needs the control key of this server."""


BY_WORD: dict[str, type[TritonError]] = {"busy": EngineBusy, "draining": HandedBack}


def classify(code: grpc.StatusCode, text: str) -> TritonError:
    """The exception for a gRPC status with Triton's text."""
    message = f"{code.name}: {text}"
    if NOT_HEALTHY in text:
        return EngineUnhealthy(message)
    if any(words in text for words in NOT_LOADED):
        return ServerDraining(message)
    if RESTRICTED in text:
        return ControlRefused(message)
    if code is grpc.StatusCode.UNAVAILABLE:
        said = ENGINES_WORD.match(text)
        return BY_WORD[said[1]](message) if said else ServerUnavailable(message)
    by_code: dict[grpc.StatusCode, type[TritonError]] = {
        grpc.StatusCode.INVALID_ARGUMENT: InvalidGeneration,
        grpc.StatusCode.CANCELLED: GenerationCancelled,
        grpc.StatusCode.DEADLINE_EXCEEDED: EngineStalled,
    }
    return by_code.get(code, GenerationFailed)(message)
