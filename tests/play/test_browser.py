"""The page in a real browser: keys move both views, the readout of their divergence moves, a clip plays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from browser import open_browser
from playing import serving

VIEWS = ("imagined-scene", "real-scene", "imagined-wrist", "real-wrist")
TEN = "ddwaqqdswe"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium on the page of the shipped checkpoint, with the first pictures drawn."""
    folder = tmp_path_factory.mktemp("browser")
    opened = open_browser(folder)
    try:
        with serving("shipped", folder / "clips") as host:
            opened.set_window_size(1280, 800)
            opened.get(f"http://{host}/")
            wait(opened, "return document.body.dataset.tick > 0")
            yield opened
            opened.get("about:blank")
    finally:
        opened.quit()


def wait(browser: Any, script: str, seconds: float = 60.0) -> Any:
    """What a script returns, once that is true."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, seconds, 0.1).until(lambda it: it.execute_script(script), script)


def text(browser: Any, name: str) -> str:
    return str(browser.execute_script(f"return document.getElementById('{name}').textContent"))


def pictures(browser: Any) -> list[str]:
    return [browser.execute_script(f"return document.getElementById('{name}').toDataURL()") for name in VIEWS]


def press(browser: Any, keys: str) -> None:
    from selenium.webdriver import ActionChains

    for key in keys:
        ActionChains(browser).send_keys(key).perform()


def test_ten_keys_move_both_views_and_the_readout_and_a_clip_plays(browser: Any) -> None:
    before, said = pictures(browser), [text(browser, name) for name in ("psnr-scene", "psnr-wrist", "gap")]
    assert said == ["60.0", "60.0", "0.0"], "alike at first"
    press(browser, "v" + TEN)
    wait(browser, "return parseFloat(document.getElementById('time').textContent) >= 0.5")
    press(browser, "p")
    wait(browser, "return document.getElementById('state-text').textContent === 'paused'")
    assert all(then != now for then, now in zip(before, pictures(browser), strict=True)), "all four views changed"
    for name in ("psnr-scene", "psnr-wrist"):
        assert 5 < float(text(browser, name)) < 50
    script = "return [...document.querySelectorAll('.meter path')].map((it) => it.attributes.d.value)"
    lines = browser.execute_script(script)
    assert len(lines) == 3
    for line in lines:
        assert len({point.split()[-1] for point in line.split("L")}) > 1, "every line has moved"
    assert float(text(browser, "fps")) > 0
    press(browser, "v")
    wait(browser, "return document.querySelector('#clips video')?.readyState >= 1")
    browser.execute_script("document.querySelector('#clips video').play()")
    assert (
        wait(browser, "const film = document.querySelector('video'); return film.currentTime > 0.2 && film.videoWidth")
        > 500
    )
    link = browser.execute_script("return document.querySelector('#clips a').download")
    assert link.startswith("place_can-") and link.endswith(".mp4")


def test_everything_imagined_says_so(browser: Any) -> None:
    captions = browser.execute_script("return [...document.querySelectorAll('figure')].map((it) => it.innerText)")
    assert [" ".join(caption.split()) for caption in captions] == [
        "Imagined scene generated",
        "MuJoCo scene",
        "Imagined wrist generated",
        "MuJoCo wrist",
    ]
    assert "streaming" in text(browser, "facts")


def test_the_keyboard_reaches_everything(browser: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.execute_script("document.activeElement.blur(); document.querySelector('#kind').focus()")
    reached = []
    for _ in range(24):
        reached.append(browser.execute_script("return document.activeElement.id"))
        browser.switch_to.active_element.send_keys(Keys.TAB)
    assert {"observes", "up", "down", "grip", "pause", "step", "policy", "record", "kind", "number", "reset"} <= set(
        reached
    )
    browser.execute_script("document.getElementById('reset').focus()")
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    wait(browser, "return document.getElementById('state').dataset.state === 'ready'")
    wait(browser, "return document.getElementById('time').textContent === '0.00'")
    browser.execute_script("document.activeElement.blur()")
    press(browser, " ")
    wait(browser, "return document.getElementById('grip').getAttribute('aria-pressed') === 'true'")
    press(browser, "p")
    assert wait(browser, "return document.getElementById('spoken').textContent"), "who listens hears where it stands"


def test_it_fits_a_phone_and_the_console_is_silent(browser: Any) -> None:
    screen = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    assert browser.execute_script("return document.documentElement.scrollWidth") == 390
    heights = browser.execute_script(
        "return [...document.querySelectorAll('#controls button')].map((it) => it.offsetHeight)"
    )
    assert min(heights) >= 44, "what a thumb needs"
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
