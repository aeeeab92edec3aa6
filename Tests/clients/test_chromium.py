"""A browser: a page through the edge, its WebSocket with a token, client certificate, server-sent events."""

import asyncio
import json
import os
import shutil
import uuid
from pathlib import Path

import pytest
from support.chromium import Chromium

PAGE = Path(__file__).parent / "programs/page.html"


@pytest.fixture(scope="module")
def chromium(edge, processes, work):
    partner = edge.authority.issue("partner", client=True)
    browser = Chromium(work / "chromium", processes, edge.ca, partner.pfx(b"secret"), "secret", edge.url)
    yield browser
    browser.close()


@pytest.mark.timeout(120)
def test_page(chromium, edge, recorder, echo, issuer, work):
    recorder.pages["page"] = PAGE.read_bytes()
    identifier, events = uuid.uuid4().hex, uuid.uuid4().hex

    async def main():
        page = await chromium.open(f"{edge.url}/open/page")
        # The browser has sent client.pfx: the page comes with it, and so does what the page asks for.
        status, told = await page.evaluate("fetched('/certificate/echo')")
        headers = {name.lower(): value for name, value in told["headers"]}
        assert (status, headers["conduit-caller-cn"]) == (200, "partner")
        assert (await page.evaluate("fetched('/api/echo')"))[0] == 401
        token = issuer.token("browser")
        status, told = await page.evaluate(f"fetched('/api/echo', {json.dumps(token)})")
        assert status == 200
        for number in range(3):
            recorder.push(events, str(number))
        assert await page.evaluate(f"firstEvents('/open/events?name={events}', 3)") == ["0", "1", "2"]

        first, second = issuer.token("browser", lifetime=15), issuer.token("browser", lifetime=18)
        seen = await page.evaluate(f"run({json.dumps(first)}, {json.dumps(second)}, '{identifier}')")
        assert seen == ["open, subprotocol conduit.auth.v1", "echo: hello", "renewed", "echo: still here",
                        "closed 4401 token_expired"]
        await page.screenshot(work / "page.png")
        if directory := os.environ.get("MESH_SCREENSHOTS"):
            shutil.copy(work / "page.png", directory)
        await page.close()

    asyncio.run(main())
    seen = echo.finished(identifier)
    # What was for the edge has not reached the service, and nothing of the token has.
    assert [size for _, size, _ in seen.messages] == [len("hello"), len("still here")]
    assert seen.fields["conduit-caller"] == "jwt:https://issuer.test/browser"
    assert "bearer" not in str(seen.fields)


@pytest.mark.timeout(120)
def test_foreign_page(chromium, edge, recorder, issuer):
    """A page of another origin gets neither answers nor a WebSocket."""
    recorder.pages["page"] = PAGE.read_bytes()

    async def main():
        page = await chromium.open(f"http://{edge.address}:{edge.PLAIN}/open/page")
        token = json.dumps(issuer.token())
        assert (await page.evaluate(f"fetched('{edge.url}/api/echo', {token})"))[0] == 0
        closed = await page.evaluate(f"""new Promise((resolve) => {{
            const socket = new WebSocket('{edge.ws_url}/echo', ['conduit.auth.v1', 'bearer.' + {token}]);
            socket.onopen = () => resolve('open');
            socket.onclose = (event) => resolve(event.code);
        }})""")
        assert closed in (1006, 4403)
        await page.close()

    asyncio.run(main())
