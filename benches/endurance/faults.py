"""An HTTP proxy that now and then does what object stores do on a bad day.

    python faults.py --listen 9000 --to 127.0.0.1:8333 --share 0.04 --seed 1 --told counts.json

For a share of the requests it answers 503, waits 1 to 3 s, resets the connection in the middle of the answer's body, cuts
an upload half-way, or passes the request on and loses its answer. It writes how often it did what when it is ended.
"""

import argparse
import asyncio
import collections
import json
import pathlib
import random
import re
import signal
import socket
import struct
import sys

FAULTS = ("busy", "slow", "cut answer", "cut upload", "lost answer")
BUSY = b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>'
HEAD_MAX = 1 << 20
PIECE = 1 << 16


class Cut(Exception):
    """The connection ends here, on purpose."""


class Proxy:
    def __init__(self, host, port, share, seed, only):
        self.host, self.port, self.share, self.chance = host, port, share, random.Random(seed)
        self.only = re.compile(only)
        self.counts = collections.Counter()

    async def client(self, reader, writer):
        upstream = None
        try:
            while True:
                try:
                    head = await reader.readuntil(b"\r\n\r\n")
                except (asyncio.IncompleteReadError, ConnectionError):
                    break
                if upstream is None:
                    upstream = await asyncio.open_connection(self.host, self.port, limit=HEAD_MAX)
                if not await self.exchange(head, reader, writer, *upstream):
                    break
        except (Cut, ConnectionError, asyncio.IncompleteReadError, OSError):
            reset(writer)
        finally:
            for end in (writer, upstream and upstream[1]):
                if end:
                    end.close()

    async def exchange(self, head, reader, writer, from_store, to_store):
        """One request and its answer; false when the connection is not to be used again."""
        method, path, _ = head.split(b"\r\n", 1)[0].split(b" ")
        fields = parse(head)
        self.counts["requests"] += 1
        fault = None
        if self.chance.random() < self.share and self.only.search(f"{method.decode()} {path.decode('latin-1')}"):
            fault = self.chance.choice(FAULTS)
            if fault == "cut upload" and not int(fields.get("content-length", "0")):
                fault = "busy"
        length = int(fields.get("content-length", "0"))
        chunked = "chunked" in fields.get("transfer-encoding", "")
        if fault == "slow":
            await asyncio.sleep(self.chance.uniform(1, 3))
        if fault == "busy":
            async for _ in body(reader, length, chunked):
                pass
            self.counts[fault] += 1
            writer.write(b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n" % len(BUSY))
            writer.write(b"" if method == b"HEAD" else BUSY)
            await writer.drain()
            return True
        to_store.write(head)
        sent = 0
        async for piece in body(reader, length, chunked):
            if fault == "cut upload" and sent + len(piece) > length // 2:
                to_store.write(piece[: max(length // 2 - sent, 0)])
                await to_store.drain()
                self.counts[fault] += 1
                reset(to_store)
                raise Cut
            sent += len(piece)
            to_store.write(piece)
            await to_store.drain()
        while True:
            answer = await from_store.readuntil(b"\r\n\r\n")
            status = int(answer.split(b" ", 2)[1])
            if status >= 200:
                break
            writer.write(answer)
        fields = parse(answer)
        empty = method == b"HEAD" or status in (204, 304)
        length = 0 if empty else int(fields.get("content-length", "-1"))
        chunked = not empty and "chunked" in fields.get("transfer-encoding", "")
        if fault == "lost answer" or (fault == "cut answer" and (empty or length == 0)):
            async for _ in body(from_store, length, chunked):
                pass
            self.counts["lost answer"] += 1
            raise Cut
        writer.write(answer)
        gone = 0
        async for piece in body(from_store, length, chunked):
            if fault == "cut answer":
                limit = length // 2 if length > 0 else 0
                if gone + len(piece) > limit:
                    writer.write(piece[: max(limit - gone, 0)])
                    await writer.drain()
                    self.counts[fault] += 1
                    raise Cut
            gone += len(piece)
            writer.write(piece)
            await writer.drain()
        if fault:
            self.counts[fault] += 1
        await writer.drain()
        return not (length < 0 and not chunked) and fields.get("connection", "").lower() != "close"


def parse(head):
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines) if name}


async def body(reader, length, chunked):
    """A body as it travels, piece by piece; -1: until the end of the connection."""
    if chunked:
        while True:
            line = await reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            yield line + await reader.readexactly(size + 2)
            if size == 0:
                return
    while length:
        piece = await reader.read(PIECE if length < 0 else min(PIECE, length))
        if not piece:
            if length < 0:
                return
            raise asyncio.IncompleteReadError(piece, length)
        length -= len(piece) if length > 0 else 0
        yield piece


def reset(writer):
    """Ends a connection with RST, not with a goodbye."""
    if held := writer.get_extra_info("socket"):
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def serve(arguments):
    host, _, port = arguments.to.partition(":")
    proxy = Proxy(host, int(port), arguments.share, arguments.seed, arguments.only)
    end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    server = await asyncio.start_server(proxy.client, "127.0.0.1", arguments.listen, limit=HEAD_MAX)
    print("ready", flush=True)
    await end.wait()
    server.close()
    arguments.told.write_text(json.dumps(proxy.counts))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listen", type=int, required=True)
    parser.add_argument("--to", required=True)
    parser.add_argument("--share", type=float, default=0.04)
    parser.add_argument("--only", default="", help="a regular expression: faults meet only requests whose `METHOD /path` has it")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--told", type=pathlib.Path, required=True)
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
