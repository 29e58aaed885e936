"""Which address a request came from, behind the gateway.

The server takes it from `X-Forwarded-For` if a trusted proxy sent that (`libs.web.server`).
"""

from ipaddress import IPv6Address, IPv6Network

from starlette.requests import HTTPConnection

IPV6_SITE_BITS = 64  # what one customer of a provider gets, so one address counts for all of them


def client_address(request: HTTPConnection) -> str:
    """The client's address as limits count it: of IPv6 the /64 network, `2001:db8::/64`."""
    return countable(request.client.host if request.client else "")


def countable(host: str) -> str:
    """An address with IPv6 cut to its network; IPv4 written as IPv6 is IPv4.

    What is no address stays as it is: a trusted proxy wrote it.
    """
    if ":" not in host:
        return host
    try:
        address = IPv6Address(host.partition("%")[0])
    except ValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((address, IPV6_SITE_BITS), strict=False))
