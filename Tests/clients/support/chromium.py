"""Headless Chromium with a home of its own, driven by the DevTools protocol."""

import asyncio
import base64
import itertools
import json
import os
import re
import subprocess
from pathlib import Path

from websockets.asyncio.client import connect

from .processes import eventually


class Chromium:
    """A browser that trusts the given CA and has the given client certificate."""

    def __init__(self, directory: Path, processes, ca: Path, pfx: Path, password: str, origin: str):
        directory.mkdir()
        self.home = directory / "home"
        self.processes = processes
        database = self.home / ".pki/nssdb"
        database.mkdir(parents=True)
        nss = f"sql:{database}"
        for command in (
            ["certutil", "-N", "-d", nss, "--empty-password"],
            ["certutil", "-A", "-d", nss, "-t", "C,,", "-n", "test CA", "-i", ca],
            ["pk12util", "-i", pfx, "-d", nss, "-W", password, "-K", ""],
        ):
            subprocess.run([str(word) for word in command], check=True, capture_output=True, timeout=30)
        # Which client certificate to send is asked in a dialog, unless a policy says so.
        settings = directory / "etc"
        (settings / "policies/managed").mkdir(parents=True)
        choice = json.dumps({"pattern": origin, "filter": {}})
        (settings / "policies/managed/tests.json").write_text(json.dumps({"AutoSelectCertificateForUrls": [choice]}))
        arguments = [
            "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server",
            "--window-size=800,500", "--remote-debugging-port=0", f"--user-data-dir={directory}/profile", "about:blank",
        ]
        # The policy is laid over the machine's own settings in a mount namespace, so that nothing outside changes.
        namespace = ["unshare", "--mount"] + ([] if os.getuid() == 0 else ["--user", "--map-root-user"])
        script = 'mount --bind "$0" /etc/chromium && exec "$@"'
        self.process = processes.start(
            "chromium", [*namespace, "sh", "-c", script, settings, *arguments],
            env={**os.environ, "HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home / "config"),
                 "XDG_CACHE_HOME": str(self.home / "cache"), "DBUS_SESSION_BUS_ADDRESS": "/dev/null"},
        )
        pattern = re.compile(r"DevTools listening on (ws://\S+)")
        self.url = eventually(lambda: pattern.search(processes.log("chromium")), "Chromium listens", 60)[1]

    def close(self) -> None:
        self.processes.stop(self.process)

    async def open(self, url: str) -> "Page":
        """Opens a page in a new tab and waits until it is loaded."""
        page = Page(await connect(self.url, max_size=None, proxy=None))
        target = (await page.call("Target.createTarget", url="about:blank"))["targetId"]
        page.session = (await page.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        for domain in ("Page", "Runtime", "Network"):
            await page.call(f"{domain}.enable")
        loaded = page.event("Page.loadEventFired")
        answer = await page.call("Page.navigate", url=url)
        assert "errorText" not in answer, answer
        await asyncio.wait_for(loaded, 30)
        return page


class Page:
    """One tab."""

    def __init__(self, connection):
        self._connection = connection
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future] = {}
        self._events: dict[str, list[asyncio.Future]] = {}
        self.session = None
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for text in self._connection:
            message = json.loads(text)
            if "id" in message:
                future = self._waiting.pop(message["id"])
                if not future.done():
                    future.set_result(message)
            else:
                for future in self._events.pop(message["method"], []):
                    if not future.done():
                        future.set_result(message["params"])

    async def call(self, method: str, **parameters) -> dict:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._connection.send(json.dumps(message))
        answer = await asyncio.wait_for(self._waiting[number], 60)
        assert "error" not in answer, answer
        return answer["result"]

    def event(self, method: str) -> asyncio.Future:
        future = asyncio.get_running_loop().create_future()
        self._events.setdefault(method, []).append(future)
        return future

    async def evaluate(self, script: str):
        """The value of a script, or of the promise that it makes."""
        answer = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode((await self.call("Page.captureScreenshot"))["data"]))

    async def close(self) -> None:
        self._reader.cancel()
        await self._connection.close()
