"""The name of the one message to workers; `tasks` binds it, admission and sweeper send it."""

WAKE_UP = "generation.wake_up"
