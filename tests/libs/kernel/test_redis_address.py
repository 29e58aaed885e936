import pytest

from libs.kernel.redis_address import SentinelAddress, read_sentinel_url


def test_a_url_of_sentinels_names_all_of_them() -> None:
    url = "sentinel://ada:p%40ss@one:1,two,[::1]:3/easel/2?sentinel_user=s&sentinel_password=q%2F"
    assert read_sentinel_url(url) == SentinelAddress(
        sentinels=(("one", 1), ("two", 26379), ("::1", 3)),
        primary="easel",
        db=2,
        username="ada",
        password="p@ss",
        sentinel_username="s",
        sentinel_password="q/",
    )


def test_what_is_left_out_is_nothing() -> None:
    expected = SentinelAddress(sentinels=(("one", 26379),), primary="easel")
    assert read_sentinel_url("sentinel://one/easel") == expected


def test_other_urls_are_of_one_server() -> None:
    assert read_sentinel_url("redis://:secret@one:6379/0") is None


@pytest.mark.parametrize(
    "url",
    [
        "sentinel://one:1",
        "sentinel://one:1,/easel",
        "sentinel:///easel",
        "sentinel://one:1/easel/first",
        "sentinel://one:port/easel",
        "sentinel://:1/easel",
    ],
)
def test_a_wrong_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        read_sentinel_url(url)
