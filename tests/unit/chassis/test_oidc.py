"""Signed tokens of an identity provider: what is let in, and everything that is not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path

import httpx
import jwt
import pytest
from company import HandClock
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.chassis.access import Role, guarded, principal_of
from services.chassis.gate import Gate, gate_of, secured
from services.chassis.oidc import KEYS_MAX_S, KEYS_S, Provider, Verifier
from services.chassis.settings import Settings
from services.chassis.tokens import Tokens

URL = "https://login.example/keys"
PROVIDER = Provider(
    "https://login.example",
    "baton",
    URL,
    "groups",
    {"shop-viewers": Role.VIEWER, "shop-operators": Role.OPERATOR},
)
OURS = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CURVE = ec.generate_private_key(ec.SECP256R1())
PUBLIC = OURS.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


def published() -> dict[str, object]:
    rs = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(OURS.public_key()))
    es = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(CURVE.public_key()))
    shared = {"kty": "oct", "k": base64.urlsafe_b64encode(PUBLIC).decode().rstrip("=")}
    return {
        "keys": [
            {**rs, "kid": "rs", "alg": "RS256"},
            {**es, "kid": "es", "alg": "ES256"},
            {**shared, "kid": "hs", "alg": "HS256"},
        ]
    }


class Provided:
    """The provider's key address; `asked` counts, `answer` is what it says."""

    def __init__(self) -> None:
        self.asked = 0
        self.clock = HandClock()
        self.answer = httpx.Response(200, json=published())
        self.verifier = Verifier(PROVIDER, self.clock, httpx.MockTransport(self._say))

    def _say(self, request: httpx.Request) -> httpx.Response:
        assert str(request.url) == URL
        self.asked += 1
        return self.answer

    def claims(self, **changes: object) -> dict[str, object]:
        now_s = self.clock.us // 1_000_000
        said = {
            "iss": "https://login.example",
            "aud": "baton",
            "sub": "ann",
            "exp": now_s + 600,
            "groups": ["shop-viewers"],
            **changes,
        }
        return {name: value for name, value in said.items() if value is not None}

    async def code(self, token: str, method: str = "GET") -> tuple[int, str]:
        async def who(request: Request) -> Response:
            return JSONResponse({"detail": principal_of(request).actor})

        routes = [
            guarded("/who", who, needs=Role.VIEWER),
            guarded("/who", who, needs=Role.OPERATOR, methods=["POST"]),
        ]
        gate = Gate(Tokens(None, self.clock), self.verifier, clock=self.clock)
        transport = httpx.ASGITransport(secured(routes, gate))
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            headers = {"Authorization": f"Bearer {token}"}
            answer = await client.request(method, "/who", headers=headers)
        return answer.status_code, answer.json()["detail"]


@pytest.fixture
def provided() -> Provided:
    return Provided()


def signed(claims: dict[str, object], kid: str = "rs", **how: object) -> str:
    key = how.get("key") or {"rs": OURS, "es": CURVE}.get(kid, OURS)
    algorithm = {"es": "ES256"}.get(kid, "RS256")
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid})  # type: ignore[arg-type]


def by_hand(claims: dict[str, object], header: dict[str, str], key: bytes = b"") -> str:
    """As an attacker writes it, whom no library holds back."""

    def part(given: bytes) -> bytes:
        return base64.urlsafe_b64encode(given).rstrip(b"=")

    said = b".".join(part(json.dumps(each).encode()) for each in (header, claims))
    signature = hmac.new(key, said, hashlib.sha256).digest() if key else b""
    return (said + b"." + part(signature)).decode()


@pytest.mark.parametrize("kid", ["rs", "es"])
async def test_a_signed_token_lets_in_as_its_role(provided: Provided, kid: str) -> None:
    """Of several roles the greatest; one that it does not hold is refused."""
    viewer, operator = provided.claims(), provided.claims(groups=["shop-viewers", "shop-operators"])
    assert await provided.code(signed(viewer, kid)) == (200, "oidc:ann")
    assert await provided.code(signed(operator, kid), "POST") == (200, "oidc:ann")
    code, why = await provided.code(signed(viewer, kid), "POST")
    assert (code, why) == (403, "POST /who: asks for the role operator; ann has the role viewer")


ROLELESS = "'s groups holds no role of ours; BATON_OIDC_ROLES says which values are roles"
REFUSED = {
    "InvalidAudienceError": {"aud": "other"},
    "InvalidIssuerError": {"iss": "https://evil.example"},
    "MissingRequiredClaimError": {"exp": None},
}


@pytest.mark.parametrize(("fault", "changes"), REFUSED.items())
async def test_claims_that_are_wrong_are_refused(
    provided: Provided, fault: str, changes: dict[str, object]
) -> None:
    said = await provided.code(signed(provided.claims(**changes)))
    assert said == (401, f"Authorization: the signed token is refused: {fault}")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"exp": 1}, "is expired: ask the provider for another one"),
        ({"nbf": 1 << 40}, "is not yet valid"),
        (
            {"groups": ["others"]},
            ROLELESS,
        ),
        (
            {"groups": None},
            ROLELESS,
        ),
        ({"sub": "a" * 101}, "'s sub is no name of up to 100"),
    ],
)
async def test_what_says_nobody_here_is_refused(
    provided: Provided, changes: dict[str, object], why: str
) -> None:
    code, said = await provided.code(signed(provided.claims(**changes)))
    assert (code, said.endswith(why)) == (401, True), said


async def test_what_nobody_signed_is_refused(provided: Provided) -> None:
    """No algorithm, another's key, a public key as a shared secret, a key that is not published."""
    claims = provided.claims()
    tokens = [
        by_hand(claims, {"alg": "none", "kid": "rs"}),
        by_hand(claims, {"alg": "HS256", "kid": "rs"}, PUBLIC),
        by_hand(claims, {"alg": "HS256", "kid": "hs"}, PUBLIC),
        signed(claims, "rs", key=OTHER),
        signed(claims, "unknown"),
        signed(claims) + "x",
        "a.b.c",
    ]
    assert [(await provided.code(each))[0] for each in tokens] == [401] * len(tokens)


async def test_keys_are_asked_for_seldom_and_only_where_the_settings_say(
    provided: Provided,
) -> None:
    """Unknown ones once in KEYS_S; what is withdrawn is refused; no redirect is followed."""
    good = signed(provided.claims(exp=1 << 40))
    assert (await provided.code(good))[0] == 200
    for _ in range(5):
        await provided.code(signed(provided.claims(), "unknown"))
    assert provided.asked == 1
    provided.clock.move(KEYS_S)
    await provided.code(signed(provided.claims(), "unknown"))
    assert provided.asked == 2

    provided.answer = httpx.Response(302, headers={"location": "https://evil.example"})
    provided.clock.move(KEYS_MAX_S)
    assert (await provided.code(good))[0] == 200
    provided.answer = httpx.Response(200, json={"keys": published()["keys"][1:]})  # type: ignore[index]
    provided.clock.move(KEYS_MAX_S)
    assert (await provided.code(good))[0] == 401


def test_the_keys_of_elsewhere_are_not_asked_for_at_import() -> None:
    """Without the extra all else works: only a gate that is told of a provider needs it."""
    text = Path("services/chassis/gate.py").read_text(encoding="utf-8")
    assert "\nfrom services.chassis.oidc" not in text


def test_the_settings_make_the_gate_take_them() -> None:
    """All four, and it does; none, and only our own tokens count."""
    given = {
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "BATON_OIDC_ISSUER": PROVIDER.issuer,
        "BATON_OIDC_AUDIENCE": PROVIDER.audience,
        "BATON_OIDC_KEYS_URL": URL,
        "BATON_OIDC_ROLES": '{"shop-operators": "operator"}',
    }
    with_it = Settings.read(given, service="crm")
    without = Settings.read({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, service="crm")
    assert isinstance(gate_of(with_it, HandClock()).oidc, Verifier)
    assert gate_of(without, HandClock()).oidc is None
