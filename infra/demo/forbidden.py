"""What no tenant's session may do, not even to what is the tenant's own: read a stream, administer a table or a key,
see versions, touch a queue or what all tenants share, or become somebody else. Nothing here changes anything, should it
ever be let through."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from chalicelib.platform.aws import client_of
from chalicelib.platform.settings import QUEUES, settings
from chalicelib.platform.tenant import Tenant
from chalicelib.tenancy.credentials import session_policy
from infra.demo.acts import CHECK, NEVER, Act, table_of

SHARED_TABLES = ("tenants", "credentials", "billing-events", "limits")

_NEVER_HOLDS = "attribute_exists(pk) AND attribute_not_exists(pk)"


def forbidden_acts(intruder: Tenant) -> Iterator[Act]:
    """Everything that is tried with the intruder's session and that nobody's session may do."""
    for service, calls in (
        ("dynamodb", [*_streams(intruder), *_tables(intruder), *_shared_tables(intruder)]),
        ("s3", _objects(intruder)),
        ("kms", _keys(intruder)),
        ("sqs", _queues(intruder)),
        ("", _others(intruder)),
    ):
        for call, target, do in calls:
            action = f"{service}:{call}" if service else call
            yield Act(call.partition(":")[2] or call, target, action, do, NEVER)


_Calls = Iterator[tuple[str, str, Callable[[Tenant], Any]]]


def _streams(intruder: Tenant) -> _Calls:
    """A feed's stream, by an ARN whose date is made up: IAM judges the name before DynamoDB looks for the stream."""
    streams = client_of(intruder.session, "dynamodbstreams")

    def stream(of: Tenant) -> str:
        return settings().arn("dynamodb", f"table/{table_of(of, 'feed')}/stream/2026-01-01T00:00:00.000")

    def iterator(of: Tenant) -> Any:
        return streams.get_shard_iterator(
            StreamArn=stream(of), ShardId="shardId-00000000000000000000-00000000", ShardIteratorType="TRIM_HORIZON"
        )

    yield "ListStreams", "feed", lambda of: streams.list_streams(TableName=table_of(of, "feed"))
    yield "DescribeStream", "feed", lambda of: streams.describe_stream(StreamArn=stream(of))
    yield "GetShardIterator", "feed", iterator
    yield "GetRecords", "feed", lambda of: streams.get_records(ShardIterator=f"{stream(of)}|1|AAAA")


def _tables(intruder: Tenant) -> _Calls:
    dynamodb = client_of(intruder.session, "dynamodb")

    def select(of: Tenant) -> str:
        return f"SELECT * FROM \"{table_of(of, 'cases')}\" WHERE pk = 'isolation-check'"  # noqa: S608 - no input

    def export(of: Tenant) -> Any:
        return dynamodb.export_table_to_point_in_time(
            TableArn=settings().arn("dynamodb", f"table/{table_of(of, 'cases')}"), S3Bucket=of.bucket
        )

    yield "ExecuteStatement", "cases", lambda of: dynamodb.execute_statement(Statement=select(of))
    yield (
        "BatchExecuteStatement",
        "cases",
        lambda of: dynamodb.batch_execute_statement(Statements=[{"Statement": select(of)}]),
    )
    yield (
        "ExecuteTransaction",
        "cases",
        lambda of: dynamodb.execute_transaction(TransactStatements=[{"Statement": select(of)}]),
    )
    yield "DescribeTable", "cases", lambda of: dynamodb.describe_table(TableName=table_of(of, "cases"))
    yield (
        "DescribeContinuousBackups",
        "cases",
        lambda of: dynamodb.describe_continuous_backups(TableName=table_of(of, "cases")),
    )
    yield "ListBackups", "cases", lambda of: dynamodb.list_backups(TableName=table_of(of, "cases"))
    yield "ExportTableToPointInTime", "cases", export
    yield "ListTables", "all", lambda _: dynamodb.list_tables()


def _shared_tables(intruder: Tenant) -> _Calls:
    dynamodb, mine = client_of(intruder.session, "dynamodb"), table_of(intruder, "connector")

    def key(of: Tenant) -> dict[str, Any]:
        return {"pk": {"S": of.id}, "sk": {"S": "tenant"}}

    def check(table: str, of: Tenant) -> Any:
        condition = {"TableName": table, "Key": key(of), "ConditionExpression": "attribute_exists(pk)"}
        delete = {"Delete": {"TableName": mine, "Key": CHECK}}
        return dynamodb.transact_write_items(TransactItems=[delete, {"ConditionCheck": condition}])

    calls: dict[str, Callable[[str, Tenant], Any]] = {
        "GetItem": lambda table, of: dynamodb.get_item(TableName=table, Key=key(of)),
        "Query": lambda table, of: dynamodb.query(
            TableName=table, KeyConditionExpression="pk = :pk", ExpressionAttributeValues={":pk": {"S": of.id}}
        ),
        "Scan": lambda table, _: dynamodb.scan(TableName=table, Limit=1),
        "BatchGetItem": lambda table, of: dynamodb.batch_get_item(
            RequestItems={mine: {"Keys": [CHECK]}, table: {"Keys": [key(of)]}}
        ),
        "PutItem": lambda table, of: dynamodb.put_item(TableName=table, Item=key(of), ConditionExpression=_NEVER_HOLDS),
        "UpdateItem": lambda table, of: dynamodb.update_item(
            TableName=table, Key=key(of), UpdateExpression="REMOVE nothing", ConditionExpression=_NEVER_HOLDS
        ),
        "DeleteItem": lambda table, of: dynamodb.delete_item(
            TableName=table, Key=key(of), ConditionExpression=_NEVER_HOLDS
        ),
        "ConditionCheckItem": check,
    }
    for name in SHARED_TABLES:
        table = settings().shared_table(name)
        for call, do in calls.items():
            yield call, name, lambda of, do=do, table=table: do(table, of)


def _objects(intruder: Tenant) -> _Calls:
    s3, bucket = intruder.s3, {"Bucket": intruder.bucket}
    version = {"VersionId": "null", **bucket}

    def kept(of: Tenant) -> str:
        return of.object_key("drop", ".keep")

    yield "ListBucketVersions", "prefix", lambda of: s3.list_object_versions(Prefix=f"{of.id}/", **bucket)
    yield "GetObjectVersion", "prefix", lambda of: s3.get_object(Key=kept(of), **version)
    yield (
        "DeleteObjectVersion",
        "prefix",
        lambda of: s3.delete_object(Key=of.object_key("isolation-check"), **version),
    )
    yield "GetObjectTagging", "prefix", lambda of: s3.get_object_tagging(Key=kept(of), **bucket)
    yield "GetObjectAcl", "prefix", lambda of: s3.get_object_acl(Key=kept(of), **bucket)
    yield (
        "ListBucketMultipartUploads",
        "prefix",
        lambda of: s3.list_multipart_uploads(Prefix=f"{of.id}/", **bucket),
    )
    yield "ListBucket", "without-slash", lambda of: s3.list_objects_v2(Prefix=of.id, **bucket)
    yield "ListBucket", "all-tenants", lambda _: s3.list_objects_v2(Prefix="ten_", **bucket)
    yield "ListBucket", "everything", lambda _: s3.list_objects_v2(**bucket)
    yield "ListBucket", "top-level", lambda _: s3.list_objects_v2(Delimiter="/", **bucket)
    yield "GetObject", "without-slash", lambda of: s3.get_object(Key=f"{of.id}isolation-check", **bucket)
    yield "GetObject", "lower-case", lambda of: s3.get_object(Key=kept(of).lower(), **bucket)
    yield "GetObject", "dots-first", lambda of: s3.get_object(Key=f"../{kept(of)}", **bucket)
    yield "GetBucketPolicy", "bucket", lambda _: s3.get_bucket_policy(**bucket)
    yield "ListAllMyBuckets", "all", lambda _: s3.list_buckets()


def _keys(intruder: Tenant) -> _Calls:
    kms = client_of(intruder.session, "kms")

    def re_encrypt(of: Tenant) -> Any:
        return kms.re_encrypt(
            CiphertextBlob=of.wrapped_keys["data"],
            SourceEncryptionContext={"tenant": of.id, "purpose": "data"},
            DestinationKeyId=intruder.key_arn,
        )

    def grant(of: Tenant) -> Any:
        role = settings().tenant_role_arn
        return kms.create_grant(KeyId=of.key_arn, GranteePrincipal=role, Operations=["Decrypt"], DryRun=True)

    yield "ReEncrypt", "data-key", re_encrypt
    yield "CreateGrant", "key", grant
    yield "Encrypt", "key", lambda of: kms.encrypt(KeyId=of.key_arn, Plaintext=b"isolation-check")
    yield (
        "GenerateDataKeyWithoutPlaintext",
        "key",
        lambda of: kms.generate_data_key_without_plaintext(KeyId=of.key_arn, KeySpec="AES_256"),
    )
    yield "DescribeKey", "key", lambda of: kms.describe_key(KeyId=of.key_arn)
    yield "GetKeyPolicy", "key", lambda of: kms.get_key_policy(KeyId=of.key_arn, PolicyName="default")
    yield "ListGrants", "key", lambda of: kms.list_grants(KeyId=of.key_arn)
    yield "ListKeys", "all", lambda _: kms.list_keys()


def _queues(intruder: Tenant) -> _Calls:
    """Every queue of the deployment and those behind them, by the address that AWS gives a queue of that name."""
    sqs = client_of(intruder.session, "sqs")
    dead = [f"{queue}-dead" for queue in (*QUEUES, "feed-dispatch")]
    for queue in (*QUEUES, *dead):
        name = f"{settings().prefix}-{queue}"
        url = f"{sqs.meta.endpoint_url}/{settings().account}/{name}"
        message = json.dumps({"tenant_id": intruder.id, "action": "isolation-check"})
        yield "GetQueueUrl", queue, lambda _, name=name: sqs.get_queue_url(QueueName=name)
        yield (
            "SendMessage",
            queue,
            lambda _, url=url, message=message: sqs.send_message(QueueUrl=url, MessageBody=message),
        )
        yield (
            "ReceiveMessage",
            queue,
            lambda _, url=url: sqs.receive_message(QueueUrl=url, VisibilityTimeout=0, MaxNumberOfMessages=1),
        )
        yield "DeleteMessage", queue, lambda _, url=url: sqs.delete_message(QueueUrl=url, ReceiptHandle="none")


def _others(intruder: Tenant) -> _Calls:
    def client(service: str) -> Any:
        return client_of(intruder.session, service)

    sts, role = client("sts"), settings().tenant_role_arn
    iam, secrets, functions = client("iam"), client("secretsmanager"), client("lambda")
    pool = {"UserPoolId": settings().user_pool_id or f"{settings().region}_000000000"}
    text = {"Data": "isolation-check"}
    mail = {"Simple": {"Subject": text, "Body": {"Text": text}}}

    def assume_narrowed(of: Tenant) -> Any:
        policy = json.dumps(session_policy(settings(), of.id, of.key_arn))
        return sts.assume_role(RoleArn=role, RoleSessionName="isolation-check", Policy=policy)

    yield "sts:AssumeRole", "tenant-data", lambda _: sts.assume_role(RoleArn=role, RoleSessionName="isolation-check")
    yield "sts:AssumeRole", "tenant-data-narrowed", assume_narrowed
    yield "sts:GetFederationToken", "user", lambda _: sts.get_federation_token(Name="isolation-check")
    yield "iam:GetRole", "tenant-data", lambda _: iam.get_role(RoleName=role.rpartition("/")[2])
    yield "iam:ListRoles", "all", lambda _: iam.list_roles()
    for name in (settings().stripe_secret_name, settings().api_key_secret_name):
        yield (
            "secretsmanager:GetSecretValue",
            name.rpartition("/")[2],
            lambda _, name=name: secrets.get_secret_value(SecretId=name),
        )
    yield (
        "lambda:InvokeFunction",
        "feed_dispatch",
        lambda _: functions.invoke(FunctionName=f"{settings().prefix}-feed_dispatch", InvocationType="DryRun"),
    )
    yield "lambda:ListFunctions", "all", lambda _: functions.list_functions()
    yield "lambda:ListEventSourceMappings", "all", lambda _: functions.list_event_source_mappings()
    yield "cognito-idp:ListUsers", "pool", lambda _: client("cognito-idp").list_users(**pool)
    yield (
        "ses:SendEmail",
        "anybody",
        lambda _: client("sesv2").send_email(
            FromEmailAddress=settings().mail_sender or "isolation@check.example",
            Destination={"ToAddresses": ["success@simulator.amazonses.com"]},
            Content=mail,
        ),
    )
    yield "tag:GetResources", "all", lambda _: client("resourcegroupstaggingapi").get_resources()
    yield "logs:DescribeLogGroups", "all", lambda _: client("logs").describe_log_groups()
