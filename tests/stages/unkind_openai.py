"""An OpenAI-compatible server on this machine that names speech types, and on command answers as badly as real ones."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-test-5f2c9a71e0d34b8c"
HTML = b"<!DOCTYPE html><html><head><title>Log in</title></head><body>Welcome to the hotel</body></html>"
WHO = (
    "Chef",
    "Nurse",
    "Judge",
    "Coach",
    "Farmer",
    "Pilot",
    "Rabbi",
    "Imam",
    "Lawyer",
    "Guide",
    "Poet",
    "Broker",
    "Vet",
)
WHAT = ("Sermon", "Eulogy", "Pep Talk", "Verdict", "Lesson", "Toast", "Rant", "Demonstration")
NAMES = tuple(f"{who} {what}" for what in WHAT for who in WHO)  # 104 that nobody would take for each other


def named(name: str, languages: tuple[str, ...] = ("en", "zh", "es"), **more: Any) -> dict[str, Any]:
    """One well-formed speech type, as the model writes it."""
    keywords = [{"language": code, "phrases": [f"{name} {code}", f"{name} {code} full"]} for code in languages]
    return {"name": name, "group": "Miscellaneous", "register": "casual", "keywords": keywords, **more}


def completion(content: Any, *, usage: Any = (900, 400), finish: str = "stop", refusal: str | None = None) -> bytes:
    """The body of an answer with this content."""
    text = content if isinstance(content, str) or content is None else json.dumps(content)
    message = {"role": "assistant", "content": text, "refusal": refusal}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "test"}
    body["choices"] = [{"index": 0, "finish_reason": finish, "message": message}]
    if usage is not None:
        body["usage"] = dict(zip(("prompt_tokens", "completion_tokens"), usage, strict=True), total_tokens=1)
    return json.dumps(body).encode()


@dataclass
class Reply:
    """What goes over the wire."""

    body: bytes
    status: int = 200
    kind: str = "application/json"
    wait_seconds: float = 0.0


@dataclass
class Asked:
    """What the server was asked.

    Attributes:
        wanted: types that this request asks for.
        known: names that it lists as known.
        languages: codes of the instructions.
        number: of the request, from 0.
        key: the bearer token.
        body: everything.
    """

    wanted: int
    known: list[str]
    languages: tuple[str, ...]
    number: int
    key: str
    body: dict[str, Any]


Answer = Callable[[Asked], Reply]


def kind(asked: Asked) -> Reply:
    """As many new types as are wanted, and near-duplicates of known ones among them."""
    new = [name for name in NAMES if name not in asked.known][: asked.wanted]
    types = [named(name, asked.languages) for name in new]
    types += [named(f"The {name}s", asked.languages) for name in asked.known[:3]]
    types += [named(" ".join(reversed(name.split())).upper(), asked.languages) for name in asked.known[3:5]]
    return Reply(completion({"types": types}))


def error(status: int, message: str = "no", code: str | None = None) -> Reply:
    return Reply(json.dumps({"error": {"message": message, "type": code, "code": code}}).encode(), status)


FAULTS: dict[str, Answer] = {
    "refusal": lambda _: Reply(completion(None, refusal="I will not help with <b>that</b>.")),
    "wrong shape": lambda _: Reply(completion({"types": [{"name": 5}]})),
    "prose": lambda _: Reply(completion("Sure! Here are some speech types: ...")),
    "no choices": lambda _: Reply(b'{"choices": []}'),
    "empty object": lambda _: Reply(b"{}"),
    "list": lambda _: Reply(b"[1, 2]"),
    "cut off": lambda _: Reply(completion('{"types": [', finish="length")),
    "filtered": lambda _: Reply(completion("", finish="content_filter")),
    "html as json": lambda _: Reply(HTML),
    "html": lambda _: Reply(HTML, kind="text/html"),
    "429": lambda _: error(429, "Rate limit reached for requests", "rate_limit_exceeded"),
    "quota": lambda _: error(429, "You exceeded your current quota", "insufficient_quota"),
    "401": lambda asked: error(401, f"Incorrect API key provided: {asked.key}", "invalid_api_key"),
    "403": lambda _: error(403, "Country not supported"),
    "404": lambda _: error(404, "The model does not exist", "model_not_found"),
    "400": lambda _: error(400, "response_format is not supported"),
    "500": lambda _: Reply(HTML, 500, "text/html"),
    "timeout": lambda _: Reply(b"", wait_seconds=1.0),
}


def after(rounds: int, fault: Answer, then: Answer = kind) -> Answer:
    """`then` for so many requests, the fault from there on."""
    return lambda asked: then(asked) if asked.number < rounds else fault(asked)


@dataclass
class Server:
    """A running server: set `answer` at any time; `asked` holds every request."""

    url: str = ""
    answer: Answer = kind
    asked: list[Asked] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: Server

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        instructions, question = (message["content"] for message in body["messages"])
        listed = re.search(r"\[.*\]", question)
        found = re.search(r"Languages: (.+)\.", instructions)
        asked = Asked(
            wanted=int(re.search(r"\d+", question)[0]),  # type: ignore[index]
            known=json.loads(listed[0]) if listed else [],
            languages=tuple(found[1].split(", ")) if found else (),
            number=len(self.state.asked),
            key=self.headers.get("Authorization", "").removeprefix("Bearer "),
            body=body,
        )
        self.state.asked.append(asked)
        reply = self.state.answer(asked)
        time.sleep(reply.wait_seconds)
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.kind)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def handle(self) -> None:
        try:
            super().handle()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # who asked has given up


@contextmanager
def serving() -> Iterator[Server]:
    """A server until the block ends."""
    state = Server()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": state}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
