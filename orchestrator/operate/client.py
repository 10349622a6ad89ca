"""The HTTP interfaces of Baton as the command line asks them: where, as whom, and what went wrong.

The console is at BATON_URL, or where the local stack of BATON_HOME put it; a service's own
interface is found the same way. The token is BATON_TOKEN or the stack's. Every answer that is no
success becomes a VerbFault with the exit code that scripts rely on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Self

import httpx

from deploy.local.faults import LocalFault
from deploy.local.home import Home, read_secret
from deploy.local.ports import LOOPBACK, read_ports
from orchestrator.operate.exits import Exit
from orchestrator.operate.faults import VerbFault

Json = dict[str, object]
ANSWER_WITHIN_S = 15.0  # longer than the console waits for Kafka and for what becomes of a verb
CONSOLE = "console"
UP = "is it running? baton status; baton up"
_CODES: dict[int, Exit] = {
    HTTPStatus.NOT_FOUND: Exit.NOT_FOUND,
    HTTPStatus.UNAUTHORIZED: Exit.REFUSED,
    HTTPStatus.FORBIDDEN: Exit.REFUSED,
    HTTPStatus.CONFLICT: Exit.REFUSED,
    HTTPStatus.BAD_REQUEST: Exit.USAGE,
    HTTPStatus.UNPROCESSABLE_ENTITY: Exit.USAGE,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: Exit.USAGE,
    HTTPStatus.SERVICE_UNAVAILABLE: Exit.UNREACHABLE,
}


class Server:
    """One interface; `process` is whose, `url` overrides where it is."""

    def __init__(
        self, process: str = CONSOLE, url: str = "", within_s: float = ANSWER_WITHIN_S
    ) -> None:
        self.process = process
        self.url = (url or _url(process)).rstrip("/")
        self._client = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {_token()}", "Baton-Via": "cli"},
            timeout=within_s,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def get(self, path: str, **params: str | int | None) -> Json:
        """The JSON object at this path; parameters that are None or empty are left out."""
        given = {name: value for name, value in params.items() if value not in (None, "")}
        return self._json(self._ask("GET", path, params=given))

    def post(self, path: str, body: Mapping[str, object], key: str) -> Json:
        """`key` makes it safe to send the same once more."""
        headers = {"Idempotency-Key": key}
        return self._json(self._ask("POST", path, json=dict(body), headers=headers))

    def _ask(self, method: str, path: str, **request: object) -> httpx.Response:
        try:
            return self._client.request(method, path, **request)  # type: ignore[arg-type]
        except httpx.TransportError as fault:
            raise VerbFault(
                f"the interface of {self.process} at {self.url} did not answer"
                f" ({type(fault).__name__})",
                mend=UP,
                code=Exit.UNREACHABLE,
            ) from fault
        except httpx.InvalidURL as fault:
            raise VerbFault(f"{self.url} is no address: {fault}", code=Exit.USAGE) from fault

    def _json(self, answer: httpx.Response) -> Json:
        try:
            said = answer.json()
        except ValueError:
            said = None
        if answer.is_success and isinstance(said, dict):
            return said
        status = answer.status_code
        detail = said.get("detail") if isinstance(said, dict) else None
        what = str(detail or f"{answer.request.method} {answer.request.url}: status {status}")
        raise VerbFault(what, mend=_mend(status), code=_CODES.get(status, Exit.FAILURE))


def _url(process: str) -> str:
    given = os.environ.get("BATON_URL")
    if process == CONSOLE and given:
        return given
    home = _home()
    port = read_ports(home.ports).get(f"{process}_api")
    if port is None:
        raise VerbFault(
            f"no stack was ever started in {home.root}",
            mend=f"baton up   (or say where {process} is: --url http://...)",
            code=Exit.UNREACHABLE,
        )
    return f"http://{LOOPBACK}:{port}"


def _token() -> str:
    given = os.environ.get("BATON_TOKEN")
    if given:
        return given
    path = _home().token_file
    try:
        return read_secret(path)
    except OSError as fault:
        raise VerbFault(
            f"no token: {path} cannot be read ({fault.strerror}), and BATON_TOKEN is not set",
            mend="baton up   (makes one), or: export BATON_TOKEN=...",
            code=Exit.REFUSED,
        ) from fault
    except LocalFault as fault:
        raise VerbFault(str(fault), mend=fault.mend, code=Exit.REFUSED) from fault


def _home() -> Home:
    return Home.from_environment(os.environ)


def _mend(status: int) -> str:
    if status == HTTPStatus.UNAUTHORIZED:
        return "compare BATON_TOKEN with the file `token` in BATON_HOME"
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return UP
    return ""
