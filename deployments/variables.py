"""Names and values of environment variables: what an app may be given besides what the portal sets itself."""

import re
from enum import StrEnum

NAME = re.compile(r"[A-Z_][A-Z0-9_]*", re.ASCII)
MAX_NAME_LENGTH = 100
MAX_VALUE_LENGTH = 10_000

SET_BY_PORTAL = frozenset({"PORT", "DATA_DIR", "DATABASE_URL"})
# SECURITY: names that make a program load other code, or look for programs, libraries and hosts elsewhere.
RESERVED_TEXT = """
    _ PATH HOME USER LOGNAME SHELL PWD OLDPWD TMPDIR TMP TEMP IFS ENV BASH_ENV BASHOPTS SHELLOPTS PS4 CDPATH
    PROMPT_COMMAND GLOBIGNORE HOSTALIASES LOCALDOMAIN RES_OPTIONS RESOLV_HOST_CONF LOCPATH NLSPATH GCONV_PATH
    GETCONF_DIR NODE_OPTIONS NODE_PATH PERL5LIB PERL5OPT PERL5DB PERLLIB RUBYOPT RUBYLIB CLASSPATH
    JAVA_TOOL_OPTIONS JDK_JAVA_OPTIONS _JAVA_OPTIONS PHPRC PHP_INI_SCAN_DIR OPENSSL_CONF OPENSSL_MODULES
"""
RESERVED = frozenset(RESERVED_TEXT.split())
RESERVED_PREFIXES = ("LD_", "DYLD_", "GLIBC_", "MALLOC_", "PYTHON", "BASH_FUNC_", "PORTAL_", "SUPERVISOR_")


class ValueType(StrEnum):
    """What a constant holds; `secret` is text that is masked and stored encrypted."""

    STRING = "string"
    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    SECRET = "secret"  # noqa: S105 (the name of a type)


VALUE_PATTERNS = {
    ValueType.INTEGER: (re.compile(r"-?[0-9]{1,18}"), "a whole number, such as 25"),
    ValueType.DECIMAL: (re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?"), "a number, such as 2.5"),
    ValueType.BOOLEAN: (re.compile("true|false"), "true or false"),
}


def name_problem(name: str) -> str | None:
    """Why no variable may have this name, as a sentence; None when it may."""
    if len(name) > MAX_NAME_LENGTH:
        return f"The name is longer than {MAX_NAME_LENGTH} characters."
    if not NAME.fullmatch(name):
        return "The name may have capital letters A to Z, digits and underscores only, and begins with no digit."
    if name in SET_BY_PORTAL:
        return f"{name} is set by the portal."
    if name in RESERVED or name.startswith(RESERVED_PREFIXES):
        return f"{name} is reserved, because it changes how programs are found or loaded."
    return None


def value_problem(kind: ValueType, value: str) -> str | None:
    """Why this text is no value of that type, as a sentence; None when it is one."""
    if len(value) > MAX_VALUE_LENGTH:
        return f"The value is longer than {MAX_VALUE_LENGTH:,} characters."
    if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
        return "The value has a character that no variable can hold."
    if kind in VALUE_PATTERNS:
        pattern, example = VALUE_PATTERNS[kind]
        if not pattern.fullmatch(value):
            return f"The value must be {example}."
    return None
