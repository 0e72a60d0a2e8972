"""What the template must give up for MiniStack, in one place, so that what AWS gets gives up nothing.

- It knows neither the tags of KMS keys nor a mapping's function nor a mail's sender as condition keys; on AWS a
  condition on a missing key refuses. Here it becomes "if the key exists", for these keys alone: what else a condition
  asks is enforced.
- It does not know which items a request names (`dynamodb:LeadingKeys`) either. Those conditions stay as they are: they
  ask it of all of them, which holds of none. On AWS every request that they are about names some.
- It asks whether mail may be sent, or a backup deleted, of everything and not of the sender or the backup: there a
  statement about these alone is about everything.
- It speaks plain HTTP on the loopback interface, so the bucket's refusal of plain HTTP has to go.
- It hands numbers in parameters on as text; how many workers a queue may have is therefore written into the template.
- It ignores gateway responses: a missing `Authorization` header and an unknown route get JSON of its own there, and
  problem documents on AWS. The template keeps them, since nothing breaks.

MiniStack trusts whoever reaches it with its published credentials; `infra/local/ministack.py` binds it to 127.0.0.1.
"""

from __future__ import annotations

from typing import Any, cast

_IF_EXISTS = {
    "ArnEquals": "ArnEqualsIfExists",
    "StringEquals": "StringEqualsIfExists",
    "StringLike": "StringLikeIfExists",
}
_UNKNOWN_KEYS = ("aws:ResourceTag/", "lambda:FunctionArn", "ses:FromAddress")
_OF_EVERYTHING = {"ses:SendEmail", "dynamodb:DeleteBackup"}
_LEFT_OUT = ("DataBucketPolicy",)


def is_emulator(endpoint_url: str) -> bool:
    """Whether an endpoint is something else than AWS itself (in any partition)."""
    host = endpoint_url.partition("://")[2].partition("/")[0].partition(":")[0]
    return not host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def adapted(template: dict[str, Any]) -> dict[str, Any]:
    """The template as MiniStack can carry it out."""
    resources = {name: made for name, made in template["Resources"].items() if name not in _LEFT_OUT}
    return {**template, "Resources": softened(resources)}


def softened(node: Any) -> Any:
    """A piece of template whose policies ask for keys that MiniStack does not know only "if the key exists", and name
    no resource where it does not."""
    if isinstance(node, list):
        return [softened(value) for value in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    members = cast("dict[str, Any]", node)
    made = {key: softened(value) for key, value in members.items()}
    if "Effect" in members and "Condition" in members:
        made["Condition"] = _softened_condition(members["Condition"])
    if "Effect" in members and _OF_EVERYTHING.issuperset(members.get("Action", ["?"])):
        made["Resource"] = "*"
    return made


def _softened_condition(condition: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    made: dict[str, dict[str, Any]] = {}
    for test, asked in condition.items():
        for key, value in asked.items():
            kept = _IF_EXISTS.get(test, test) if key.startswith(_UNKNOWN_KEYS) else test
            made.setdefault(kept, {})[key] = value
    return made
