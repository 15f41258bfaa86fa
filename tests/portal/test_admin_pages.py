"""Every page of the admin: behind the gate, without a secret, and with no way around either."""

from collections.abc import Iterator

import pytest
from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts import authenticators, pending
from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import Activity, Authenticator, Interrupted, ProductionWindow, ResetRequest, Session, User
from deployments.models import Job, Live, Package, Step, Worker
from deployments.states import JobKind, JobState, StepName
from environments.models import Role
from environments.permissions import Permission
from tests.cast import Cast, make_person, signed_in, unlock, unlocked
from tests.codes import code_of, secret_of

PACKAGE_SECRET = "constant-with-a-secret-default"
OUTPUT_SECRET = "printed-by-the-app-while-starting"


@pytest.fixture
def boss(cast: Cast) -> User:
    person = make_person("boss")
    User.objects.filter(pk=person.pk).update(is_staff=True, is_superuser=True)
    person.refresh_from_db()
    return person


@pytest.fixture
def filled(cast: Cast) -> Cast:
    """Something in every table that the admin shows."""
    cast.grant(cast.bob, cast.test, Permission.TRANSPORT)
    package = Package.objects.create(
        app=cast.app, name="calc", version="1.0.0", file="packages/x.zip", size=1, sha256="0" * 64,
        manifest={"constants": [{"default": PACKAGE_SECRET}]}, uploader_name="Alice",
    )  # fmt: skip
    job = Job.objects.create(
        environment=cast.test, number=1, kind=JobKind.TRANSPORT, state=JobState.DONE, package=package, via="browser"
    )
    Step.objects.create(job=job, order=1, name=StepName.CHECK, output=OUTPUT_SECRET)
    Live.objects.update_or_create(environment=cast.test, defaults={"package": package})
    Worker.objects.create(name="worker-1")
    unlocked(cast.alice)
    authenticators.ask_for_reset(Actor(cast.alice), "New phone")
    return cast


def addresses(resolver: URLResolver | None = None, prefix: str = "/") -> Iterator[str]:
    """Every address pattern of the admin, as Django wrote it."""
    for entry in (resolver or get_resolver()).url_patterns:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from addresses(entry, route)
        elif isinstance(entry, URLPattern) and route.startswith("/admin/"):
            yield route


def pages(cast: Cast) -> list[str]:
    """Every address of the admin with something that exists in its place."""
    found = []
    for route in addresses():
        model = next(
            (m for m in admin.site._registry if route.startswith(f"/admin/{m._meta.app_label}/{m._meta.model_name}/")),
            None,
        )
        one = model._base_manager.first() if model else None
        route = route.replace("<path:object_id>", str(one.pk) if one else "1").replace("^", "").replace("(.*)$", "x/")
        route = route.replace("(?P<app_label>accounts|environments|deployments)/$", "accounts/")
        found.append(
            route.replace("<path:content_type_id>", "1").replace("<path:object_id>", "1").replace("(?P<url>.*)$", "x/")
        )
    assert len(found) > 60
    assert not [address for address in found if set(address) & set("<>()?^$")]
    return found


def secrets_of(cast: Cast) -> list[str]:
    everybody = list(User.objects.all())
    return [
        PACKAGE_SECRET,
        OUTPUT_SECRET,
        *(person.password for person in everybody),
        *("$argon2", "argon2id"),
        *Authenticator.objects.values_list("secret", flat=True),
        *(secret_of(person).hex() for person in everybody if person.authenticators.exists()),
        *Session.objects.values_list("session_key", flat=True),
        *(str(pk) for pk in ProductionWindow.objects.values_list("pk", flat=True)),
        *Interrupted.objects.values_list("fields", flat=True),
    ]


def test_support_can_not_touch_secrets_no_page_shows_one(filled: Cast, boss: User) -> None:
    client = unlocked(boss)
    signed_in(filled.alice).post("/apps/calc/permissions/production/", {"kept": "what was typed"})
    assert Interrupted.objects.exists()
    hidden = secrets_of(filled)
    for address in pages(filled):
        text = client.get(address, follow=True).content.decode()
        assert not [secret for secret in hidden if secret in text], address


def test_nobody_but_staff_learns_that_a_page_is_there(filled: Cast) -> None:
    client = unlocked(filled.alice)
    for address in pages(filled):
        assert client.get(address).status_code == 404, address
        assert client.post(address).status_code == 404, address


def test_without_sign_in_every_page_asks_for_it(filled: Cast) -> None:
    for address in pages(filled):
        assert Client().get(address).headers["Location"].startswith("/sign-in/"), address


def test_without_a_window_every_page_asks_for_the_code_superuser_or_not(filled: Cast, boss: User) -> None:
    unlocked(boss), unlocked(filled.sam)
    for client in (signed_in(boss), signed_in(filled.sam)):
        for address in pages(filled):
            assert client.get(address).headers["Location"].startswith("/authenticator/?next="), address
            assert client.post(address).headers["Location"].startswith("/authenticator/?"), address


def test_the_superuser_finds_only_people_and_roles_to_change(filled: Cast, boss: User) -> None:
    client = unlocked(boss)
    for model in admin.site._registry:
        base = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        one = model._base_manager.first()
        editable = model in (User, Role)
        assert one is not None
        assert client.get(f"{base}add/").status_code == (200 if editable else 403), base
        assert client.post(f"{base}add/", {}).status_code == (200 if editable else 403), base
        assert client.get(f"{base}{one.pk}/change/").status_code == 200, base
        assert client.get(f"{base}{one.pk}/delete/").status_code == 403, base
        assert client.post(f"{base}{one.pk}/delete/", {"post": "yes"}).status_code == 403, base
        client.post(base, {"action": "delete_selected", "_selected_action": [one.pk], "post": "yes"})
        assert model._base_manager.filter(pk=one.pk).exists(), base
        if not editable:
            assert client.post(f"{base}{one.pk}/change/", {}).status_code == 403, base


def test_only_what_was_made_for_the_portal_is_registered(cast: Cast) -> None:
    assert {model.__name__ for model in admin.site._registry} == {
        *("User", "ResetRequest", "Activity", "App", "Environment", "Membership", "NodePermission", "Role"),
        *("Package", "Job", "Worker"),
    }
    assert not {Authenticator, ProductionWindow, Session, Interrupted} & set(admin.site._registry)

    class Careless(ModelAdmin[Authenticator]):
        pass

    admin.site.register(Authenticator, Careless)
    assert not admin.site.is_registered(Authenticator)


def test_support_sees_people_requests_and_activity_and_changes_none_of_it(filled: Cast) -> None:
    client = unlocked(filled.sam)
    entry, request = Activity.objects.first(), ResetRequest.objects.get()
    assert entry is not None
    for base, pk in (("user", filled.alice.pk), ("resetrequest", request.pk), ("activity", entry.pk)):
        assert client.get(f"/admin/accounts/{base}/").status_code == 200
        assert client.get(f"/admin/accounts/{base}/{pk}/change/").status_code == 200
        assert client.post(f"/admin/accounts/{base}/{pk}/change/", {"name": "Mallory"}).status_code == 403
        assert client.get(f"/admin/accounts/{base}/add/").status_code == 403
    for base in ("environments/app", "environments/environment"):
        assert client.get(f"/admin/{base}/").status_code == 200
        pk = (filled.app if base.endswith("app") else filled.test).pk
        assert client.post(f"/admin/{base}/{pk}/change/", {"name": "Mallory"}).status_code == 403
        assert client.get(f"/admin/{base}/add/").status_code == 403
    for base in ("environments/membership", "environments/nodepermission", "environments/role", "deployments/job"):
        assert client.get(f"/admin/{base}/").status_code == 403
    filled.alice.refresh_from_db()
    assert filled.alice.name == "Alice"


@pytest.mark.parametrize(
    "question",
    ["password__startswith=argon2", "authenticator__secret__startswith=g", "is_superuser__exact=1",
     "sessions__session_key__startswith=a", "windows__session_key__gt=0", "last_login__gt=2000-01-01"],
)  # fmt: skip
def test_no_address_asks_a_secret_out_letter_by_letter(cast: Cast, question: str) -> None:
    client = unlocked(cast.sam)
    assert client.get(f"/admin/accounts/user/?{question}").status_code == 400


@pytest.mark.parametrize(
    "question", ["authenticator=yes", "authenticator=blocked", "authenticator=no", "is_active__exact=1"]
)
def test_the_filters_that_are_offered_work(cast: Cast, question: str) -> None:
    assert unlocked(cast.sam).get(f"/admin/accounts/user/?{question}").status_code == 200


def test_the_kinds_of_activity_are_offered_in_words(filled: Cast) -> None:
    sam = unlocked(filled.sam)
    page = sam.get("/admin/accounts/activity/").content.decode()
    assert ">Disabled the authenticator of</a>" in page
    assert not [act.value for act in Act if f">{act.value}<" in page]
    chosen = sam.get("/admin/accounts/activity/?act=app.created").content.decode()
    assert "Alice created the app Calc" in chosen
    assert "Sam opened production access" not in chosen
    assert "0 activity" in sam.get("/admin/accounts/activity/?act=nothing").content.decode()


def test_the_history_of_a_person_is_the_activity_record(cast: Cast) -> None:
    client = unlocked(cast.sam)
    answer = client.get(f"/admin/accounts/user/{cast.alice.pk}/history/")
    assert answer.headers["Location"] == "/admin/accounts/activity/?q=Alice"


def test_a_list_costs_the_same_whatever_its_length(cast: Cast, django_assert_max_num_queries: object) -> None:
    client = unlocked(cast.sam)
    for number in range(30):
        make_person(f"person{number}")
    with django_assert_max_num_queries(14):  # type: ignore[operator]
        assert "person29" in client.get("/admin/accounts/user/").content.decode().lower()


def test_what_waited_for_the_code_in_a_list_still_finds_its_list(cast: Cast) -> None:
    unlocked(cast.sam)
    client = signed_in(cast.sam)
    chosen = {"action": "disable_authenticators", "_selected_action": [cast.alice.pk]}
    client.post("/admin/accounts/user/", chosen)
    kept = Interrupted.objects.get()
    unlock(client, cast.sam)
    assert code_of(cast.sam)
    assert ("action", "disable_authenticators") in (pending.fields_of(kept) or [])
    answer = client.post(f"/admin/accounts/user/?confirmed={kept.pk}", chosen)
    assert answer.headers["Location"].startswith("/admin/accounts/user/disable/?people=")
