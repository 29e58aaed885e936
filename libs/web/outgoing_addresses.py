"""Which addresses on the network strangers may send us to: public ones alone.

The special-purpose registries of IANA (RFC 6890 and its updates) decide, written out here, since
what a language's library calls global changes with its version.
"""

from collections.abc import Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
NOT_PUBLIC_4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # carrier-grade NAT; some clouds' metadata
            "127.0.0.0/8",  # loopback
            "168.63.129.16/32",  # a cloud's platform service, on a public address
            "169.254.0.0/16",  # link-local, metadata services
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments; some clouds' metadata
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)
PUBLIC_6 = IPv6Network("2000::/3")  # all that IANA gives out as global unicast
NOT_PUBLIC_6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4: an IPv4 address of any kind inside
            "3fff::/20",  # documentation
        ),
    )
)
NAT64 = IPv6Network("64:ff9b::/96")


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public Internet.

    IPv6 that a translator turns into IPv4 (mapped, NAT64) is what it is turned into.
    """
    if isinstance(address, IPv4Address):
        return not any(address in network for network in NOT_PUBLIC_4)
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if address in NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    return address in PUBLIC_6 and not any(address in network for network in NOT_PUBLIC_6)


def may_be_called(address: Address, allowed: Sequence[Network]) -> bool:
    """Whether an address is public, or lies in a network that is allowed besides."""
    return is_public(address) or any(address in network for network in allowed)


def read_address(text: str) -> Address | None:
    """The address that a text is, without an IPv6 zone; None for a name."""
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None
