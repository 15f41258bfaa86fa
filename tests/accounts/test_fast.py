"""What the second factor costs: the numbers that `make bench` prints, held (tests/bench/flow.py)."""

from django.db import connection
from django.test.utils import CaptureQueriesContext

from environments.models import Environment
from tests.bench.flow import MOST_FOR_A_CODE, MOST_QUERIES, MOST_REQUESTS, Asked, walk
from tests.cast import Cast, signed_in

PAGE = "/apps/calc/environments/production/"


def steps(cast: Cast) -> dict[str, Asked]:
    return {each.what: each for each in walk(cast.bob, PAGE)}


def test_the_way_from_a_password_to_production_is_short(cast: Cast) -> None:
    asked = steps(cast)
    assert [each.status for each in asked.values()] == [200, 302] * 3 + [302] + [200, 302] * 2 + [200]
    assert len(asked) <= MOST_REQUESTS
    costs = {what: len(each.queries) for what, each in asked.items()}
    assert sum(costs.values()) <= MOST_QUERIES, costs
    assert costs["code"] <= MOST_FOR_A_CODE
    assert costs["sign-in form"] == 0


def test_a_window_costs_a_guarded_page_two_queries_at_most(cast: Cast) -> None:
    guarded = steps(cast)["guarded page"]
    Environment.objects.update(is_production=False)
    client = signed_in(cast.bob)
    with CaptureQueriesContext(connection) as seen:
        assert client.get(PAGE).status_code == 200
    assert len(guarded.queries) <= len(seen) + 2
