"""The ledger of claims: expressions, the evidence for them, verdicts, and published curves to validate against."""
