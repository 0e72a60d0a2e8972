"""Cases: accounts and borrowers as the business system states them, and the collection of what is overdue."""

from chalicelib.cases.apply import apply_rows
from chalicelib.cases.exported import EXPORTED
from chalicelib.cases.open_cases import open_cases
from chalicelib.cases.repayments import Repayment, apply_repayment
from chalicelib.cases.rows import Applied, Row, Source

__all__ = ["EXPORTED", "Applied", "Repayment", "Row", "Source", "apply_repayment", "apply_rows", "open_cases"]
