"""The audit trail is open: PyPI's `deltalake` reads it, and its hashes can be checked without labhouse.

The server of the lab was stopped, so all events are in the table.
"""

import hashlib
import hmac
import struct

import pytest
from deltalake import DeltaTable

GENESIS = "0" * 64
TEXT, NUMBER, LIST = b"t", b"n", b"l"


@pytest.fixture(scope="module")
def events(lab_dir):
    table = DeltaTable(str(lab_dir / "_labhouse" / "audit" / "events")).to_pyarrow_table()
    return sorted(table.to_pylist(), key=lambda event: (event["chain"], event["seq"]))


def counted(content):
    return struct.pack("<Q", len(content)) + content


def sealed(event, key):
    """The hash over every field but the hash itself, in the table's order; what is empty is left out."""
    encoded = counted(b"labhouse.audit.1")
    for name, value in event.items():
        if name == "hash" or value is None or value == []:
            continue
        encoded += counted(name.encode())
        if isinstance(value, str):
            encoded += TEXT + counted(value.encode())
        elif isinstance(value, list):
            encoded += LIST + struct.pack("<Q", len(value)) + b"".join(counted(text.encode()) for text in value)
        else:
            number = value if isinstance(value, int) else round(value.timestamp() * 1_000_000)
            encoded += NUMBER + struct.pack("<q", number)
    return hmac.new(key, encoded, hashlib.sha256).hexdigest()


def test_statements_are_in_it(events):
    (asked,) = [e for e in events if e["event"] == "statement" and "through_adbc" in (e["statement"] or "")]
    assert asked["principal"] == "sam" and asked["verdict"] == "allowed"
    assert asked["tables"][0].startswith("lab.chemistry.reactions@")
    assert "ADBC" in asked["agent"]
    denied = [e for e in events if e["principal"] == "guest" and e["verdict"] == "denied"]
    assert denied and denied[0]["refused"] == ["lab.chemistry.reactions"]


def test_each_chain_is_whole(events, lab_dir):
    secret = (lab_dir / "policies" / "secret").read_text().strip()
    key = hmac.new(secret.encode(), b"labhouse audit chain", hashlib.sha256).digest()
    last = {}
    for event in events:
        seq, before = last.get(event["chain"], (0, GENESIS))
        assert event["seq"] == seq + 1
        assert event["prev"] == before
        assert event["hash"] == sealed(event, key)
        last[event["chain"]] = (event["seq"], event["hash"])
    assert last


def test_others_may_not_change_it(lab_dir):
    table = DeltaTable(str(lab_dir / "_labhouse" / "audit" / "events"))
    assert table.metadata().configuration["delta.appendOnly"] == "true"
    with pytest.raises(Exception):
        table.delete("principal = 'sam'")
