"""Somebody else was quicker by a hair: the form says what it would say a moment later, and nothing is half done."""

from collections.abc import Callable
from typing import Any

import pytest

from accounts import people
from accounts.models import User
from environments import flows
from environments.models import App
from tests.cast import Cast, signed_in


def just_before(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, act: Callable[[], object]) -> None:
    """Do something in the moment between the form's check and the change."""
    real = getattr(module, name)

    def later(*args: Any) -> Any:
        act()
        return real(*args)

    monkeypatch.setattr(module, name, later)


def test_a_short_name_that_was_taken_at_this_moment(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    def take() -> object:
        return App.objects.create(name="Theirs", slug="other", technical_contact=cast.bob)

    just_before(monkeypatch, flows, "create_app", take)
    answer = signed_in(cast.alice).post("/apps/new/", {"name": "Other", "slug": "other"})
    assert answer.status_code == 200
    page = answer.content.decode()
    assert "This short name is taken" in page
    assert 'value="Other"' in page
    assert App.objects.get(slug="other").name == "Theirs"


def test_an_address_that_was_taken_at_this_moment(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    from django.core import mail

    client = signed_in(cast.alice)
    with django_capture_on_commit_callbacks(execute=True):
        client.post("/account/e-mail/", {"email": "new@example.org", "password": "correct horse battery"})
    link = next(word for word in str(mail.outbox[-1].body).split() if "/account/e-mail/" in word)
    just_before(monkeypatch, people, "change_email", lambda: User.objects.create_user("new@example.org", "New"))
    answer = client.post(link.partition("localhost:8000")[2])
    assert answer.status_code == 410
    assert User.objects.get(pk=cast.alice.pk).email == "alice@example.org"
