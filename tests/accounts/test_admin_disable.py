"""Support disables authenticators in the admin: with a reason, never their own, never seeing a secret."""

import pytest
from django.contrib.auth.models import Group
from django.core import mail
from django.core.management.sql import emit_post_migrate_signal
from django.test import Client

from accounts import authenticators
from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import Activity, Authenticator, Interrupted, ResetRequest, User
from tests.cast import Cast, make_person, signed_in, unlock, unlocked

PRODUCTION = "/apps/calc/permissions/production/"
REASON = "Alice lost her phone and answered the questions."
CHECK = "Called back on the number in the staff directory."


def page_for(*people: User) -> str:
    return f"/admin/accounts/user/disable/?people={','.join(str(person.pk) for person in people)}"


def test_disabling_ends_the_window_tells_the_person_and_keeps_the_reason(
    cast: Cast, django_capture_on_commit_callbacks: object
) -> None:
    alice, sam = unlocked(cast.alice), unlocked(cast.sam)
    assert alice.get(PRODUCTION).status_code == 200
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        answer = sam.post(
            page_for(cast.alice), {"people": cast.alice.pk, "reason": REASON, "identity_check": CHECK}, follow=True
        )
    assert "Disabled the authenticator of Alice" in answer.content.decode()
    assert alice.get(PRODUCTION).headers["Location"].startswith("/authenticator/")
    assert not Authenticator.objects.filter(user=cast.alice).exists()
    entry = Activity.objects.filter(act=Act.AUTHENTICATOR_DISABLED).get()
    assert (entry.actor_name, entry.target, entry.reason, entry.via) == ("Sam", "Alice", REASON, "admin")
    told = [m for m in mail.outbox if m.to == [cast.alice.email] and "disabled" in m.subject]
    assert len(told) == 1
    assert REASON in str(told[0].body)


@pytest.mark.parametrize("reason", ["", "   "])
def test_support_can_not_disable_without_a_reason(cast: Cast, reason: str) -> None:
    unlocked(cast.alice)
    answer = unlocked(cast.sam).post(
        page_for(cast.alice), {"people": cast.alice.pk, "reason": reason, "identity_check": CHECK}
    )
    assert "Say why, in a sentence." in answer.content.decode()
    assert Authenticator.objects.filter(user=cast.alice).exists()


def test_support_can_not_disable_their_own(cast: Cast) -> None:
    client = unlocked(cast.sam)
    page = client.get(page_for(cast.sam)).content.decode()
    assert "You can&#x27;t disable your own authenticator. Ask a colleague in support." in page
    client.post(page_for(cast.sam), {"people": cast.sam.pk, "reason": REASON, "identity_check": CHECK})
    assert Authenticator.objects.filter(user=cast.sam).exists()


def test_several_at_once_from_the_list(cast: Cast) -> None:
    unlocked(cast.alice), unlocked(cast.bob)
    chosen = [cast.alice.pk, cast.bob.pk, cast.charlie.pk, cast.sam.pk]
    client = unlocked(cast.sam)
    answer = client.post(
        "/admin/accounts/user/", {"action": "disable_authenticators", "_selected_action": chosen}, follow=True
    )
    page = answer.content.decode()
    assert "Disable 2 authenticators" in page
    assert "<strong>Charlie</strong> No authenticator is set up." in page
    client.post(
        answer.request["PATH_INFO"],
        {"people": f"{cast.alice.pk},{cast.bob.pk}", "reason": REASON, "identity_check": CHECK},
    )
    assert list(Authenticator.objects.values_list("user__name", flat=True)) == ["Sam"]


def test_a_request_is_listed_with_what_support_needs_and_closed_by_disabling(cast: Cast) -> None:
    unlocked(cast.alice)
    authenticators.ask_for_reset(Actor(cast.alice), "My phone fell into the river.")
    client = unlocked(cast.sam)
    page = client.get("/admin/accounts/resetrequest/").content.decode()
    assert "My phone fell into the river." in page
    assert "Calc: SCRUM Master, Technical Contact" in page
    request = ResetRequest.objects.get()
    shown = client.get(f"/admin/accounts/resetrequest/{request.pk}/change/").content.decode()
    assert f"disable/?people={cast.alice.pk}" in shown
    answer = client.post(
        "/admin/accounts/resetrequest/", {"action": "disable_authenticators", "_selected_action": [request.pk]}
    )
    client.post(answer.headers["Location"], {"reason": REASON, "identity_check": CHECK})
    request.refresh_from_db()
    assert request.handled_by == "Sam"
    assert request.handled_at is not None


def test_open_requests_come_first(cast: Cast) -> None:
    for person in (cast.alice, cast.bob):
        unlocked(person)
        authenticators.ask_for_reset(Actor(person), f"From {person.name}.")
    client = unlocked(cast.sam)
    client.post(page_for(cast.bob), {"people": cast.bob.pk, "reason": REASON, "identity_check": CHECK})
    page = client.get("/admin/accounts/resetrequest/").content.decode()
    assert page.index("From Alice.") < page.index("From Bob.")


def test_staff_without_the_right_may_not_disable(cast: Cast) -> None:
    unlocked(cast.alice)
    newcomer = make_person("newcomer")
    User.objects.filter(pk=newcomer.pk).update(is_staff=True)
    client = unlocked(newcomer)
    assert client.get(page_for(cast.alice)).status_code == 403
    assert (
        client.post(
            page_for(cast.alice), {"people": cast.alice.pk, "reason": REASON, "identity_check": CHECK}
        ).status_code
        == 403
    )
    assert Authenticator.objects.filter(user=cast.alice).exists()


def test_the_superuser_can_not_disable_their_own(cast: Cast) -> None:
    boss = make_person("boss")
    User.objects.filter(pk=boss.pk).update(is_staff=True, is_superuser=True)
    unlocked(boss).post(page_for(boss), {"people": boss.pk, "reason": REASON, "identity_check": CHECK})
    assert Authenticator.objects.filter(user=boss).exists()


def test_nonsense_instead_of_people_concerns_nobody(cast: Cast) -> None:
    client = unlocked(cast.sam)
    for nonsense in ("", "x", "-1", "1,,a", "9" * 30, "１２"):
        page = client.get("/admin/accounts/user/disable/", {"people": nonsense})
        assert page.status_code == 200
        assert "There is nobody whose authenticator can be disabled." in page.content.decode()


def test_a_form_that_waited_for_the_code_is_shown_again_and_carried_out_once(cast: Cast) -> None:
    unlocked(cast.alice)
    unlocked(cast.sam)
    sam: Client = signed_in(cast.sam)
    typed = {
        "people": cast.alice.pk,
        "disable_the_authenticator_of": "Alice",
        "reason": REASON,
        "identity_check": CHECK,
    }
    asked = sam.post("/admin/accounts/user/disable/", typed)
    assert asked.headers["Location"].startswith("/authenticator/?waiting=")
    assert Authenticator.objects.filter(user=cast.alice).exists()
    unlock(sam, cast.sam)
    kept = Interrupted.objects.get()
    page = sam.get(f"/authenticator/continue/{kept.pk}/").content.decode()
    assert "Disable the authenticator of</dt><dd>Alice" in page
    assert REASON in page
    assert Authenticator.objects.filter(user=cast.alice).exists()
    sam.post(f"/admin/accounts/user/disable/?confirmed={kept.pk}", typed)
    assert not Authenticator.objects.filter(user=cast.alice).exists()


def test_the_support_group_is_there_again_after_a_flush(db: None) -> None:
    Group.objects.all().delete()
    emit_post_migrate_signal(verbosity=0, interactive=False, db="default")  # all that `flush` sends
    assert Group.objects.get(name="Support").permissions.count() == 8


def test_the_support_group_has_exactly_the_rights_it_needs(db: None) -> None:
    group = Group.objects.get(name="Support")
    assert set(group.permissions.values_list("codename", flat=True)) == {
        "view_user",
        "view_resetrequest",
        "view_activity",
        "disable_authenticator",
        "view_app",
        "view_environment",
        "appoint_contact",
        "change_type",
    }
