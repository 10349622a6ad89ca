"""What leaves the console as a file, and where a choice of sagas leads: answers that are no pages.

An export is streamed, page by page of the list it belongs to, and bounded by ROWS_MAX; it says what
the API says, so no payload and no personal data leaves with it. A cell that a spreadsheet would
take for a formula is quoted.
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import quote, urlencode

import orjson
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse

from orchestrator.operate.filters import Filter, parse
from orchestrator.operate.pages.saga import unknown
from orchestrator.operate.pages.view import NoPage
from orchestrator.operate.pictures import draw
from orchestrator.operate.reading import PAGE_MAX, Reading
from orchestrator.operate.shapes import Shape, of_line, of_saga, of_whole_saga

ROWS_MAX: Final = 100_000
CELLS: Final = (
    "saga_id", "key", "definition", "definition_version", "state", "paused", "stuck", "reason",
    "detail", "waiting_on", "since", "deadline", "attempts", "started", "updated", "age_s",
    "version",
)  # fmt: skip
KINDS: Final = {"csv": "text/csv", "jsonl": "application/jsonl"}
PICTURES: Final = {"svg": "image/svg+xml", "mermaid": "text/plain", "text": "text/plain"}
Answer = Callable[[Request], Awaitable[Response]]


def exports(reading: Reading) -> Mapping[str, Answer]:
    """Path → answer, all of them reads."""

    async def sagas(request: Request) -> Response:
        form = request.query_params.get("form", "csv")
        if form not in KINDS:
            raise NoPage("No such form", f"Sagas leave as {' or '.join(KINDS)}, not as {form}.")
        wanted = parse(" ".join(request.query_params.getlist("query")))
        rows = _rows(reading, wanted)
        lines = _csv(rows) if form == "csv" else _jsonl(rows)
        return StreamingResponse(lines, headers=_named(f"sagas.{form}"), media_type=KINDS[form])

    async def saga(request: Request) -> Response:
        name = request.path_params["name"]
        found = await reading.find(name)
        if not found:
            raise await unknown(reading, name)
        body = _bundle(reading, name)
        headers = _named(f"{quote(found[0].key, safe='')}.json")
        return StreamingResponse(body, headers=headers, media_type="application/json")

    async def flow(request: Request) -> Response:
        name, form = request.path_params["definition"], request.query_params.get("form", "svg")
        version = request.query_params.get("version", "")
        try:
            drawn = draw(name, form, int(version) if version.isdecimal() else None)
        except (KeyError, ValueError) as fault:
            raise NoPage("No such picture", f"{str(fault.args[0]).capitalize()}.") from fault
        end = "svg" if form == "svg" else "mmd" if form == "mermaid" else "txt"
        return PlainTextResponse(drawn, headers=_named(f"{name}.{end}"), media_type=PICTURES[form])

    return {
        "/export/sagas": sagas,
        "/export/saga/{name}": saga,
        "/export/flow/{definition}": flow,
        "/chosen/sagas": chosen,
    }


async def chosen(request: Request) -> Response:
    """To the form of a verb for what was chosen, or for all that match."""
    given = request.query_params
    text, sagas = given.get("query", ""), list(dict.fromkeys(given.getlist("saga")))
    asked = [("verb", given.get("verb", ""))]
    if given.get("which") == "all":
        parse(text)
        asked.append(("query", text))
    elif sagas:
        asked += [("saga", each) for each in sagas]
    else:
        raise NoPage(
            "Nothing is chosen",
            "Tick the sagas to act on, or act on all that match.",
            status=HTTPStatus.UNPROCESSABLE_ENTITY,
            links={"back to the list": f"/sagas?{urlencode({'query': text})}"},
        )
    return RedirectResponse(f"/act?{urlencode(asked)}", HTTPStatus.SEE_OTHER)


async def _rows(reading: Reading, wanted: Filter) -> AsyncIterator[Shape]:
    after, left = None, ROWS_MAX
    while left > 0:
        page = await reading.page(wanted, min(PAGE_MAX, left), after)
        now_us = reading.now_us()
        for each in page.sagas:
            yield of_saga(each, now_us)
        left, after = left - len(page.sagas), page.after
        if after is None:
            return


async def _jsonl(rows: AsyncIterator[Shape]) -> AsyncIterator[bytes]:
    async for row in rows:
        yield orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


async def _csv(rows: AsyncIterator[Shape]) -> AsyncIterator[str]:
    yield _line(CELLS)
    async for row in rows:
        yield _line([_cell(row[name]) for name in CELLS])


def _line(cells: object) -> str:
    written = io.StringIO()
    assert isinstance(cells, tuple | list)
    csv.writer(written).writerow(cells)
    return written.getvalue()


def _cell(value: object) -> str:
    shown = "" if value is None else str(value)
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@", "\t", "\r")) else shown


async def _bundle(reading: Reading, name: str) -> AsyncIterator[bytes]:
    """The saga, its whole history line by line, and where its services' logs are."""
    saga = (await reading.find(name))[0]
    shape = of_whole_saga(saga, reading.views, reading.now_us())
    services = sorted({str(each.service) for each in saga.waiting} | {"orchestrator"})
    logs = [f"baton logs {service}" for service in services]
    told = orjson.dumps({"saga": shape, "logs": logs})
    yield told[:-1] + b',"history":['
    after, first = 0, True
    while lines := await reading.journal(saga, after, PAGE_MAX):
        for row in lines:
            yield (b"" if first else b",") + orjson.dumps(of_line(row))
            first = False
        after = int(str(lines[-1]["seq"]))
    yield b"]}\n"


def _named(file: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{file}"'}
