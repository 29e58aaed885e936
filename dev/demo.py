"""`./easel demo`: quote, generate, watch, and save one picture, all over the public API."""

import argparse
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dev.client import Client, Event
from dev.parts.program import PartError

BAR_WIDTH = 30
WAIT_SECONDS = 600.0
RETRY_SECONDS = 0.5
FINAL = ("succeeded", "partial", "failed", "cancelled", "expired")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prompt", default="a red apple")
    parser.add_argument("--negative-prompt", default="")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--size", type=int, default=64, help="side in pixels")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seed", type=int, help="random without it")
    parser.add_argument("--out", type=Path, help="where the PNG goes")


def request_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The body of the request."""
    return {
        "task": "txt2img",
        "model": arguments.model,
        "prompt": arguments.prompt,
        "negative_prompt": arguments.negative_prompt,
        "width": arguments.size,
        "height": arguments.size,
        "steps": arguments.steps,
        "seed": arguments.seed,
    }


def run(client: Client, arguments: argparse.Namespace) -> None:
    """Make the picture. Raises PartError with the platform's own sentence if it refuses."""
    body = request_of(arguments)
    quote = client.call("POST", "/api/v1/generations/quote", body)
    print(f"quote    {quote['credits']} credits")
    started = time.monotonic()
    job = client.call("POST", "/api/v1/generations", body)
    path = f"/api/v1/generations/{job['id']}"
    for event in _events(client, path):
        _draw(event)
    finished = _wait(client, path)
    seconds = time.monotonic() - started
    _draw_end()
    if finished["status"] != "succeeded":
        error = finished.get("error") or {}
        raise PartError(f"the picture {finished['status']}: {error.get('detail', 'no reason')}")
    file = arguments.out or Path(f"easel-{job['id'][-8:]}.png")
    image = client.call("GET", f"/api/v1/images/{finished['image_ids'][0]}")
    with urllib.request.urlopen(image["url"]) as response:
        file.write_bytes(response.read())
    spent = finished["captured_millicredits"] / 1000
    print(f"picture  {file.resolve()}")
    print(f"took     {seconds:.2f} s, {spent:g} credits, seed {finished['request']['seed']}")


def _events(client: Client, path: str) -> Iterator[Event]:
    """The job's events until the last; a stream that breaks is taken up where it broke."""
    last_id = ""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        try:
            for event in client.events(f"{path}/events", last_id):
                last_id = event.id or last_id
                yield event
                if event.name == "finished":
                    return
        except OSError:
            time.sleep(RETRY_SECONDS)
        if client.call("GET", path)["status"] in FINAL:
            return


def _wait(client: Client, path: str) -> Any:
    deadline = time.monotonic() + WAIT_SECONDS
    while (job := client.call("GET", path))["status"] not in FINAL:
        if time.monotonic() > deadline:
            raise PartError("the picture is not done after ten minutes: see `./easel logs worker`")
        time.sleep(RETRY_SECONDS)
    return job


def bar(step: int, steps: int) -> str:
    """A progress bar of text."""
    full = BAR_WIDTH * step // max(steps, 1)
    return f"[{'#' * full}{'.' * (BAR_WIDTH - full)}] {step}/{steps}"


def _draw(event: Event) -> None:
    text = event.name
    if event.name == "progress":
        text = bar(event.data["step"], event.data["steps"])
    if sys.stdout.isatty():
        print(f"\r{text:<60}", end="", flush=True)
    elif event.name != "progress" or event.data["step"] in (1, event.data["steps"]):
        print(text, flush=True)


def _draw_end() -> None:
    if sys.stdout.isatty():
        print("\r" + " " * 60 + "\r", end="")
