"""The operator adds and changes people in the admin; passwords and superusers are out of its reach."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin import ModelAdmin
from django.contrib.auth.models import Group, Permission
from django.core import mail
from django.db import IntegrityError
from django.http import HttpResponse
from django.test import Client

from accounts import staff
from accounts.acts import Act
from accounts.models import Activity, ProductionWindow, Session, User
from tests.cast import Cast, make_person, signed_in, unlocked

ADD = "/admin/accounts/user/add/"
NEW = {"name": "Dora Dean", "email": "Dora@Example.org", "is_active": "on"}
Commit = Callable[..., Any]


@pytest.fixture
def boss(cast: Cast) -> User:
    person = make_person("boss")
    User.objects.filter(pk=person.pk).update(is_staff=True, is_superuser=True)
    person.refresh_from_db()
    return person


def change(person: User) -> str:
    return f"/admin/accounts/user/{person.pk}/change/"


def form(person: User, **changed: str) -> dict[str, str]:
    kept = {"name": person.name, "email": person.email, "is_active": "on"} | changed
    return {name: value for name, value in kept.items() if value}


def test_a_new_person_gets_a_link_and_chooses_the_password(
    boss: User, django_capture_on_commit_callbacks: Commit
) -> None:
    client = unlocked(boss)
    with django_capture_on_commit_callbacks(execute=True):
        assert client.post(ADD, NEW).status_code == 302
    person = User.objects.get(email="dora@example.org")
    letter = next(m for m in mail.outbox if m.to == [person.email])
    link = re.search(r"http://localhost:8000(/account/password/reset/\S+)", str(letter.body))
    assert link
    new = Client()
    page = new.get(link[1], follow=True).request["PATH_INFO"]
    chosen = {"new_password1": "seven green bottles", "new_password2": "seven green bottles"}
    assert new.post(page, chosen).status_code == 302
    answer = Client().post("/sign-in/", {"username": person.email, "password": "seven green bottles"})
    assert answer.status_code == 302
    assert Activity.objects.get(act=Act.PERSON_ADDED).actor_name == "Boss"


def test_a_new_person_whose_link_ran_out_may_ask_for_another(
    boss: User, django_capture_on_commit_callbacks: Commit
) -> None:
    unlocked(boss).post(ADD, NEW)
    mail.outbox.clear()
    with django_capture_on_commit_callbacks(execute=True):
        Client().post("/account/password/reset/", {"email": "dora@example.org"})
    assert [m.to for m in mail.outbox] == [["dora@example.org"]]


def test_an_address_that_somebody_has_is_refused_next_to_the_field(boss: User, cast: Cast) -> None:
    answer = unlocked(boss).post(ADD, NEW | {"email": "ALICE@example.org"})
    assert "Somebody has an account with this e-mail address already." in answer.content.decode()
    assert not User.objects.filter(name="Dora Dean").exists()


def test_an_address_that_was_taken_at_this_very_moment_is_refused_next_to_the_field(
    boss: User, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, form_page = unlocked(boss), ModelAdmin.changeform_view

    def collide(*args: Any) -> None:
        raise IntegrityError("UNIQUE constraint failed")

    def page_while_somebody_is_quicker(*args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return form_page(*args, **kwargs)
        except IntegrityError:
            make_person("dora")  # visible as soon as the transaction that lost has ended
            raise

    monkeypatch.setattr(staff, "add", collide)
    monkeypatch.setattr(ModelAdmin, "changeform_view", page_while_somebody_is_quicker)
    answer = client.post(ADD, NEW)
    assert answer.status_code == 200
    page = answer.content.decode()
    assert "Somebody has an account with this e-mail address already." in page
    assert 'value="Dora Dean"' in page, "what was typed is kept"
    assert User.objects.get(email="dora@example.org").name == "Dora"
    assert not Activity.objects.filter(act=Act.PERSON_ADDED).exists()


def test_deactivating_ends_sessions_and_windows_at_once(boss: User, cast: Cast) -> None:
    alice = unlocked(cast.alice)
    unlocked(boss).post(change(cast.alice), form(cast.alice, is_active=""))
    assert not Session.objects.filter(user=cast.alice).exists()
    window = ProductionWindow.objects.get(user=cast.alice)
    assert window.ended_why == ProductionWindow.End.DEACTIVATED
    assert alice.get("/").headers["Location"].startswith("/sign-in/")
    entry = Activity.objects.get(act=Act.PERSON_DEACTIVATED)
    assert (entry.target, entry.before, entry.after) == ("Alice", {"active": True}, {"active": False})


def test_both_addresses_are_told_when_the_address_changes(
    boss: User, cast: Cast, django_capture_on_commit_callbacks: Commit
) -> None:
    client = unlocked(boss)
    mail.outbox.clear()
    with django_capture_on_commit_callbacks(execute=True):
        client.post(change(cast.bob), form(cast.bob, email="robert@example.org"))
    assert sorted(m.to[0] for m in mail.outbox) == ["bob@example.org", "robert@example.org"]
    entry = Activity.objects.get(act=Act.PERSON_CHANGED)
    assert (entry.before, entry.after) == ({"e-mail": "bob@example.org"}, {"e-mail": "robert@example.org"})


def test_nothing_changed_is_nothing_recorded(boss: User, cast: Cast) -> None:
    unlocked(boss).post(change(cast.bob), form(cast.bob))
    assert not Activity.objects.filter(act=Act.PERSON_CHANGED).exists()


def test_support_staff_are_made_with_the_group(boss: User, cast: Cast) -> None:
    group = Group.objects.get(name="Support")
    unlocked(boss).post(change(cast.bob), form(cast.bob, is_staff="on") | {"groups": str(group.pk)})
    bob = User.objects.get(pk=cast.bob.pk)
    assert bob.is_staff
    assert bob.has_perm("accounts.disable_authenticator")
    entry = Activity.objects.get(act=Act.PERSON_CHANGED)
    assert entry.after == {"support staff": True, "groups": ["Support"]}


def test_the_operator_can_not_take_their_own_access_away(boss: User) -> None:
    for lost in ("is_active", "is_staff"):
        kept = {"is_staff": "on", "is_active": "on"} | {lost: ""}
        answer = unlocked(boss).post(change(boss), form(boss, **kept))
        assert "You can&#x27;t take your own access away." in answer.content.decode()
    boss.refresh_from_db()
    assert boss.is_active
    assert boss.is_staff


def test_a_forged_form_makes_no_superuser_and_sets_no_password(boss: User, cast: Cast) -> None:
    forged = {"is_superuser": "on", "password": "x" * 20, "user_permissions": "1", "password1": "x" * 20}
    before = User.objects.get(pk=cast.bob.pk).password
    unlocked(boss).post(change(cast.bob), form(cast.bob) | forged)
    bob = User.objects.get(pk=cast.bob.pk)
    assert (bob.is_superuser, bob.password, bob.user_permissions.count()) == (False, before, 0)


@pytest.mark.parametrize("forged", [{"is_superuser": "on"}, {"is_staff": "on"}, {"name": "Mallory"}])
def test_support_can_not_change_anybody_least_of_all_themselves(cast: Cast, forged: dict[str, str]) -> None:
    client = unlocked(cast.sam)
    for person in (cast.sam, cast.bob):
        assert client.post(change(person), form(person) | forged).status_code == 403
    assert client.post(ADD, NEW).status_code == 403
    assert not User.objects.filter(is_superuser=True).exists()


def test_a_permission_handed_to_staff_does_not_let_them_change_people(cast: Cast) -> None:

    cast.sam.user_permissions.set(Permission.objects.filter(codename__in=("change_user", "add_user", "delete_user")))
    client = unlocked(cast.sam)
    assert client.post(change(cast.bob), form(cast.bob, name="Mallory")).status_code == 403
    assert client.post(ADD, NEW).status_code == 403
    assert client.post(f"/admin/accounts/user/{cast.bob.pk}/delete/", {"post": "yes"}).status_code == 403


def test_support_can_not_set_passwords_there_is_no_page_for_it(boss: User, cast: Cast) -> None:
    client = unlocked(boss)
    assert client.get(f"/admin/accounts/user/{cast.bob.pk}/password/").status_code != 200
    assert client.get("/admin/password_change/").headers["Location"] == "/account/password/"
    assert "password" not in client.get(change(cast.bob)).content.decode().lower()


def test_the_page_of_a_person_says_what_support_decides_by(cast: Cast) -> None:
    unlocked(cast.alice)
    page = unlocked(cast.sam).get(change(cast.alice)).content.decode()
    assert "Calc: SCRUM Master, Technical Contact" in page
    assert "Test browser" in page
    assert "Alice set up an authenticator" in page
    assert f"/admin/accounts/user/disable/?people={cast.alice.pk}" in page


def test_the_page_shows_no_way_to_disable_ones_own(cast: Cast) -> None:
    assert "user/disable/" not in unlocked(cast.sam).get(change(cast.sam)).content.decode()


def test_control_characters_and_markup_in_a_name_are_shown_inert(cast: Cast) -> None:
    User.objects.filter(pk=cast.bob.pk).update(name="<b>Bob</b>\x1b[31m")
    client = signed_in(User.objects.get(pk=cast.bob.pk))
    client.post("/sign-out/")
    page = unlocked(cast.sam).get("/admin/accounts/activity/").content.decode()
    assert "<b>Bob</b>" not in page
    assert "\x1b" not in page
