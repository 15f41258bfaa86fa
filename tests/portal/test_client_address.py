"""Where a request comes from: anybody can send X-Forwarded-For, and it counts from configured proxies only."""

from typing import Any

import pytest
from django.test import Client, RequestFactory

from accounts.acts import Act
from accounts.models import Activity
from portal.middleware import client_address
from tests.cast import PASSWORD, Cast

PROXIES = ["10.0.0.1", "10.0.0.2"]


@pytest.mark.parametrize(
    ("sender", "forwarded", "address"),
    [
        ("192.0.2.9", "", "192.0.2.9"),
        ("192.0.2.9", "198.51.100.7", "192.0.2.9"),  # no proxy of ours: whatever it claims
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "127.0.0.1, 198.51.100.7", "198.51.100.7"),  # the first entry is what the client sent itself
        ("10.0.0.1", "127.0.0.1, 198.51.100.7, 10.0.0.2", "198.51.100.7"),
        ("10.0.0.1", "10.0.0.1, 10.0.0.2", "10.0.0.1"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),  # PostgreSQL would fail over it
        ("10.0.0.1", "198.51.100.7, " + "9" * 400, "10.0.0.1"),
    ],
)
def test_x_forwarded_for_counts_only_from_configured_proxies(
    settings: Any, sender: str, forwarded: str, address: str
) -> None:
    settings.TRUSTED_PROXIES = PROXIES
    request = RequestFactory(REMOTE_ADDR=sender, headers={"x-forwarded-for": forwarded}).get("/")
    assert client_address(request) == address


def test_without_proxies_nobody_chooses_the_address_that_is_recorded(cast: Cast) -> None:
    client = Client(REMOTE_ADDR="192.0.2.9", headers={"x-forwarded-for": "198.51.100.7"})
    client.post("/sign-in/", {"username": cast.alice.email, "password": PASSWORD})
    assert Activity.objects.get(act=Act.SIGNED_IN).address == "192.0.2.9"
