"""Calls on the tag of an environment: a word that the portal keeps for a team and makes nothing of."""

from typing import Any

from accounts.actor import Actor
from deployments.api.answers import TEXT, an_object
from deployments.api.calls import body_of, call, text_of
from deployments.tags import LONGEST_TAG, set_tag
from environments.api_access import ApiRequest
from environments.api_errors import ApiRefused, Code
from environments.models import Environment
from environments.permissions import Permission

TAG = an_object(Tag=TEXT)
TAG_BODY = {
    "type": "object",
    "properties": {"Tag": {"type": "string", "pattern": r"^[^\s\x00]([^\x00]*[^\s\x00])?$", "maxLength": LONGEST_TAG}},
    "required": ["Tag"],
}


@call("The tag of an environment", TAG, Code.NOT_FOUND)
def tag(request: ApiRequest) -> dict[str, Any]:
    return {"Tag": _tag(request.environment)}


@call(
    "Give an environment a tag, in place of the one it has",
    TAG,
    permission=Permission.TRANSPORT,
    changes=True,
    body=TAG_BODY,
    example={"Tag": "release-2026-12"},
)
def change_tag(request: ApiRequest) -> dict[str, Any]:
    word = text_of(body_of(request), "Tag", LONGEST_TAG)
    set_tag(request.environment, Actor.of(request), word)
    return {"Tag": word}


@call("Take its tag from an environment", TAG, Code.NOT_FOUND, permission=Permission.TRANSPORT, changes=True)
def delete_tag(request: ApiRequest) -> dict[str, Any]:
    gone = _tag(request.environment)
    set_tag(request.environment, Actor.of(request), "")
    return {"Tag": gone}


def _tag(environment: Environment) -> str:
    if not environment.tag:
        raise ApiRefused(Code.NOT_FOUND, f"{environment.name} has no tag.")
    return environment.tag
