"""Axis `workers`: TPC-H shared with N `labhouse worker` processes of this machine. What moves between the nodes and how even
their shares are; where the cores are fewer than the workers, seconds on the wall tell nothing.
"""

import contextlib
import re
import shutil
import statistics
import subprocess
import time

import lab
import tpch

SIZE = "workers"
SIZES = (1, 2, 3, 4)
READY_S = 30
# What a worker may wait for parts that still run; none do when it is asked to end.
DRAIN_S = 2
# The worker says so in its log, at this level, for each part of a statement that it takes.
LOG = {"LABHOUSE_LOG": "info,labhouse::cluster=debug"}
PART = "a part of a statement"
LOST = "a node was lost"


@contextlib.contextmanager
def opened(bench):
    if "not there yet" in bench.command("worker", "--help").text:
        raise lab.Limit(f"{bench.labhouse} has no workers yet: it is older than the README's section `More than one machine`")
    if shutil.which("ss") is None:
        raise lab.Limit("ss is not there, which counts bytes of connections: install iproute2")
    with bench.lake() as lake:
        lake.users("ada")
        tpch.load(bench, lake, bench.scale)
        right, rows = tpch.answers(lake)
        # What the same statements cost a server that shares nothing; it is also where the answers come from a second time.
        with lake.serve() as server, server.session("ada") as ada:
            server.until(ada, "SELECT count(*) FROM lab.tpch.lineitem", [(rows,)])
            alone = {query: tpch.cost(server, ada, query, right[query]) for query in tpch.QUERIES}
        lab.say("without workers: " + ", ".join(f"{query} {cost.wall:.3f} s, cpu {cost.processor:.3f} s" for query, cost in alone.items()))
        yield lambda workers, row: measure(bench, lake, right, rows, alone, workers, row)


def measure(bench, lake, right, rows, alone, count, row):
    with contextlib.ExitStack() as running:
        workers = [running.enter_context(start(lake, number)) for number in range(count)]
        addresses = [worker.told["cluster"].rsplit("/", 1)[1] for worker in workers]
        config = lake.folder / "shared.toml"
        lake.write(config, {"cluster": {"workers": addresses, "statement_mib_min": 0, "look_s": 1}})
        server = running.enter_context(lake.serve(config, LOG))
        ada = running.enter_context(server.session("ada"))
        server.until(ada, "SELECT count(*) FROM lab.tpch.lineitem", [(rows,)])
        server.until(ada, "SELECT count(*) FROM lab.system.nodes WHERE state = 'ready'", [(count,)], READY_S)
        nodes, asked = [server, *workers], 0
        before = [(node.processor(), read_mib(node.pid), *moved(node.pid), parts(node)) for node in nodes]
        for query in tpch.QUERIES:
            begun = [node.processor() for node in nodes]
            cost = tpch.cost(server, ada, query, right[query])
            used = sum(node.processor() - was for node, was in zip(nodes, begun)) / (bench.repeat + 1)
            row |= {f"{query}, s": cost.wall, f"{query}, cpu s of all nodes": used, f"the same ÷ without workers ({query})": used / alone[query].processor}
            asked += bench.repeat + 1
        for node in nodes:
            node.alive()
        time.sleep(0.2)  # the last counts of connections
        after = [(node.processor(), read_mib(node.pid), *moved(node.pid), parts(node)) for node in nodes]
        used, read, sent, received, taken = zip(*([now - was for now, was in zip(*pair)] for pair in zip(after, before)))
        # A server keeps what one worker alone would do, so with one there are no parts; with more, each has some.
        if count > 1 and not all(taken[1:]):
            raise lab.Limit(f"a worker took no part: parts {list(taken[1:])}; {lab.last_words(server.log)}")
        if lost := server.log.read_text(errors="replace").count(LOST):
            raise lab.Limit(f"{lost} statements lost a worker and ran again or failed: {lab.last_words(server.log)}")
        if any(taken):
            row |= {
                "a statement, cpu s of the server": used[0] / asked,
                "to the server, MiB a statement": received[0] / asked,
                "moved in all, MiB a statement": sum(received) / asked,
                "sent by a worker, MiB a statement": spread([value / asked for value in sent[1:]]),
                "read from the lake in all, MiB a statement": sum(read) / asked,
                "read by a worker, MiB a statement": spread([value / asked for value in read[1:]]),
                "read by a worker, most ÷ mean": uneven(read[1:]),
                "cpu of a worker, most ÷ mean": uneven(used[1:]),
            }
        row |= {
            "parts of a worker": spread(taken[1:]),
            "peak of a worker, MiB": max(lab.memory(worker.pid, "VmHWM") for worker in workers),
            "peak of the server, MiB": lab.memory(server.pid, "VmHWM"),
        }


def start(lake, number):
    config = lake.folder / f"worker-{number}.toml"
    lake.write(config, {"cluster": {"listen": "127.0.0.1:0"}, "limits": {"drain_s": DRAIN_S}})
    return lab.Served(lake, config, LOG, "worker")


def parts(node):
    return node.log.read_text(errors="replace").count(PART)


def read_mib(pid):
    """Read from files: what comes over connections is received, not read, and is not in this number."""
    with open(f"/proc/{pid}/io") as counters:
        return next(int(line.split()[1]) for line in counters if line.startswith("rchar")) / 2**20


def moved(pid):
    """MiB that a process sent and received over the TCP connections that it has now. Nodes keep theirs."""
    listed = subprocess.run(["ss", "-tinpOH"], capture_output=True, text=True, check=True).stdout
    mine = [line for line in listed.splitlines() if f"pid={pid}," in line]
    return tuple(sum(int(found) for line in mine for found in re.findall(rf"\b{name}:(\d+)", line)) / 2**20 for name in ("bytes_sent", "bytes_received"))


def uneven(values):
    """The most that a worker has, as a multiple of its even share."""
    mean = statistics.fmean(values)
    return max(values) / mean if mean > 0 else None


def spread(values):
    return f"{min(values):.3g} to {max(values):.3g}"
