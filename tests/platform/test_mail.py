"""Letters: the same in both languages, filled in whole, and sent as written."""

from __future__ import annotations

import json
import urllib.request

import pytest

from chalicelib.platform import mail


def test_both_languages_have_the_same_letters_that_ask_for_the_same_values():
    chinese, english = (mail.letters(language) for language in ("zh_CN", "en"))
    assert set(chinese) == set(english)
    for name, letter in english.items():
        assert set(letter) == {"subject", "text"} == set(chinese[name])
        values = {
            key: mail.names_in(letter["subject"]) | mail.names_in(letter["text"])
            for key, letter in (("en", letter), ("zh", chinese[name]))
        }
        assert values["en"] == values["zh"], name


def test_a_letter_is_filled_in_and_its_subject_stays_one_line():
    values = {"code": "012345", "minutes": "15", "organisation": "Bank\r\nBcc: everybody@example.com {code}"}
    letter = mail.letter("verification", "en", **values)
    assert "012345" in letter.subject
    invited = mail.letter("invited", "en", organisation=values["organisation"], role="auditor", url="https://x")
    assert "\n" not in invited.subject and "{code}" in invited.subject, "a value is not filled in itself"


def test_a_value_that_is_missing_is_an_error_and_not_a_hole_in_the_text():
    with pytest.raises(KeyError):
        mail.letter("verification", "en", code="012345")


def test_what_is_sent_arrives_as_it_was_written(aws: None, ministack_port: int):
    letter = mail.letter("verification", "zh_CN", code="987654", minutes="15", organisation="海港银行")
    mail.send("owner@mail-test.example", letter.subject, letter.text)
    with urllib.request.urlopen(f"http://127.0.0.1:{ministack_port}/_ministack/ses/messages") as answer:
        inbox = json.dumps(json.load(answer), ensure_ascii=False)
    assert "owner@mail-test.example" in inbox
    assert letter.subject in inbox and "987654 是 海港银行" in inbox
