"""What a login is made with, as far as its owner needs it to know it again."""

from dataclasses import dataclass
from ipaddress import ip_network
from typing import Annotated

from fastapi import Depends, Request

from libs.web.client_addresses import client_address

MAX_USER_AGENT_LENGTH = 200
KEPT_BITS = {4: 24, 6: 48}  # tells a city or a company, not a household


@dataclass(frozen=True)
class Device:
    """The browser or program by its own account, and the network that it is in."""

    user_agent: str | None = None
    network: str | None = None


def device_of(request: Request) -> Device:
    """The device that a request comes from."""
    said = "".join(filter(str.isprintable, request.headers.get("User-Agent", "")))
    return Device(said[:MAX_USER_AGENT_LENGTH] or None, network_of(client_address(request)))


def network_of(address: str) -> str | None:
    """`203.0.113.0/24` of an IPv4 address, the /48 of an IPv6 address; None of anything else."""
    try:
        network = ip_network(address, strict=False)
    except ValueError:
        return None
    bits = min(network.prefixlen, KEPT_BITS[network.version])
    return str(network.supernet(new_prefix=bits))


CurrentDevice = Annotated[Device, Depends(device_of)]
