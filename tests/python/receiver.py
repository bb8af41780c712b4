"""A real mail server and a real webhook receiver for the tests of alerts.

    receiver.py DIR SECRET

Certificates, and everything that is received, go into DIR: one JSON object a line in `received.jsonl`, flushed to the disk
before the sender hears yes. While DIR/down exists both answer "try again"; while DIR/refuse exists, "never" of every recipient;
while DIR/locked exists neither takes the password, while DIR/full exists no message; while DIR/slow exists a mail is taken, and said to be so four seconds
later. Prints one line of JSON with the ports, then serves until standard input closes.
"""

import asyncio
import hashlib
import hmac
import json
import os
import ssl
import sys
import threading
import time
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import trustme
from aiosmtpd.smtp import SMTP, AuthResult

DIR, SECRET = sys.argv[1], sys.argv[2]
LOCK = threading.Lock()


def is_set(flag):
    return os.path.exists(os.path.join(DIR, flag))


def keep(record):
    with LOCK, open(os.path.join(DIR, "received.jsonl"), "a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
        file.flush()
        os.fsync(file.fileno())


class Mail:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if is_set("refuse"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 well"

    async def handle_DATA(self, server, session, envelope):
        if is_set("full"):
            return "554 5.3.4 never"
        if is_set("down"):
            return "451 try again"
        message = message_from_bytes(envelope.content, policy=policy.default)
        parts = {part.get_content_type(): part.get_content() for part in message.walk() if not part.is_multipart()}
        keep({
            "by": "smtp",
            "tls": session.ssl is not None,
            "login": getattr(session, "login_name", None),
            "to": envelope.rcpt_tos,
            "from": envelope.mail_from,
            "headers": [[name, str(value)] for name, value in message.items()],
            "id": message["Message-ID"].strip("<>").split("@")[0],
            "subject": message["Subject"],
            "text": parts.get("text/plain"),
            "html": parts.get("text/html"),
        })
        if is_set("slow"):
            await asyncio.sleep(4)
        return "250 kept"


def authenticate(server, session, envelope, mechanism, data):
    session.login_name = data.login.decode()
    return AuthResult(success=data.login == b"labhouse" and data.password == b"smtp-secret" and not is_set("locked"),
                      handled=False)


class Hook(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = 204
        if self.path == "/redirect":
            self.send_response(307)
            self.send_header("Location", "/hook")
            self.end_headers()
            return
        if is_set("refuse"):
            status = 410
        elif is_set("locked"):
            status = 401
        elif is_set("full"):
            status = 404
        elif is_set("down"):
            status = 503
        elif self.path == "/hook" and not self.signed(body):
            status = 401
        else:
            keep({"by": self.path.strip("/"), "id": self.headers["X-Labhouse-Delivery"], "body": json.loads(body)})
        self.send_response(status)
        self.end_headers()

    def signed(self, body):
        """As a receiver would: its own HMAC, constant-time comparison, a window of five minutes."""
        fields = dict(part.split("=", 1) for part in self.headers["X-Labhouse-Signature"].split(","))
        expected = hmac.new(SECRET.encode(), fields["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
        return hmac.compare_digest(expected, fields["v1"]) and abs(time.time() - int(fields["t"])) < 300

    def log_message(self, *_):
        pass


authority = trustme.CA()
authority.cert_pem.write_to_path(os.path.join(DIR, "ca.pem"))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
stranger = trustme.CA()
stranger.cert_pem.write_to_path(os.path.join(DIR, "stranger.pem"))

loop = asyncio.new_event_loop()


def session():
    return SMTP(Mail(), hostname="localhost", tls_context=context, require_starttls=True, auth_required=True,
                authenticator=authenticate, loop=loop)


mail = loop.run_until_complete(loop.create_server(session, "127.0.0.1", 0))
threading.Thread(target=loop.run_forever, daemon=True).start()
http = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
threading.Thread(target=http.serve_forever, daemon=True).start()
https = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
https.socket = context.wrap_socket(https.socket, server_side=True)
threading.Thread(target=https.serve_forever, daemon=True).start()
print(json.dumps({
    "smtp": mail.sockets[0].getsockname()[1],
    "http": http.server_address[1],
    "https": https.server_address[1],
}), flush=True)
sys.stdin.read()
