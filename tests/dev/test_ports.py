"""Ports: free, remembered, configured."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev import ports
from dev.parts.program import LOOPBACK, PartError
from dev.state import State


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as server:
        server.bind((LOOPBACK, 0))
        server.listen()
        yield server.getsockname()[1]


def test_every_part_gets_a_port_of_its_own() -> None:
    chosen = ports.choose({}, {})
    assert set(chosen) == set(ports.NAMES)
    assert len(set(chosen.values())) == len(ports.NAMES)
    assert chosen["gateway"] in ports.GATEWAY_PORTS


def test_ports_that_others_have_are_left_to_them() -> None:
    theirs = set(ports.choose({}, {}, lambda _: True).values())
    ours = set(ports.choose({}, {}, lambda port: port not in theirs).values())
    assert not ours & theirs


def test_a_port_that_is_listened_on_is_not_free(taken: int) -> None:
    assert not ports.is_free(taken)


def test_the_last_ports_are_taken_again() -> None:
    first = ports.choose({}, {}, lambda _: True)
    assert ports.choose(first, {}, lambda _: True) == first


def test_a_remembered_port_that_is_taken_is_replaced(taken: int) -> None:
    assert ports.choose({"redis": taken}, {})["redis"] != taken


def test_a_configured_port_wins() -> None:
    assert ports.choose({"s3": 20001}, {"EASEL_S3_PORT": "20500"}, lambda _: True)["s3"] == 20500


def test_a_configured_port_that_is_taken_is_refused_by_name(taken: int) -> None:
    with pytest.raises(PartError, match=rf"port {taken} \(EASEL_GATEWAY_PORT\) is in use: .+"):
        ports.choose({}, {"EASEL_GATEWAY_PORT": str(taken)})


@pytest.mark.parametrize("value", ["0", "65536", "http", "-1", "8080.5"])
def test_a_configured_port_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(PartError, match="EASEL_USER_PORT is .* set it to a port"):
        ports.choose({}, {"EASEL_USER_PORT": value})


def test_two_configured_ports_may_not_be_the_same() -> None:
    both = {"EASEL_USER_PORT": "20500", "EASEL_MODEL_PORT": "20500"}
    with pytest.raises(PartError, match="EASEL_MODEL_PORT"):
        ports.choose({}, both, lambda _: True)


def test_a_choice_never_takes_a_port_that_is_configured_for_a_later_part() -> None:
    chosen = ports.choose({"postgres": 20500}, {"EASEL_MODEL_PORT": "20500"}, lambda _: True)
    assert chosen["model"] == 20500
    assert chosen["postgres"] != 20500


def test_what_was_chosen_is_remembered(tmp_path: Path) -> None:
    state = State(tmp_path)
    assert ports.remembered(state) == {}
    chosen = ports.choose({}, {})
    ports.remember(state, chosen, "external")
    assert ports.remembered(state) == chosen
    assert ports.remembered_backing(state) == "external"


def test_ports_of_a_checkout_with_fewer_parts_are_not_complete() -> None:
    chosen = ports.choose({}, {})
    assert ports.are_complete(chosen)
    del chosen["mail"]
    assert not ports.are_complete(chosen)
    assert ports.are_complete(ports.choose(chosen, {}))
