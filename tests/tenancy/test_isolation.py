"""IAM keeps every tenant to itself: all that a tenant's session may do is tried on another tenant, and refused."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from chalicelib.platform.aws import client, client_of
from chalicelib.platform.ids import new_id
from chalicelib.platform.settings import settings
from chalicelib.platform.tenant import DATA_KEY, INDEX_KEY, Tenant, encryption_context
from chalicelib.tenancy import open_tenant
from chalicelib.tenancy.credentials import MAX_SESSION_POLICY, Purpose, session_policy
from infra.demo.acts import CHECK, IN_EXPORTS, own_acts, table_of
from infra.demo.forbidden import SHARED_TABLES, forbidden_acts
from infra.demo.isolation import ALLOWED, DENIED, PURPOSES, outcome_of, reach, try_to_reach
from infra.template import tenant_role_policy
from tests.conftest import BUCKET, STAGE, provisioned

KINDS = ("connector", "cases", "feed", "ledger")


def role_actions() -> set[str]:
    """Every action that the tenant role's own policy allows."""
    return actions_of(tenant_role_policy(stage=STAGE, bucket=BUCKET))


def actions_of(policy: dict[str, Any]) -> set[str]:
    found = [statement["Action"] for statement in policy["Statement"]]
    return {action for each in found for action in ([each] if isinstance(each, str) else each)}


def with_policy(tenant: Tenant, policy: dict[str, Any] | None) -> Tenant:
    """The tenant with a session of the tenant role under another session policy (None: under none)."""
    narrowed = {} if policy is None else {"Policy": json.dumps(policy)}
    given = client("sts").assume_role(RoleArn=settings().tenant_role_arn, RoleSessionName="test", **narrowed)
    return replace(
        tenant,
        session=boto3.Session(
            aws_access_key_id=given["Credentials"]["AccessKeyId"],
            aws_secret_access_key=given["Credentials"]["SecretAccessKey"],
            aws_session_token=given["Credentials"]["SessionToken"],
            region_name=settings().region,
        ),
    )


def without(policy: dict[str, Any], action: str) -> dict[str, Any]:
    """A policy without one of its actions."""
    kept = [
        {**statement, "Action": sorted(actions_of({"Statement": [statement]}) - {action})}
        for statement in policy["Statement"]
    ]
    return {**policy, "Statement": [statement for statement in kept if statement["Action"]]}


@pytest.fixture(scope="module")
def an_intruder(aws: None) -> Tenant:
    return provisioned("Meridian Credit")


def test_every_attempt_is_denied_with_either_kind_of_credentials(tenant, other_tenant) -> None:
    attempts = try_to_reach(other_tenant, tenant)

    assert [attempt for attempt in attempts if not attempt.denied] == []
    assert len({attempt.what for attempt in attempts}) == len(attempts) >= 400


def test_what_is_tried_leaves_nothing_behind(tenant, other_tenant) -> None:
    def everything() -> dict[str, int]:
        tables = {
            table_of(each, kind): boto3.client("dynamodb").scan(TableName=table_of(each, kind))["Count"]
            for each in (tenant, other_tenant)
            for kind in KINDS
        }
        objects = {
            each.id: boto3.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=each.id)["KeyCount"]
            for each in (tenant, other_tenant)
        }
        return tables | objects

    before = everything()
    reach(other_tenant, tenant, purpose="work")
    assert everything() == before


def test_every_action_that_the_tenant_role_may_do_is_tried_and_no_other_is_said_to_be(tenant) -> None:
    assert {act.action for act in own_acts(tenant)} == role_actions()


def test_what_only_an_export_may_do_is_what_its_session_has_beyond_everyday_work(tenant) -> None:
    only_exports = {act.action for act in own_acts(tenant) if act.may == IN_EXPORTS}
    policies = {purpose: session_policy(settings(), tenant.id, tenant.key_arn, purpose) for purpose in PURPOSES}

    assert actions_of(policies["export"]) - actions_of(policies["work"]) == only_exports == {"dynamodb:Scan"}
    assert actions_of(policies["export"]) == role_actions()


@pytest.mark.parametrize("action", sorted(role_actions()))
def test_each_act_needs_the_action_that_it_is_said_to_try(an_intruder, action: str) -> None:
    policy = session_policy(settings(), an_intruder.id, an_intruder.key_arn, "export")
    session = with_policy(an_intruder, without(policy, action))

    acts = [act for act in own_acts(session) if act.action == action]

    assert {act.what for act in acts if outcome_of(lambda act=act: act.do(session)) != DENIED} == set()
    assert acts


def test_each_act_would_succeed_if_the_session_were_not_narrowed_to_its_tenant(tenant, other_tenant) -> None:
    session = with_policy(other_tenant, None)

    outcomes = {act.what: outcome_of(lambda act=act: act.do(tenant)) for act in own_acts(session)}

    assert {what for what, outcome in outcomes.items() if outcome != ALLOWED} == set()


def test_the_tenant_role_itself_may_do_nothing_that_no_session_may(tenant) -> None:
    session = with_policy(tenant, None)

    # Within its tables and the bucket it takes the session policy to keep tenants apart.
    acts = [act for act in forbidden_acts(session) if act.action not in role_actions() or act.target in SHARED_TABLES]

    assert {act.what for act in acts if outcome_of(lambda act=act: act.do(tenant)) != DENIED} == set()


@pytest.mark.parametrize("purpose", PURPOSES)
def test_the_session_policy_fits_and_names_nothing_but_the_tenants_own(aws: None, purpose: Purpose) -> None:
    tenant_id, key = new_id("ten"), settings().arn("kms", "key/" + "0" * 36)

    policy = session_policy(settings(), tenant_id, key, purpose)

    assert len(json.dumps(policy, separators=(",", ":"))) < MAX_SESSION_POLICY * 0.75
    tables = settings().arn("dynamodb", f"table/{settings().tenant_table(tenant_id, '')}*")
    named = {statement["Resource"]: statement.get("Condition") for statement in policy["Statement"]}
    assert named == {
        tables: None,
        f"arn:aws:s3:::{BUCKET}/{tenant_id}/*": None,
        f"arn:aws:s3:::{BUCKET}": {"StringLike": {"s3:prefix": f"{tenant_id}/*"}},
        key: None,
    }
    assert {statement["Effect"] for statement in policy["Statement"]} == {"Allow"}


def test_a_call_that_is_refused_for_one_part_does_none_of_its_other_parts(tenant, other_tenant) -> None:
    dynamodb = client_of(other_tenant.session, "dynamodb")
    mine, theirs = table_of(other_tenant, "connector"), table_of(tenant, "connector")
    put = [{"PutRequest": {"Item": CHECK}}]

    assert outcome_of(lambda: dynamodb.batch_write_item(RequestItems={mine: put, theirs: put})) == DENIED
    puts = [{"Put": {"TableName": table, "Item": CHECK}} for table in (mine, theirs)]
    assert outcome_of(lambda: dynamodb.transact_write_items(TransactItems=puts)) == DENIED

    assert "Item" not in dynamodb.get_item(TableName=mine, Key=CHECK)


def test_a_stream_is_read_with_neither_a_real_name_nor_a_real_place_in_it(tenant, other_tenant) -> None:
    root, streams = boto3.client("dynamodbstreams"), client_of(other_tenant.session, "dynamodbstreams")
    for owner in (tenant, other_tenant):
        [stream] = root.list_streams(TableName=table_of(owner, "feed"))["Streams"]
        arn = stream["StreamArn"]
        shard = root.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
        place = {"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
        iterator = root.get_shard_iterator(**place)["ShardIterator"]

        assert outcome_of(lambda arn=arn: streams.describe_stream(StreamArn=arn)) == DENIED
        assert outcome_of(lambda place=place: streams.get_shard_iterator(**place)) == DENIED
        assert outcome_of(lambda iterator=iterator: streams.get_records(ShardIterator=iterator)) == DENIED


def test_a_key_that_climbs_out_of_the_tenants_prefix_is_a_key_within_it(tenant, other_tenant) -> None:
    s3 = other_tenant.s3
    climbing = other_tenant.object_key("..", tenant.id, "drop", ".keep")

    assert outcome_of(lambda: s3.get_object(Bucket=BUCKET, Key=climbing)) == "NoSuchKey"

    other_tenant.write_object(climbing, b"written by the intruder")
    assert tenant.read_object(tenant.object_key("drop", ".keep")) == b""
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{other_tenant.id}/../")["Contents"]
    assert [each["Key"] for each in listed] == [climbing]


def test_a_link_made_with_a_tenants_credentials_opens_nothing_of_anothers(tenant, other_tenant) -> None:
    def fetch(of: Tenant) -> int:
        place = {"Bucket": BUCKET, "Key": of.object_key("drop", ".keep")}
        link = other_tenant.s3.generate_presigned_url("get_object", Params=place, ExpiresIn=60)
        try:
            with urllib.request.urlopen(link, timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    assert (fetch(other_tenant), fetch(tenant)) == (200, 403)


@pytest.mark.parametrize("purpose", [DATA_KEY, INDEX_KEY])
def test_a_wrapped_key_is_unwrapped_for_its_own_tenant_and_purpose_only(tenant, other_tenant, purpose: str) -> None:
    kms = client_of(tenant.session, "kms")
    other_purpose = INDEX_KEY if purpose == DATA_KEY else DATA_KEY
    contexts = {
        "another tenant": encryption_context(other_tenant.id, purpose),
        "another purpose": encryption_context(tenant.id, other_purpose),
        "none": {},
    }
    for context in contexts.values():
        with pytest.raises(ClientError, match="InvalidCiphertextException"):
            kms.decrypt(CiphertextBlob=tenant.wrapped_keys[purpose], KeyId=tenant.key_arn, EncryptionContext=context)


def test_everyday_credentials_read_no_whole_table_and_an_exports_do(tenant) -> None:
    outcomes = {
        purpose: outcome_of(
            lambda purpose=purpose: client_of(open_tenant(tenant.id, purpose=purpose).session, "dynamodb").scan(
                TableName=table_of(tenant, "cases")
            )
        )
        for purpose in PURPOSES
    }

    assert outcomes == {"work": DENIED, "export": ALLOWED}


def test_an_attempt_that_fails_on_ones_own_or_is_let_through_is_not_counted_as_denied(tenant, other_tenant) -> None:
    as_everybody = with_policy(other_tenant, None)
    let_through = [attempt for attempt in reach(as_everybody, tenant, purpose="export") if not attempt.denied]
    assert {attempt.action for attempt in let_through} == role_actions()

    nothing_allowed = with_policy(
        other_tenant,
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iam:GetUser", "Resource": "*"}]},
    )
    attempts = reach(nothing_allowed, tenant, purpose="export")
    assert {attempt.action for attempt in attempts if not attempt.denied} == role_actions()
