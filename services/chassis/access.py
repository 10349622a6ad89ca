"""Who may do what: roles, who asks, and the policy that every route of ours carries.

Knows neither tokens nor sessions: those say who somebody is (`gate`), this what he may. The
invariant: a route without a policy is nobody's. A role is given per route, never per id, so that
a refusal says nothing of what exists.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

LOCAL = "local"  # the token that `baton up` makes for whoever started the stack
ACTOR_MAX = 128


class Role(StrEnum):
    """A word of `baton tokens create --role`, and of a route's policy."""

    PUBLISHER = "publisher"  # submit orders and cancellations
    VIEWER = "viewer"  # read, without what is personal
    OPERATOR = "operator"  # both, and move sagas and dead letters
    ADMIN = "admin"  # all, and see what is personal

    def may(self, needed: Role) -> bool:
        return needed in _GRANTS[self]


_GRANTS = {
    Role.PUBLISHER: frozenset({Role.PUBLISHER}),
    Role.VIEWER: frozenset({Role.VIEWER}),
    Role.OPERATOR: frozenset({Role.PUBLISHER, Role.VIEWER, Role.OPERATOR}),
    Role.ADMIN: frozenset(Role),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """`token_id` and `until_s` (of 1970) are what a session looks at to end with them."""

    name: str
    role: Role
    kind: Literal["token", "oidc"] = "token"
    token_id: str = ""
    until_s: float | None = None

    @property
    def actor(self) -> str:
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True, slots=True)
class Policy:
    """`needs` None: anybody, without a token. A page is also entered by a session's cookie."""

    needs: Role | None
    page: bool = False


Endpoint = Callable[[Request], Awaitable[Response] | Response]
OPEN = Policy(None)


class Guarded(Route):
    def __init__(
        self, path: str, endpoint: Endpoint, policy: Policy, methods: Sequence[str]
    ) -> None:
        super().__init__(path, endpoint, methods=list(methods))
        self.policy = policy


def guarded(
    path: str, endpoint: Endpoint, *, needs: Role, methods: Sequence[str] = ("GET",)
) -> Guarded:
    """A route of an API: entered with a bearer token only."""
    return Guarded(path, endpoint, Policy(needs), methods)


def page(
    path: str, endpoint: Endpoint, *, needs: Role, methods: Sequence[str] = ("GET",)
) -> Guarded:
    """A route for browsers: who has no session is sent to log in; a POST carries its token."""
    return Guarded(path, endpoint, Policy(needs, page=True), methods)


def opened(path: str, endpoint: Endpoint, *, methods: Sequence[str] = ("GET",)) -> Guarded:
    return Guarded(path, endpoint, OPEN, methods)


def policy_of(route: BaseRoute | None) -> Policy | None:
    return route.policy if isinstance(route, Guarded) else None


def principal_of(request: HTTPConnection) -> Principal:
    """Who asks, as the gate found out. A route that is open has nobody: LookupError."""
    found = known_to(request)
    if found is None:
        raise LookupError("nobody is told apart on a route that is open")
    return found


async def still_admitted(request: HTTPConnection) -> bool:
    """Whether who was let in would be now, as the same: asked by what goes on for long."""
    asked: Callable[[], Awaitable[bool]] = request.scope["state"]["still"]
    return await asked()


def known_to(request: HTTPConnection) -> Principal | None:
    found = request.scope.get("state", {}).get("principal")
    return found if isinstance(found, Principal) else None


def may(request: HTTPConnection, role: Role | str) -> bool:
    """For pages: whether to show what asks for this role."""
    return principal_of(request).role.may(Role(role))


def actor_of(request: HTTPConnection, given: str | None) -> str:
    """Who is written down as having done it.

    `given` counts only with the token of whoever started the stack here: it is then the name of
    the user at the command line. Everybody else is who he proved to be.
    """
    principal = principal_of(request)
    if principal.kind == "token" and principal.name == LOCAL and given:
        return f"{LOCAL}/{given}"[:ACTOR_MAX]
    return principal.actor[:ACTOR_MAX]
