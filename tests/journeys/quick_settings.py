"""The portal's settings, with passwords that cost little to check; everything else is as an operator has it."""

from portal.settings import *  # noqa: F403

PASSWORD_HASHERS = ["tests.hashers.QuickArgon2"]
