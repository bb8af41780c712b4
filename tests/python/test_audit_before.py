"""Statements for `test_audit.py` to find, through ADBC."""


def test_statements_are_sent(query, error_of):
    assert query("sam", "SELECT count(*) AS through_adbc FROM lab.chemistry.reactions").num_rows == 1
    error_of("guest", "SELECT * FROM lab.chemistry.reactions")
