"""What a request must not leave behind: typed passwords, values that were read too early, half of a change."""

from typing import Any

import pytest
from axes.models import AccessAttempt
from django.test import Client

from accounts import people, window
from accounts.forms import ProfileForm
from accounts.models import ProductionWindow, User
from tests.cast import Cast, signed_in, unlocked

NEW = "a new and very long password"


def test_no_password_that_somebody_typed_is_kept_with_a_failed_attempt(cast: Cast) -> None:
    client = signed_in(cast.alice)
    typed = {"old_password": "mistyped old one", "new_password1": NEW, "new_password2": NEW}
    client.post("/account/password/?hint=inaddress", typed)
    client.post("/account/password/", typed)
    Client().post("/sign-in/", {"username": cast.alice.email, "password": "mistyped old one", "note": "noted"})
    kept = str(list(AccessAttempt.objects.values()))
    assert AccessAttempt.objects.count() == 2
    for secret in (NEW, "mistyped", "noted", "inaddress"):
        assert secret not in kept


def as_read_earlier(person: User) -> Any:
    """A request of this person that was read before something else was changed."""
    client = unlocked(person)
    request = client.get("/account/").wsgi_request
    assert request.user.is_authenticated, "read now"
    return request


def test_a_profile_that_is_saved_late_does_not_bring_an_account_back(cast: Cast) -> None:
    request = as_read_earlier(cast.alice)
    form = ProfileForm({"name": "Alicia", "time_zone": "", "theme": ""}, instance=request.user)
    assert form.is_valid()
    User.objects.filter(pk=cast.alice.pk).update(is_active=False, password="!", email="other@example.org")
    people.change_profile(request, form)
    kept = User.objects.get(pk=cast.alice.pk)
    assert (kept.name, kept.is_active, kept.password, kept.email) == ("Alicia", False, "!", "other@example.org")


def test_a_password_that_is_changed_late_does_not_bring_an_account_back(cast: Cast) -> None:
    request = as_read_earlier(cast.alice)
    User.objects.filter(pk=cast.alice.pk).update(is_active=False, is_staff=True, email="other@example.org")
    people.change_password(request, NEW)
    kept = User.objects.get(pk=cast.alice.pk)
    assert (kept.check_password(NEW), kept.is_active, kept.is_staff, kept.email) == (
        True,
        False,
        True,
        "other@example.org",
    )


def test_a_password_that_is_reset_late_does_not_bring_an_account_back(cast: Cast) -> None:
    early = User.objects.get(pk=cast.alice.pk)
    User.objects.filter(pk=cast.alice.pk).update(is_active=False)
    people.reset_password(early, NEW, "", "")
    kept = User.objects.get(pk=cast.alice.pk)
    assert (kept.check_password(NEW), kept.is_active) == (True, False)


def test_a_window_does_not_end_without_its_record(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    request = as_read_earlier(cast.alice)

    def broken(*args: Any, **kwargs: Any) -> None:
        raise OSError("The record can't be written.")

    monkeypatch.setattr(window, "record", broken)
    with pytest.raises(OSError):
        window.end(request)
    assert ProductionWindow.objects.get().ended_at is None
