"""How many requests somebody may make in a time: GCRA in Redis, one round trip for all limits.

The generic cell rate algorithm (ITU-T I.371, as a token bucket: it holds `requests` tokens and gets
one every `seconds / requests`) keeps one number for a subject: when its bucket will be full again.
A script compares and moves it by the clock of Redis, so that every process counts together. Who
is limited stands in Redis as a keyed hash alone, and each key ends when its bucket is full.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

from prometheus_client import Counter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.kernel.problems import RateLimited, ServiceUnavailable
from libs.telemetry.logs import get_logger
from libs.web.redis_line import RedisAway, RedisLine, RedisRefused

log = get_logger(__name__)
refused_requests = Counter("easel_rate_limited_total", "Requests over a limit", ("limit",))
uncounted_requests = Counter(
    "easel_rate_limits_away_total",
    "Requests while Redis was away, by what became of them",
    ("was",),
)
for outcome in ("allow", "refuse"):
    uncounted_requests.labels(outcome)  # alerts see the first increase only of what exists
# How long a request may wait for Redis, by what happens without it.
SECONDS = {"allow": 0.1, "refuse": 0.5}
PAUSE_SECONDS = 1.0  # after a failure, requests that are allowed anyway do not ask
MICROSECONDS = 1_000_000

# ARGV: the time in microseconds (empty: the time of Redis), then interval and window of each key.
# Answers whether all have room, and for each by how many microseconds it is from being full.
SCRIPT = b"""
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local used, room = {}, true
for i, key in ipairs(KEYS) do
  used[i] = math.max((tonumber(redis.call('GET', key)) or 0) - now, 0)
  room = room and used[i] + ARGV[2 * i] <= tonumber(ARGV[2 * i + 1])
end
for i, key in ipairs(KEYS) do
  if room then
    used[i] = used[i] + ARGV[2 * i]
    local full = string.format('%.0f', now + used[i])
    redis.call('SET', key, full, 'PX', math.ceil(used[i] / 1000))
  end
  used[i] = string.format('%.0f', used[i])
end
return {ok = (room and '1 ' or '0 ') .. table.concat(used, ' ')}
"""
SHA = hashlib.sha1(SCRIPT, usedforsecurity=False).hexdigest().encode()
WhenAway = Literal["allow", "refuse"]


@dataclass(frozen=True, slots=True)
class Limit:
    """`requests` within `seconds`, all at once if they were saved up. `name` is a token.

    Not `is_told`: no answer says where the subject stands, since others use it up as well, and who
    asks need not be the subject.
    """

    name: str
    requests: int
    seconds: int
    is_told: bool = True

    @property
    def interval(self) -> int:
        """Microseconds until one more request is free, rounded up: never more than agreed."""
        return -(-self.seconds * MICROSECONDS // self.requests)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where a subject stands: `used` microseconds until its bucket is full."""

    limit: Limit
    used: int

    @property
    def remaining(self) -> int:
        """Requests that may be made at once."""
        return max(0, self.limit.requests - -(-self.used // self.limit.interval))

    @property
    def reset_seconds(self) -> int:
        """Until all requests are free again."""
        return -(-self.used // MICROSECONDS)

    @property
    def retry_seconds(self) -> int:
        """Until one more request is free."""
        limit = self.limit
        return -((limit.interval * (limit.requests - 1) - self.used) // MICROSECONDS)


_verdicts: ContextVar[list[Verdict] | None] = ContextVar("rate_limit_verdicts", default=None)


class RateLimiter:
    """Counts requests. `clock` (microseconds) is for tests; None is the clock of Redis.

    Limits are counted by name and subject; equal names share a count in all services. One command
    touches several keys, so Redis must not be in cluster mode.
    """

    def __init__(self, redis: RedisLine, *, clock: Callable[[], int] | None = None) -> None:
        self._redis, self._clock = redis, clock
        self._secret = hashlib.sha256(redis.password.encode()).digest()
        self._resume_at = 0.0

    async def take(self, wanted: Sequence[tuple[Limit, str]], *, when_away: WhenAway) -> None:
        """Count one request for every (limit, subject), or for none if one of them is used up.

        Raises RateLimited (429, `Retry-After`, `limit`, `allowed`, `per_seconds`). Without Redis:
        nothing, or ServiceUnavailable (503) with `when_away="refuse"`.
        """
        if when_away == "allow" and time.monotonic() < self._resume_at:
            uncounted_requests.labels("allow").inc()
            return
        try:
            answer = await self._ask(wanted, SECONDS[when_away])
        except (RedisAway, RedisRefused) as error:
            self._pause(error, when_away)
            return
        room, *used = answer.split()
        verdicts = [Verdict(limit, int(u)) for (limit, _), u in zip(wanted, used, strict=True)]
        seen = _verdicts.get()
        if seen is not None:
            seen.extend(verdict for verdict in verdicts if verdict.limit.is_told)
        if room == b"0":
            raise over(max(verdicts, key=lambda verdict: verdict.retry_seconds))

    async def _ask(self, wanted: Sequence[tuple[Limit, str]], seconds: float) -> bytes:
        keys = [self._key(limit, subject) for limit, subject in wanted]
        terms = [b"%d" % self._clock() if self._clock else b""]
        for limit, _ in wanted:
            interval = limit.interval
            terms += (b"%d" % interval, b"%d" % (interval * limit.requests))
        arguments = (b"%d" % len(keys), *keys, *terms)
        try:
            return await self._redis.call(b"EVALSHA", SHA, *arguments, seconds=seconds)
        except RedisRefused as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
        return await self._redis.call(b"EVAL", SCRIPT, *arguments, seconds=seconds)

    def _key(self, limit: Limit, subject: str) -> bytes:
        digest = hashlib.blake2b(subject.encode(), digest_size=16, key=self._secret)
        return f"rate:{limit.name}:{digest.hexdigest()}".encode()

    def _pause(self, error: Exception, when_away: WhenAway) -> None:
        """Note that Redis is away. Raises ServiceUnavailable if the request must be counted."""
        if time.monotonic() >= self._resume_at:
            log.warning("rate_limits_away", error=repr(error))
        self._resume_at = time.monotonic() + PAUSE_SECONDS
        if isinstance(error, RedisRefused):  # a primary that became a replica: connect anew
            self._redis.drop()
        uncounted_requests.labels(when_away).inc()
        if when_away == "refuse":
            raise ServiceUnavailable("This cannot be allowed while requests cannot be counted")

    async def close(self) -> None:
        """Close the connection."""
        self._redis.drop()


def build_rate_limiter(redis_url: str) -> RateLimiter:
    """A limiter that connects when it is first asked."""
    return RateLimiter(RedisLine(redis_url))


def over(verdict: Verdict) -> RateLimited:
    """The refusal that names the limit."""
    limit = verdict.limit
    refused_requests.labels(limit.name).inc()
    return RateLimited(
        f"{limit.requests} requests in {limit.seconds} seconds are allowed here",
        retry_after_seconds=verdict.retry_seconds,
        limit=limit.name,
        allowed=limit.requests,
        per_seconds=limit.seconds,
    )


def limit_headers(verdicts: Sequence[Verdict]) -> list[tuple[bytes, bytes]]:
    """The fields of the tightest limit, and the policy of all that were counted.

    `RateLimit` and `RateLimit-Policy` after draft-ietf-httpapi-ratelimit-headers-10; -Limit,
    -Remaining and -Reset after its revision 06, which most clients read.
    """
    tight = min(verdicts, key=lambda verdict: (verdict.remaining, -verdict.used))
    limit, left, reset = tight.limit, tight.remaining, tight.reset_seconds
    policies = ", ".join(
        f'"{v.limit.name}";q={v.limit.requests};w={v.limit.seconds}' for v in verdicts
    )
    return [
        (b"ratelimit-limit", b"%d" % limit.requests),
        (b"ratelimit-remaining", b"%d" % left),
        (b"ratelimit-reset", b"%d" % reset),
        (b"ratelimit-policy", policies.encode()),
        (b"ratelimit", f'"{limit.name}";r={left};t={reset}'.encode()),
    ]


class RateLimitHeaders:
    """ASGI middleware: every answer to a request that was counted says where its caller stands."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        verdicts: list[Verdict] = []

        async def send_with_limits(message: Message) -> None:
            if verdicts and message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *limit_headers(verdicts)]
            await send(message)

        token = _verdicts.set(verdicts)
        try:
            await self.app(scope, receive, send_with_limits)
        finally:
            _verdicts.reset(token)
