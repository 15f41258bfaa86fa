"""The Permissions page: who sees it, who changes what, and two people saving at once."""

import re
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from django.db import connection
from django.http import QueryDict
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.actor import Actor
from accounts.models import Activity, ProductionWindow, User
from environments import flows, grants, grid
from environments.access import may
from environments.authority import NotPermitted
from environments.models import Membership, NodePermission, Role
from environments.permissions import Permission
from tests.cast import PASSWORD, Cast, make_person, signed_in, unlocked
from tests.codes import code_of

TEST = "/apps/calc/permissions/test/"
PRODUCTION = "/apps/calc/permissions/production/"


def save(client: Client, url: str, cast: Cast, who: str | User, changes: dict[str, tuple[bool, bool]]) -> int:
    """Send the form: permission → (what the page had shown, what is wanted)."""
    member = cast.membership(getattr(cast, who) if isinstance(who, str) else who).pk
    data = {}
    for permission, (seen, wanted) in changes.items():
        data[f"seen-{member}-{permission}"] = "1" if seen else "0"
        if wanted:
            data[f"{member}-{permission}"] = "on"
    return client.post(url, data).status_code


def add_erin(cast: Cast) -> User:
    erin = make_person("erin")
    flows.add_member(cast.app, Actor(cast.alice), erin, Role.objects.get(name="Business Engineer"))
    return erin


def fill(cast: Cast, number: int) -> None:
    """Let so many people more join, all at once; nobody of them signs in."""
    first = User.objects.count()
    people = User.objects.bulk_create(
        User(email=f"member{n}@example.org", name=f"Member {n}", password="!") for n in range(first, first + number)
    )
    role = Role.objects.get(name="Business Engineer")
    Membership.objects.bulk_create(Membership(app=cast.app, user=person, role=role) for person in people)


def fields_of(page: str) -> dict[str, str]:
    """Give what a browser would send of the page's form as it is."""
    fields = dict(re.findall(r'<input type="hidden" name="(seen-[^"]+)" value="([01])"', page))
    ticked = re.findall(r'<input type="checkbox" name="([^"]+)"[^>]* checked>', page)
    return fields | dict.fromkeys(ticked, "on")


def test_the_technical_contact_grants_and_revokes_per_environment(cast: Cast) -> None:
    alice = signed_in(cast.alice)
    assert save(alice, TEST, cast, "bob", {"transport": (False, True)}) == 302
    assert may(cast.bob, cast.test, Permission.TRANSPORT)
    assert not may(cast.bob, cast.acceptance, Permission.TRANSPORT)
    assert not may(cast.bob, cast.production, Permission.TRANSPORT)
    assert save(alice, TEST, cast, "bob", {"transport": (True, False)}) == 302
    assert not may(cast.bob, cast.test, Permission.TRANSPORT)
    entry = Activity.objects.filter(act="permissions.changed").first()
    assert entry
    assert (entry.before, entry.after) == ({"Transport Rights": True}, {"Transport Rights": False})
    assert (entry.actor_name, entry.target, entry.environment_name) == ("Alice", "Bob", "Test")


def test_production_needs_the_window_to_look_and_to_change(cast: Cast) -> None:
    alice = signed_in(cast.alice)
    assert alice.get(PRODUCTION).status_code == 302
    save(alice, PRODUCTION, cast, "bob", {"transport": (False, True)})
    assert not may(cast.bob, cast.production, Permission.TRANSPORT)
    assert save(unlocked(cast.alice), PRODUCTION, cast, "bob", {"transport": (False, True)}) == 302
    assert may(cast.bob, cast.production, Permission.TRANSPORT)


def test_others_with_the_deploy_permission_see_it_read_only(cast: Cast) -> None:
    page = signed_in(cast.bob).get(TEST).content.decode()
    assert "You can look at the permissions and switch Receive Alerts for yourself" in page
    assert "mailto:alice@example.org" in page
    assert page.count('type="checkbox"') == 1, "their own Receive Alerts"


def test_members_without_the_deploy_permission_are_told_whom_to_ask(cast: Cast) -> None:
    dora = make_person("dora")
    flows.add_member(cast.app, Actor(cast.alice), dora, Role.objects.get(name="Product Owner"))
    answer = signed_in(dora).get(TEST)
    assert answer.status_code == 403
    assert "App Team – Deploy Permissions" in answer.content.decode()
    assert "alice@example.org" in answer.content.decode()
    assert "Dora" not in signed_in(cast.alice).get(TEST).content.decode(), "only who can hold them is listed"


@pytest.mark.parametrize("permission", ["manage", "transport", "backups", "monitoring", "api"])
def test_nobody_grants_themselves(cast: Cast, permission: str) -> None:
    cast.grant(cast.bob, cast.test, Permission.MANAGE)
    held, bob = may(cast.bob, cast.test, Permission(permission)), signed_in(cast.bob)
    assert save(bob, TEST, cast, "bob", {permission: (held, not held)}) == 403
    assert may(cast.bob, cast.test, Permission(permission)) is held
    refused = Activity.objects.filter(act="access.refused").latest("pk")
    label = Permission(permission).label
    assert refused.target == f"{label} for yourself is not yours to change on Test."


def test_receive_alerts_is_switched_by_each_member_for_themselves(cast: Cast) -> None:
    assert save(signed_in(cast.bob), TEST, cast, "bob", {"alerts": (False, True)}) == 302
    assert may(cast.bob, cast.test, Permission.ALERTS)


def test_manage_permissions_reaches_neither_itself_nor_the_technical_contact_nor_another_environment(
    cast: Cast,
) -> None:
    erin = add_erin(cast)
    cast.grant(cast.bob, cast.test, Permission.MANAGE)
    bob = Actor(cast.bob, via="shell")
    alices, erins = cast.membership(cast.alice).pk, cast.membership(erin).pk
    for environment, wanted in (
        (cast.test, {erins: {Permission.MANAGE: True}}),
        (cast.test, {alices: {Permission.TRANSPORT: False}}),
        (cast.production, {alices: {Permission.API: True}}),
        (cast.acceptance, {erins: {Permission.TRANSPORT: True}}),
        (cast.production, {erins: {Permission.TRANSPORT: True}}),
    ):
        with pytest.raises(NotPermitted, match="is not yours to change"):
            grants.set_permissions(environment, bob, wanted, {})
    grants.set_permissions(cast.test, bob, {erins: {Permission.TRANSPORT: True}}, {})
    assert may(erin, cast.test, Permission.TRANSPORT)


def test_one_refused_cell_and_nothing_of_the_form_is_saved(cast: Cast) -> None:
    erin = add_erin(cast)
    cast.grant(cast.bob, cast.test, Permission.MANAGE)
    assert save(signed_in(cast.bob), TEST, cast, erin, {"transport": (False, True), "manage": (False, True)}) == 403
    assert not may(erin, cast.test, Permission.TRANSPORT)


def test_api_rights_on_production_are_the_technical_contacts_alone_to_give(cast: Cast) -> None:
    erin = add_erin(cast)
    assert not may(cast.alice, cast.production, Permission.API)
    alice, bob = unlocked(cast.alice), unlocked(cast.bob)
    assert save(alice, PRODUCTION, cast, "alice", {"api": (False, True)}) == 302
    assert may(cast.alice, cast.production, Permission.API)
    cast.grant(cast.bob, cast.production, Permission.MANAGE)
    assert save(bob, PRODUCTION, cast, "alice", {"api": (True, False)}) == 403
    assert save(bob, PRODUCTION, cast, erin, {"api": (False, True)}) == 403
    assert save(bob, PRODUCTION, cast, erin, {"transport": (False, True)}) == 302
    assert save(alice, PRODUCTION, cast, erin, {"api": (False, True)}) == 302
    assert may(erin, cast.production, Permission.API)


def test_the_technical_contacts_permissions_are_not_a_form_of_anybody(cast: Cast) -> None:
    alices = cast.membership(cast.alice).pk
    assert f'name="{alices}-' not in signed_in(cast.alice).get(TEST).content.decode()
    assert save(signed_in(cast.alice), TEST, cast, "alice", {"api": (True, False)}) == 403


def test_a_change_of_production_that_got_past_the_gate_is_refused_without_a_window(cast: Cast) -> None:
    bobs = cast.membership(cast.bob).pk
    for by in (Actor(cast.alice), Actor(cast.alice, window=uuid4())):
        with pytest.raises(NotPermitted, match="Enter a code"):
            grants.set_permissions(cast.production, by, {bobs: {Permission.TRANSPORT: True}}, {})
    unlocked(cast.bob)
    theirs = ProductionWindow.objects.get().pk
    with pytest.raises(NotPermitted, match="Enter a code"):
        grants.set_permissions(
            cast.production, Actor(cast.alice, window=theirs), {bobs: {Permission.TRANSPORT: True}}, {}
        )


def test_saving_is_one_entry_for_each_person_with_before_and_after(cast: Cast) -> None:
    erin = add_erin(cast)
    bobs, erins = cast.membership(cast.bob).pk, cast.membership(erin).pk
    seen = {f"seen-{pk}-{p}": "0" for pk in (bobs, erins) for p in ("transport", "backups")}
    form = {**seen, f"{bobs}-transport": "on", f"{bobs}-backups": "on", f"{erins}-transport": "on"}
    assert signed_in(cast.alice).post(TEST, form).status_code == 302
    entries = Activity.objects.filter(act="permissions.changed").order_by("pk")
    assert [(e.target, e.before, e.after) for e in entries] == [
        (
            "Bob",
            {"Transport Rights": False, "Access to Backups": False},
            {"Transport Rights": True, "Access to Backups": True},
        ),
        ("Erin", {"Transport Rights": False}, {"Transport Rights": True}),
    ]
    row = NodePermission.objects.get(membership=bobs, permission="backups")
    assert (row.environment, row.set_by, row.granted) == (cast.test, "Alice", True)


def test_the_second_of_two_who_save_is_told_what_changed_and_decides(cast: Cast) -> None:
    erin = add_erin(cast)
    cast.grant(cast.bob, cast.test, Permission.MANAGE)
    grants.set_permissions(
        cast.test, Actor(cast.bob, via="shell"), {cast.membership(erin).pk: {Permission.TRANSPORT: True}}, {}
    )
    alice, erins, bobs = signed_in(cast.alice), cast.membership(erin).pk, cast.membership(cast.bob).pk
    opened_before = {f"seen-{erins}-transport": "0", f"seen-{erins}-backups": "0", f"{erins}-backups": "on"}
    opened_before |= {f"seen-{bobs}-alerts": "0", f"{bobs}-alerts": "on"}
    answer = alice.post(TEST, opened_before)
    assert answer.status_code == 409
    page = answer.content.decode()
    assert "The permissions of Erin were changed since you opened this page." in page
    assert "Was off when you opened the page. Bob turned it on at" in page
    assert not may(erin, cast.test, Permission.BACKUPS), "nothing was saved"
    assert not may(cast.bob, cast.test, Permission.ALERTS)
    form = fields_of(page)
    assert form[f"seen-{erins}-transport"] == "1"
    assert form[f"{erins}-transport"] == "on", "what the other one set stays set, unless it is changed now"
    assert form[f"{erins}-backups"] == "on", "what was chosen is kept"
    assert form[f"{bobs}-alerts"] == "on"
    del form[f"{erins}-transport"]
    assert alice.post(TEST, form).status_code == 302
    assert not may(erin, cast.test, Permission.TRANSPORT), "she decided against it"
    assert may(erin, cast.test, Permission.BACKUPS)
    assert may(cast.bob, cast.test, Permission.ALERTS)


def test_who_left_the_team_meanwhile_is_said_and_the_rest_is_kept(cast: Cast) -> None:
    erin = add_erin(cast)
    alice, erins, bobs = signed_in(cast.alice), cast.membership(erin), cast.membership(cast.bob).pk
    form = {f"seen-{pk}-transport": "0" for pk in (erins.pk, bobs)}
    form |= {f"{erins.pk}-transport": "on", f"{bobs}-transport": "on"}
    erins.delete()
    answer = alice.post(TEST, form)
    assert answer.status_code == 409
    page = answer.content.decode()
    assert "1 member that you changed left the team" in page
    assert not may(cast.bob, cast.test, Permission.TRANSPORT)
    assert alice.post(TEST, fields_of(page)).status_code == 302
    assert may(cast.bob, cast.test, Permission.TRANSPORT)


def test_who_lost_the_role_meanwhile_is_named(cast: Cast) -> None:
    erin = add_erin(cast)
    form = {f"seen-{cast.membership(erin).pk}-transport": "0", f"{cast.membership(erin).pk}-transport": "on"}
    Membership.objects.filter(user=erin).update(role=Role.objects.get(name="End-user"))
    answer = signed_in(cast.alice).post(TEST, form)
    assert answer.status_code == 409
    assert "Erin can hold none any more" in answer.content.decode()
    assert not NodePermission.objects.exists()


def test_who_was_left_alone_and_left_is_nothing_to_decide_about(cast: Cast) -> None:
    erin = add_erin(cast)
    gone, bobs = cast.membership(erin), cast.membership(cast.bob).pk
    gone.delete()
    form = {f"seen-{cast.membership(cast.alice).pk + 900}-transport": "0", f"seen-{bobs}-transport": "0"}
    assert signed_in(cast.alice).post(TEST, form | {f"{bobs}-transport": "on"}).status_code == 302
    assert may(cast.bob, cast.test, Permission.TRANSPORT)


@pytest.mark.parametrize(
    ("befalls", "status"),
    [
        (lambda cast: cast.membership(cast.bob).delete(), 404),
        (lambda cast: Membership.objects.filter(user=cast.bob).update(role=Role.objects.get(name="End-user")), 302),
        (lambda cast: NodePermission.objects.filter(permission="manage").delete(), 403),
    ],
    ids=["removed", "role lost", "Manage Permissions taken"],
)
def test_the_one_who_saves_loses_the_right_behind_the_gate(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, befalls: Any, status: int
) -> None:
    erin = add_erin(cast)
    cast.grant(cast.bob, cast.test, Permission.MANAGE)
    bob, act = signed_in(cast.bob), grants.set_permissions

    def later(*args: Any) -> Any:
        befalls(cast)
        return act(*args)

    monkeypatch.setattr(grants, "set_permissions", later)
    erins = cast.membership(erin).pk
    answer = bob.post(TEST, {f"seen-{erins}-transport": "0", f"{erins}-transport": "on"})
    assert answer.status_code == status
    monkeypatch.undo()
    page = bob.get(TEST) if status == 302 else answer
    assert "Nothing was saved." in page.content.decode()
    assert not may(erin, cast.test, Permission.TRANSPORT)


def test_ids_of_other_apps_are_as_if_their_members_had_left_and_other_fields_are_not_read(cast: Cast) -> None:
    other = flows.create_app(Actor(cast.charlie), "Other", "other")
    theirs = other.memberships.get().pk
    member = cast.membership(cast.bob).pk
    data = {f"seen-{member}-owner": "0", f"{member}-owner": "on", "is_production": "on", "role": "1"}
    alice = signed_in(cast.alice)
    assert alice.post(TEST, data, follow=True).status_code == 200
    answers = [
        alice.post(TEST, {f"seen-{pk}-manage": "0", f"{pk}-manage": "on", "app": str(other.pk)})
        for pk in (theirs, theirs + 1000, 10**17)
    ]
    assert [answer.status_code for answer in answers] == [409] * 3
    assert len({answer.content.decode().partition("<main")[2] for answer in answers}) == 1
    assert not Activity.objects.filter(act="permissions.changed").exists()
    assert not NodePermission.objects.exists()


@pytest.mark.parametrize("name", ["seen-٣-api", "seen-1-root", "seen--api", "seen-1-api-api", f"seen-{'9' * 40}-api"])
def test_odd_fields_are_not_read(cast: Cast, name: str) -> None:
    assert signed_in(cast.alice).post(TEST, {name: "0", name.removeprefix("seen-"): "on"}).status_code == 302
    assert not NodePermission.objects.exists()


def test_no_form_is_read_beyond_what_a_page_can_show() -> None:
    form = QueryDict("&".join(f"seen-{member}-api=0&seen-{member}-transport=1" for member in range(1, 200)))
    assert list(grid.read(form).seen) == list(range(1, grid.PAGE + 1))


def test_search_and_pages_are_kept_from_one_environment_to_the_next(cast: Cast) -> None:
    fill(cast, 120)
    alice = signed_in(cast.alice)
    page = alice.get(TEST, {"q": "example.ORG", "page": "2"}).content.decode()
    assert page.count('scope="row"') == 50
    assert "Page 2 of 3" in page
    assert f'href="{TEST.replace("test", "acceptance")}?q=example.ORG&amp;page=2"' in page
    assert f'action="{TEST}?q=example.ORG&amp;page=2"' in page
    assert 'href="?q=example.ORG&amp;page=3"' in page
    one = alice.get(TEST, {"q": "Member 77"}).content.decode()
    assert one.count('scope="row"') == 1
    assert "Nobody found" in alice.get(TEST, {"q": "nobody of this name"}).content.decode()


def test_somebody_who_moves_to_another_page_meanwhile_is_saved_all_the_same(cast: Cast) -> None:
    fill(cast, 60)
    alice = signed_in(cast.alice)
    second = f"{TEST}?page=2"
    form = fields_of(alice.get(second).content.decode())
    last = cast.app.memberships.order_by("-user__name").first()
    assert last
    cast.app.memberships.filter(user__name__startswith="Member 1").delete()  # all others move to the first page
    answer = alice.post(second, form | {f"{last.pk}-backups": "on"})
    assert (answer.status_code, answer.headers["Location"]) == (302, second)
    assert may(last.user, cast.test, Permission.BACKUPS)


@pytest.mark.parametrize("act", ["look", "save", "be told"])
def test_the_number_of_queries_does_not_grow_with_the_members(cast: Cast, act: str) -> None:
    alice = unlocked(cast.alice)
    costs = []
    for number in (3, 49):
        fill(cast, number)
        form = fields_of(alice.get(PRODUCTION).content.decode())
        members = [key.split("-")[1] for key in form if key.startswith("seen-") and key.endswith("-backups")]
        for member in members:
            form[f"{member}-backups"] = "on"
            if act == "be told":
                form[f"seen-{member}-transport"] = "1"
        with CaptureQueriesContext(connection) as queries:
            answer = alice.get(PRODUCTION) if act == "look" else alice.post(PRODUCTION, form)
        assert answer.status_code == {"look": 200, "save": 302, "be told": 409}[act]
        costs.append(len(queries))
    assert len(members) >= 49
    assert costs[0] == costs[1]


def test_a_change_on_production_is_told_to_whom_it_concerns(
    cast: Cast, mailoutbox: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    alice = unlocked(cast.alice)
    mailoutbox.clear()
    with django_capture_on_commit_callbacks(execute=True):
        save(alice, PRODUCTION, cast, "bob", {"transport": (False, True), "api": (False, True)})
        save(alice, PRODUCTION, cast, "alice", {"api": (False, True)})
        save(alice, TEST, cast, "bob", {"transport": (False, True)})
    assert [(mail.to, mail.subject) for mail in mailoutbox] == [
        (["bob@example.org"], "Your permissions on Production of Calc changed")
    ]
    text = mailoutbox[0].body
    assert "Alice (alice@example.org) changed what you may do on Production of Calc" in text
    assert "You have now:\n- Transport Rights\n- API Rights\n" in text
    assert "asks for no code" in text


def test_every_box_says_whose_and_which_and_every_header_what_it_heads(cast: Cast) -> None:
    page = signed_in(cast.alice).get(TEST).content.decode()
    boxes = re.findall(r'<input type="checkbox"[^>]*>', page)
    assert len(boxes) == 6
    assert all(re.search(r'aria-label="[A-Z][A-Za-z ]+ for Bob"', box) for box in boxes)
    assert page.count('<th scope="col">') == 7
    assert page.count('<th scope="row">') == 2
    assert "<caption" in page
    for sentence in ("Deploy, roll back, start, stop, change options", "Alice is the Technical Contact"):
        assert sentence in page


def test_a_form_that_waits_for_a_code_is_confirmed_in_words(cast: Cast) -> None:
    alice, erin = signed_in(cast.alice), add_erin(cast)
    other = flows.create_app(Actor(cast.charlie), "Other", "other").memberships.get().pk
    bobs, erins = cast.membership(cast.bob).pk, cast.membership(erin).pk
    form = {f"seen-{pk}-{p}": "0" for pk in (bobs, erins, other) for p in ("transport", "api")}
    form |= {f"{bobs}-transport": "on", f"{bobs}-api": "on", f"{other}-api": "on"}
    answer = alice.post(PRODUCTION, form)
    assert answer.headers["Location"].startswith("/authenticator/?waiting=")
    alice.post("/authenticator/set-up/", {"step": "password", "password": PASSWORD})
    answer = alice.post(
        f"/authenticator/set-up/?{urlsplit(answer.headers['Location']).query}",
        {"step": "code", "code": code_of(cast.alice)},
        follow=True,
    )
    page = answer.content.decode()
    assert "<dt>Bob</dt><dd>Transport Rights on, API Rights on</dd>" in page
    assert page.count("<dt>") == 1, "who is left as they are is not listed, nor members of other apps"


def test_without_an_environment_the_tab_leads_to_the_app_and_says_why(cast: Cast) -> None:
    alice = signed_in(cast.alice)
    assert alice.get("/apps/calc/permissions/").headers["Location"] == TEST
    cast.app.environments.all().delete()
    answer = alice.get("/apps/calc/permissions/", follow=True)
    assert answer.redirect_chain == [("/apps/calc/", 302)]
    assert "Calc has no environment" in answer.content.decode()
