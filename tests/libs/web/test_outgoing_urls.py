"""Which addresses and URLs users may name, by their text alone."""

from ipaddress import ip_address

import pytest

from libs.web.outgoing import OutgoingPolicy, UrlNotAllowed, check_outgoing_url
from libs.web.outgoing_addresses import is_public

PUBLIC = "93.184.216.34"


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.8.8.8",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.0.2.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::169.254.169.254",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:db8::1",
        "2002:7f00:1::1",
        "2002:5db8:d822::1",
        "3fff::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ],
)
def test_what_is_not_public_is_known(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        PUBLIC,
        "8.8.8.8",
        "100.63.255.255",
        "172.32.0.1",
        "223.255.255.255",
        "2606:2800:220:1::1",
        "2a00:1450::1",
        f"::ffff:{PUBLIC}",
        f"64:ff9b::{PUBLIC}",
    ],
)
def test_what_is_public_is_known(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example/",
        "https://hooks.example:8443/path?q=1#part",
        f"https://{PUBLIC}/",
        "https://[2606:2800:220:1::1]/",
        "https://bücher.example/",
    ],
)
def test_a_public_https_url_is_allowed(url: str) -> None:
    assert check_outgoing_url(url, OutgoingPolicy()).scheme == "https"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example",
        "/path",
        "https://",
        "https:///path",
        "http://hooks.example/",
        "ftp://hooks.example/",
        "file:///etc/passwd",
        "gopher://hooks.example/",
        "https://user@hooks.example/",
        "https://user:password@hooks.example/",
        "https://hooks.example:22/",
        "https://hooks.example:80/",
        "https://hooks.example:6379/",
        "https://127.0.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://[fe80::1%25eth0]/",
        "https://hooks.example/" + "x" * 2048,
        "https://hooks.example\r\nX: y/",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(UrlNotAllowed) as refused:
        check_outgoing_url(url, OutgoingPolicy())
    assert (refused.value.status, refused.value.slug) == (422, "url-not-allowed")
