"""Computes the codes that a person's phone would show; the verifier is never touched."""

import time

from django_otp.oath import hotp

from accounts import secrets
from accounts.models import Authenticator, User


def secret_of(user: User) -> bytes:
    return bytes.fromhex(secrets.decrypt(Authenticator.objects.get(user=user).secret))


def code_of(user: User, steps: int = 0, at: float | None = None) -> str:
    """The six digits of this person's authenticator at a time (now), or some steps of 30 s off."""
    return code_for(secret_of(user), steps, at)


def code_for(secret: bytes, steps: int = 0, at: float | None = None) -> str:
    now = int(time.time() if at is None else at)
    return f"{hotp(secret, now // 30 + steps):06d}"


def wrong_code(user: User) -> str:
    """Six digits that are right neither now nor one step either side."""
    right = {code_of(user, steps) for steps in (-2, -1, 0, 1, 2)}
    return next(code for code in (f"{n:06d}" for n in range(10)) if code not in right)
