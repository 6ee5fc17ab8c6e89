"""The page of a patch, looked at in a real browser: what it shows, and that nothing in it runs or is fetched."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tools import need, need_module, run

from stubgen.capture import record
from stubgen.cli import main
from stubgen.report import make_page

HOST = """
#include <cstdio>
namespace shop {
  long orders = 3;
  long price(long pieces) { return pieces * 10; }
  long discount(long cents) { return cents / 2; }
  long checkout(long pieces) { orders++; return price(pieces); }
}
long (*current)(long) = shop::checkout;
int main() { std::printf("%ld", current(2)); }
"""
PATCH = """
namespace shop {
  extern long orders;
  long price(long); long discount(long);
  long checkout(long pieces) { return discount(price(pieces)) + orders++; }
}
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a real C++ patch."""
    folder = tmp_path_factory.mktemp("report")
    compiler = str(need("aarch64-linux-gnu-g++"))
    (folder / "app.cc").write_text(HOST)
    (folder / "shop.cc").write_text(PATCH)
    words = [compiler, "-g", "-O1", "-Wl,--export-dynamic-symbol=main", "app.cc", "-o", "app"]
    run(words, cwd=folder)
    run([compiler, "-g", "-O1", "-fPIC", "-c", "shop.cc", "-o", "shop.o"], cwd=folder)
    record(words, folder / "captured", directory=str(folder))
    anchor = next(
        int(line.split()[0], 16)
        for line in run([need("llvm-nm-19"), folder / "app"]).splitlines()
        if line.endswith(" main")
    )
    before = Path.cwd()
    os.chdir(folder)
    try:
        inputs = ["--host", "app", "--captured", "captured", "--aslr-reference", hex(0x5500000000 + anchor), "shop.o"]
        status = main(
            ["link", *inputs, "--jump-table", "table", "--report", "report.html", "-o", "patch.so", "--quiet"]
        )
    finally:
        os.chdir(before)
    assert status == 0
    return folder / "report.html"


def data_of(page: str) -> dict[str, Any]:
    """What the page's script is given."""
    text = page.partition('<script id="data" type="application/json">')[2].partition("</script>")[0]
    found: dict[str, Any] = json.loads(text)
    return found


def test_it_has_everything_in_itself(page: Path) -> None:
    """A page that fetches a style or a font is blank on a train, and tells somebody else who looked."""
    text = page.read_text()
    data = data_of(text)
    assert data["told"]["output"] == "patch.so"
    assert data["account"]["definitions"]
    assert {edit["action"] for edit in data["plan"]} >= {"kept", "added", "dropped"}
    outside = text.replace(json.dumps(data, separators=(",", ":")), "")
    assert not [word for word in ("http:", "https:", "src=", "@import", "url(") if word in outside]


def test_names_cannot_run() -> None:
    """Symbols hold any bytes; one that ends the script would run in who looks at it."""
    name = "</script><img src=x onerror=alert(1)>\u2028"
    text = make_page({"output": name, "slide": 0, "decisions": [], "command": "link"}).decode()
    assert "</script><img" not in text
    assert data_of(text)["told"]["output"] == name


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Debian's Chromium, without a window."""
    need_module("selenium", "selenium")
    binary, driver = need("chromium", "chromedriver")
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = binary
    words = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking disable-sync"
    for word in [*words.split(), "disable-component-update", "force-prefers-reduced-motion", "window-size=1200,900"]:
        options.add_argument(f"--{word}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    window = Chrome(options=options, service=Service(executable_path=driver))
    yield window
    window.quit()


def texts(browser: Any, selector: str) -> list[str]:
    """The texts of what *selector* finds and can be seen."""
    return [found.text for found in browser.find_elements("css selector", selector) if found.is_displayed()]


def test_what_a_person_sees(page: Path, browser: Any) -> None:
    """Numbers, names as people wrote them, layout, functions, who reaches the old code, and the command."""
    browser.get(page.as_uri())
    assert browser.title == "patch.so · stubgen"
    cards = texts(browser, ".card")
    assert {"sound\nchecked", "1\nfunctions changed", "1\naddresses in the jump table"} <= set(cards)
    assert "shop::price(long)" in texts(browser, "#symbols td.name")
    assert texts(browser, "#layout .bar .name")
    assert texts(browser, "#changes td.name") == ["shop::checkout(long)"]
    assert any("current" in line for line in texts(browser, "#reach li"))
    assert any(word.endswith("stub.o") for word in texts(browser, "#link td.word"))
    assert texts(browser, "nav a") == [
        "At a glance",
        "Symbols",
        "Layout",
        "Functions",
        "What still reaches the old code",
        "Link command",
    ]
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def test_search_filter_and_order(page: Path, browser: Any) -> None:
    """Four thousand symbols are of use when one is found."""
    browser.get(page.as_uri())
    field = browser.find_element("css selector", "#symbols input")
    field.send_keys("price trampoline")
    assert texts(browser, "#symbols td.name") == []
    field.clear()
    field.send_keys("shop::price")
    assert set(texts(browser, "#symbols td.name")) == {"shop::price(long)"}
    assert "2 of " in texts(browser, "#symbols .count")[0]
    chip = browser.find_element("css selector", '#symbols .chips [data-key="trampoline"]')
    chip.click()
    assert texts(browser, "#symbols td.name") == ["shop::price(long)"]
    assert chip.get_attribute("aria-pressed") == "true"
    field.clear()
    field.send_keys(" ")
    browser.find_elements("css selector", "#symbols th button")[0].click()
    names = texts(browser, "#symbols td.name")
    assert names == sorted(names)
    assert len(names) > 1
    browser.find_element("css selector", '#link [data-key="dropped"]').click()
    assert set(texts(browser, "#link tbody .tag")) == {"dropped"}


def test_light_and_dark(page: Path, browser: Any) -> None:
    """Half of the people look at it in the dark; text on its own colour is no text."""
    browser.get(page.as_uri())
    looks = set()
    for _ in range(2):
        style = "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]"
        text, ground = browser.execute_script(style)
        assert text != ground
        looks.add((text, ground))
        assert len(browser.get_screenshot_as_png()) > 10_000
        browser.find_element("id", "theme").click()
    assert len(looks) == 2


def test_edited_values(browser: Any, tmp_path: Path) -> None:
    """The table says why an edited value is not seen, not only that the variable is the host's."""
    row = {"size": 4, "obstacle": "", "patch": None}
    rows = [
        {**row, "name": "factor", "writable": True, "forwarded": True, "initial_value_changed": True},
        {**row, "name": "step", "writable": False, "forwarded": False, "initial_value_changed": True},
        {**row, "name": "same", "writable": True, "forwarded": True, "initial_value_changed": False},
    ]
    file = tmp_path / "edited.html"
    told = {"output": "edited.so", "slide": 0, "decisions": [], "duplicates": rows, "command": "link"}
    file.write_bytes(make_page(told))
    browser.get(file.as_uri())
    assert texts(browser, "#state td.soft") == [
        "its first value was edited: the process keeps the one that it has",
        "its value was edited: code outside the patch reads the host's",
        "",
    ]


def test_many_symbols(browser: Any, tmp_path: Path) -> None:
    """A table of 5,000 rows at once makes a browser wait; what is not shown yet is found all the same."""
    row = {
        "verdict": "trampoline",
        "reason": "",
        "runtime_address": 4096,
        "used_by": ["a.o"],
        "candidates": [],
        "patch": None,
    }
    decisions = [{"name": f"f{number}", **row} for number in range(5000)]
    file = tmp_path / "many.html"
    file.write_bytes(make_page({"output": "many.so", "slide": 0, "decisions": decisions, "command": "build"}))
    browser.get(file.as_uri())
    shown = len(browser.find_elements("css selector", "#symbols tbody tr"))
    assert shown < 500
    browser.find_element("css selector", "#symbols .more").click()
    assert len(browser.find_elements("css selector", "#symbols tbody tr")) == 2 * shown
    browser.find_element("css selector", "#symbols input").send_keys("f4999")
    assert texts(browser, "#symbols td.name") == ["f4999"]


def test_it_fits_a_narrow_window(page: Path, browser: Any) -> None:
    """A page that scrolls sideways on half a screen is not read."""
    browser.set_window_size(520, 900)
    browser.get(page.as_uri())
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    browser.set_window_size(1200, 900)
