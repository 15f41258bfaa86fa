"""Why a code is asked for, in words, sealed into the code page's address next to where it leads on to."""

from django.core.signing import BadSignature, Signer


def seal(words: str, target: str) -> str:
    return _signer(target).sign(words)


def read(sealed: str, target: str) -> str:
    """Give the words that were sealed for this target; nothing when somebody else wrote them or moved them."""
    try:
        return _signer(target).unsign(sealed)
    except BadSignature:
        return ""


def _signer(target: str) -> Signer:
    # SECURITY: a link with words of its maker's choice would make a page of ours say why to enter a code
    return Signer(salt=f"purpose:{target}")
