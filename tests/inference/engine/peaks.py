"""How much memory a call takes at its peak, by the word of torch's own allocator."""

from collections.abc import Callable
from itertools import accumulate
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile


def peak_bytes(call: Callable[[], Any]) -> int:
    """The most that was allocated at once during a call, above what was there before."""
    with torch.no_grad():
        call()  # what is made once and kept is no part of it
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as measured:
            call()
    assert measured.profiler is not None
    results: Any = measured.profiler.kineto_results
    events = [event for event in results.events() if event.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    return max(accumulate(event.nbytes() for event in events), default=0)
