"""Letters: the same in both languages, filled in whole, and sent as written."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from chalicelib.platform import mail
from infra.demo.mailbox import mails_to


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
    letter = mail.letter("verification", "en", code="012345", minutes="15")
    assert "012345" in letter.subject
    organisation = "Bank\r\nBcc: everybody@example.com {code}"
    invited = mail.letter("invited", "en", organisation=organisation, role="auditor", url="https://x")
    assert "\n" not in invited.subject and "{code}" in invited.subject, "a value is not filled in itself"


def test_a_value_that_is_missing_is_an_error_and_not_a_hole_in_the_text():
    with pytest.raises(KeyError):
        mail.letter("verification", "en", code="012345")


def test_the_mail_to_a_mailbox_that_is_not_proved_holds_nothing_that_an_applicant_wrote():
    for language in mail.LANGUAGES:
        letter = mail.letters(language)["verification"]
        assert mail.names_in(letter["subject"]) | mail.names_in(letter["text"]) == {"code", "minutes"}


def test_what_is_sent_arrives_as_it_was_written(aws: None, ministack_port: int):
    letter = mail.letter("verification", "zh_CN", code="987654", minutes="15")
    mail.send("owner@mail-test.example", letter.subject, letter.text)
    (received,) = mails_to(f"http://127.0.0.1:{ministack_port}", "owner@mail-test.example")
    assert received.subject == letter.subject
    assert received.text.startswith("987654 是您在 Duebridge")


def refusing(code: str, sent: list[str]):
    """A sender whose second address SES does not take, for the reason that it names."""

    def send(to: str, subject: str, text: str) -> None:
        if to == "b@bank.example":
            raise ClientError({"Error": {"Code": code, "Message": f"{to} is refused"}}, "SendEmail")
        sent.append(to)

    return send


ADDRESSES = ["a@bank.example", "b@bank.example", "c@bank.example"]


@pytest.mark.parametrize("code", ["MessageRejected", "BadRequestException"])
def test_an_address_that_is_refused_for_good_keeps_nobody_elses_letter_back(monkeypatch, caplog, code):
    sent: list[str] = []
    monkeypatch.setattr(mail, "send", refusing(code, sent))
    mail.send_to_all(ADDRESSES, mail.Letter("subject", "text"), tenant_id="ten_1")
    assert sent == ["a@bank.example", "c@bank.example"]
    (told,) = caplog.records
    assert told.tenant_id == "ten_1" and "b@bank.example" not in str(vars(told))


@pytest.mark.parametrize("code", ["TooManyRequestsException", "SendingPausedException", "AccessDeniedException"])
def test_a_letter_that_may_be_sent_later_is_an_error_now(monkeypatch, code):
    monkeypatch.setattr(mail, "send", refusing(code, []))
    with pytest.raises(ClientError):
        mail.send_to_all(ADDRESSES, mail.Letter("subject", "text"))
