"""The portal's own backup and the way back from it; the commands `backup_portal` and `restore_portal` drive it.

docs/disaster.md says what is kept, what is not, and how to practise.
"""


class NotDone(Exception):
    """The operator's wish can't be carried out, and nothing was changed; the message says why and what to do."""
