"""The bugs that are planted, each with the test that must notice it."""

from dataclasses import dataclass

QUEUE_SQL = "services/generation/migrations/0006_queue.sql"
HOLDS_SQL = "libs/credits/migrations/0001_holds.sql"
LEASES = "services/generation/repository/leases.py"
SWEEPER = "services/generation/sweeper.py"
FAIR_QUEUE = "libs/tiers/fair_queue.py"
TIER_QUEUE = "libs/tiers/tier_queue.py"
STREAMS = "libs/events/streams.py"
RELAY = "libs/jobs/relay.py"

TEST_SAME_ORDER = (
    "tests/services/generation/test_same_order.py"
    "::test_the_database_serves_in_the_order_of_the_pure_queue"
)
TEST_LEASES = "tests/services/generation/test_leases.py"
TEST_FENCES = "tests/services/generation/test_fences.py"
TEST_RESUMPTION = "tests/services/generation/test_resumption.py"
TEST_SWEEPER = "tests/services/generation/test_sweeper.py"
TEST_REWEIGHING = "tests/services/generation/test_reweighing.py"
TEST_RELAY = "tests/libs/jobs/test_relay.py"
TEST_TRANSPORT = "tests/libs/jobs/test_transport.py"
TEST_STREAMS = "tests/libs/events/test_streams.py"


@dataclass(frozen=True)
class Bug:
    """`old` stands in `file`, and becomes `new` everywhere; then `test`, a pytest id, must fail."""

    name: str
    file: str
    old: str
    new: str
    test: str


BUGS = (
    Bug(
        "a picture begins anew although its state was kept",
        "services/generation/service/drawing.py",
        "kept.state if may_resume(job) else None",
        "None",
        f"{TEST_RESUMPTION}::test_a_worker_that_stops_hands_back_at_once_and_no_step_runs_twice",
    ),
    Bug(
        "progress is told again after a resume",
        "services/generation/service/telling.py",
        "if reached > drawing.told:",
        "if reached > (-1, 0):",
        f"{TEST_RESUMPTION}::test_a_worker_that_dies_costs_the_steps_since_its_last_checkpoint",
    ),
    Bug(
        "attempts write to one another's checkpoints",
        "services/generation/service/checkpoints.py",
        "self._attempt = job.attempt",
        "self._attempt = 1",
        f"{TEST_RESUMPTION}::test_a_late_checkpoint_of_an_older_attempt_disturbs_nobody",
    ),
    Bug(
        "lost renewal",
        "services/generation/service/execution.py",
        "if await leases.renew(session, claim):",
        "if False:",
        f"{TEST_FENCES}::test_a_lease_is_kept_while_its_worker_draws",
    ),
    Bug(
        "a renewal that renews nothing",
        LEASES,
        "SET until = now() + interval",
        "SET until = until + 0 * interval",
        f"{TEST_FENCES}::test_a_renewal_moves_the_end_of_a_lease",
    ),
    Bug(
        "an older attempt may write",
        LEASES,
        'FENCE = "id = :id AND attempt = :attempt AND',
        'FENCE = "id = :id AND',
        f"{TEST_LEASES}::test_an_older_attempt_can_write_nothing",
    ),
    Bug(
        "another worker of the same attempt may write",
        LEASES,
        "AND attempt = :attempt AND worker = :worker AND state",
        "AND attempt = :attempt AND state",
        f"{TEST_FENCES}::test_a_worker_whose_claim_a_crash_forgot_writes_nothing",
    ),
    Bug(
        "a hold that is settled twice",
        HOLDS_SQL,
        "DELETE FROM credits.holds WHERE user_id = p_user AND id = p_hold RETURNING * INTO h;",
        "SELECT * INTO h FROM credits.holds WHERE user_id = p_user AND id = p_hold;",
        "tests/libs/credits/test_ledger.py::test_every_posting_is_idempotent",
    ),
    Bug(
        "the rest of a hold is not released",
        HOLDS_SQL,
        "UPDATE credits.pockets SET remaining = remaining + rest",
        "UPDATE credits.pockets SET remaining = remaining + 0 * rest",
        "tests/libs/credits/test_ledger.py::test_a_hold_is_captured_in_part_and_the_rest_released",
    ),
    Bug(
        "a refund forgotten where a job is given up",
        "services/generation/service/endings.py",
        "not await settle_hold(session, user_id=job.user_id, hold_id=hold_id, captured=captured)",
        "not job.id",
        f"{TEST_SWEEPER}::test_a_job_that_kills_its_workers_is_given_up_and_refunded",
    ),
    Bug(
        "a refund forgotten where a deadline has passed",
        SWEEPER,
        "    await settle_hold(session, user_id=job.user_id,",
        "    dict(user_id=job.user_id,",
        f"{TEST_SWEEPER}::test_a_deadline_that_passes_costs_nothing",
    ),
    Bug(
        "a lost worker is no failure",
        SWEEPER,
        "LEASE_EXPIRED, has_begun=True, failures=1)",
        "LEASE_EXPIRED, has_begun=True, failures=0)",
        f"{TEST_SWEEPER}::test_a_job_that_kills_its_workers_is_given_up_and_refunded",
    ),
    Bug(
        "leases never run out",
        "services/generation/repository/sweeps.py",
        "l.until < now()",
        "l.until < now() - interval '1 day'",
        f"{TEST_SWEEPER}::test_a_dead_workers_job_is_queued_again",
    ),
    Bug(
        "lost wake-ups stay lost",
        SWEEPER,
        "range(users - await length if length is not None else 0)",
        "range(0 * (await length if length is not None else 0))",
        f"{TEST_SWEEPER}::test_lost_wake_ups_are_issued_again_and_not_piled_up",
    ),
    Bug(
        "wake-ups pile up",
        SWEEPER,
        "range(users - await length if",
        "range(users - 0 * await length if",
        f"{TEST_SWEEPER}::test_lost_wake_ups_are_issued_again_and_not_piled_up",
    ),
    Bug(
        "the relay forgets what it could not send",
        RELAY,
        "            break\n",
        "            pass\n",
        f"{TEST_RELAY}::test_while_redis_is_away_nothing_is_lost",
    ),
    Bug(
        "the relay sends out of order",
        RELAY,
        "key=lambda row: row.id)",
        "key=lambda row: -row.id)",
        f"{TEST_RELAY}::test_what_commits_is_sent_in_order_and_what_rolls_back_is_not",
    ),
    Bug(
        "a reader begins anew instead of after its last event",
        STREAMS,
        "redis.xread({stream: after}",
        "redis.xread({stream: FIRST}",
        f"{TEST_STREAMS}::test_a_reader_resumes_after_the_last_event_it_saw",
    ),
    Bug(
        "Last-Event-ID off by one: a trimmed stream looks whole",
        STREAMS,
        "place_of(self.first) <= place_of(entry_id) <= place_of(self.last)",
        "place_of(entry_id) <= place_of(self.last)",
        f"{TEST_STREAMS}::test_a_stream_tells_from_where_to_where_it_reaches",
    ),
    Bug(
        "entries in the order of text",
        STREAMS,
        "return int(milliseconds), int(number)",
        "return milliseconds, number  # type: ignore",
        f"{TEST_STREAMS}::test_entries_are_in_the_order_of_numbers_not_of_text",
    ),
    Bug(
        "the running limit is off by one",
        LEASES,
        '"running": [rule.running_jobs for',
        '"running": [rule.running_jobs + 1 for',
        f"{TEST_LEASES}::test_a_user_over_the_running_limit_waits",
    ),
    Bug(
        "weights are ignored",
        LEASES,
        '"weights": [rule.weight for',
        '"weights": [1 for',
        f"{TEST_LEASES}::test_tiers_share_by_weight_and_none_starves",
    ),
    Bug(
        "deadlines are ignored",
        QUEUE_SQL,
        "w.head_expires > p_now",
        "w.head_expires IS NOT NULL",
        f"{TEST_LEASES}::test_a_job_past_its_deadline_is_not_claimed",
    ),
    Bug(
        "users of a tier are served by age, not in turn",
        QUEUE_SQL,
        "ORDER BY w.tag, w.head_id",
        "ORDER BY w.head_id",
        f"{TEST_LEASES}::test_users_of_a_tier_take_turns_whatever_they_have_queued",
    ),
    Bug(
        "two that leave the queue at once leave a dead head",
        QUEUE_SQL,
        "AND f.tier = job.tier FOR UPDATE;",
        "AND f.tier = job.tier;",
        "tests/services/generation/test_state_machine.py"
        "::test_two_that_leave_the_queue_at_once_leave_no_dead_head",
    ),
    Bug(
        "places that are not sorted",
        TIER_QUEUE,
        "insort(self.order, (flow.tag, flow.head.id, flow))",
        "self.order.append((flow.tag, flow.head.id, flow))",
        TEST_SAME_ORDER,
    ),
    Bug(
        "a tie between tiers is ignored",
        FAIR_QUEUE,
        "self.virtual_time), -tier.rule.weight",
        "self.virtual_time), tier.rule.weight",
        TEST_SAME_ORDER,
    ),
    Bug(
        "the pure queue ignores weights",
        FAIR_QUEUE,
        "start + job.cost / tier.rule.weight",
        "start + job.cost",
        TEST_SAME_ORDER,
    ),
    Bug(
        "nobody is ever overdue",
        FAIR_QUEUE,
        "turn % OVERDUE_EVERY == 0",
        "turn % OVERDUE_EVERY < 0",
        TEST_SAME_ORDER,
    ),
    Bug(
        "a hand-back gives nothing back",
        FAIR_QUEUE,
        "self.end(job, executed_cost=0)",
        "self.end(job, executed_cost=job.cost)",
        TEST_SAME_ORDER,
    ),
    Bug(
        "a loaded model may always go first",
        TIER_QUEUE,
        ">= AFFINITY_SECONDS",
        ">= 10**9",
        TEST_SAME_ORDER,
    ),
    Bug(
        "rest is ignored",
        LEASES,
        "due = CAST(:delay_seconds AS float8) <= 0",
        "due = CAST(:delay_seconds AS float8) >= 0",
        f"{TEST_LEASES}::test_a_rested_job_is_claimed_only_when_it_is_due",
    ),
    Bug(
        "a tier change does not wait for requests that saw the old tier",
        "services/generation/service/reweighing.py",
        "    await jobs.lock_admission(session, user_id)\n",
        "",
        f"{TEST_REWEIGHING}::test_a_request_that_saw_the_old_tier_is_waited_for",
    ),
    Bug(
        "a worker whose threads were all busy is deaf",
        "libs/jobs/threads.py",
        "        result.f.add_done_callback(self._ring)\n",
        "",
        f"{TEST_TRANSPORT}::test_a_worker_whose_threads_were_all_busy_takes_the_next_at_once",
    ),
    Bug(
        "an unreadable message ends the worker",
        "libs/jobs/transport.py",
        "UNREADABLE = (ValueError, TypeError, KeyError, AttributeError)",
        "UNREADABLE = (TypeError, AttributeError)",
        f"{TEST_TRANSPORT}::test_what_no_code_can_read_neither_ends_nor_blocks_a_worker",
    ),
    Bug(
        "a webhook's time is not signed",
        "libs/webhooks/signatures.py",
        'f"{message_id}.{timestamp}.".encode()',
        'f"{message_id}.".encode()',
        "tests/libs/webhooks/test_signatures.py::test_the_published_vector_is_signed_as_published",
    ),
    Bug(
        "a webhook's old secret does not sign during its rotation",
        "libs/webhooks/signatures.py",
        "for secret in valid_secrets)",
        "for secret in valid_secrets[:1])",
        "tests/libs/webhooks/test_signatures.py::test_each_valid_secret_signs",
    ),
)
