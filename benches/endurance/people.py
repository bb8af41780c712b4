"""People who ask, each on a connection of his own; every answer is judged."""

import base64
import http.client
import io
import json
import threading
import time

import adbc_driver_flightsql
import adbc_driver_flightsql.dbapi as flightsql
import pyarrow as pa

import lab
import rows
from instrument import TABLES
from told import plain

PATIENCE_S = 120
DEADLINES = {
    option.value: str(PATIENCE_S)
    for option in (
        adbc_driver_flightsql.ConnectionOptions.TIMEOUT_QUERY,
        adbc_driver_flightsql.ConnectionOptions.TIMEOUT_FETCH,
        adbc_driver_flightsql.ConnectionOptions.TIMEOUT_UPDATE,
    )
}
CHARTS = (
    "SELECT date_trunc('day', run_at) AS day, avg(amount) AS {m} FROM {t} WHERE amount > {v} GROUP BY 1 ORDER BY 1",
    "SELECT department, count(*) AS {m}, avg(amount) FROM {t} WHERE amount > {v} GROUP BY 1 ORDER BY 3",
    "SELECT temperature_c, avg(amount) AS {m} FROM {t} WHERE dose > {v} / 10 GROUP BY 1 ORDER BY 2 DESC LIMIT 20",
    "SELECT id, amount AS {m} FROM {t} WHERE amount > {v} ORDER BY amount DESC LIMIT 384",
    "SELECT count(*) AS {m}, min(amount), max(amount) FROM {t} WHERE amount > {v}",
    "SELECT 1 AS {m}",
)
MASKED = frozenset(rows.SMILES.tolist())
MODEL = "lab.chemistry.endurance_model"
NOTES, BATCH = "lab.chemistry.notes", 5
# Pause of whoever finds no server.
AWAY_S = 0.3
# What a writer was told of his rows: nothing, that they are there, or that they are not.
UNKNOWN, TAKEN, REFUSED = "unknown", "taken", "refused"
NOT_TAKEN = "did not take the change"
STALE = "LOGIN OF BEFORE THE RESTART"
VIEW = "lab.chemistry.counts_by_department"


class Refused(Exception):
    """What the server answered in place of rows."""


class Flight:
    def __init__(self, server, user):
        self.server, self.user, self.connection, self.life = server, user, None, 0

    def ask(self, sql, update=False):
        try:
            if self.connection is None:
                self.life = self.server.life
                login = {"username": self.user, "password": f"{self.user}-demo"}
                self.connection = flightsql.connect(self.server.uri, db_kwargs=login, conn_kwargs=DEADLINES, autocommit=True)
            with self.connection.cursor() as cursor:
                cursor.execute(sql)
                return None if update else cursor.fetch_arrow_table()
        except flightsql.Error as error:
            text = plain(error)
            if any(word in text for word in ("UNAVAILABLE", "Unavailable", "EOF", "connection", "transport", "UNAUTHENTICATED")):
                self.close()
            # A restart ends all logins: whoever did not ask meanwhile hears of it afterwards.
            if "UNAUTHENTICATED" in text and self.life != self.server.life:
                text = f"{STALE}: {text}"
            raise Refused(text) from None

    def close(self):
        connection, self.connection = self.connection, None
        if connection is not None:
            try:
                connection.close()
            except flightsql.Error:
                pass


class Http:
    """The page's door."""

    def __init__(self, server, user):
        self.server, self.door = server, None
        self.headers = {"Authorization": "Basic " + base64.b64encode(f"{user}:{user}-demo".encode()).decode(), "Content-Type": "application/json"}

    def ask(self, sql):
        try:
            if self.door is None:
                self.door = http.client.HTTPConnection("127.0.0.1", self.server.http_port, timeout=PATIENCE_S)
            self.door.request("POST", "/api/query", json.dumps({"sql": sql, "format": "arrow"}), self.headers)
            answer = self.door.getresponse()
            content = answer.read()
            if answer.status != 200:
                raise Refused(f"{answer.status} {plain(content.decode(errors='replace'))}")
            with pa.ipc.open_stream(io.BytesIO(content)) as stream:
                return stream.read_all()
        except (OSError, http.client.HTTPException, pa.ArrowInvalid) as error:
            self.close()
            raise Refused(f"{type(error).__name__}: {error}") from None

    def close(self):
        door, self.door = self.door, None
        if door is not None:
            door.close()


class Person(threading.Thread):
    """Asks until the end; `tasks` of the subclass name its methods and how often each comes."""

    tasks = ()
    pause_s = 0.0

    def __init__(self, door, number, world, chance):
        super().__init__(daemon=True)
        self.door, self.number, self.world, self.chance = door, number, world, chance
        self.told, self.ledger, self.timeline = world.told, world.ledger, world.timeline
        self.asked = 0

    def run(self):
        weights = [weight for _, weight in self.tasks]
        while not self.world.end.wait(self.pause_s * self.chance.uniform(0.5, 1.5)):
            task = self.chance.choices([name for name, _ in self.tasks], weights)[0]
            try:
                getattr(self, task)()
            except Exception as error:  # noqa: BLE001: an answer the script cannot judge is a finding, too
                self.told.violation("script", f"{type(self).__name__}.{task}: {error!r}")
            if self.world.server.process is None:
                self.world.end.wait(AWAY_S)
        self.door.close()

    def mark(self):
        self.asked += 1
        return f"m{self.number}_{self.asked}"

    def ask(self, kind, sql, mark, allowed=None, **options):
        """(answer, begun, ended), or None after an error, which is told unless `allowed` takes it."""
        begun = time.monotonic()
        try:
            answer = self.door.ask(sql, **options)
        except Refused as error:
            if allowed is None or not allowed(str(error), begun, time.monotonic()):
                self.told.error(kind, f"{error} <- {sql[:160]}", begun)
            return None
        ended = time.monotonic()
        self.told.took(kind, begun, mark)
        return answer, begun, ended

    def tell(self, problems, sql):
        for kind, text in problems[:5]:
            self.told.violation(kind, f"{text} <- {self.door.__class__.__name__}: {sql[:120]}")


class Administrator(Person):
    """Reads tables whole, which is how anybody knows what has arrived."""

    tasks = (("whole", 6), ("files", 1))
    pause_s = 0.3

    def files(self):
        mark = self.mark()
        if got := self.ask("files", f"SELECT path AS {mark} FROM lab.system.files", mark):
            self.ledger.follow({path.removeprefix("landing/") for path in got[0].column(0).to_pylist()})

    def whole(self):
        table, mark = self.chance.choice(list(TABLES)), self.mark()
        sql = f"SELECT id AS {mark}, department, visibility FROM {table}"
        if got := self.ask("whole", sql, mark):
            answer, begun, ended = got
            ids = answer.column(0).to_numpy()
            self.tell(self.ledger.judge(table, ids, begun, ended, rows.ALL, whole=True), sql)
            if (rows.departments(ids) != answer.column(1).to_numpy(zero_copy_only=False)).any():
                self.told.violation("wrong", f"{table}: values that are not of their rows <- {sql}")


class Scientist(Person):
    """Dashboards' charts, ad-hoc questions and predictions."""

    tasks = (("chart", 6), ("adhoc", 2), ("predict", 1))

    def chart(self):
        table = self.chance.choice(lab.FILTERED)
        # Of few values, so that some answers are kept ones.
        mark = f"c{self.chance.randrange(40)}"
        sql = self.chance.choice(CHARTS).format(t=table, m=mark, v=int(mark[1:]))
        # Nothing waits for the event of a statement that reads nothing, so a kill may lose it.
        self.ask("chart", sql, mark if table in sql else None)

    def adhoc(self):
        table, mark = self.chance.choice(lab.FILTERED), self.mark()
        sql = f"SELECT department, count(*) AS {mark}, count(DISTINCT id), max(id) FROM {table} WHERE amount > {self.chance.uniform(0, 40):.3f} GROUP BY 1"
        if got := self.ask("adhoc", sql, mark):
            answer = got[0]
            renamed = any(file.may_be_twice for file in self.ledger.of_table[table])
            if answer.column(1).to_pylist() != answer.column(2).to_pylist() and not renamed:
                self.told.violation("doubled", f"{table}: rows and their numbers differ in count <- {sql}")

    def predict(self):
        mark = self.mark()
        sql = f"SELECT id, predict_endurance(department => department, dose => dose, temperature_c => temperature_c) AS {mark} FROM lab.chemistry.counts WHERE amount > {self.chance.uniform(0, 60):.3f} LIMIT 200"
        trained = self.world.trained.is_set()
        if got := self.ask("predict", sql, mark, lambda text, begun, ended: not trained):
            values = got[0].column(1).to_pylist()
            if any(value is None or not -50 < value < 150 for value in values):
                self.told.violation("wrong", f"predictions such as {values[:3]} <- {sql}")


class Analyst(Person):
    """Is under a row filter that changes, a mask and a denied column."""

    tasks = (("rows", 5), ("groups", 3), ("hidden", 2), ("joined", 1), ("star", 1), ("denied", 1))

    def ask_filtered(self, kind, sql, mark, tables):
        def shut_out(text, begun, ended):
            closed = any(rule.sql is None for table in tables for rule in self.timeline.between(begun, ended, table))
            return closed and "not found" in text

        return self.ask(kind, sql, mark, shut_out)

    def rows(self):
        table, mark = self.chance.choice(lab.FILTERED), self.mark()
        sql = f"SELECT id AS {mark}, department, visibility, scaffold_smiles FROM {table}"
        if got := self.ask_filtered("analyst rows", sql, mark, [table]):
            answer, begun, ended = got
            ids = answer.column(0).to_numpy()
            self.judge(table, ids, begun, ended, sql)
            if (rows.departments(ids) != answer.column(1).to_numpy(zero_copy_only=False)).any():
                self.told.violation("wrong", f"{table}: values that are not of their rows <- {sql}")
            self.masked(answer.column(3), sql)

    def judge(self, table, ids, begun, ended, sql):
        """There must be one rule, in force during the answer, under which it is right in every row."""
        possible = self.timeline.between(begun, ended, table)
        found = []
        for rule in possible:
            problems = self.ledger.judge(table, ids, begun, ended, rule)
            if not problems:
                return
            found.append((rule.visible(ids).all(), problems))
        honest = [problems for sees_all, problems in found if sees_all]
        if honest:
            return self.tell(min(honest, key=len), sql)
        hidden = min((int((~rule.visible(ids)).sum()), rule.name) for rule in possible)
        self.told.violation("leak", f"{table}: {len(ids)} rows, {hidden[0]} of them hidden under {hidden[1]}; {self.in_force(possible)} <- {sql}")

    def in_force(self, possible):
        return f"in force: {', '.join(rule.name for rule in possible)}; ready for {self.world.server.ready_for():.1f} s"

    def masked(self, column, sql):
        shown = set(column.unique().to_pylist())
        if shown & MASKED or any(value is not None and len(value) != 64 for value in shown):
            self.told.violation("leak", f"a masked column shows {sorted(map(str, shown))[:3]} <- {sql}")

    def groups(self):
        table, mark = self.chance.choice(lab.FILTERED), self.mark()
        sql = f"SELECT department, visibility, count(*) AS {mark} FROM {table} WHERE amount > {self.chance.uniform(-9, 20):.3f} GROUP BY 1, 2"
        if got := self.ask_filtered("analyst groups", sql, mark, [table]):
            answer, begun, ended = got
            pairs = [column.to_numpy(zero_copy_only=False) for column in answer.columns[:2]]
            possible = self.timeline.between(begun, ended, table)
            if len(answer) and not any(rule.sql and rule.sees(*pairs).all() for rule in possible):
                self.told.violation("leak", f"{table}: groups {list(zip(*pairs))}; {self.in_force(possible)} <- {sql}")

    def hidden(self):
        """Asks for what the rule of the moment hides, in a form that statistics could answer."""
        table, mark = self.chance.choice(lab.FILTERED), self.mark()
        department, visibility = self.chance.choice(rows.DEPARTMENTS), self.chance.choice(rows.VISIBILITIES)
        sql = f"SELECT count(*) AS {mark}, max(id) FROM {table} WHERE NOT (department <> '{department}' OR visibility <> '{visibility}')"
        if got := self.ask_filtered("analyst hidden", sql, mark, [table]):
            answer, begun, ended = got
            possible = self.timeline.between(begun, ended, table)
            shown = any(rule.sql and bool(rule.sees(rows.DEPARTMENTS[rows.DEPARTMENTS == department], rows.VISIBILITIES[rows.VISIBILITIES == visibility][:1]).all()) for rule in possible)
            if answer.column(0)[0].as_py() and not shown:
                self.told.violation("leak", f"{table}: {answer.to_pylist()}; {self.in_force(possible)} <- {sql}")

    def joined(self):
        one, other = self.chance.sample(lab.FILTERED, 2)
        mark = self.mark()
        sql = f"SELECT a.id AS {mark}, b.id FROM {one} a LEFT JOIN {other} b ON a.temperature_c = b.temperature_c AND a.dose = b.dose AND a.id % 7 = b.id % 7"
        if got := self.ask_filtered("analyst joined", sql, mark, [one, other]):
            answer, begun, ended = got
            for table, column in ((one, answer.column(0)), (other, answer.column(1))):
                ids = column.drop_null().to_numpy()
                possible = self.timeline.between(begun, ended, table)
                if not any(rule.visible(ids).all() for rule in possible):
                    self.told.violation("leak", f"{table}: hidden rows in a join; {self.in_force(possible)} <- {sql}")

    def star(self):
        table, mark = self.chance.choice(lab.FILTERED), self.mark()
        sql = f"SELECT *, 1 AS {mark} FROM {table} LIMIT 20"
        if got := self.ask_filtered("analyst star", sql, mark, [table]):
            answer = got[0]
            if "operator" in answer.column_names or "scaffold_smiles" not in answer.column_names:
                self.told.violation("leak", f"columns {answer.column_names} <- {sql}")
            self.masked(answer.column("scaffold_smiles"), sql)

    def denied(self):
        sql = self.chance.choice(("SELECT operator FROM lab.chemistry.spectra", "SELECT count(*) FROM lab.preclinical.cages", "SELECT * FROM lab.system.audit"))
        denied(self, sql)


def denied(person, sql):
    """A statement that must be refused, and not for want of a server only."""
    begun = time.monotonic()
    try:
        answer = person.door.ask(sql)
    except Refused as error:
        if "not found" in str(error) or "No field named" in str(error) or "no column" in str(error).lower():
            person.told.took("refused", begun)
        else:
            person.told.error("refused", f"{error} <- {sql}", begun)
    else:
        person.told.violation("leak", f"{person.door.__class__.__name__} gave {answer.num_rows} rows <- {sql}")


class Guest(Person):
    tasks = (("look", 1),)
    pause_s = 1.0

    def look(self):
        denied(self, f"SELECT * FROM {self.chance.choice(list(TABLES))} LIMIT 1")


class Trainer(Person):
    """A data scientist who trains the same model again and again."""

    tasks = (("train", 1),)
    pause_s = 12.0

    def train(self):
        sql = f"CREATE OR REPLACE MODEL {MODEL} OPTIONS (target = 'amount', time_budget_s = 5, function = 'predict_endurance') AS SELECT department, dose, temperature_c, amount FROM lab.chemistry.counts"
        if self.ask("train", sql, None, update=True):
            self.world.trained.set()


class Writer(Person):
    """A scientist who writes rows by statements and knows which were acknowledged."""

    tasks = (("insert", 1),)
    pause_s = 0.5

    def insert(self):
        self.asked += 1
        values = ", ".join(f"({self.asked * BATCH + at}, {self.asked})" for at in range(BATCH))
        state = [UNKNOWN]
        with self.world.lock:
            self.world.batches[self.asked] = state

        def refused(text, begun, ended):
            if NOT_TAKEN in text:
                state[0] = REFUSED
            return False

        if self.ask("insert", f"INSERT INTO {NOTES} VALUES {values}", None, refused, update=True):
            state[0] = TAKEN
