"""Passwords and tokens are masked in what is printed, logged and kept of a command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "***"
SECRET = r"(?:api_?key|access_?key|secret(?:_?key)?|passwd|password|token|credentials?)"
_URL = re.compile(r"(://[^\s:/@'\"]*:)[^\s'\"]*@")
_SETTING = re.compile(rf"(?i)(?<![a-z])({SECRET}['\"]?(?:=|:(?=\S)|(?<=['\"]):\s*))('[^']*'|\"[^\"]*\"|[^\s,&}}'\"]+)")
_KEY = re.compile(rf"(?i)(?:^|.*[^a-z]){SECRET}")


def masked(text: str) -> str:
    """Return text without the passwords of URLs (`postgresql://user:***@host/db`) and secrets (`api_key=***`)."""
    return _SETTING.sub(rf"\g<1>{MASK}", _URL.sub(rf"\g<1>{MASK}@", text))


def masked_content(content: Any, key: str = "") -> Any:
    """Return plain config content in the same way; a value whose key says that it is secret is masked whole."""
    if isinstance(content, Mapping):
        return {name: masked_content(value, str(name)) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [masked_content(value, key) for value in content]
    if content is not None and not isinstance(content, bool) and _KEY.fullmatch(key):
        return MASK
    return masked(content) if isinstance(content, str) else content
