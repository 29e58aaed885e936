"""The API's limit on calls a minute, and faults that tests ask for."""

import time
from dataclasses import dataclass

WINDOW_SECONDS = 60.0


@dataclass
class Window:
    """Calls in the running minute, which begins with its first call."""

    limit: int
    began: float = -WINDOW_SECONDS
    used: int = 0

    def admit(self) -> bool:
        """Count a call; False when it is one too many."""
        now = time.monotonic()
        if now - self.began >= WINDOW_SECONDS:
            self.began, self.used = now, 0
        self.used += 1
        return self.used <= self.limit

    def headers(self) -> dict[str, str]:
        left = max(0, self.limit - self.used)
        return {"X-Ratelimit-Limit": str(self.limit), "X-Ratelimit-Remaining": str(left)}

    def seconds_left(self) -> int:
        return max(1, round(self.began + WINDOW_SECONDS - time.monotonic()))


@dataclass
class Fault:
    """The next `count` API calls are answered late, or with an error, or both."""

    count: int = 0
    status: int | None = None
    delay_seconds: float = 0.0
    after_effect: bool = False
