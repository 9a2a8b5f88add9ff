"""Lists of URLs in one variable."""

from __future__ import annotations

import pytest

from shared.addresses import addresses


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("http://a:9093", ("http://a:9093",)),
        ("http://a:9093/", ("http://a:9093",)),
        ("http://a/base/, https://b", ("http://a/base", "https://b")),
        (" http://a\n\thttp://b,,http://a/ ", ("http://a", "http://b")),
        ("http://[::1]:9093", ("http://[::1]:9093",)),
        ("http://user:password@a", ("http://user:password@a",)),
    ],
)
def test_urls_are_told_apart(text: str, urls: tuple[str, ...]) -> None:
    assert addresses(text) == urls


@pytest.mark.parametrize(
    "text",
    [
        *("", " , ", "a:9093", "tcp://a", "tcp://a:9093", "http://", "http://:9093", "https:///x"),
        *("http://a:port", "http://a:99999", "http://a:0", "http://[::1", "http://a,b", "http://a;http://b"),
    ],
)
def test_what_is_no_url_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must "):
        addresses(text)
