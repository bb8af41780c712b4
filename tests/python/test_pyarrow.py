"""pyarrow.flight, below the SQL driver: logins, tickets, and what a stranger may do with them."""

import pyarrow as pa
import pyarrow.flight as flight
import pytest

from conftest import basic, bearer, command, password, statement

COUNT = "SELECT count(*) AS n FROM lab.chemistry.plate_readings"
# Whatever gRPC code says no: pyarrow makes some an OSError.
REFUSED = (flight.FlightError, pa.ArrowException, OSError)


def read(client, options, sql):
    info = client.get_flight_info(statement(sql), options)
    return client.do_get(info.endpoints[0].ticket, options).read_all()


def test_a_login_gives_a_bearer_token_that_works(client):
    header, token = client.authenticate_basic_token("ada", password("ada"))
    assert header == b"authorization" and token.startswith(b"Bearer ")
    options = flight.FlightCallOptions(headers=[(header, token)])
    assert read(client, options, COUNT).to_pylist() == [{"n": 36864}]


def test_basic_on_any_call_works_too(client):
    assert read(client, basic("ada"), COUNT).to_pylist() == [{"n": 36864}]


@pytest.mark.parametrize("user, secret", [("ada", "wrong"), ("nobody", "nobody-demo"), ("ada", "")])
def test_a_wrong_login_is_refused(client, user, secret):
    with pytest.raises(flight.FlightUnauthenticatedError):
        client.authenticate_basic_token(user, secret)
    with pytest.raises(flight.FlightUnauthenticatedError):
        client.get_flight_info(statement("SELECT 1"), basic(user, secret))


@pytest.mark.parametrize(
    "header", [b"Bearer x", b"Bearer ", b"Basic !!!", b"Basic " + b"QQ" * 5000, b"Digest ada", b"Basic YWRh"]
)
def test_a_broken_authorization_header_is_refused(client, header):
    options = flight.FlightCallOptions(headers=[(b"authorization", header)])
    with pytest.raises(REFUSED) as caught:
        client.get_flight_info(statement("SELECT 1"), options)
    assert "panicked" not in str(caught.value)


def test_a_changed_token_is_refused(client):
    header, token = client.authenticate_basic_token("ada", password("ada"))
    for position in (len(token) - 2, len(token) // 2, len(b"Bearer ") + 1):
        changed = bytearray(token)
        changed[position] = ord("A") if changed[position] != ord("A") else ord("B")
        options = flight.FlightCallOptions(headers=[(header, bytes(changed))])
        with pytest.raises(REFUSED):
            client.get_flight_info(statement("SELECT 1"), options)


def test_nothing_is_answered_without_a_login(client):
    ticket = client.get_flight_info(statement(COUNT), basic("ada")).endpoints[0].ticket
    calls = [
        lambda: client.get_flight_info(statement("SELECT 1")),
        lambda: client.get_schema(statement("SELECT 1")),
        lambda: client.do_get(ticket).read_all(),
        lambda: client.do_get(flight.Ticket(b"anything")).read_all(),
        lambda: list(client.do_action(flight.Action("CreatePreparedStatement", b""))),
        lambda: list(client.list_flights()),
    ]
    for call in calls:
        with pytest.raises(REFUSED) as caught:
            call()
        assert "nauthenticated" in str(caught.value), caught.value


def test_a_ticket_is_good_for_the_one_it_was_given_to(client):
    ticket = client.get_flight_info(statement(COUNT), bearer(client, "ada")).endpoints[0].ticket
    for other in ["guest", "sam", "ana"]:
        with pytest.raises(REFUSED):
            client.do_get(ticket, bearer(client, other)).read_all()
    assert client.do_get(ticket, bearer(client, "ada")).read_all().to_pylist() == [{"n": 36864}]


def test_a_ticket_with_one_bit_changed_is_refused(client):
    options = bearer(client, "ada")
    ticket = client.get_flight_info(statement(COUNT), options).endpoints[0].ticket.ticket
    # The head of the ticket is the command's name; behind it everything is sealed.
    sealed = range(ticket.rindex(b"TicketStatementQuery") + len(b"TicketStatementQuery") + 8, len(ticket))
    assert len(sealed) > 16, "a ticket that could be guessed"
    for position in [*sealed][:: max(1, len(sealed) // 16)]:
        changed = bytearray(ticket)
        changed[position] ^= 1
        with pytest.raises(REFUSED):
            client.do_get(flight.Ticket(bytes(changed)), options).read_all()


@pytest.mark.parametrize("junk", [b"", b"x", b"\0" * 64, b"\xff" * 64, command("TicketStatementQuery", "guess")])
def test_an_invented_ticket_is_refused(client, junk):
    with pytest.raises(REFUSED) as caught:
        client.do_get(flight.Ticket(junk), bearer(client, "ada")).read_all()
    assert "panicked" not in str(caught.value)


def test_a_ticket_tells_nothing_about_the_statement(client):
    options = bearer(client, "ada")
    marked = "SELECT 'a_word_that_must_not_be_seen' AS w"
    ticket = client.get_flight_info(statement(marked), options).endpoints[0].ticket.ticket
    assert b"a_word_that_must_not_be_seen" not in ticket and b"ada" not in ticket


@pytest.mark.parametrize(
    "sql",
    [
        COUNT,
        "SELECT upper(plate_id) AS u FROM lab.chemistry.plate_readings LIMIT 5",
        "SELECT * FROM lab.chemistry.plate_readings WHERE false",
        "SELECT 1 AS n UNION ALL SELECT 2.5",
    ],
)
def test_flight_info_get_schema_and_stream_agree(client, sql):
    options = bearer(client, "ada")
    info = client.get_flight_info(statement(sql), options)
    streamed = client.do_get(info.endpoints[0].ticket, options)
    assert info.schema.equals(streamed.schema)
    assert client.get_schema(statement(sql), options).schema.equals(info.schema)
    assert streamed.read_all().schema.equals(info.schema)


def test_actions_are_listed(client):
    kinds = {action.type for action in client.list_actions(bearer(client, "ada"))}
    assert {"CreatePreparedStatement", "ClosePreparedStatement"} <= kinds


@pytest.mark.parametrize("kind", ["NoSuchAction", "BeginTransaction", "CreatePreparedStatement"])
def test_an_action_that_cannot_be_is_an_error(client, kind):
    with pytest.raises(REFUSED) as caught:
        list(client.do_action(flight.Action(kind, b"\xff\xff"), bearer(client, "ada")))
    assert "panicked" not in str(caught.value)


@pytest.mark.parametrize("junk", [b"", b"SELECT 1", b"\x0a\xff\xff\xff\xff\x0f", command("CommandNoSuchThing", "x")])
def test_a_command_nobody_knows_is_an_error_and_the_server_goes_on(client, junk):
    options = bearer(client, "ada")
    with pytest.raises(REFUSED) as caught:
        client.get_flight_info(flight.FlightDescriptor.for_command(junk), options)
    assert "panicked" not in str(caught.value)
    assert read(client, options, "SELECT 1 AS n").to_pylist() == [{"n": 1}]


@pytest.mark.parametrize(
    "kind, columns",
    [
        ("CommandGetCatalogs", ["catalog_name"]),
        ("CommandGetDbSchemas", ["catalog_name", "db_schema_name"]),
        ("CommandGetTables", ["catalog_name", "db_schema_name", "table_name", "table_type"]),
        ("CommandGetTableTypes", ["table_type"]),
        ("CommandGetSqlInfo", ["info_name", "value"]),
        ("CommandGetXdbcTypeInfo", None),
        ("CommandGetPrimaryKeys", None),
        ("CommandGetImportedKeys", None),
        ("CommandGetExportedKeys", None),
    ],
)
def test_every_metadata_command_is_answered(client, kind, columns):
    options = bearer(client, "ada")
    # The key commands name a table in fields 1 to 3.
    fields = ["lab", "chemistry", "plate_readings"] if "Keys" in kind else []
    info = client.get_flight_info(flight.FlightDescriptor.for_command(command(kind, *fields)), options)
    table = client.do_get(info.endpoints[0].ticket, options).read_all()
    assert info.schema.equals(table.schema)
    if columns:
        assert table.schema.names[: len(columns)] == columns
        assert table.num_rows > 0


def test_guest_is_told_of_no_table_by_any_metadata_command(client):
    options = bearer(client, "guest")
    info = client.get_flight_info(flight.FlightDescriptor.for_command(command("CommandGetTables")), options)
    tables = client.do_get(info.endpoints[0].ticket, options).read_all().to_pylist()
    assert not [table for table in tables if table["db_schema_name"] in ("chemistry", "chembl", "adme", "assay")]
