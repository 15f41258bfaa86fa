"""The tag of an environment: a word that a team's programs leave there and find again."""

from django.db import transaction

from accounts.activity import record
from accounts.actor import Actor
from accounts.acts import Act
from deployments.rights import permitted
from environments.models import Environment

LONGEST_TAG = 100  # characters; Environment.tag


@transaction.atomic
def set_tag(environment: Environment, by: Actor, word: str) -> None:
    """Give an environment another tag, or none. Raises NotPermitted."""
    current = permitted(environment, by)
    before, environment.tag = current.tag, word
    if before == word:
        return
    Environment.objects.filter(pk=current.pk).update(tag=word)
    was, now = before or None, word or None
    record(Act.ENVIRONMENT_TAGGED, by, current.name, app=current.app, environment=current, before=was, after=now)
