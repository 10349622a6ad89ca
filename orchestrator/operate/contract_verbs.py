"""The verbs of what is agreed: contracts list, check, generate, asyncapi. None needs a stack."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.operate.exits import Exit
from orchestrator.operate.faults import VerbFault, told
from orchestrator.operate.output import Form, Output

COLUMNS = ("name", "kind", "owner", "topic", "key", "answers", "refusals")
FINDING_COLUMNS = ("full_name", "version", "path", "problem", "remedy")


def register(app: typer.Typer) -> None:
    contracts = typer.Typer(no_args_is_help=True, help="Messages and what is agreed of them.")
    contracts.command("list")(list_contracts)
    for verb in (check, generate, asyncapi):
        contracts.command(verb.__name__)(verb)
    app.add_typer(contracts, name="contracts")


def list_contracts(
    context: typer.Context,
    *,
    kind: Annotated[
        str, typer.Option(help="Only event, command, reply, outcome or operator.")
    ] = "",
    owner: Annotated[str, typer.Option(help="Only of this service.")] = "",
) -> None:
    """Every message: who answers it, where it is published, under which key."""
    from schemas.catalogue import load_catalogue  # noqa: PLC0415  keeps `--help` quick, as below

    output: Output = context.obj
    with told(output):
        rows = [
            {
                "name": each.full_name,
                "kind": each.kind,
                "owner": each.owner,
                "topic": each.topic,
                "key": each.key,
                "answers": [name.rpartition(".")[2] for name in each.answers],
                "refusals": [name.rpartition(".")[2] for name in each.refusals],
            }
            for each in load_catalogue().by_name.values()
            if kind in ("", each.kind) and owner in ("", each.owner)
        ]
        output.rows(COLUMNS, rows)


def check(context: typer.Context) -> None:
    """Compare today's messages with every released version; exits 1 if a reader would break."""
    from dataclasses import asdict  # noqa: PLC0415

    from schemas.catalogue import load_catalogue  # noqa: PLC0415
    from schemas.compatibility import check_released  # noqa: PLC0415
    from schemas.generate import sources  # noqa: PLC0415
    from schemas.releases import releases  # noqa: PLC0415
    from schemas.shapes import IllegalSchemaError  # noqa: PLC0415

    output: Output = context.obj
    with told(output):
        try:
            catalogue = load_catalogue()
        except IllegalSchemaError as fault:
            raise VerbFault(str(fault), mend="edit the .avsc file that it names") from fault
        findings = check_released()
        if findings or output.form is not Form.TABLE:
            output.rows(FINDING_COLUMNS, [asdict(each) for each in findings])
        stale = [name for name, text in sources(catalogue).items() if _differs(name, text)]
        if stale:
            output.fail(
                f"the types of {', '.join(stale)} are not those of the schemas",
                "baton contracts generate",
            )
        versions = ", ".join(dict.fromkeys(each.version for each in releases()))
        many = len(catalogue.by_name)
        output.say(f"{many} messages against released {versions}: {len(findings)} findings")
        if findings or stale:
            raise typer.Exit(Exit.FAILURE)


def generate(context: typer.Context) -> None:
    """Write the Python types of every schema; run it after editing an .avsc file."""
    from schemas.catalogue import load_catalogue  # noqa: PLC0415
    from schemas.generate import sources, write  # noqa: PLC0415

    output: Output = context.obj
    with told(output):
        made = sources(load_catalogue())
        changed = {name for name, text in made.items() if _differs(name, text)}
        write()
        output.rows(
            ("owner", "change"),
            [
                {"owner": name, "change": "written" if name in changed else "unchanged"}
                for name in sorted(made)
            ],
        )


def asyncapi(
    context: typer.Context,
    *,
    file: Annotated[str, typer.Option("--file", help="Where to; default standard output.")] = "",
) -> None:
    """The AsyncAPI 3 document of every topic and message, as JSON."""
    from importlib.metadata import version  # noqa: PLC0415

    from schemas.asyncapi import document  # noqa: PLC0415

    output: Output = context.obj
    with told(output):
        text = json.dumps(document(version=version("baton-saga")), indent=2)
        if not file:
            print(text)
            return
        try:
            Path(file).write_text(text + "\n", encoding="utf-8")
        except OSError as fault:
            raise VerbFault(f"{file}: {fault.strerror}") from fault
        if output.form is Form.TABLE:
            output.say(f"written to {file}")


def _differs(owner: str, text: str) -> bool:
    from schemas.catalogue import ROOT  # noqa: PLC0415

    path = ROOT / owner / "__init__.py"
    return not path.exists() or path.read_text(encoding="utf-8") != text
