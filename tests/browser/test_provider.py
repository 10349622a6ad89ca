"""Logging in at an identity provider on another site, in a browser that keeps cookies to theirs."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import escape
from pathlib import Path
from urllib.parse import parse_qsl

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from playwright.async_api import Browser, expect
from stage import free_port
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from website import website

from orchestrator.operate.login import Ways
from orchestrator.operate.oidc_login import Client, OidcLogin
from services.chassis.access import Role
from services.chassis.clock import SystemClock
from services.chassis.health import serving
from services.chassis.oidc import Provider, Verifier

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Issuer:
    """Its page asks for a click, which makes the way back begin at its own site."""

    def __init__(self, url: str) -> None:
        self.url, self.asked = url, dict[str, str]()

    async def login(self, request: Request) -> Response:
        self.asked = dict(request.query_params)
        back = f"{self.asked['redirect_uri']}?state={self.asked['state']}&code=c1"
        return HTMLResponse(f'<title>Id</title><a href="{escape(back)}">I am Ann</a>')

    async def token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        proof = hashlib.sha256(form["code_verifier"].encode()).digest()
        assert self.asked["code_challenge"] == base64.urlsafe_b64encode(proof).decode().rstrip("=")
        claims = {"iss": self.url, "aud": "baton-console", "sub": "ann", "exp": 1 << 40}
        claims |= {"nonce": self.asked["nonce"], "roles": ["guests"]}
        return JSONResponse({"id_token": jwt.encode(claims, KEY, "RS256", {"kid": "k"})})

    async def keys(self, _: Request) -> Response:
        key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key()))
        return JSONResponse({"keys": [{**key, "kid": "k", "alg": "RS256"}]})


@asynccontextmanager
async def issuing() -> AsyncIterator[Issuer]:
    """At another site than the console: `localhost` is none of 127.0.0.1's."""
    port = free_port()
    issuer = Issuer(f"http://localhost:{port}")
    routes = [
        Route("/login", issuer.login),
        Route("/token", issuer.token, methods=["POST"]),
        Route("/keys", issuer.keys),
    ]
    async with serving(Starlette(routes=routes), "127.0.0.1", port):
        yield issuer


async def test_who_comes_back_from_the_provider_is_inside(browser: Browser, tmp_path: Path) -> None:
    """On the page he wanted, without another click: the session's cookie is Strict, and the way
    back began elsewhere.
    """
    port = free_port()
    home = f"http://127.0.0.1:{port}"
    async with issuing() as issuer:
        client = Client(
            issuer.url,
            "baton-console",
            "",
            f"{issuer.url}/login",
            f"{issuer.url}/token",
            f"{home}/login/oidc/back",
        )
        provider = Provider(
            issuer.url, client.client_id, f"{issuer.url}/keys", "roles", {"guests": Role.VIEWER}
        )
        clock = SystemClock()
        ways = Ways(OidcLogin(client, Verifier(provider, clock), clock))
        async with (
            website(tmp_path, ways=ways) as site,
            serving(site.app, "127.0.0.1", port),
            await browser.new_context() as window,
        ):
            page = await window.new_page()
            await page.goto(f"{home}/sagas?state=awaiting_stock")
            await page.get_by_role("link", name=f"Log in with {issuer.url}").click()
            await page.get_by_role("link", name="I am Ann").click()
            await page.wait_for_url(f"{home}/sagas?state=awaiting_stock")
            await page.locator(".own > summary").click()
            await expect(page.get_by_text("ann (viewer)")).to_be_visible()
            site.live.stop()
