"""An account is stopped at once, Technical Contact or not; support appoints the successor, never themselves."""

from typing import Any

import pytest
from django.core import mail
from django.test import Client

from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import Activity, ProductionWindow, Session, User
from deployments.manifests import Manifest
from deployments.models import Package
from environments import contact, flows
from environments.access import may
from environments.authority import NotPermitted
from environments.contact import NotPossible
from environments.models import App, HandOver, Membership, NodePermission, Role
from environments.permissions import Permission
from tests.cast import Cast, forget_last_step, make_person, signed_in, unlock, unlocked

APPS = "/admin/environments/app/"
REASON = "Alice left the company; decided with her manager, ticket 4711."
SHELL = "shell"


@pytest.fixture
def boss(db: None) -> User:
    person = make_person("boss")
    User.objects.filter(pk=person.pk).update(is_staff=True, is_superuser=True)
    return User.objects.get(pk=person.pk)


@pytest.fixture
def vacant(cast: Cast) -> Cast:
    """Alice, the Technical Contact, is deactivated."""
    User.objects.filter(pk=cast.alice.pk).update(is_active=False)
    return cast


def appoint_page(app: App) -> str:
    return f"{APPS}{app.pk}/appoint/"


def typed(person: User, reason: str = REASON) -> dict[str, str]:
    return {"successor": person.email, "reason": reason}


def sams(cast: Cast) -> Actor:
    return Actor(User.objects.get(pk=cast.sam.pk), via=SHELL)


def contact_now(cast: Cast) -> User:
    return App.objects.get(pk=cast.app.pk).technical_contact


def told(address: str) -> list[str]:
    return [str(message.subject) for message in mail.outbox if message.to == [address]]


def words(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


def join(cast: Cast, name: str, role_name: str) -> User:
    person = make_person(name)
    flows.add_member(cast.app, Actor(cast.alice, via=SHELL), person, Role.objects.get(name=role_name))
    return person


def set_role(person: User, name: str) -> None:
    Membership.objects.filter(user=person).update(role=Role.objects.get(name=name))


# Stopping an account


def test_a_technical_contact_is_deactivated_at_once_like_anybody(
    cast: Cast, boss: User, django_capture_on_commit_callbacks: Any
) -> None:
    alices = unlocked(cast.alice)
    contact.offer(cast.app, Actor(cast.alice, via=SHELL), cast.membership(cast.bob))
    kept = {"name": "Alice", "email": cast.alice.email}
    answer = unlocked(boss).post(f"/admin/accounts/user/{cast.alice.pk}/change/", kept, follow=True)
    assert "Alice was the Technical Contact of Calc. Support appoints a successor" in words(answer)
    assert not Session.objects.filter(user=cast.alice).exists()
    assert ProductionWindow.objects.get(user=cast.alice).ended_why == ProductionWindow.End.DEACTIVATED
    assert alices.get("/apps/calc/").headers["Location"].startswith("/sign-in/")
    assert not may(cast.alice, cast.test, Permission.TRANSPORT)
    assert contact_now(cast) == cast.alice


def test_the_admin_lists_the_apps_that_need_a_successor(cast: Cast, boss: User) -> None:
    other = flows.create_app(Actor(cast.bob), "Other", "other")
    sams = unlocked(cast.sam)
    assert "0 apps" in words(sams.get(f"{APPS}?successor=needed"))
    User.objects.filter(pk=cast.alice.pk).update(is_active=False)
    page = words(sams.get(f"{APPS}?successor=needed"))
    assert "1 app" in page
    assert "Alice (deactivated)" in page
    assert f"{APPS}{other.pk}/" not in page
    assert appoint_page(cast.app) in sams.get(f"{APPS}{cast.app.pk}/change/").content.decode()
    assert "/appoint/" not in sams.get(f"{APPS}{other.pk}/change/").content.decode()
    person = f"/admin/accounts/user/{cast.alice.pk}/change/"
    assert appoint_page(cast.app) in sams.get(person).content.decode()
    assert appoint_page(cast.app) in unlocked(boss).get(person).content.decode()


@pytest.mark.parametrize("lost", ["the role's right", "the place in the team"])
def test_an_app_whose_contact_lacks_the_deploy_permission_needs_one_too(cast: Cast, lost: str) -> None:
    assert not contact.needs_successor(cast.app)
    if lost == "the place in the team":
        cast.membership(cast.alice).delete()
    else:
        set_role(cast.alice, "End-user")
    assert contact.needs_successor(cast.app)


def test_pages_say_whom_to_ask_while_the_app_has_no_active_contact(vacant: Cast, settings: Any) -> None:
    answer = signed_in(vacant.bob).get("/apps/calc/environments/production/stop/")
    assert answer.status_code == 403
    page = words(answer)
    assert "Calc needs a new Technical Contact, who can grant it; support appoints one." in page
    assert f"mailto:{settings.SUPPORT_EMAIL}" in page
    assert "Alice" not in page
    assert "alice@example.org" not in page


# Appointing


def test_sam_appoints_bob_with_a_reason_and_everybody_is_told(
    vacant: Cast, django_capture_on_commit_callbacks: Any
) -> None:
    erin = join(vacant, "erin", "SCRUM Master")
    client = unlocked(vacant.sam)
    page = words(client.get(appoint_page(vacant.app)))
    assert "Alice, the Technical Contact of Calc, is deactivated." in page
    assert "Bob (bob@example.org), Business Engineer" in page
    with django_capture_on_commit_callbacks(execute=True):
        answer = client.post(appoint_page(vacant.app), typed(vacant.bob), follow=True)
    assert "Bob is the Technical Contact of Calc now and was told by mail." in words(answer)
    assert contact_now(vacant) == vacant.bob
    assert told("bob@example.org") == ["You are the Technical Contact of Calc"]
    assert told(erin.email) == ["Support made Bob the Technical Contact of Calc"]
    assert told("alice@example.org") == []
    letters: list[Any] = [message for message in mail.outbox if "Technical Contact" in str(message.subject)]
    assert all(REASON in letter.body and REASON in letter.alternatives[0][0] for letter in letters)
    entry: Any = Activity.objects.get(act=Act.CONTACT_APPOINTED)
    assert (entry.actor_name, entry.target, entry.via, entry.reason) == ("Sam", "Bob", "admin", REASON)
    assert (entry.before["Technical Contact"], entry.after["Technical Contact"]) == ("Alice", "Bob")


def test_the_old_one_if_active_is_told_and_is_an_ordinary_member(
    cast: Cast, django_capture_on_commit_callbacks: Any
) -> None:
    cast.grant(cast.alice, cast.production, Permission.API)
    set_role(cast.alice, "End-user")
    with django_capture_on_commit_callbacks(execute=True):
        contact.appoint(cast.app, sams(cast), cast.bob, REASON)
    assert told("alice@example.org") == ["Support made Bob the Technical Contact of Calc"]
    assert not NodePermission.objects.filter(membership__user=cast.alice).exists()
    assert Membership.objects.get(user=cast.alice).role.name == "End-user"


def test_an_open_offer_goes_away(cast: Cast) -> None:
    erin = join(cast, "erin", "Application Operator")
    contact.offer(cast.app, Actor(cast.alice, via=SHELL), cast.membership(erin))
    User.objects.filter(pk=cast.alice.pk).update(is_active=False)
    contact.appoint(cast.app, sams(cast), cast.bob, REASON)
    assert not HandOver.objects.exists()
    with pytest.raises(NotPossible):
        contact.accept(cast.app, Actor(erin, via=SHELL))
    assert contact_now(cast) == cast.bob


def test_support_appoints_only_where_a_successor_is_needed_and_the_page_says_so(cast: Cast) -> None:
    client = unlocked(cast.sam)
    page = words(client.get(appoint_page(cast.app)))
    assert "Alice is the Technical Contact of Calc and hands over themselves" in page
    assert "Support appoints one only where the Technical Contact is deactivated" in page
    client.post(appoint_page(cast.app), typed(cast.bob))
    with pytest.raises(NotPossible, match="Alice is the Technical Contact and can hand over"):
        contact.appoint(cast.app, sams(cast), cast.bob, REASON)
    assert contact_now(cast) == cast.alice


@pytest.mark.parametrize("reason", ["", "   "])
def test_without_a_reason_nobody_is_appointed(vacant: Cast, reason: str) -> None:
    page = words(unlocked(vacant.sam).post(appoint_page(vacant.app), typed(vacant.bob, reason)))
    assert "Say why, in a sentence. The reason is kept." in page
    with pytest.raises(NotPossible, match="Say why"):
        contact.appoint(vacant.app, sams(vacant), vacant.bob, reason)
    assert contact_now(vacant) == vacant.alice


def test_support_can_not_appoint_themselves(vacant: Cast) -> None:
    flows.add_member(vacant.app, Actor(vacant.bob, via=SHELL), vacant.sam, Role.objects.get(name="SCRUM Master"))
    client = unlocked(vacant.sam)
    assert "sam@example.org" not in client.get(appoint_page(vacant.app)).content.decode()
    client.post(appoint_page(vacant.app), typed(vacant.sam))
    set_role(vacant.bob, "End-user")
    page = words(client.post(appoint_page(vacant.app), typed(vacant.sam)))
    assert "You can&#x27;t appoint yourself. Ask a colleague in support." in page
    with pytest.raises(NotPermitted, match="You can't appoint yourself"):
        contact.appoint(vacant.app, sams(vacant), vacant.sam, REASON)
    assert contact_now(vacant) == vacant.alice


def test_it_takes_the_right_to_appoint(vacant: Cast) -> None:
    vacant.sam.groups.clear()
    client = unlocked(vacant.sam)
    assert client.get(appoint_page(vacant.app)).status_code == 403
    assert client.post(appoint_page(vacant.app), typed(vacant.bob)).status_code == 403
    for person in (vacant.sam, vacant.bob, vacant.charlie):
        with pytest.raises(NotPermitted, match="Only support staff"):
            contact.appoint(vacant.app, Actor(person, via=SHELL), vacant.bob, REASON)
    assert unlocked(vacant.bob).get(appoint_page(vacant.app)).status_code == 404
    assert contact_now(vacant) == vacant.alice


def test_it_takes_the_window_in_the_flow_too(vacant: Cast) -> None:
    with pytest.raises(NotPermitted, match="Enter a code first"):
        contact.appoint(vacant.app, Actor(User.objects.get(pk=vacant.sam.pk), via="admin"), vacant.bob, REASON)
    assert contact_now(vacant) == vacant.alice


def test_while_members_can_take_it_nobody_else_can(vacant: Cast) -> None:
    dora = join(vacant, "dora", "End-user")
    client = unlocked(vacant.sam)
    for person in (vacant.charlie, dora, vacant.alice):
        page = words(client.post(appoint_page(vacant.app), typed(person)))
        assert "Choose a member from the list: others can&#x27;t take the role now." in page
    for person in (vacant.charlie, dora):
        with pytest.raises(NotPossible, match="Choose a member whose role carries the deploy permission"):
            contact.appoint(vacant.app, sams(vacant), person, REASON)
    with pytest.raises(NotPossible, match="deactivated"):
        contact.appoint(vacant.app, sams(vacant), vacant.alice, REASON)
    assert contact_now(vacant) == vacant.alice


def test_where_no_member_can_take_it_anybody_with_an_active_account_joins(vacant: Cast) -> None:
    set_role(vacant.bob, "End-user")
    client = unlocked(vacant.sam)
    assert "they become SCRUM Master of the team" in words(client.get(appoint_page(vacant.app)))
    page = words(client.post(appoint_page(vacant.app), {"successor": "nobody@example.org", "reason": REASON}))
    assert "No active account has this address." in page
    client.post(appoint_page(vacant.app), {"successor": "Charlie@Example.org", "reason": REASON})
    assert contact_now(vacant) == vacant.charlie
    assert vacant.membership(vacant.charlie).role.name == "SCRUM Master"
    assert Activity.objects.get(act=Act.MEMBER_JOINED, target="Charlie").actor_name == "Sam"


def test_a_member_whose_role_does_not_deploy_gets_one_that_does(vacant: Cast) -> None:
    set_role(vacant.bob, "End-user")
    contact.appoint(vacant.app, sams(vacant), vacant.bob, REASON)
    assert contact_now(vacant) == vacant.bob
    assert vacant.membership(vacant.bob).role.name == "SCRUM Master"
    entry = Activity.objects.get(act=Act.MEMBER_CHANGED)
    assert (entry.before, entry.after) == ({"role": "End-user"}, {"role": "SCRUM Master"})


def test_appointing_waits_for_the_code_and_shows_whom_it_concerns(vacant: Cast) -> None:
    unlocked(vacant.sam)
    forget_last_step(vacant.sam)
    client = signed_in(vacant.sam)
    asked = client.post(appoint_page(vacant.app), typed(vacant.bob) | {"technical_contact_of": "Calc"})
    assert contact_now(vacant) == vacant.alice
    unlock(client, vacant.sam)
    kept = asked.headers["Location"].split("waiting=")[1]
    page = words(client.get(f"/authenticator/continue/{kept}/"))
    for shown in ("bob@example.org", "Calc", REASON):
        assert shown in page
    assert contact_now(vacant) == vacant.alice
    client.post(f"{appoint_page(vacant.app)}?confirmed={kept}", typed(vacant.bob))
    assert contact_now(vacant) == vacant.bob


def test_an_app_that_is_not_there_is_not_found(vacant: Cast) -> None:
    client: Client = unlocked(vacant.sam)
    for number in ("999999", "x", str(10**30)):
        assert client.get(f"{APPS}{number}/appoint/").status_code == 404
        assert client.post(f"{APPS}{number}/appoint/", typed(vacant.bob)).status_code == 404


def test_of_an_app_that_is_deleted_at_this_moment_it_is_said(vacant: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    client, appoint = unlocked(vacant.sam), contact.appoint

    def too_late(*args: Any) -> None:
        App.objects.filter(pk=vacant.app.pk).delete()
        appoint(*args)

    monkeypatch.setattr(contact, "appoint", too_late)
    answer = client.post(appoint_page(vacant.app), typed(vacant.bob), follow=True)
    assert answer.status_code == 200
    assert "Calc does not exist any more." in words(answer)


def test_the_lists_and_the_page_cost_the_same_for_few_and_many(vacant: Cast, django_assert_num_queries: Any) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client = unlocked(vacant.sam)

    def cost(address: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(address).status_code == 200
        return len(queries)

    pages = (APPS, f"{APPS}?successor=needed", appoint_page(vacant.app))
    few = [cost(page) for page in pages]
    people = User.objects.bulk_create(User(email=f"p{n}@example.org", name=f"Person {n}") for n in range(30))
    role = Role.objects.get(name="Business Engineer")
    Membership.objects.bulk_create(Membership(app=vacant.app, user=person, role=role) for person in people)
    App.objects.bulk_create(App(name=f"A{n}", slug=f"app-{n}", technical_contact=vacant.alice) for n in range(30))
    assert [cost(page) for page in pages] == few


@pytest.mark.parametrize(
    "address", ["environments/test/", "permissions/test/", "team/", "packages/1.0.0/"], ids=lambda address: address
)
def test_no_page_sends_members_to_a_contact_who_is_deactivated(vacant: Cast, address: str, settings: Any) -> None:
    if "packages" in address:
        package = Package.objects.create(
            app=vacant.app,
            name="calc",
            version="1.0.0",
            file="x.zip",
            size=1,
            sha256="0" * 64,
            manifest=Manifest(web="true").as_dict(),
        )
        address = f"packages/{package.key}/"
    answer = signed_in(vacant.bob).get(f"/apps/calc/{address}")
    page = words(answer)
    assert "Calc needs a new Technical Contact" in page
    assert f"mailto:{settings.SUPPORT_EMAIL}" in page
    assert "Alice, the Technical Contact" not in page
