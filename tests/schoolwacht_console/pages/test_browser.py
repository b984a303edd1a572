"""The pages in the real Chromium: what a person does with them, and what the network's text cannot do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import axe_playwright_python
import pytest
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Page, async_playwright

from schoolwacht.event import Dataset
from schoolwacht_collector.index.memory import MemoryStore
from schoolwacht_collector.index.port import Kind
from schoolwacht_console.site import make_site
from tests.parts import program
from tests.schoolwacht_console import sample

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
PATHS = (
    "/",
    "/?state=all",
    "/?q=(",
    "/alerts/a0001",
    "/alerts/a0004",
    "/agents",
    "/tuning?rule=D24",
    "/search?q=",
    "/search",
    "/nothing",
)
#: Everything that Chromium says of a policy that was broken, or of a script that failed.
_SAYS = ("Content Security Policy", "Refused to", "Trusted", "Uncaught")


@pytest.fixture
async def store() -> MemoryStore:
    made = MemoryStore()
    await sample.fill(made)
    return made


@pytest.fixture
async def url(store: MemoryStore) -> AsyncIterator[str]:
    async with TestServer(make_site(store, now=lambda: sample.NOW), host="127.0.0.1") as server:
        yield str(server.make_url("")).rstrip("/")


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    chromium = program("chromium", "chromium")
    async with async_playwright() as driver:
        made = await driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield made
        await made.close()


@pytest.fixture
async def page(browser: Browser) -> Page:
    return await browser.new_page()


def watch(page: Page) -> list[str]:
    """What goes wrong on a page from now on: broken policies, scripts that fail, dialogs, requests to elsewhere."""
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text) if any(s in message.text for s in _SAYS) else None)
    page.on("pageerror", lambda error: found.append(str(error)))

    def on_dialog(dialog: Any) -> None:
        found.append(f"dialog {dialog.message}")
        task = asyncio.ensure_future(dialog.dismiss())
        task.add_done_callback(lambda _: None)

    page.on("dialog", on_dialog)
    page.on("request", lambda asked: found.append(asked.url) if "//127.0.0.1:" not in asked.url else None)
    return found


async def test_an_alert_is_found_opened_and_acknowledged(page: Page, url: str, store: MemoryStore) -> None:
    faults = watch(page)
    await page.goto(url)
    await page.get_by_role("link", name="Known bad address").click()
    assert await page.get_by_role("heading", level=1).inner_text() == sample.alert(1).title
    await page.get_by_label("All fields of the http event").click()
    assert await page.get_by_text("download.gratis-spellen.example", exact=True).first.is_visible()
    await page.get_by_label("Note (may stay empty)").fill("looking into it")
    await page.get_by_role("button", name="Acknowledge").click()
    await page.get_by_text("Acknowledged by console").wait_for()
    kept = await store.get(Kind.ALERT, "a0001")
    assert kept is not None
    assert getattr(kept.record, "reason", None) == "looking into it"
    assert faults == []


async def test_the_list_refreshes_itself_and_can_be_paused(page: Page, url: str, store: MemoryStore) -> None:
    faults = watch(page)
    await page.goto(url)
    await store.put(Kind.ALERT, sample.alert(9, title="Fresh from the line"), None)
    await page.get_by_role("link", name="Fresh from the line").wait_for()
    await page.get_by_role("button", name="Pause updates").click()
    assert await page.get_by_role("button", name="Resume updates").get_attribute("aria-pressed") == "true"
    assert faults == []


async def test_everything_can_be_done_by_keyboard(page: Page, url: str) -> None:
    await page.goto(url)
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.textContent") == "Skip to the content"
    await page.keyboard.press("Enter")
    for _ in range(60):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.classList.contains('title')"):
            break
    outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "the focus is not to be seen"
    async with page.expect_navigation():
        await page.keyboard.press("Enter")
    for _ in range(60):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.id") == "ack-reason":
            break
    await page.keyboard.type("by keyboard")
    await page.keyboard.press("Tab")
    async with page.expect_navigation():
        await page.keyboard.press("Enter")
    assert await page.get_by_text("Acknowledged by console").count() == 1


async def test_the_console_works_without_scripts(browser: Browser, url: str) -> None:
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(url)
    assert not await page.get_by_text("Pause updates").is_visible()
    await page.get_by_label("Query").fill("rule.id:D01")
    await page.get_by_role("button", name="Apply").click()
    assert await page.locator("tbody tr").count() == 1
    await context.close()


async def test_hostile_text_runs_nothing_and_breaks_no_policy(page: Page, url: str, store: MemoryStore) -> None:
    events = []
    for place, text in enumerate(sample.HOSTILE):
        common = {"network_community_id": sample.COMMUNITY}
        at = sample.NOW.replace(minute=0)
        number = 100 + 10 * place
        events += [
            sample.event(number, at, Dataset.DNS, dns_question_name=text, dns_answers_data=[text], **common),
            sample.event(number + 1, at, Dataset.TLS, tls_client_server_name=text, tls_server_subject=text, **common),
            sample.event(number + 2, at, Dataset.HTTP, url_original=text, user_agent_original=text, **common),
            sample.event(number + 3, at, Dataset.FILE, file_name=text, nsm_detail={text: text}, **common),
            sample.signal(number + 4, at, key=f"k{place}", rule_name=text, message=text),
        ]
        hostile = sample.alert(
            100 + place, title=text, entity=text, rule_name=text, reason=text, changed_by=text, changed_at=at,
            indicator_name=text, technique_id=(text,), technique_name=(text,), key=f"k{place}",
        )  # fmt: skip
        await store.put(Kind.ALERT, hostile, None)
    assert all(outcome.created for outcome in await store.create(events))
    faults = watch(page)
    paths = ["/?state=all", "/search?q=", "/search?q=&kind=signal"]
    paths += [f"/alerts/a{100 + place:04d}" for place in range(len(sample.HOSTILE))]
    for path in paths:
        await page.goto(url + path)
        await page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
        assert await page.evaluate("window.owned") is None, path
        assert page.url == url + path
        assert await page.locator("main script, main img, main iframe, main svg, main style, main base").count() == 0
    assert faults == []


@pytest.mark.parametrize(
    ("scheme", "width", "rules"),
    [
        ("light", 1280, ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]),
        ("dark", 1280, ["color-contrast"]),
        ("light", 320, ["target-size", "scrollable-region-focusable"]),
    ],
)
async def test_no_page_breaks_a_rule_of_wcag(
    browser: Browser, url: str, scheme: Literal["light", "dark"], width: int, rules: list[str]
) -> None:
    # axe is put in by the driver, not by the page: the page's own policy would refuse it.
    context = await browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 800}, bypass_csp=True, reduced_motion="reduce"
    )
    page = await context.new_page()
    found: dict[str, list[str]] = {}
    for path in PATHS:
        await page.goto(url + path)
        await page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
        await page.evaluate(AXE)
        result = await page.evaluate("rules => axe.run({runOnly: rules})", rules)
        faults = [f"{each['id']}: {json.dumps(each['nodes'][0]['html'])}" for each in result["violations"]]
        if await page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            faults.append("scrolls sideways")
        if faults:
            found[path] = faults
    await context.close()
    assert found == {}
