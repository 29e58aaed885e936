"""The engine beside simpler ways to serve: `./easel bench serving [--json]`, 3 minutes, no server.

On the demo model: `engine_overhead` is the time of a picture through the engine over that of
diffusers' own pipeline, runs of both in turns, the median of their ratios; `join_steps` are the
steps that others begin between the arrival of a picture and its own first one, `cancel_steps` those
that a picture begins after it was cancelled, each the worst of its tries; `drain_ms` is the slowest
time in which 8 pictures under way were handed back with their state.

With a denoiser that takes 30 ms and 2 ms a row instead of computing, as an accelerator would: jobs
of 4, 8, 20 and 30 steps, 8 at a time, through the engine, one after another (`mixed_vs_sequential`)
and in batches that run to the end of their longest member before the next is formed
(`mixed_vs_dynamic`, and the 95th percentile of the times of 4-step jobs, `short_p95_vs_dynamic`);
`enterprise_join_steps` as `join_steps`, while 8 pictures of the last class hold all slots.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.figures import Figures, run
from bench.serving_cost import measure_cost
from bench.serving_demo import measure_demo


def measure() -> Figures:
    """All figures of one run."""
    with TemporaryDirectory() as folder:
        return {**measure_demo(Path(folder)), **measure_cost(Path(folder))}


def main(argv: list[str]) -> int:
    """Print the table, or one JSON object with `--json`."""
    run(__doc__.splitlines()[0] if __doc__ else None, measure, argv)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
