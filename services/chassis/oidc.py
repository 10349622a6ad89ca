"""Tokens that an identity provider signed, as bearer tokens: checked by its published keys.

Optional: needs the extra `oidc`. The invariants: a signature is asymmetric and of the allowed
algorithms; issuer, audience and expiry are always looked at; keys come from the one address of the
settings, without redirects: again for a key that is not known, at most once in KEYS_S, and in any
case after KEYS_MAX_S, so that one that was withdrawn is.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Mapping
from dataclasses import dataclass

import httpx
import jwt

from services.chassis.access import Principal, Role
from services.chassis.clock import Clock
from services.chassis.settings import Settings
from services.chassis.tokens import NotAdmitted

ALGORITHMS = ("RS256", "ES256")
KEYS_S, KEYS_MAX_S = 30.0, 600.0
ANSWER_WITHIN_S = 5.0
KEYS_BYTES_MAX = 256 * 1024
SUBJECT_MAX = 100
LEEWAY_S = 30
REQUIRED = ("iss", "aud", "exp", "sub")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Provider:
    """`roles`: which value of the claim is which role of ours; the greatest counts."""

    issuer: str
    audience: str
    keys_url: str
    claim: str
    roles: Mapping[str, Role]


class Verifier:
    """A `services.chassis.gate.Verifies`."""

    def __init__(
        self,
        provider: Provider,
        clock: Clock,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._provider, self._clock, self._transport = provider, clock, transport
        self._keys: dict[str, jwt.PyJWK] = {}
        self._asked_s: float | None = None
        self._turn = asyncio.Lock()

    async def principal(self, token: str) -> Principal:
        """Raises NotAdmitted, which names what is wrong and no value."""
        return self._named(await self._claims(token))

    async def logged_in(self, token: str, nonce: str) -> Principal:
        """By an ID token that was made for us alone, and for the login that sent this nonce.

        Raises NotAdmitted.
        """
        claims = await self._claims(token)
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise NotAdmitted("the signed token was made for another login: begin again")
        alone = claims["aud"] in (self._provider.audience, [self._provider.audience])
        if claims.get("azp", self._provider.audience if alone else "") != self._provider.audience:
            raise NotAdmitted("the signed token was made for another client than this console")
        return self._named(claims)

    async def _claims(self, token: str) -> Mapping[str, object]:
        try:
            header = jwt.get_unverified_header(token)
            key = await self._key(str(header.get("kid", "")))
            claims: Mapping[str, object] = jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                issuer=self._provider.issuer,
                audience=self._provider.audience,
                leeway=LEEWAY_S,
                options={"require": list(REQUIRED), "verify_exp": False, "verify_nbf": False},
            )
        except jwt.PyJWTError as fault:
            raise NotAdmitted(f"the signed token is refused: {type(fault).__name__}") from fault
        return claims

    def _named(self, claims: Mapping[str, object]) -> Principal:
        until_s = self._timely(claims)
        subject = claims["sub"]
        if not (isinstance(subject, str) and 0 < len(subject) <= SUBJECT_MAX):
            raise NotAdmitted(f"the signed token's sub is no name of up to {SUBJECT_MAX}")
        return Principal(subject, self._role(claims), "oidc", until_s=until_s)

    def _timely(self, claims: Mapping[str, object]) -> float:
        """By our clock, which a test moves by hand."""
        now_s = self._clock.now_us() / 1_000_000
        until_s, from_s = claims["exp"], claims.get("nbf", 0)
        if not isinstance(until_s, int | float) or until_s + LEEWAY_S <= now_s:
            raise NotAdmitted("the signed token is expired: ask the provider for another one")
        if not isinstance(from_s, int | float) or from_s - LEEWAY_S > now_s:
            raise NotAdmitted("the signed token is not yet valid")
        return float(until_s)

    def _role(self, claims: Mapping[str, object]) -> Role:
        """A list of values, or one."""
        said = claims.get(self._provider.claim, [])
        values = said if isinstance(said, list) else [said]
        roles = self._provider.roles
        held = {roles[each] for each in values if isinstance(each, str) and each in roles}
        if not held:
            raise NotAdmitted(
                f"the signed token's {self._provider.claim} holds no role of ours;"
                " BATON_OIDC_ROLES says which values are roles"
            )
        return [role for role in Role if role in held][-1]

    async def _key(self, kid: str) -> jwt.PyJWK:
        async with self._turn:
            now_s = self._clock.monotonic_s()
            age_s = KEYS_MAX_S if self._asked_s is None else now_s - self._asked_s
            if age_s >= (KEYS_MAX_S if kid in self._keys else KEYS_S):
                self._asked_s = now_s
                self._keys = await self._published() or self._keys
        if kid not in self._keys:
            raise NotAdmitted("the signed token's key is none that the provider publishes")
        return self._keys[kid]

    async def _published(self) -> dict[str, jwt.PyJWK]:
        """Empty where the provider does not say; what is known then goes on."""
        try:
            async with httpx.AsyncClient(
                timeout=ANSWER_WITHIN_S,
                trust_env=False,
                follow_redirects=False,
                transport=self._transport,
            ) as client:
                answer = await client.get(self._provider.keys_url)
            usable = answer.is_success and len(answer.content) <= KEYS_BYTES_MAX
            found = jwt.PyJWKSet.from_dict(answer.json() if usable else {}).keys
        except (httpx.HTTPError, ValueError, jwt.PyJWTError, AttributeError) as fault:
            _log.warning("the provider's keys are out of reach", extra={"reason": str(fault)})
            return {}
        return {str(each.key_id): each for each in found if each.algorithm_name in ALGORITHMS}


def verifier_of(settings: Settings, audience: str, clock: Clock) -> Verifier:
    """Of the provider in the settings, which are whole; of tokens that are for this audience."""
    issuer, keys_url = settings.oidc_issuer, settings.oidc_keys_url
    assert issuer is not None
    assert keys_url is not None
    return Verifier(
        Provider(issuer, audience, keys_url, settings.oidc_claim, settings.oidc_roles), clock
    )
