"""Cases: accounts and borrowers as the business system states them, and the collection of what is overdue."""

from chalicelib.cases.apply import apply_rows
from chalicelib.cases.repayments import Repayment, apply_repayment
from chalicelib.cases.rows import Applied, Row, Source

__all__ = ["Applied", "Repayment", "Row", "Source", "apply_repayment", "apply_rows"]
