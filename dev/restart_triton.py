"""Restart Triton: `python -m dev.restart_triton`, for a worker whom loading the engine anew did not
help. EASEL_STATE_DIR says which platform's."""

import sys

from dev import supervision
from dev.parts.program import PartError
from dev.state import find_state

STOP_SECONDS = 20.0  # the process manager kills it long before


def main() -> None:
    supervisor = supervision.connect(find_state())
    if supervisor is None:
        sys.exit("restart_triton: the process manager does not run")
    try:
        supervisor.stop(["triton"], STOP_SECONDS)
        supervisor.start(["triton"])
    except PartError as error:
        sys.exit(f"restart_triton: {error}")


if __name__ == "__main__":
    main()
