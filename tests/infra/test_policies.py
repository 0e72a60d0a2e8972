"""The functions' policies and the template: least privilege, written down where it cannot be loosened unseen."""

import json
import re
from pathlib import Path

import pytest

from chalicelib.platform.errors import NotFound, TooManyRequests, Unauthenticated, Unavailable
from infra import emulator
from infra.template import resources

POLICIES = sorted((Path(__file__).resolve().parents[2] / ".chalice" / "policies").glob("*.json"))

WITHOUT_RESOURCE = {
    *("MakeTenantKeys", "FindTenantKeys", "FindTenantTablesAndBackups"),
    *("MapFeedStreams", "UnmapFeedStreams", "FindFeedMappings"),
}
"""Statements whose actions AWS offers no resource for; all but the listing ones carry a condition instead."""


def statements(policy: Path) -> list[dict]:
    """Every statement, also those that stand only under a condition of the template."""
    found = json.loads(policy.read_text())["Statement"]
    return [statement["Fn::If"][1] if "Fn::If" in statement else statement for statement in found]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: p.stem)
def test_no_action_is_a_wildcard_and_no_resource_is_open_where_a_name_is_known(policy: Path) -> None:
    for statement in statements(policy):
        assert not [a for a in statement["Action"] if "*" in a]
        if statement["Resource"] == "*":
            assert statement["Sid"] in WITHOUT_RESOURCE
            assert "Condition" in statement or all(
                a.split(":")[1].startswith(("List", "Get")) for a in statement["Action"]
            )


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: p.stem)
def test_no_function_may_read_or_write_a_tenants_items_or_objects_by_itself(policy: Path) -> None:
    for statement in statements(policy):
        text = json.dumps(statement["Resource"])
        if "-t-" in text and "/stream/" not in text:
            data = {a for a in statement["Action"] if a.endswith(("Item", "Query", "Scan"))}
            assert not data, f"{policy.stem} {statement['Sid']}"
        assert "s3:GetObject" not in statement["Action"]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: p.stem)
def test_no_arn_names_a_partition_account_or_region(policy: Path) -> None:
    assert "arn:aws" not in policy.read_text()


def test_every_function_has_its_own_policy() -> None:
    config = json.loads((POLICIES[0].parents[1] / "config.json").read_text())
    stage = config["stages"]["cell"]
    named = {stage["iam_policy_file"], *(f["iam_policy_file"] for f in stage["lambda_functions"].values())}
    assert named == {f"policies/{policy.name}" for policy in POLICIES}


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: p.stem)
def test_keys_are_used_only_with_this_stages_tag(policy: Path) -> None:
    for statement in statements(policy):
        if any(action.startswith("kms:") for action in statement["Action"]):
            asked = statement["Condition"]["StringEquals"]
            assert asked.get("aws:ResourceTag/stage") or asked.get("aws:RequestTag/stage")


def test_mail_comes_from_the_cells_own_sender_alone() -> None:
    sending = {
        policy.stem: statement
        for policy in POLICIES
        for statement in statements(policy)
        if any(action.startswith("ses:") for action in statement["Action"])
    }
    assert sending.keys() == {"api_handler", "bill", "leave"}
    for statement in sending.values():
        assert statement["Action"] == ["ses:SendEmail"]
        assert statement["Condition"] == {"StringEquals": {"ses:FromAddress": {"Ref": "MailSender"}}}
    # AWS compares the address alone: a sender with a name beside it would be refused each time.
    pattern = resources()["Parameters"]["MailSender"]["AllowedPattern"]
    assert all(re.fullmatch(pattern, sender) for sender in ("", "no-reply@duebridge.example"))
    assert not re.fullmatch(pattern, "Duebridge <no-reply@duebridge.example>")


def test_only_the_emulators_template_asks_for_less() -> None:
    asked = {"aws:ResourceTag/stage": "prod", "kms:ViaService": "dynamodb"}
    strict = {"Effect": "Allow", "Condition": {"StringEquals": asked, "StringLike": {"s3:prefix": "d"}}}
    made = emulator.softened({"Statement": [strict]})["Statement"][0]
    assert made["Condition"] == {
        "StringEqualsIfExists": {"aws:ResourceTag/stage": "prod"},
        "StringEquals": {"kms:ViaService": "dynamodb"},
        "StringLike": {"s3:prefix": "d"},
    }
    mail = {"Effect": "Allow", "Action": ["ses:SendEmail"], "Resource": ["of a sender"]}
    other = {"Effect": "Allow", "Action": ["dynamodb:DeleteBackup", "dynamodb:DeleteTable"], "Resource": ["of a table"]}
    assert emulator.softened([mail, other]) == [mail | {"Resource": "*"}, other]
    sender = {"StringEquals": {"ses:FromAddress": "no-reply@duebridge.example"}}
    made = emulator.softened(mail | {"Condition": sender})
    assert made["Condition"] == {"StringEqualsIfExists": sender["StringEquals"]}
    assert not emulator.is_emulator("https://cloudformation.eu-central-1.amazonaws.com")
    assert not emulator.is_emulator("https://cloudformation.cn-north-1.amazonaws.com.cn")
    assert emulator.is_emulator("http://127.0.0.1:4566")
    assert emulator.is_emulator("https://amazonaws.com.example")


def test_the_tenant_role_trusts_exactly_the_functions_whose_policies_let_them_work_for_a_tenant() -> None:
    trust = resources()["Resources"]["TenantDataRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    trusted = {role["Fn::GetAtt"][0] for statement in trust for role in statement["Principal"]["AWS"]}
    asking = {
        f"{''.join(part.title() for part in policy.stem.split('_'))}Role"
        for policy in POLICIES
        if any("sts:AssumeRole" in statement["Action"] for statement in statements(policy))
    }

    assert trusted == asking


@pytest.mark.parametrize(
    ("function", "service", "allowed"),
    [
        # Its own way in: it finds who calls, notes the use of a key, and binds a first sign-in.
        ("authorize", "dynamodb", {"GetItem", "PutItem", "UpdateItem"}),
        # The first owner, by what is known of them. It lists and looks at nobody else.
        ("provision", "cognito-idp", {"AdminCreateUser"}),
        ("api_handler", "cognito-idp", {"AdminCreateUser", "AdminDeleteUser", "AdminUserGlobalSignOut"}),
    ],
)
def test_a_function_may_do_with_people_and_keys_what_it_does_and_no_more(function: str, service: str, allowed) -> None:
    policy = next(each for each in POLICIES if each.stem == function)
    actions = {a for statement in statements(policy) for a in statement["Action"]}
    assert {a.split(":")[1] for a in actions if a.startswith(f"{service}:")} == allowed


@pytest.mark.parametrize(
    ("function", "table", "beyond"),
    [
        ("provision", "credentials", {"BatchGetItem", "ConditionCheckItem", "DeleteItem", "Query", "Scan"}),
        ("api_handler", "tenants", {"DeleteItem", "Scan"}),
    ],
)
def test_nobody_reads_or_deletes_more_of_a_shared_table_than_their_work_asks(function: str, table: str, beyond) -> None:
    policy = next(each for each in POLICIES if each.stem == function)
    about = [each for each in statements(policy) if f"-{table}" in json.dumps(each["Resource"])]
    assert about
    assert not beyond & {a.split(":")[1] for statement in about for a in statement["Action"]}


def test_an_invitation_may_be_held_to_what_is_being_paid_for_and_counts_are_only_drawn_on() -> None:
    policy = next(each for each in POLICIES if each.stem == "api_handler")
    (about,) = [each for each in statements(policy) if "-limits" in json.dumps(each["Resource"])]
    assert about["Action"] == ["dynamodb:ConditionCheckItem", "dynamodb:UpdateItem"]


def test_billing_reads_no_secret_but_stripes() -> None:
    policy = next(each for each in POLICIES if each.stem == "bill")
    (reading,) = [each for each in statements(policy) if "secretsmanager:GetSecretValue" in each["Action"]]
    assert [resource["Fn::Sub"].rpartition("/")[2] for resource in reading["Resource"]] == ["stripe-??????"]


def test_what_api_gateway_refuses_by_itself_is_a_problem_like_ours() -> None:
    made = resources()["Resources"].values()
    answers = {
        each["Properties"]["ResponseType"]: each["Properties"]
        for each in made
        if each.get("Type") == "AWS::ApiGateway::GatewayResponse"
    }
    ours = {error.type: error for error in (Unauthenticated, NotFound, TooManyRequests, Unavailable)}
    assert answers.keys() == {"UNAUTHORIZED", "MISSING_AUTHENTICATION_TOKEN", "THROTTLED", "DEFAULT_5XX"}
    for answer in answers.values():
        told = json.loads(answer["ResponseTemplates"]["application/problem+json"])
        error = ours[told["type"].removeprefix("https://duebridge.dev/problems/")]
        assert (told["title"], told["status"], answer["StatusCode"]) == (error.title, error.status, str(error.status))
    assert answers["THROTTLED"]["ResponseParameters"] == {"gatewayresponse.header.Retry-After": "'1'"}


def test_every_queue_has_a_dead_letter_queue_and_an_alarm_on_it() -> None:
    made = resources()["Resources"]
    queues = {name for name in made if made[name].get("Type") == "AWS::SQS::Queue" and name.endswith("Queue")}
    for name in queues:
        dead = made[name]["Properties"]["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
        assert made[dead]["Type"] == "AWS::SQS::Queue"
        assert made[f"{dead.removesuffix('s')}Alarm"]["Properties"]["Dimensions"][0]["Value"]["Fn::GetAtt"][0] == dead
    assert len(queues) == 6


def test_every_schedule_has_an_alarm_on_its_silence_and_one_on_its_functions_errors() -> None:
    made = resources()["Resources"]
    alarms = [each["Properties"] for each in made.values() if each.get("Type") == "AWS::CloudWatch::Alarm"]
    rules = {n: each["Properties"] for n, each in made.items() if each.get("Type") == "AWS::Events::Rule"}
    every = {"rate(1 hour)": 3600, "rate(1 minute)": 60}
    assert len(rules) == 2
    for name, rule in rules.items():
        (silent,) = [a for a in alarms if a["Dimensions"] == [{"Name": "RuleName", "Value": {"Ref": name}}]]
        assert (silent["Namespace"], silent["MetricName"], silent["Statistic"]) == ("AWS/Events", "Invocations", "Sum")
        assert (silent["ComparisonOperator"], silent["Threshold"]) == ("LessThanThreshold", 1)
        assert silent["TreatMissingData"] == "breaching", "a rule that does nothing reports nothing"
        assert silent["Period"] * silent["EvaluationPeriods"] >= 2 * every[rule["ScheduleExpression"]]
        function = rule["Targets"][0]["Arn"]["Fn::GetAtt"][0]
        (errors,) = [a for a in alarms if a["Dimensions"] == [{"Name": "FunctionName", "Value": {"Ref": function}}]]
        assert (errors["Namespace"], errors["MetricName"], errors["Threshold"]) == ("AWS/Lambda", "Errors", 0)
    assert all(alarm["AlarmActions"] == [{"Ref": "Alarms"}] for alarm in alarms)


def test_a_queues_message_stays_hidden_longer_than_its_function_may_run() -> None:
    config = json.loads((POLICIES[0].parents[1] / "config.json").read_text())["stages"]["cell"]["lambda_functions"]
    made = resources()["Resources"]
    functions = {"Provision": "provision", "SyncPlan": "sync_plan", "SyncApply": "sync_apply"}
    functions |= {"FeedDeliver": "feed_deliver", "Bill": "bill", "Leave": "leave"}
    for logical, name in functions.items():
        queue = made[f"{logical}Source"]["Properties"]["EventSourceArn"]["Fn::GetAtt"][0]
        assert made[queue]["Properties"]["VisibilityTimeout"] > config[name]["lambda_timeout"]


def test_who_writes_exports_has_the_disk_that_their_page_counts_on(repository: Path) -> None:
    size = resources()["Resources"]["Leave"]["Properties"]["EphemeralStorage"]["Size"]
    assert f"its disk of {size:,} MB" in (repository / "docs" / "exports.md").read_text("utf-8")
    config = json.loads((POLICIES[0].parents[1] / "config.json").read_text())["stages"]["cell"]["lambda_functions"]
    assert (
        f"its memory of {config['leave']['lambda_memory_size']:,} MB"
        in (repository / "docs" / "exports.md").read_text()
    )


def test_people_sign_in_by_code_at_an_address_of_the_cells_own_where_there_is_a_pool() -> None:
    template = resources()
    pool, domain = template["Resources"]["UserPoolClient"], template["Resources"]["UserPoolDomain"]
    assert domain["Condition"] == pool["Condition"] == "HasUserPool"
    assert domain["Properties"] == {
        "UserPoolId": {"Ref": "UserPool"},
        "Domain": {"Fn::Sub": "duebridge-${Stage}-${AWS::AccountId}"},
    }
    assert pool["Properties"]["AllowedOAuthFlows"] == ["code"]
    assert pool["Properties"]["GenerateSecret"] is False, "a browser keeps no secret; the verifier of PKCE proves it"
    here, cognito = template["Outputs"]["SignInAddress"]["Value"]["Fn::If"][1:]
    assert here == {"Ref": "UserPoolKeys"}
    assert cognito["Fn::Sub"].startswith("https://${UserPoolDomain}.auth.")


def test_every_path_with_limits_of_its_own_is_a_route_written_as_api_gateway_wants_it() -> None:
    from app import app

    [everything, *own] = resources()["Resources"]["RestAPI"]["Properties"]["MethodSettings"]
    assert (everything["ResourcePath"], everything["HttpMethod"]) == ("/*", "*")
    for each in own:
        # The slashes inside are written ~1, also the first one of the path; AWS refuses the setting otherwise.
        path = each["ResourcePath"].removeprefix("/")
        assert "/" not in path
        assert each["HttpMethod"] in app.routes[path.replace("~1", "/")]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: p.stem)
def test_the_service_that_a_key_is_used_through_may_have_the_name_that_it_has_in_china(policy: Path) -> None:
    for statement in statements(policy):
        for test, asked in statement.get("Condition", {}).items():
            if via := asked.get("kms:ViaService"):
                service = via["Fn::Sub"].removesuffix(".${AWS::Region}.amazonaws.com*")
                assert (test, service) in {("StringLike", "dynamodb"), ("StringLike", "s3")}


def test_provisioning_sees_no_data_key_of_a_tenant() -> None:
    policy = next(each for each in POLICIES if each.stem == "provision")
    for statement in statements(policy):
        through = json.dumps(statement.get("Condition", {}).get("StringLike", {}).get("kms:ViaService", ""))
        if {"kms:Decrypt", "kms:GenerateDataKey"} & set(statement["Action"]):
            assert "dynamodb." in through or ("s3." in through and statement["Action"] == ["kms:GenerateDataKey"])
