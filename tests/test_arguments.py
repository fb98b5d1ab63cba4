"""Values in Hydra's grammar: what is written is read again as it was."""

import json
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from gainkt.arguments import hydra_text, quote_text

PARSER = OverridesParser.create()


def read(text: str) -> Any:
    return PARSER.parse_override(f"key={text}").value()


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        -1.5,
        1e-05,
        "",
        "null",
        "True",
        "nan",
        "1",
        "1e5",
        "a b",
        "it's",
        "C:\\data\\",
        "a\\'b",
        '"',
        "sí",
        "a,b",
        ".5",
        "..",
        ".a",
        {"a-b": {"c.d": ["e"], "f/g": 1}},
        "[a]",
        ["a", "b c", "1", None],
        {"a": {"b": [1, "x,y"]}},
    ],
    ids=repr,
)
def test_a_value_is_read_as_it_was_written(value: Any) -> None:
    assert _plain(read(hydra_text(value))) == value


def _plain(found: Any) -> Any:
    """Parsed lists and mappings, whose texts are objects with their quotes."""
    if isinstance(found, list):
        return [_plain(one) for one in found]
    if isinstance(found, dict):
        return {str(key): _plain(one) for key, one in found.items()}
    return getattr(found, "text", found)


@pytest.mark.parametrize(
    "word",
    ["yes", "not yet", "1", "0", "sí", "1,0", "0.50", "001", "1e5", "1_0", "true", "null", "a:b", "it's", '"', ""],
)
def test_a_word_of_a_mapping_stays_the_word(word: str) -> None:
    found = read(hydra_text({word: 1, "b": None}))
    meanings = json.loads(found) if isinstance(found, str) else _plain(found)
    assert meanings == {word: 1, "b": None}


def test_a_mapping_on_the_command_line_is_the_one_that_is_written() -> None:
    for said in ("{sí: 1}", "{'sí': 1}", '{"sí": 1}'):
        assert quote_text([f"dataset.read.responses={said}"]) == [f"dataset.read.responses={hydra_text({'sí': 1})}"]
