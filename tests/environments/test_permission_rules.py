"""The node permissions as pure rules, held against the contract's sentences written down once more."""

from hypothesis import given
from hypothesis import strategies as st

from environments.permissions import Permission, Standing, allowed, by_default, may_change

SETTINGS = st.dictionaries(st.sampled_from(Permission), st.booleans())
STANDINGS = st.builds(
    Standing, is_technical_contact=st.booleans(), deploys=st.booleans(), carries_team=st.booleans(), settings=SETTINGS
)
PERMISSIONS = st.sampled_from(Permission)


def test_nothing_is_granted_at_the_start_but_api_rights_outside_production() -> None:
    at_start = {(p, production) for p in Permission for production in (True, False) if by_default(p, production)}
    assert at_start == {(Permission.API, False)}


@given(PERMISSIONS, STANDINGS, st.booleans())
def test_who_holds_what(permission: Permission, standing: Standing, production: bool) -> None:
    granted = standing.settings.get(permission, permission == "api" and not production)
    if not standing.deploys:
        expected = False
    elif standing.is_technical_contact and not (permission == "api" and production):
        expected = True
    else:
        expected = granted
    assert allowed(permission, standing, production) is expected


@given(PERMISSIONS, STANDINGS, st.booleans(), st.booleans(), st.booleans())
def test_who_changes_what(p: Permission, standing: Standing, production: bool, own: bool, contacts: bool) -> None:
    can = may_change(p, standing, production, own=own, contacts=contacts)
    if not standing.deploys:
        assert not can
    elif contacts:
        assert can == (p == "api" and production and standing.is_technical_contact)
    elif standing.is_technical_contact:
        assert can
    elif p == "manage" or (p == "api" and production):
        assert not can
    elif own:
        assert can == (p == "alerts")
    else:
        assert can == standing.settings.get(Permission.MANAGE, False)
