"""Text from files is safe to print on a terminal, in any encoding."""

import io
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.text import byte_size, did_you_mean, echo, listed, printable, printable_lines, shown

any_text = st.text(st.characters(exclude_categories=()))  # halves of surrogate pairs too


def test_of_many_names_the_first_are_listed():
    assert listed(["a", "b\x1b"]) == r"a, b\x1b"
    assert listed(map(str, range(1200)), 3) == "0, 1, 2 and 1,197 more"
    assert listed([]) == ""


def test_the_nearest_name_is_asked_for():
    assert did_you_mean("trian", ["data", "train"]) == "; did you mean 'train'?"
    assert did_you_mean("xyz", ["data", "train"]) == did_you_mean("trian", ["train"], 0.9) == ""


class TestPrintable:
    @pytest.mark.parametrize(
        ("text", "safe"),
        [
            ("T-shirt", "T-shirt"),
            ("Ärmel 靴 × − ½", "Ärmel 靴 × − ½"),
            ("می‌خواهم", "می‌خواهم"),  # with a joiner, which the spelling needs
            ("👩‍🔬", "👩‍🔬"),
            ("\x1b[2Jcat", r"\x1b[2Jcat"),
            ("x\ny\tz\r", r"x\ny\tz\r"),
            ("\x9b31m\x7f", r"\x9b31m\x7f"),
            ("a\u2028b\u202egnp.exe\u2066", r"a\u2028b\u202egnp.exe\u2066"),
            ("\ud800 b\udfff", r"\ud800 b\udfff"),
            (r"C:\new", r"C:\new"),
        ],
    )
    def test_only_control_characters_are_escaped(self, text, safe):
        assert printable(text) == safe

    @given(any_text)
    def test_any_text_becomes_one_line_that_every_encoder_takes(self, text):
        safe = printable(text)
        assert len(safe.splitlines()) <= 1
        assert {unicodedata.category(c) for c in safe}.isdisjoint({"Cc", "Cs", "Zl", "Zp"})
        safe.encode("utf-8")
        assert printable(safe) == safe

    def test_lines_stay_lines(self):
        assert printable_lines("a\n\x1bb\n") == "a\n\\x1bb\n"


class TestShown:
    def test_it_is_the_repr(self):
        assert shown("cat\n") == "'cat\\n'"
        assert shown((3, 4.5)) == "(3, 4.5)"

    def test_it_is_short_and_never_an_error(self):
        endless = []
        endless.append(endless)
        deep = []
        for _ in range(10_000):
            deep = [deep]
        assert len(shown("x" * 10**6)) < 300
        assert shown(10**5000) == "<int too large to print>"
        for value in (endless, deep):
            assert len(shown(value)) < 300


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (3 << 29, "1.5 GiB"),
        (1 << 70, "1,073,741,824.0 TiB"),
    ],
)
def test_bytes_are_read_by_people(size, text):
    assert byte_size(size) == text


class TestEcho:
    @pytest.mark.parametrize(
        ("encoding", "printed"),
        [
            ("ascii", "28 ? 28 ? caf? \\x1b"),
            ("latin-1", "28 × 28 ? café \\x1b"),
            ("cp437", "28 ? 28 ? café \\x1b"),
            ("utf-8", "28 × 28 − café \\x1b"),
            ("utf-16", "28 × 28 − café \\x1b"),
        ],
    )
    def test_characters_that_an_encoding_lacks_are_replaced(self, encoding, printed):
        buffer = io.BytesIO()
        file = io.TextIOWrapper(buffer, encoding)
        echo("28 × 28 − café \x1b", file)
        file.flush()
        assert buffer.getvalue().decode(encoding) == f"{printed}\n"

    def test_a_file_without_an_encoding_gets_all_text(self):
        file = io.StringIO()
        echo("28 × 28", file)
        assert file.getvalue() == "28 × 28\n"

    def test_without_stdout_nothing_is_printed(self, monkeypatch):
        monkeypatch.setattr(sys, "stdout", None)
        echo("28 × 28")
