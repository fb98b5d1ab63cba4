"""Names are data: of runs, students, skills, items and settings, made safe for each medium that shows them.

A name may hold whatever a file or a command line can. In the tables on disk it stands as it is, but for the joined
names of a step's skills; what is shown goes through one function a medium: `visible` and `printed` for the terminal,
`pictured` for matplotlib, `markdown` and `code` for reports, `file_name` and `require_folder` for paths.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable

from gainkt.errors import ConfigError

LONGEST = 80
"""Characters of a name that are shown."""
LONGEST_FILE = 120
"""Bytes of a file's name that come from a name; systems allow 255 in all."""
LONGEST_FOLDER = 200
"""Bytes of a folder's name; the same."""
UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode's categories of what acts on a terminal or a text instead of being seen in it."""
JOINERS = "\u200c\u200d"
"""Of that, what joins letters and emoji."""


def printed(text: str) -> str:
    r"""Return text with every character that acts on a terminal written out (`\\x1b`); line ends stay."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return "".join(
        c if c == "\n" or c in JOINERS or unicodedata.category(c) not in UNSEEN else ascii(c)[1:-1] for c in text
    )


def visible(name: object, longest: int = LONGEST) -> str:
    """Return a name as one line of at most `longest` characters; `''` where nothing of it would be seen."""
    text = printed(str(name)).replace("\n", "\\n")
    text = text if len(text) <= longest else f"{text[: longest - 1]}…"
    return text if text.strip() else repr(text)


def pictured(name: object, longest: int = LONGEST) -> str:
    """Return a name as matplotlib draws it: `$` begins no formula, and a leading `_` hides it from no legend."""
    text = visible(name, longest).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def markdown(text: object) -> str:
    """Return text as Markdown shows it: no markup, no HTML, no formula, no end of a cell or a line."""
    shown = printed(str(text)).replace("\n", " ")
    shown = re.sub(r"[\\`*~|$]", r"\\\g<0>", shown).replace("&", "&amp;").replace("<", "&lt;")
    shown = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", shown)
    return re.sub(r"\](?=[(\[:])", r"\\]", shown)


def code(name: object) -> str:
    """Return a name as a span of code in Markdown."""
    return f"`{visible(name).replace('`', chr(39)).replace('|', '¦')}`"


def file_name(name: str) -> str:
    """Return a name as part of a file's name: no separators, nothing unseen; what is changed ends with a digest."""
    text = re.sub(r"[/\\\n]", "_", printed(name)).encode(errors="replace")[:LONGEST_FILE].decode(errors="ignore")
    digest = hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=3).hexdigest()
    return text if text == name else f"{text}-{digest}"


def require_folder(name: str, key: str) -> str:
    """Return a name that becomes a folder: `v4_belief`, or `mine/v4_belief` for a folder in a folder.

    Raises:
        ConfigError: it would lie elsewhere, or can be no folder's name.
    """
    parts = name.split("/")
    fault = None
    if any(part in ("", ".", "..") or part != part.strip() for part in parts):
        fault = "would not be a folder of its own inside of its place"
    elif printed(name) != name or "\n" in name:
        fault = "holds characters that cannot be seen"
    elif max(len(part.encode(errors="surrogatepass")) for part in parts) > LONGEST_FOLDER:
        fault = f"is longer than {LONGEST_FOLDER} bytes"
    if fault:
        raise ConfigError(f"{key}={visible(name)}: {fault}; give a name that can be a folder's")
    return name


def joined(names: Iterable[str]) -> str:
    r"""Return names joined by ";"; a ";" or "\" within one is escaped by a "\"."""
    return ";".join(map(escaped, names))


def escaped(name: str) -> str:
    r"""Return a name as it stands among joined ones: ";" as "\;" and "\" as "\\"."""
    return name if ";" not in name and "\\" not in name else re.sub(r"[;\\]", r"\\\g<0>", str(name))


def unjoined(names: str) -> list[str]:
    """Take joined names apart."""
    if "\\" not in names:
        return names.split(";")
    found = [""]
    for piece in re.findall(r"\\.|[^\\]|\\$", names, re.S):
        if piece == ";":
            found.append("")
        else:
            found[-1] += piece[1:] if len(piece) == 2 else piece
    return found


SEVERAL = r"(?<!\\)(?:\\\\)*;"
"""Pattern of what joined names hold where there are several."""
