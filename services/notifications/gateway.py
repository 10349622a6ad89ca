"""The mail server: each letter over SMTP under a Message-ID that says what the letter is.

SMTP is at-least-once; a letter sent again has the same Message-ID, so the receiving side can tell.
A refusal for good (a 5xx to the recipient or to the content) is a result; all else is `Unknown`.
No error that leaves this module carries an address or a text: they are personal.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from email.utils import formatdate

from aiosmtplib import SMTP, SMTPDataError, SMTPException, SMTPNotSupported, SMTPRecipientsRefused
from pydantic import Field

from services.chassis.handlers import Call, Result, Unknown
from services.chassis.settings import Settings

ANSWER_WITHIN_S = 10.0
CONNECTIONS_MAX = 4
REFUSED, UNUSABLE = "refused", "address_unusable"
# Quoted, international and grouped addresses are not sent to: few servers take them, and the
# standard library's header parser breaks on some of them.
PLAIN_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+")


class GatewaySettings(Settings):
    """Notifications does not start without a mail server."""

    smtp_host: str = Field(min_length=1, description="the mail server")
    smtp_sender: str = Field(
        "shop@baton.invalid", pattern=r"^[^@\s]+@[^@\s]+$", description="who mail comes from"
    )


class MailServer:
    """A few connections, kept open; one that failed is not used again."""

    def __init__(self, host: str, port: int, sender: str) -> None:
        self._host, self._port, self._sender = host, port, sender
        self._idle: list[SMTP] = []
        self._places = asyncio.Semaphore(CONNECTIONS_MAX)

    async def deliver(self, message: EmailMessage, to: str) -> None:
        async with self._places:
            client = await self._connected()
            try:
                await client.send_message(message, sender=self._sender, recipients=[to])
            except BaseException:
                client.close()
                raise
            self._idle.append(client)

    def message(self, call: Call) -> EmailMessage:
        message = EmailMessage()
        message["Message-ID"] = f"<{call.id}@baton.invalid>"
        message["From"] = self._sender
        message["To"] = str(call.body["to"])
        message["Subject"] = str(call.body["subject"])
        message["Date"] = formatdate()
        message.set_content(str(call.body["text"]))
        return message

    async def _connected(self) -> SMTP:
        while self._idle:
            client = self._idle.pop()
            if client.is_connected:
                return client
        client = SMTP(hostname=self._host, port=self._port, timeout=ANSWER_WITHIN_S)
        await client.connect()
        return client

    def close(self) -> None:
        for client in self._idle:
            client.close()
        self._idle.clear()


@asynccontextmanager
async def open_gateway(settings: Settings) -> AsyncIterator[MailServer]:
    assert isinstance(settings, GatewaySettings)
    server = MailServer(settings.smtp_host, settings.smtp_port, settings.smtp_sender)
    try:
        yield server
    finally:
        server.close()


async def deliver(server: MailServer, call: Call, key: str) -> Result:
    """`{}` for taken, or `{"refused": why}`. The key is of no use to SMTP; the call's id is."""
    del key
    to = str(call.body["to"])
    if not PLAIN_ADDRESS.fullmatch(to):
        return {REFUSED: UNUSABLE}
    try:
        await server.deliver(server.message(call), to)
    except (SMTPException, OSError) as fault:
        refusal = _refused_for_good(fault)
        if not refusal:
            raise Unknown(f"mail {call.id}: {type(fault).__name__}") from None
        return {REFUSED: refusal}
    return {}


def _refused_for_good(fault: Exception) -> str:
    """Empty when another try may succeed."""
    if isinstance(fault, SMTPNotSupported):
        return UNUSABLE
    codes = [fault.code] if isinstance(fault, SMTPDataError) else []
    if isinstance(fault, SMTPRecipientsRefused):
        codes = [each.code for each in fault.recipients]
    return f"smtp_{codes[0]}" if codes and all(code >= 500 for code in codes) else ""
