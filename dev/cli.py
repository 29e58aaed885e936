"""The verbs of `./easel`."""

import argparse
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dev import account, demo, doctor, environment, lifecycle, logs, ports, queue_demo, supervision
from dev.client import Client
from dev.parts.postgres import ORDINARY, choose_account, make_cluster, server_binary
from dev.parts.program import PartError
from dev.report import Steps, print_pages, print_status, print_welcome
from dev.settings import Setup
from dev.state import ROOT, State, find_state

BACKINGS = ("local", "external")
BENCH_MODULES = {"overhead": "bench.generation_overhead"}
INFERENCE_BENCHES = ("demo-model", "gpu", "runners", "serving")
DOWN_EXIT = 1


def main(words: list[str]) -> int:
    """Run one verb; the process's exit status."""
    arguments = parse(words)
    try:
        return int(arguments.run(find_state(), arguments))
    except PartError as error:
        print(f"easel: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader has seen enough (`| head`): what is still buffered goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="easel", description="Easel on this machine.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, run: object, about: str, **more: Any) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=about, description=about, **more)
        made.set_defaults(run=run)
        return made

    start = verb("up", up, "start everything, and make what is missing")
    start.add_argument(
        "--backing",
        choices=BACKINGS,
        default=os.environ.get("EASEL_BACKING", "local"),
        help="where PostgreSQL, Redis and S3 run (external: docker-compose.dev.yaml)",
    )
    verb("down", down, "stop everything; data stay")
    verb("status", status, "one line for each part; exit status 1 if one is down")
    log = verb("logs", show_logs, "the ends of the logs")
    log.add_argument("part", nargs="?")
    log.add_argument("-f", "--follow", action="store_true")
    verb("doctor", check, "what is missing or broken, and its mend")
    test = verb("test", run_tests, "run the tests (arguments go to Pants)")
    test.add_argument("targets", nargs=argparse.REMAINDER)
    shown = verb("demo", run_demo, "generate a picture and save it, or `queue`: who waits how long")
    demo.add_arguments(shown)
    queue_demo.add_arguments(shown.add_subparsers(dest="what", metavar="queue").add_parser("queue"))
    # Its words, options and --help too, are read in the inference environment.
    unread: dict[str, Any] = {"prefix_chars": "\0", "add_help": False}
    export = verb("export", run_export, "a pipeline as ONNX files that Triton serves", **unread)
    export.add_argument("rest", nargs="*")
    bench = verb(
        "bench", run_bench, "run a benchmark: overhead, demo-model, serving, runners, gpu ..."
    )
    bench.add_argument("name")
    bench.add_argument("rest", nargs=argparse.REMAINDER)
    return parser.parse_args(words)


@contextmanager
def _alone(state: State) -> Iterator[None]:
    """One start or stop at a time in a checkout."""
    with (state.home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PartError("another `./easel up` or `down` is at work here: wait for it") from None
        yield


def up(state: State, arguments: argparse.Namespace) -> int:
    steps = Steps()
    state.make()
    with _alone(state):
        downloaded = environment.ensure(state, show=steps.progress)
        steps.done("environment", f"{steps.seconds:.1f} s, {downloaded:.0f} MB downloaded")
        setup, supervisor = _running(state, arguments.backing) or _fresh(state, arguments.backing)
        lifecycle.Start(setup, supervisor, steps.done).run()
        open_accounts(setup)
    print_welcome(setup, steps.seconds)
    return 0


def open_accounts(setup: Setup) -> None:
    """The demo account, and the operator's with its role."""
    demo, operator = Client(setup.public_url), Client(setup.public_url)
    for client, known in ((demo, account.DEMO), (operator, account.OPERATOR)):
        account.log_in(client, setup.mailbox, known, setup.secrets[known.secret])
    if not account.is_admin(operator):
        lifecycle.make_admin(setup, account.OPERATOR.email)


def _running(state: State, backing: str) -> tuple[Setup, supervision.Supervisor] | None:
    """The platform as it runs, unless it runs with settings of yesterday: that is stopped."""
    supervisor = supervision.connect(state)
    if supervisor is None:
        return None
    chosen = ports.remembered(state)
    if not ports.are_complete(chosen):
        lifecycle.stop(state)
        return None
    python = environment.python_of(state, "services")
    owner = choose_account(server_binary(python), state.data) if backing == "local" else ORDINARY
    setup = lifecycle.make_setup(state, backing, chosen, owner)
    config = supervision.render(state, lifecycle.all_programs(setup))
    if config == (state.run / supervision.CONFIG).read_text():
        return setup, supervisor
    lifecycle.stop(state)
    return None


def _fresh(state: State, backing: str) -> tuple[Setup, supervision.Supervisor]:
    lifecycle.remove_leftovers(state)
    chosen = ports.choose(ports.remembered(state), os.environ)
    ports.remember(state, chosen, backing)
    python = environment.python_of(state, "services")
    setup = lifecycle.make_setup(state, backing, chosen)
    if not list(setup.signing_keys.glob("*.pem")):
        command = [python, "-m", "libs.auth.signing_keys", str(setup.signing_keys)]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    if backing == "local":
        data, password = state.data / "postgres", setup.secrets["postgres_superuser"]
        setup = lifecycle.make_setup(state, backing, chosen, make_cluster(python, data, password))
    return setup, supervision.launch(state, python, lifecycle.all_programs(setup))


def down(state: State, arguments: argparse.Namespace) -> int:
    if not state.home.exists():
        print("Easel was never started here.")
        return 0
    steps = Steps()
    with _alone(state):
        ran = lifecycle.stop(state)
    print(f"Easel is down ({steps.seconds:.1f} s)." if ran else "Easel was not running.")
    return 0


def _existing(state: State) -> Setup:
    """The setup of the last start. Raises PartError where there was none."""
    known = ports.remembered(state)
    if not known:
        raise PartError("Easel was never started here: run `./easel up`")
    if not ports.are_complete(known):
        raise PartError("this checkout has new parts since the last start: run `./easel up`")
    return lifecycle.make_setup(state, ports.remembered_backing(state), known)


def status(state: State, arguments: argparse.Namespace) -> int:
    setup = _existing(state)
    programs = lifecycle.all_programs(setup)
    states = lifecycle.ready_of(supervision.connect(state), programs)
    all_ready = print_status(programs, states)
    print_pages(setup)
    return 0 if all_ready else DOWN_EXIT


def show_logs(state: State, arguments: argparse.Namespace) -> int:
    logs.show(state.logs, arguments.part, arguments.follow)
    return 0


def check(state: State, arguments: argparse.Namespace) -> int:
    return doctor.run(state)


def run_demo(state: State, arguments: argparse.Namespace) -> int:
    setup = _existing(state)
    if arguments.what == "queue":
        return run_queue_demo(setup, arguments)
    client = Client(setup.public_url)
    email, _ = account.sign_up(client, setup.mailbox)
    print(f"account  {email}")
    demo.run(client, arguments)
    return 0


def run_queue_demo(setup: Setup, arguments: argparse.Namespace) -> int:
    customers = queue_demo.open_accounts(setup.public_url, setup.mailbox)
    for tier in queue_demo.PAID_TIERS:
        emails = [customer.email for customer in customers if customer.tier == tier]
        lifecycle.give_tier(setup, tier, emails)
    queue_demo.run(customers, arguments)
    return 0


def _tool_environment(state: State) -> dict[str, str]:
    """What tests and benchmarks find the checkout and the environments by."""
    given = {environment.variable(r): environment.python_of(state, r) for r in environment.RESOLVES}
    # Waiting OpenMP threads that spin make a busy machine many times slower.
    quiet = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
    return {**quiet, "EASEL_ROOT": str(ROOT), **given}


def run_tests(state: State, arguments: argparse.Namespace) -> int:
    state.make()
    environment.ensure(state, show=Steps().progress)
    command = [str(ROOT / "tools" / "pants"), "test", *(arguments.targets or ["::"])]
    return subprocess.run(command, cwd=ROOT, env=_tool_environment(state)).returncode


def run_export(state: State, arguments: argparse.Namespace) -> int:
    """In the folder of whoever calls: paths among the words may be relative."""
    state.make()
    environment.ensure(state, ("inference",), show=Steps().progress)
    command = [environment.python_of(state, "inference"), "-m", "inference.export.main"]
    variables = {**_tool_environment(state), "PYTHONPATH": str(ROOT)}
    return subprocess.run([*command, *arguments.rest], env=variables).returncode


def run_bench(state: State, arguments: argparse.Namespace) -> int:
    state.make()
    environment.ensure(state, show=Steps().progress)
    module = BENCH_MODULES.get(arguments.name, f"bench.{arguments.name.replace('-', '_')}")
    resolve = "inference" if arguments.name in INFERENCE_BENCHES else "services"
    command = [environment.python_of(state, resolve), "-m", module, *arguments.rest]
    return subprocess.run(command, cwd=ROOT, env=_tool_environment(state)).returncode
