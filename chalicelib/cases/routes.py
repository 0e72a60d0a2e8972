"""Cases, accounts, borrowers and rules over HTTP. Personal data stands in bodies only, never in a URL."""

from __future__ import annotations

from typing import Annotated, Self, cast, get_args

from chalice.app import Blueprint
from pydantic import StringConstraints, model_validator

from chalicelib.cases import read, search
from chalicelib.cases.assignment import Assignment
from chalicelib.cases.rules import ASSIGNMENT, TRIGGERS, D, Kind, Version, current_rules, replace_rules
from chalicelib.cases.triggers import Triggers
from chalicelib.cases.views import (
    AccountView,
    AssignmentView,
    BorrowerDetail,
    CaseDetail,
    CaseView,
    TriggersView,
    account_view,
    borrower_view,
    case_detail,
    case_view,
    repayment_view,
)
from chalicelib.identity import authorize
from chalicelib.platform.clock import utc_now
from chalicelib.platform.errors import Invalid
from chalicelib.platform.http import IF_MATCH, PAGING, Call, Page, Strict, endpoint, write_cursor
from chalicelib.tenancy import open_tenant

blueprint = Blueprint(__name__)

Exact = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class CaseSearch(Strict):
    """One personal value to find cases by, exactly (letter case, width and white space do not matter)."""

    name: Exact | None = None
    phone: Exact | None = None
    id_number: Exact | None = None

    @model_validator(mode="after")
    def _one_value(self) -> Self:
        if sum(value is not None for value in (self.name, self.phone, self.id_number)) != 1:
            raise ValueError("exactly one of name, phone and id_number is to be given")
        return self

    @property
    def chosen(self) -> tuple[search.SearchField, str]:
        """The field that was given, and its value."""
        return next(
            (field, value) for field in get_args(search.SearchField) if (value := getattr(self, field)) is not None
        )


@endpoint(
    blueprint,
    "GET",
    "/v1/cases",
    summary="Cases by status; an assignee's with the most days past due first",
    returns=Page[CaseView],
    scope="cases:read",
    authorizer=authorize,
    query={"status": "open (when not given) or closed", "assignee": "Whose cases", **PAGING},
)
def list_cases(call: Call[None]) -> Page[CaseView]:
    status = call.query.get("status", "open")
    if status not in get_args(search.Status):
        raise Invalid("status is open or closed", pointer="/status")
    found = search.list_cases(
        open_tenant(call.tenant_id),
        status=cast("search.Status", status),
        assignee=call.query.get("assignee") or None,
        limit=call.limit,
        cursor=call.cursor,
    )
    return Page[CaseView](items=[case_view(case) for case in found.cases], cursor=write_cursor(found.cursor))


@endpoint(
    blueprint,
    "POST",
    "/v1/cases/search",
    summary="Cases of the borrowers with exactly this name, phone or identity number; `limit` counts borrowers",
    returns=Page[CaseView],
    body=CaseSearch,
    scope="cases:read",
    authorizer=authorize,
    need="read",
    query=PAGING,
)
def search_cases(call: Call[CaseSearch]) -> Page[CaseView]:
    field, value = call.body.chosen
    found = search.search_cases(open_tenant(call.tenant_id), field, value, limit=call.limit, cursor=call.cursor)
    return Page[CaseView](items=[case_view(case) for case in found.cases], cursor=write_cursor(found.cursor))


@endpoint(
    blueprint,
    "GET",
    "/v1/cases/{case_id}",
    summary="A case with its borrower, its accounts and their repayments since the last file",
    returns=CaseDetail,
    scope="cases:read",
    authorizer=authorize,
)
def get_case(call: Call[None], case_id: str) -> CaseDetail:
    return case_detail(read.get_case(open_tenant(call.tenant_id), case_id))


@endpoint(
    blueprint,
    "GET",
    "/v1/accounts/{account_id}",
    summary="An account with every repayment pushed for it",
    returns=AccountView,
    scope="cases:read",
    authorizer=authorize,
)
def get_account(call: Call[None], account_id: str) -> AccountView:
    account, repayments = read.get_account(open_tenant(call.tenant_id), account_id)
    return account_view(account, [repayment_view(each) for each in repayments])


@endpoint(
    blueprint,
    "GET",
    "/v1/borrowers/{borrower_id}",
    summary="A borrower and the borrower's cases",
    returns=BorrowerDetail,
    scope="cases:read",
    authorizer=authorize,
)
def get_borrower(call: Call[None], borrower_id: str) -> BorrowerDetail:
    personal, open_case_id, past_case_ids = read.get_borrower(open_tenant(call.tenant_id), borrower_id)
    shown = borrower_view(borrower_id, personal).model_dump()
    return BorrowerDetail(**shown, open_case_id=open_case_id, past_case_ids=list(past_case_ids))


@endpoint(
    blueprint,
    "GET",
    "/v1/rules/triggers",
    summary="The trigger document in force: which accounts open a case",
    returns=TriggersView,
    scope="rules:read",
    authorizer=authorize,
)
def get_triggers(call: Call[None]) -> TriggersView:
    return TriggersView(**vars(current_rules(open_tenant(call.tenant_id), TRIGGERS, now=utc_now())))


@endpoint(
    blueprint,
    "PUT",
    "/v1/rules/triggers",
    summary="Replace the trigger document by a new version",
    returns=TriggersView,
    body=Triggers,
    scope="rules:write",
    authorizer=authorize,
    headers=IF_MATCH,
)
def put_triggers(call: Call[Triggers]) -> TriggersView:
    return TriggersView(**vars(_replaced(call, TRIGGERS)))


@endpoint(
    blueprint,
    "GET",
    "/v1/rules/assignment",
    summary="The assignment document in force: who gets new cases",
    returns=AssignmentView,
    scope="rules:read",
    authorizer=authorize,
)
def get_assignment(call: Call[None]) -> AssignmentView:
    return AssignmentView(**vars(current_rules(open_tenant(call.tenant_id), ASSIGNMENT, now=utc_now())))


@endpoint(
    blueprint,
    "PUT",
    "/v1/rules/assignment",
    summary="Replace the assignment document by a new version",
    returns=AssignmentView,
    body=Assignment,
    scope="rules:write",
    authorizer=authorize,
    headers=IF_MATCH,
)
def put_assignment(call: Call[Assignment]) -> AssignmentView:
    return AssignmentView(**vars(_replaced(call, ASSIGNMENT)))


def _replaced(call: Call[D], kind: Kind[D]) -> Version[D]:
    """The new version that a call made of a rule document, if it may replace the one that the call expects."""
    return replace_rules(
        open_tenant(call.tenant_id),
        kind,
        call.body,
        made_by=call.subject,
        now=utc_now(),
        expected=call.expected_version,
    )
