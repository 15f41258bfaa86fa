"""What support does with the queue: disable, reject, lift a wait. Never for themselves, never without saying why."""

from datetime import timedelta

import pytest
import time_machine
from django.core import mail
from django.db.models.signals import post_delete
from django.test import Client
from django.utils import timezone

from accounts import authenticators, support
from accounts.actor import Actor
from accounts.acts import Act
from accounts.authenticators import NotAllowed
from accounts.models import Activity, Authenticator, ResetRequest, User
from tests.cast import Cast, forget_last_step, make_person, signed_in, unlocked
from tests.codes import code_of, wrong_code

PEOPLE = "/admin/accounts/user/"
REQUESTS = "/admin/accounts/resetrequest/"
PRODUCTION = "/apps/calc/permissions/production/"
REASON = "Bob lost his phone."
CHECK = "Called back on the number in the staff directory."
MESSAGE = "We could not reach you. Ask again and say when you are at your desk."
TYPED = {"disable": {"reason": REASON, "identity_check": CHECK}, "reject": {"message": MESSAGE}}
TYPED["lift-wait"] = {"reason": REASON}
LIFT = f"{PEOPLE}lift-wait/"


def sams(cast: Cast) -> Actor:
    return Actor(cast.sam, via="admin")


def ask(person: User, note: str = "New phone", phone_gone: bool = False) -> ResetRequest:
    if not person.authenticators.exists():
        unlocked(person)
    return authenticators.ask_for_reset(Actor(person), note, phone_gone)


def told(address: str) -> list[str]:
    return [f"{message.subject}\n{message.body}" for message in mail.outbox if message.to == [address]]


def fail(client: Client, person: User, times: int) -> None:
    """Enter wrong codes, each as soon as it is looked at."""
    for _ in range(times):
        Authenticator.objects.filter(user=person).update(
            throttling_failure_timestamp=timezone.now() - timedelta(hours=2)
        )
        client.post("/authenticator/", {"code": wrong_code(person)})


# Disabling


@pytest.mark.parametrize("missing", ["reason", "identity_check"])
@pytest.mark.parametrize("typed", ["", "   "])
def test_disabling_takes_a_reason_and_how_the_identity_was_checked(cast: Cast, missing: str, typed: str) -> None:
    unlocked(cast.bob)
    texts = {"reason": REASON, "identity_check": CHECK} | {missing: typed}
    answer = unlocked(cast.sam).post(f"{PEOPLE}disable/", {"people": cast.bob.pk, **texts})
    assert answer.status_code == 200
    assert "It is kept." in answer.content.decode() or "The reason is kept." in answer.content.decode()
    with pytest.raises(NotAllowed):
        authenticators.disable(cast.bob, sams(cast), **texts)
    assert cast.bob.authenticators.exists()
    assert not Activity.objects.filter(act=Act.AUTHENTICATOR_DISABLED).exists()


def test_both_are_kept_with_the_request_and_in_the_activity(cast: Cast) -> None:
    request = ask(cast.bob)
    authenticators.disable(cast.bob, sams(cast), REASON, CHECK)
    request.refresh_from_db()
    assert (request.outcome, request.answer, request.identity_check) == ("disabled", REASON, CHECK)
    entry = Activity.objects.get(act=Act.AUTHENTICATOR_DISABLED)
    assert entry.reason == REASON
    assert entry.after == {"person": cast.bob.email, "identity checked": CHECK}


def test_only_disabling_opens_a_blocked_account_and_then_it_sets_up_anew(cast: Cast) -> None:
    ask(cast.bob, phone_gone=True)
    client = signed_in(cast.bob)
    support.reject(cast.bob, sams(cast), MESSAGE)
    with pytest.raises(NotAllowed, match="only disabling it"):
        authenticators.lift_wait(cast.bob, sams(cast), REASON)
    forget_last_step(cast.bob)
    client.post("/authenticator/", {"code": code_of(cast.bob)})
    assert client.get(PRODUCTION).status_code == 302
    authenticators.disable(cast.bob, sams(cast), REASON, CHECK)
    assert client.get(PRODUCTION, follow=True).redirect_chain[-1][0].startswith("/authenticator/set-up/")


def test_a_blocked_account_without_a_request_is_found_and_opened(cast: Cast) -> None:
    client = unlocked(cast.bob)
    fail(client, cast.bob, authenticators.BLOCKED_AFTER)
    assert cast.bob.authenticators.get().blocked_at
    sam = unlocked(cast.sam)
    page = sam.get(f"{PEOPLE}?authenticator=blocked").content.decode()
    assert cast.bob.email in page
    assert "after too many wrong codes" in page
    assert cast.alice.email not in page
    sam.post(f"{PEOPLE}disable/", {"people": cast.bob.pk, **TYPED["disable"]})
    assert not cast.bob.authenticators.exists()


def test_there_is_nothing_to_disable_twice(cast: Cast) -> None:
    unlocked(cast.bob)
    authenticators.disable(cast.bob, sams(cast), REASON, CHECK)
    with pytest.raises(NotAllowed, match="No authenticator"):
        authenticators.disable(cast.bob, sams(cast), REASON, CHECK)
    assert Activity.objects.filter(act=Act.AUTHENTICATOR_DISABLED).count() == 1


# Rejecting


def test_a_rejection_is_mailed_shown_and_leaves_the_authenticator(
    cast: Cast, django_capture_on_commit_callbacks: object
) -> None:
    request = ask(cast.bob)
    sam = unlocked(cast.sam)
    page = sam.post(REQUESTS, {"action": "reject_requests", "_selected_action": [request.pk]}, follow=True)
    assert "Reject 1 request" in page.content.decode()
    mail.outbox.clear()
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        done = sam.post(page.request["PATH_INFO"], {"people": cast.bob.pk, "message": MESSAGE}, follow=True)
    assert "Rejected the request of Bob" in done.content.decode()
    assert MESSAGE in told(cast.bob.email)[0]
    assert "works as before" in told(cast.bob.email)[0]
    assert "rejected the request" in told(cast.alice.email)[0]
    assert MESSAGE not in told(cast.alice.email)[0]
    request.refresh_from_db()
    assert (request.outcome, request.handled_by, request.answer) == ("rejected", "Sam", MESSAGE)
    assert cast.bob.authenticators.exists()
    assert Activity.objects.get(act=Act.RESET_REJECTED).reason == MESSAGE
    help_page = signed_in(cast.bob).get("/authenticator/help/").content.decode()
    assert "did not disable your authenticator" in help_page
    assert MESSAGE in help_page


def test_a_rejection_of_somebody_blocked_says_that_it_stays_so(
    cast: Cast, django_capture_on_commit_callbacks: object
) -> None:
    ask(cast.bob, phone_gone=True)
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        support.reject(cast.bob, sams(cast), MESSAGE)
    assert "stays blocked" in told(cast.bob.email)[-1]
    assert cast.bob.authenticators.get().blocked_at


def test_somebody_who_was_rejected_can_ask_again(cast: Cast) -> None:
    ask(cast.bob)
    support.reject(cast.bob, sams(cast), MESSAGE)
    again = ask(cast.bob, "Please")
    page = unlocked(cast.sam).get(f"{REQUESTS}{again.pk}/change/").content.decode()
    assert "Rejected Sam" in page
    assert MESSAGE in page


def test_rejecting_takes_a_message_and_an_open_request(cast: Cast) -> None:
    ask(cast.bob)
    page = unlocked(cast.sam).post(f"{PEOPLE}reject/", {"people": cast.bob.pk, "message": " "}).content.decode()
    assert "Write what the person should know." in page
    with pytest.raises(NotAllowed, match="Write what"):
        support.reject(cast.bob, sams(cast), " ")
    with pytest.raises(NotAllowed, match="No request"):
        support.reject(cast.alice, sams(cast), MESSAGE)
    assert ResetRequest.objects.get().handled_at is None


# Lifting a wait


def test_a_lifted_wait_lets_the_next_code_in_and_forgets_no_wrong_one(
    cast: Cast, django_capture_on_commit_callbacks: object
) -> None:
    client, sam = unlocked(cast.bob), unlocked(cast.sam)
    client.post("/authenticator/end/")
    fail(client, cast.bob, 10)
    forget_last_step(cast.bob)
    assert client.post("/authenticator/", {"code": code_of(cast.bob)}).status_code == 429
    mail.outbox.clear()
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        page = sam.post(LIFT, {"people": cast.bob.pk, "reason": REASON}, follow=True).content.decode()
    assert "Lifted the wait of Bob" in page
    assert REASON in told(cast.bob.email)[0]
    assert "lifted the wait" in told(cast.alice.email)[0]
    assert Activity.objects.get(act=Act.WAIT_LIFTED).reason == REASON
    assert client.post("/authenticator/", {"code": code_of(cast.bob)}).status_code == 302
    fail(client, cast.bob, authenticators.BLOCKED_AFTER - 10 - 1)
    assert cast.bob.authenticators.get().blocked_at is None
    fail(client, cast.bob, 1)
    assert cast.bob.authenticators.get().blocked_at is not None, "the ten before still count"


def test_no_wait_of_somebody_blocked_is_lifted(cast: Cast) -> None:
    client, sam = unlocked(cast.bob), unlocked(cast.sam)
    fail(client, cast.bob, authenticators.BLOCKED_AFTER)
    page = sam.post(LIFT, {"people": cast.bob.pk, "reason": REASON}).content.decode()
    assert "only disabling it opens the way again" in page
    assert cast.bob.authenticators.get().throttling_failure_count == authenticators.BLOCKED_AFTER


def test_lifting_takes_a_reason_and_a_wait(cast: Cast) -> None:
    client = unlocked(cast.bob)
    with pytest.raises(NotAllowed, match="No wait"):
        authenticators.lift_wait(cast.bob, sams(cast), REASON)
    fail(client, cast.bob, 9)
    with pytest.raises(NotAllowed, match="Say why"):
        authenticators.lift_wait(cast.bob, sams(cast), " ")
    assert cast.bob.authenticators.get().throttling_failure_count == 9


# For all of it


@pytest.mark.parametrize("name", ["disable", "reject", "lift-wait"])
def test_never_for_oneself(cast: Cast, name: str) -> None:
    sam = unlocked(cast.sam)
    ask(cast.sam)
    Authenticator.objects.filter(user=cast.sam).update(
        throttling_failure_count=9, throttling_failure_timestamp=timezone.now()
    )
    page = sam.get(f"{PEOPLE}{name}/?people={cast.sam.pk}").content.decode()
    assert "Ask a colleague in support." in page
    sam.post(f"{PEOPLE}{name}/", {"people": cast.sam.pk, **TYPED[name]})
    assert cast.sam.authenticators.get().throttling_failure_count == 9
    assert cast.sam.reset_requests.get().handled_at is None
    for act, typed in (
        (authenticators.disable, TYPED["disable"]),
        (support.reject, TYPED["reject"]),
        (authenticators.lift_wait, TYPED["lift-wait"]),
    ):
        with pytest.raises(NotAllowed, match="Ask a colleague"):
            act(cast.sam, sams(cast), **typed)


@pytest.mark.parametrize("name", ["disable", "reject", "lift-wait"])
def test_never_without_the_right(cast: Cast, name: str) -> None:
    ask(cast.bob)
    newcomer = make_person("newcomer")
    User.objects.filter(pk=newcomer.pk).update(is_staff=True)
    client = unlocked(newcomer)
    assert client.get(f"{PEOPLE}{name}/?people={cast.bob.pk}").status_code == 403
    assert client.post(f"{PEOPLE}{name}/", {"people": cast.bob.pk, **TYPED[name]}).status_code == 403
    for act, typed in (
        (authenticators.disable, TYPED["disable"]),
        (support.reject, TYPED["reject"]),
        (authenticators.lift_wait, TYPED["lift-wait"]),
    ):
        with pytest.raises(NotAllowed, match="You may not"):
            act(cast.bob, Actor(cast.alice), **typed)
    assert cast.bob.authenticators.exists()


def test_several_at_once_and_who_is_left_out_is_said(cast: Cast) -> None:
    requests = [ask(person) for person in (cast.alice, cast.bob)]
    sam = unlocked(cast.sam)
    page = sam.post(
        REQUESTS, {"action": "reject_requests", "_selected_action": [r.pk for r in requests]}, follow=True
    ).content.decode()
    assert "Reject 2 requests" in page
    people = f"{cast.alice.pk},{cast.bob.pk},{cast.charlie.pk}"
    assert (
        "<strong>Charlie</strong> No request is open." in sam.get(f"{PEOPLE}reject/?people={people}").content.decode()
    )
    sam.post(f"{PEOPLE}reject/", {"people": people, "message": MESSAGE})
    assert ResetRequest.objects.filter(outcome="rejected").count() == 2


def test_a_colleague_who_was_quicker_is_no_error(cast: Cast) -> None:
    unlocked(cast.bob), unlocked(cast.alice)
    sam = unlocked(cast.sam)

    def colleague(sender: object, instance: Authenticator, **kwargs: object) -> None:
        if instance.user_id == cast.alice.pk:
            Authenticator.objects.filter(user=cast.bob).delete()

    people = f"{cast.alice.pk},{cast.bob.pk}"
    post_delete.connect(colleague, sender=Authenticator)
    try:
        page = sam.post(f"{PEOPLE}disable/", {"people": people, **TYPED["disable"]}, follow=True).content.decode()
    finally:
        post_delete.disconnect(colleague, sender=Authenticator)
    assert "Bob: No authenticator is set up." in page
    assert "Disabled the authenticator of Alice." in page


def test_everybody_concerned_hears_that_it_was_disabled(cast: Cast, django_capture_on_commit_callbacks: object) -> None:
    ask(cast.bob)
    mail.outbox.clear()
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        authenticators.disable(cast.bob, sams(cast), REASON, CHECK)
    assert REASON in told(cast.bob.email)[0]
    assert "Support disabled the authenticator of Bob" in told(cast.alice.email)[0]
    assert CHECK not in "".join(told(cast.bob.email) + told(cast.alice.email)), "how is support's own business"
    assert {address for message in mail.outbox for address in message.to} == {cast.bob.email, cast.alice.email}


def test_the_queue_shows_what_support_decides_by(cast: Cast) -> None:
    request = ask(cast.bob, "It fell into the river.", phone_gone=True)
    sam = unlocked(cast.sam)
    queue = sam.get(REQUESTS).content.decode()
    for words in ("Bob", "Calc: Business Engineer", "It fell into the river.", "since"):
        assert words in queue
    page = sam.get(f"{REQUESTS}{request.pk}/change/").content.decode()
    for words in ("because the phone is gone", "disable/?people=", "reject/?people="):
        assert words in page
    assert "lift-wait/?people=" not in page, "blocked ones wait for nothing"


def test_it_counts_who_disabled_how_many_in_30_and_90_days(cast: Cast) -> None:
    tina = make_person("tina")
    User.objects.filter(pk=tina.pk).update(is_superuser=True)
    tina.refresh_from_db()
    now = timezone.now()
    for days, by in ((100, cast.sam), (60, cast.sam), (60, tina), (10, cast.sam), (0, cast.sam)):
        with time_machine.travel(now - timedelta(days=days), tick=False):
            unlocked(cast.bob)
            authenticators.disable(cast.bob, Actor(by, via="admin"), REASON, CHECK)
    assert [(each.name, each.month, each.quarter) for each in support.disabled_by_staff(now)] == [
        ("Sam", 2, 3),
        ("Tina", 0, 1),
    ]
    page = unlocked(cast.sam).get(REQUESTS).content.decode()
    assert "<td>Sam</td><td>2</td><td>3</td>" in page
