"""The production window: eight hours for one browser session, and everything that ends it before."""

from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth.models import Group
from django.contrib.auth.models import Permission as AdminPermission
from django.test import Client
from django.utils import timezone

from accounts import authenticators, pending
from accounts.actor import Actor
from accounts.models import Authenticator, ProductionWindow, Session
from environments.models import Membership, NodePermission, Role
from environments.permissions import Permission
from tests.cast import PASSWORD, Cast, signed_in, unlock, unlocked
from tests.codes import code_of, wrong_code

GUARDED = "/apps/calc/permissions/production/"
HOUR = timedelta(hours=1)


def is_open(client: Client) -> bool:
    return client.get(GUARDED).status_code == 200


def sams_actor(cast: Cast) -> Actor:
    group, _ = Group.objects.get_or_create(name="Support")
    group.permissions.add(AdminPermission.objects.get(codename="disable_authenticator"))
    return Actor(cast.sam, via="admin")


def test_without_a_window_the_code_is_asked_for_and_the_page_comes_back(cast: Cast) -> None:
    client = signed_in(cast.alice)
    answer = client.get(GUARDED + "?page=1", follow=True)
    assert answer.redirect_chain[-1][0].startswith("/authenticator/set-up/?next=%2Fapps%2Fcalc%2Fpermissions")


def test_it_is_open_at_7_59_50_and_closed_at_8_00_01(cast: Cast) -> None:
    start = timezone.now()
    with time_machine.travel(start, tick=False) as clock:
        client = unlocked(cast.alice)
        clock.move_to(start + 8 * HOUR - timedelta(seconds=10))
        assert is_open(client)
        clock.move_to(start + 8 * HOUR + timedelta(seconds=1))
        assert not is_open(client)


def test_the_sign_in_lasts_at_least_as_long_as_the_window(cast: Cast) -> None:
    start = timezone.now()
    with time_machine.travel(start, tick=False) as clock:
        client = signed_in(cast.alice)
        clock.move_to(start + 23 * HOUR)
        unlock(client, cast.alice)
        clock.move_to(start + 30 * HOUR)
        assert is_open(client)
        clock.move_to(start + 32 * HOUR)
        assert client.get("/").status_code == 302


def test_200_requests_do_not_move_the_end(cast: Cast) -> None:
    client = unlocked(cast.alice)
    before = ProductionWindow.objects.get().ends_at
    for _ in range(200):
        client.get(GUARDED)
    assert ProductionWindow.objects.get().ends_at == before


def test_a_new_code_starts_a_new_eight_hours(cast: Cast) -> None:
    start = timezone.now()
    with time_machine.travel(start, tick=False) as clock:
        client = unlocked(cast.alice)
        clock.move_to(start + 6 * HOUR)
        unlock(client, cast.alice)
        clock.move_to(start + 13 * HOUR)
        assert is_open(client)
    assert ProductionWindow.objects.filter(ended_at=None).count() == 1


def test_with_an_open_window_the_code_page_says_so_and_leads_on(cast: Cast) -> None:
    client = signed_in(cast.alice)
    page = f"/authenticator/?next={GUARDED}"
    unlock(client, cast.alice)
    shown = client.get(page).content.decode()
    assert "Production access is open in this browser until" in shown
    assert f'<a href="{GUARDED}">' in shown
    assert "needs your code" not in shown
    assert "for a new eight hours" in client.get("/account/").content.decode(), "one is entered at any time"


def test_a_stamp_in_the_future_is_closed(cast: Cast) -> None:
    client = unlocked(cast.alice)
    ProductionWindow.objects.update(opened_at=timezone.now() + HOUR)
    assert not is_open(client)


def test_after_the_step_up_the_old_session_id_is_dead_and_the_csrf_token_new(cast: Cast) -> None:
    client = signed_in(cast.alice)
    client.get("/authenticator/set-up/")
    old_session, old_csrf = client.cookies["session"].value, client.cookies["csrf"].value
    unlock(client, cast.alice)
    assert client.cookies["session"].value != old_session
    assert client.cookies["csrf"].value != old_csrf
    thief = Client()
    thief.cookies["session"] = old_session
    assert thief.get("/").headers["Location"].startswith("/sign-in/")


def test_another_session_of_the_same_person_has_no_window(cast: Cast) -> None:
    unlocked(cast.alice)
    assert not is_open(signed_in(cast.alice))


def test_the_window_id_in_another_session_opens_nothing(cast: Cast) -> None:
    unlocked(cast.alice)
    other = signed_in(cast.alice)
    session = other.session
    session["window"] = str(ProductionWindow.objects.get().pk)
    session.save()
    assert not is_open(other)


def test_no_window_after_sign_out_nor_after_signing_in_again_in_the_same_browser(cast: Cast) -> None:
    client = unlocked(cast.alice)
    answer = client.post("/sign-out/")
    assert "Clear-Site-Data" in answer.headers
    assert ProductionWindow.objects.get().ended_why == ProductionWindow.End.SIGNED_OUT
    client.post("/sign-in/", {"username": cast.alice.email, "password": PASSWORD})
    assert not is_open(client)


def test_no_window_for_the_next_person_in_the_browser(cast: Cast) -> None:
    client = unlocked(cast.alice)
    client.post("/sign-out/")
    client.post("/sign-in/", {"username": cast.bob.email, "password": PASSWORD})
    assert not is_open(client)


def test_it_ends_when_its_person_ends_it(cast: Cast) -> None:
    client = unlocked(cast.alice)
    assert "Production access until" in client.get("/").content.decode()
    client.post("/authenticator/end/")
    assert not is_open(client)
    assert "Production access until" not in client.get("/").content.decode()


def test_it_closes_in_every_session_on_password_change_at_the_very_next_request(cast: Cast) -> None:
    one, two = unlocked(cast.alice), signed_in(cast.alice)
    unlock(two, cast.alice)
    new = "another long enough password"
    data = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    assert one.post("/account/password/", data).status_code == 302
    assert one.get("/").status_code == 200
    assert not is_open(one)
    assert two.get("/").status_code == 302
    assert not ProductionWindow.objects.filter(ended_at=None).exists()


def test_it_closes_at_the_very_next_request_when_the_authenticator_is_disabled(cast: Cast) -> None:
    client = unlocked(cast.alice)
    authenticators.disable(cast.alice, sams_actor(cast), "New phone", "Called her back")
    answer = client.get(GUARDED, follow=True)
    assert answer.redirect_chain[-1][0].startswith("/authenticator/set-up/")


@pytest.mark.parametrize("change", [{"confirmed": False}, {"blocked_at": timezone.now()}])
def test_it_closes_when_the_authenticator_is_unconfirmed_or_blocked(cast: Cast, change: dict[str, object]) -> None:
    client = unlocked(cast.alice)
    Authenticator.objects.update(**change)
    assert not is_open(client)


def test_it_closes_when_the_authenticator_is_replaced(cast: Cast) -> None:
    client = unlocked(cast.alice)
    authenticators.disable(cast.alice, sams_actor(cast), "New phone", "Called her back")
    unlocked(cast.alice)
    assert not is_open(client)


def test_it_closes_at_the_very_next_request_when_the_account_is_deactivated(cast: Cast) -> None:
    client = unlocked(cast.alice)
    cast.alice.is_active = False
    cast.alice.save()
    assert client.get(GUARDED).headers["Location"].startswith("/sign-in/")


def test_it_never_grants_a_right_role_permission_and_membership_are_read_fresh(cast: Cast) -> None:
    assert unlocked(cast.charlie).get(GUARDED).status_code == 404
    client, transport = unlocked(cast.bob), "/apps/calc/environments/production/transport/"
    assert is_open(client)
    assert client.get(transport).status_code == 403
    cast.grant(cast.bob, cast.production, Permission.TRANSPORT)
    assert client.get(transport).status_code == 200
    NodePermission.objects.all().delete()
    assert client.get(transport).status_code == 403
    Membership.objects.filter(user=cast.bob).update(role=Role.objects.get(name="Product Owner"))
    assert client.get(GUARDED).status_code == 403
    cast.membership(cast.bob).delete()
    assert client.get(GUARDED).status_code == 404


def test_a_window_revoked_while_a_slow_request_is_in_flight_stays_revoked(cast: Cast) -> None:
    client = unlocked(cast.alice)
    slow = client.session
    authenticators.disable(cast.alice, sams_actor(cast), "New phone", "Called her back")
    slow["anything"] = 1
    slow.save()
    assert not is_open(client)


def test_a_session_write_after_the_key_changed_is_a_page_not_a_blank_400(cast: Cast) -> None:
    client = signed_in(cast.alice)
    Session.objects.all().delete()
    answer = client.get("/")
    assert answer.status_code == 302


def test_next_never_leaves_the_host_checked_when_it_is_used(cast: Cast) -> None:
    for target in ("https://evil.example/", "//evil.example", "javascript:alert(1)", "/\\evil.example", "http:///evil"):
        client = signed_in(cast.alice)
        unlock(client, cast.alice)
        Authenticator.objects.update(last_step=0)
        answer = client.post("/authenticator/?" + "next=" + target, {"code": code_of(cast.alice)})
        assert answer.headers["Location"] == "/"


def form_of(cast: Cast) -> dict[str, str]:
    member = cast.membership(cast.bob).pk
    return {f"seen-{member}-transport": "0", f"{member}-transport": "on"}


def bob_may_transport(cast: Cast) -> bool:
    return cast.membership(cast.bob).node_permissions.filter(permission="transport", granted=True).exists()


def test_a_form_that_meets_a_closed_window_is_shown_after_the_code_and_carried_out_once(cast: Cast) -> None:
    client = signed_in(cast.alice)
    asked = client.post(GUARDED, form_of(cast))
    assert asked.headers["Location"].startswith("/authenticator/?waiting=")
    page = client.get(asked.headers["Location"], follow=True).content.decode()
    assert "Change the node permissions on Production" in page
    client.post("/authenticator/set-up/", {"step": "password", "password": PASSWORD})
    waiting = asked.headers["Location"].partition("?")[2]
    done = client.post(f"/authenticator/set-up/?{waiting}", {"step": "code", "code": code_of(cast.alice)})
    assert "/continue/" in done.headers["Location"]
    assert not bob_may_transport(cast), "nothing happens by itself"
    shown = client.get(done.headers["Location"]).content.decode()
    confirmed = waiting.replace("waiting", "confirmed")
    assert f"{GUARDED}?{confirmed}" in shown
    assert f'name="{cast.membership(cast.bob).pk}-transport"' in shown
    client.post(f"{GUARDED}?{confirmed}", form_of(cast))
    assert bob_may_transport(cast)
    cast.membership(cast.bob).node_permissions.all().delete()
    client.post(f"{GUARDED}?{confirmed}", form_of(cast))
    assert not bob_may_transport(cast), "once"


def test_what_was_interrupted_belongs_to_its_session(cast: Cast) -> None:
    client = signed_in(cast.alice)
    waiting = client.post(GUARDED, form_of(cast)).headers["Location"].partition("?waiting=")[2]
    for other in (unlocked(cast.alice), unlocked(cast.bob)):
        assert other.get(f"/authenticator/continue/{waiting}/").status_code == 302
        other.post(f"{GUARDED}?confirmed={waiting}", form_of(cast))
    assert not bob_may_transport(cast)


def test_what_was_interrupted_is_kept_for_ten_minutes_and_encrypted(cast: Cast) -> None:
    start = timezone.now()
    with time_machine.travel(start, tick=False) as clock:
        client = signed_in(cast.alice)
        waiting = client.post(GUARDED, form_of(cast)).headers["Location"].partition("?waiting=")[2]
        from accounts.models import Interrupted

        assert "transport" not in Interrupted.objects.get().fields
        clock.move_to(start + pending.KEPT_FOR + timedelta(seconds=1))
        unlock(client, cast.alice)
        assert client.get(f"/authenticator/continue/{waiting}/").status_code == 302


def test_a_form_with_an_old_csrf_token_is_offered_again_with_its_fields(cast: Cast) -> None:
    client = Client(enforce_csrf_checks=True, headers={"origin": "http://testserver"})
    client.force_login(cast.alice)
    answer = client.post("/apps/new/", {"name": "Other", "slug": "other", "csrfmiddlewaretoken": "x" * 64})
    assert answer.status_code == 403
    assert 'name="slug" value="other"' in answer.content.decode()


def test_signing_in_where_another_tab_did_already_goes_on(cast: Cast) -> None:
    client = Client(enforce_csrf_checks=True, headers={"origin": "http://testserver"})
    client.force_login(cast.alice)
    typed = {"username": cast.alice.email, "password": "old", "next": "/account/", "csrfmiddlewaretoken": "x" * 64}
    assert client.post("/sign-in/", typed).headers["Location"] == "/account/"
    assert "You are signed in as Alice already." in client.get("/account/").content.decode()


def test_a_foreign_form_plants_nothing(cast: Cast) -> None:
    for origin in ("https://evil.example", "null", ""):
        client = Client(enforce_csrf_checks=True, headers={"origin": origin} if origin else {})
        client.force_login(cast.alice)
        answer = client.post(GUARDED, form_of(cast))
        assert answer.status_code == 403
        assert "-transport" not in answer.content.decode()
    from accounts.models import Interrupted

    assert not Interrupted.objects.exists()


@pytest.mark.parametrize("path", ["/sign-in/", "/authenticator/", "/authenticator/set-up/", "/authenticator/end/"])
def test_csrf_on_code_enrolment_and_sign_in_is_refused(cast: Cast, path: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.alice)
    assert client.post(path, {"code": "123456"}).status_code == 403


def test_a_link_that_opens_the_code_page_never_carries_out_an_action(cast: Cast) -> None:
    client = unlocked(cast.alice)
    Authenticator.objects.update(last_step=0)
    stop = "/apps/calc/environments/test/stop/"
    answer = client.post(f"/authenticator/?next={stop}", {"code": code_of(cast.alice)})
    assert answer.status_code == 302
    assert answer.headers["Location"] == stop, "a GET, which shows what would happen"


DIALOG = "/authenticator/dialog/"


def test_the_dialog_asks_and_answers_with_the_token_to_go_on(cast: Cast) -> None:
    client = signed_in(cast.alice)
    assert client.get(DIALOG).status_code == 409, "setting up needs its page"
    unlock(client, cast.alice)
    assert client.get(DIALOG).status_code == 204, "open"
    client.post("/authenticator/end/")
    asked = client.get(DIALOG + "?next=/apps/calc/permissions/production/")
    assert "Production of calc needs your code" in asked.content.decode()
    assert "<html" not in asked.content.decode()
    assert client.post(DIALOG, {"code": "12"}).status_code == 422
    Authenticator.objects.update(last_step=0)
    answer = client.post(DIALOG, {"code": code_of(cast.alice)})
    assert answer.json()["csrf"]
    assert is_open(client)


def test_the_dialog_throttles_like_the_page(cast: Cast) -> None:
    client = unlocked(cast.alice)
    client.post("/authenticator/end/")
    wrong = client.post(DIALOG, {"code": wrong_code(cast.alice)})
    assert wrong.status_code == 429
    assert client.post(DIALOG, {"code": code_of(cast.alice)}).status_code == 429
    Authenticator.objects.update(blocked_at=timezone.now())
    assert client.get(DIALOG).status_code == 409


def test_the_rule_for_one_window_and_for_many_is_the_same(cast: Cast) -> None:
    unlocked(cast.alice)
    unlocked(cast.bob)
    now, hour = timezone.now(), timedelta(hours=1)
    mine = ProductionWindow.objects.filter(user=cast.alice)
    theirs = Authenticator.objects.get(user=cast.bob)
    as_it_is = {
        "opened_at": now - hour,
        "ends_at": now + hour,
        "ended_at": None,
        "authenticator": mine.get().authenticator,
    }
    changes: list[dict[str, object]] = [
        {},
        {"opened_at": now + hour},
        {"ends_at": now},
        {"ends_at": now - hour},
        {"ended_at": now},
        {"authenticator": None},
        {"authenticator": theirs},
    ]
    found = []
    for change in changes:
        for of_it in ({"confirmed": True, "blocked_at": None}, {"confirmed": False}, {"blocked_at": now}):
            Authenticator.objects.update(**({"confirmed": True, "blocked_at": None} | of_it))
            mine.update(**(as_it_is | change))
            alone = mine.with_authenticator().get().is_open_at(now)
            assert alone == mine.open_at(now).exists(), (change, of_it)
            found.append(alone)
    assert found == [True] + [False] * 20
