"""The check that lists every place sees what is in each, and sees that each is empty after an erasure."""

from __future__ import annotations

import boto3
import pytest

from chalicelib.leaving.residue import residue
from chalicelib.platform.errors import NotFound
from chalicelib.platform.ids import new_id
from chalicelib.platform.settings import settings
from chalicelib.tenancy import find_tenant
from infra.residue import everywhere, main
from tests.leaving.departing import departing, erase_with_billing, versioned_bucket


@pytest.fixture(autouse=True)
def _versions(aws: None):
    with versioned_bucket():
        yield


def test_it_is_blind_in_no_place() -> None:
    tenant_id = departing()
    assert [place.where for place in everywhere(tenant_id) if place.found == 0] == [
        "system_backups",
        "mentions in billing-events",
    ]


def test_after_the_erasure_every_place_is_empty() -> None:
    tenant_id = departing()
    before = [place.where for place in everywhere(tenant_id)]
    erase_with_billing(tenant_id)
    after = everywhere(tenant_id)
    assert [place.where for place in after] == before
    assert [place for place in after if place.found] == []


def test_it_counts_what_is_there() -> None:
    found = {place.where: place.found for place in residue(departing())}
    assert found["objects"] == 5  # two versions, one more under a delete marker, and what provisioning put
    assert found["backups"] == 2
    assert found["table:cases"] == found["other_tables"] == found["key"] == found["uploads"] == found["exports"] == 1
    assert found["sign_in_users"] == found["stripe_customer"] == found["feed_mapping"] == 1


@pytest.mark.parametrize("part", ["another", "ten"])
def test_what_others_have_is_not_counted(part: str) -> None:
    tenant_id = departing()
    erase_with_billing(tenant_id)
    s3 = boto3.client("s3")
    s3.put_object(Bucket=settings().bucket, Key=f"{tenant_id if part == 'another' else 'ten'}-not/x", Body=b"")
    assert {place.found for place in residue(tenant_id)} == {0}


def test_a_sign_in_that_outlives_its_person_is_found_until_the_address_is_somebody_elses() -> None:
    tenant_id = departing()
    address = find_tenant(tenant_id).owner_email
    from chalicelib.leaving.erasure import erase

    erase(tenant_id)  # people are forgotten; it waits for billing
    boto3.client("cognito-idp").admin_create_user(UserPoolId=settings().user_pool_id, Username=address)
    found = {place.where: place.found for place in residue(tenant_id)}
    assert (found["people"], found["sign_in_users"]) == (0, 1)


def test_an_unknown_tenant_is_an_error(aws: None) -> None:
    with pytest.raises(NotFound):
        residue(new_id("ten"))


def test_the_command_prints_each_place_and_says_by_its_status_whether_anything_is_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.residue._become_a_function_of", lambda stage: None)
    tenant_id = departing()
    assert main([tenant_id, "--stage", "unit"]) == 1
    assert "       1  key\n" in capsys.readouterr().out
    erase_with_billing(tenant_id)
    assert main([tenant_id, "--stage", "unit"]) == 0
    assert "       0  key\n" in capsys.readouterr().out
