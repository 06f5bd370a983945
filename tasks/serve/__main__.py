"""Serves the tasks over HTTP, with a page that shows them.

    python -m tasks.serve
    python -m tasks.serve captioner translator --port 8080
    python -m tasks.serve --model captioner=my_photos --model captioner=flickr8k
    python -m tasks.serve --host 0.0.0.0 --token-file token.txt --certificate server.pem --key server.key

Answers on this machine alone unless --host says otherwise. The address / is the page; /api/... answers JSON, described
by /openapi.json; /v1/models/... answers as TensorFlow Serving does; /healthz, /readyz and /metrics are for those who
watch it. A client names a model by the name of its run, the first of a task is the default. A released model that
cannot be loaded is left out, with a line that says why; one that --model names must be there. SIGTERM and Ctrl-C stop
the server after the answers that it has begun.
"""

import socket
import sys
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tyro

from shared.bounds import Bounds
from shared.cli import command, parse
from shared.errors import UserError, shown
from shared.files import MediaError, read_regular
from tasks.serve.limits import Limits

TASKS = "captioner", "translator", "phoneme_recognizer", "language_model"
MAX_TOKEN = 1000  # characters
STOP_SECONDS = 30  # in which answers that were begun may end
CONNECTIONS = 1000  # at a time
# Seconds that an idle connection stays open. A client that sends as it is closed has no answer, so the clients and load
# balancers that wait for 60 seconds close it first.
KEEP_ALIVE = 75
SWITCH_SECONDS = 0.0005  # in which a thread of Python gives way to another, such as one that reads requests; not 5 ms


@dataclass(frozen=True, kw_only=True)
class Arguments(Limits):
    tasks: tyro.conf.Positional[tuple[str, ...]] = TASKS
    """Tasks to serve."""
    model: tuple[str, ...] = ()
    """TASK=RUN or TASK=FOLDER: a model to serve, before the released ones of its task; may be repeated."""
    host: str = "127.0.0.1"
    """Address to listen at; 0.0.0.0 and :: are all of this machine."""
    port: Annotated[int, Bounds(0, 65_535)] = 8000
    """Port; 0 for one that is free."""
    token_file: Path | None = None
    """File with a token that clients must send as `Authorization: Bearer TOKEN`."""
    certificate: Path | None = None
    """File with a TLS certificate and its chain, PEM."""
    key: Path | None = None
    """File with the private key of the certificate, PEM."""


def named_models(options: Arguments) -> dict[str, list[str]]:
    """The runs or folders that `--model` names, of each task; raises UserError for anything else."""
    named = defaultdict(list)
    for value in options.model:
        task, equals, name = value.partition("=")
        if not equals or not name or task not in options.tasks:
            raise UserError(f"--model {shown(value)}: TASK=RUN was expected, TASK one of {', '.join(options.tasks)}")
        named[task].append(name)
    return named


def check(options: Arguments) -> None:
    """Raises UserError for options that do not fit together."""
    for task in options.tasks:
        if task not in TASKS:
            raise UserError(f"{shown(task)} is no task; {', '.join(TASKS)} were expected")
    if (options.certificate is None) != (options.key is None):
        raise UserError("--certificate and --key belong together; both were expected")


def read_token(path: Path | None) -> str | None:
    """The token of a file; raises UserError if it cannot be read or is no token."""
    if path is None:
        return None
    try:
        token = read_regular(path, MAX_TOKEN).decode("ascii").strip()
    except (OSError, MediaError, ValueError):
        raise UserError(
            f"--token-file {path}: a file with a token of at most {MAX_TOKEN} letters was expected"
        ) from None
    if not token or not token.isprintable() or " " in token:
        raise UserError(f"--token-file {path}: one line with a token was expected")
    return token


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; raises UserError if the address cannot be had."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        takes_both = family == socket.AF_INET6 and host == "::" and socket.has_dualstack_ipv6()
        listener = socket.create_server(address[:2], family=family, backlog=2048, dualstack_ipv6=takes_both)
        # Its connections inherit this, which asyncio sets only where the protocol was named. Else the body of each
        # answer waits until the client has confirmed the headers, which takes 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"--host {host} --port {port}: nothing can listen there ({reason})") from None


def tls(options: Arguments) -> dict[str, Any]:
    """The options of uvicorn for TLS; raises UserError if certificate and key cannot be used."""
    if options.certificate is None:
        return {}
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(options.certificate, options.key, password=lambda: "")
    except (OSError, ValueError):
        files = f"--certificate {options.certificate} --key {options.key}"
        raise UserError(
            f"{files}: a certificate and its private key in PEM, without a password, were expected"
        ) from None
    return {"ssl_certfile": options.certificate, "ssl_keyfile": options.key, "ssl_keyfile_password": ""}


@command
def main(arguments: list[str]) -> int:
    options = parse(Arguments, arguments, "tasks.serve", __doc__)
    check(options)
    token, own_tls = read_token(options.token_file), tls(options)
    try:
        import uvicorn

        from tasks.serve.app import Server, build_app
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed; run pip install -e '.[serve]'") from None
    from shared.recurrent import inference_in_machine_code
    from tasks.serve.metrics import log_to
    from tasks.serve.models import served_models
    from tasks.serve.registry import all_endpoints

    sys.setswitchinterval(SWITCH_SECONDS)
    models = served_models(options.tasks, named_models(options))
    with listen(options.host, options.port) as listener:
        log_to(sys.stderr)
        server = Server(models, all_endpoints(models), options, report=partial(print, flush=True))
        config = uvicorn.Config(
            build_app(server, token), log_config=None, access_log=False, server_header=False,
            limit_concurrency=CONNECTIONS, timeout_keep_alive=KEEP_ALIVE, timeout_graceful_shutdown=STOP_SECONDS,
            **own_tls,
        )  # fmt: skip
        http = uvicorn.Server(config)
        server.stop = partial(setattr, http, "should_exit", True)
        host, port = listener.getsockname()[:2]
        scheme = "https" if own_tls else "http"
        print(f"serving at {scheme}://{f'[{host}]' if ':' in host else host}:{port}/", flush=True)
        try:
            with inference_in_machine_code():
                http.run(sockets=[listener])
        except (SystemExit, KeyboardInterrupt):  # the signal that stopped it, which uvicorn raises again at its end
            if not http.should_exit:
                raise
    if server.problem:
        raise UserError(server.problem)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
