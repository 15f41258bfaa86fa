"""Whatever an intruder or a broken program sends is answered with a page of the portal, never with a 500."""

import pytest
from django.test import Client

from accounts import pending
from accounts.models import Interrupted
from accounts.sessions import SessionStore
from tests.cast import PASSWORD, Cast, signed_in, unlock, unlocked
from tests.codes import code_of


@pytest.mark.parametrize("target", ["-1", "a\nb", "<script>", "[]", "sign_in", "accounts:sign_out"])
def test_a_next_that_is_no_address_leads_to_the_apps(cast: Cast, target: str) -> None:
    answer = Client().post("/sign-in/", {"username": cast.alice.email, "password": PASSWORD, "next": target})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/")
    client = unlocked(cast.alice)
    assert client.get("/sign-in/", {"next": target}).headers["Location"] == "/"
    client.post("/authenticator/end/")
    unlock(client, cast.alice)
    answer = client.post("/authenticator/?next=-1", {"code": code_of(cast.alice)})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/")


@pytest.mark.parametrize("before", ["9" * 5000, "9" * 19, "٣", "-1", "x"])
def test_an_entry_of_the_activity_that_is_no_number_is_not_read(cast: Cast, before: str) -> None:
    assert signed_in(cast.alice).get("/apps/calc/activity/", {"before": before}).status_code == 200


@pytest.mark.parametrize("address", ["/?q=%00", "/%00/", "/admin/?act=%00", "/sign-in/?next=a%00b"])
def test_an_address_with_a_nul_is_a_bad_request(cast: Cast, address: str) -> None:
    for client in (Client(), signed_in(cast.sam)):
        assert client.get(address).status_code == 400
        assert client.post(address, {"a": "b"}).status_code == 400


@pytest.mark.parametrize("key", ["\0" * 32, "é" * 32, "a" * 31 + "-", "short", None])
def test_a_session_cookie_that_is_no_key_opens_no_session(key: str | None) -> None:
    assert SessionStore(key).session_key is None


@pytest.mark.parametrize("origin", ["http://[", "null", "http://testserver:99999999", "https://testserver", "x"])
def test_a_form_from_an_address_that_is_not_ours_is_refused(cast: Cast, origin: str) -> None:
    client = Client(enforce_csrf_checks=True, headers={"origin": origin})
    client.force_login(cast.alice)
    answer = client.post("/apps/new/", {"name": "Other", "slug": "other"})
    assert answer.status_code == 403
    assert 'value="other"' not in answer.content.decode()


def test_a_form_that_is_offered_again_is_not_stored(cast: Cast) -> None:
    client = Client(enforce_csrf_checks=True, headers={"origin": "http://testserver"})
    client.force_login(cast.alice)
    answer = client.post("/account/password/", {"old_password": PASSWORD})
    assert answer.status_code == 403
    assert "no-store" in answer.headers["Cache-Control"]


def test_a_length_that_is_no_number_is_no_body(cast: Cast) -> None:
    assert signed_in(cast.alice).post("/account/", {"name": "x"}, CONTENT_LENGTH="abc").status_code == 200


def test_an_e_mail_that_no_account_can_have_is_refused_at_the_field(cast: Cast) -> None:
    answer = Client().post("/sign-in/", {"username": f"{'a' * 260}@example.org", "password": "x"})
    assert answer.status_code == 200
    assert "at most 254 characters" in answer.content.decode()


def test_a_form_with_an_address_too_long_to_keep_is_not_kept(cast: Cast) -> None:
    answer = signed_in(cast.sam).post(f"/admin/accounts/user/{'A' * 600}/change/", {"a": "b"})
    assert answer.headers["Location"].startswith("/authenticator/?next=")
    assert not Interrupted.objects.exists()


def test_somebody_who_never_enters_a_code_can_not_fill_the_disk_with_forms(cast: Cast) -> None:
    bob, alice = signed_in(cast.bob), signed_in(cast.alice)
    alice.post("/apps/calc/permissions/production/", {"q": "hers"})
    for _ in range(pending.MOST + 3):
        last = bob.post("/apps/calc/permissions/production/", {"q": "x" * 9000}).headers["Location"]
    assert Interrupted.objects.filter(user=cast.bob).count() == pending.MOST
    assert Interrupted.objects.filter(user=cast.alice).count() == 1
    assert Interrupted.objects.filter(pk=last.partition("waiting=")[2]).exists(), "the newest one"


@pytest.mark.parametrize("chosen", ["x", "-1", "9" * 20, "٣", ""])
def test_rows_that_no_list_can_show_are_a_bad_request(cast: Cast, chosen: str) -> None:
    data = {"action": "disable_authenticators", "_selected_action": chosen}
    assert unlocked(cast.sam).post("/admin/accounts/user/", data).status_code == 400


@pytest.mark.parametrize("question", ["at__year=0", "at__year=99999999999999999999", "at__gte=x", "at__lt=0000-00-00"])
def test_a_date_that_is_none_does_not_break_a_list(cast: Cast, question: str) -> None:
    assert unlocked(cast.sam).get(f"/admin/accounts/activity/?{question}").status_code in (302, 400)
