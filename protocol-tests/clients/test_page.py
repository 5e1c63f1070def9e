"""The page of the metrics listener in a real browser: what it shows beside what `stats` says, under load, with hostile
keys, with a server that does not answer, and for people who use a keyboard, a phone or a screen reader.

With LARDER_PAGE_SHOTS=FOLDER it also leaves pictures of it there.
"""

import json
import os
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from load import OPTIONS, load, rest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from test_metrics import Endpoint, endpoint

# What moves by itself, or by looking.
MOVING = {"time", "uptime", "rusage_user", "rusage_system", "curr_connections", "connection_structures", "bytes_read"}
MOVING |= {"total_connections", "bytes_written", "conn_yields", "contended_borrows"}
HOSTILE = [
    b"<img/src=x/onerror=window.hacked=1>",
    b"\"><script>window.hacked=1</script>",
    b"</td></table><h1>owned</h1>",
    b"{{constructor.constructor('window.hacked=1')()}}",
    "k\u00fcche:\U0001f600".encode(),
]


class Page:
    """The page in a browser."""

    def __init__(self, browser: webdriver.Chrome, server: Endpoint):
        self.browser = browser
        self.server = server
        browser.get(f"http://{server.address}/")

    def run(self, script: str, *arguments):
        return self.browser.execute_script(script, *arguments)

    def text(self, selector: str) -> str:
        return self.run("return document.querySelector(arguments[0]).textContent", selector)

    def value(self, name: str) -> float | None:
        """The figure with this id as it is, not as it is shown."""
        text = self.run("return document.getElementById(arguments[0]).value", name)
        return float(text) if text else None

    def rows(self, name: str) -> list[list[str]]:
        script = "return [...document.getElementById(arguments[0]).rows].map((row) => [...row.cells].map((cell) => cell.textContent))"
        return self.run(script, name)

    def values(self, name: str) -> dict[str, list[str]]:
        """The figures of a table as they are, by the head of their row."""
        script = """return [...document.getElementById(arguments[0]).rows].map((row) =>
            [row.cells[0].textContent, [...row.cells].map((cell) => cell.dataset.value).filter((value) => value !== undefined)])"""
        return dict(self.run(script, name))

    def everything(self) -> dict[str, str]:
        return dict(self.run("return [...document.querySelectorAll('#everything div')].map((pair) => [pair.children[0].textContent, pair.children[1].textContent])"))

    def readings(self) -> float:
        """When the figures shown were taken."""
        return self.run("return last ? last.at : 0")

    def state(self) -> str:
        return self.text("#state")


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    # Without a sandbox as root, who has none; with memory of its own where /dev/shm is small.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--window-size=1280,1000"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))
    yield browser
    browser.quit()


@pytest.fixture(scope="module")
def loaded() -> Iterator[Endpoint]:
    with endpoint(*OPTIONS, "-o", "metrics_hot_keys=10") as found:
        load(found.server)
        rest(found.server)
        yield found


@pytest.fixture
def page(browser, loaded, wait_until) -> Page:
    page = Page(browser, loaded)
    wait_until(lambda: page.state() == "Live")
    return page


def emulate(browser, **features: str) -> None:
    pairs = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": pairs})


def resize(browser, width: int, height: int) -> None:
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def test_it_shows_what_stats_says(page, loaded, wait_until):
    expected = loaded.server.stats()
    first = page.readings()
    wait_until(lambda: page.readings() > first)
    found = page.everything()
    assert found.keys() == expected.keys()

    def number(text: str):
        try:
            return float(text)
        except ValueError:
            return text

    same = found.keys() - MOVING
    assert {name: number(found[name]) for name in same} == {name: number(expected[name]) for name in same}
    assert page.value("curr_items") == float(expected["curr_items"])
    assert page.value("used") == pytest.approx(float(expected["used_bytes"]) / float(expected["limit_maxbytes"]))
    commands = page.values("commands")
    for name in ("get", "delete", "incr", "decr", "touch"):
        assert commands[name] == [expected[f"{name}_hits"], expected[f"{name}_misses"]], name
    assert commands["set"] == [expected["cmd_set"]]
    assert page.values("gone")["Evicted"] == [expected["evictions"]] != ["0"]
    uses = page.values("uses")
    assert uses["Index"] == [expected["index_bytes"]]
    assert uses["Large values"] == [expected["large_bytes"]]
    sizes = [float(size) for (size,) in uses.values()]
    assert sum(sizes) == pytest.approx(float(expected["limit_maxbytes"]), rel=0.02)


def test_slab_classes_are_those_of_stats(page, loaded):
    slabs, items = loaded.server.stats("slabs"), loaded.server.stats("items")
    classes = sorted({int(name.split(":")[0]) for name in slabs if ":" in name})
    found = page.values("slabs")
    # There may be a class without a page for a moment.
    assert list(found) == [str(number) for number in classes if slabs[f"{number}:total_chunks"] != "0"]
    for number in found:
        evicted = items.get(f"items:{number}:evicted", "0")
        assert found[number] == [slabs[f"{number}:used_chunks"], slabs[f"{number}:free_chunks"], evicted], number
    widths = page.run("return [...document.querySelectorAll('#slabs .bar')].map((bar) => [...bar.children].map((part) => Number(part.getAttribute('width'))))")
    for number, parts in zip(found, widths, strict=True):
        used, free, total = (int(slabs[f"{number}:{name}_chunks"]) for name in ("used", "free", "total"))
        assert parts == pytest.approx([1000 * used / total, 1000 * free / total], abs=0.1), number


def test_under_load_rates_and_ratios_are_the_loads(browser, wait_until):
    with endpoint("-o", "metrics_hot_keys=5") as found:
        page = Page(browser, found)
        stop = threading.Event()

        def work() -> None:
            with found.server.connect() as connection, connection.makefile("rwb") as stream:
                stream.write(b"set hot 0 0 3\r\nabc\r\n")
                while not stop.is_set():
                    stream.write(b"get hot\r\nget hot\r\nget hot\r\nget absent\r\nmn\r\n")
                    stream.flush()
                    while stream.readline() != b"MN\r\n":
                        pass

        thread = threading.Thread(target=work)
        thread.start()
        try:
            wait_until(lambda: (page.value("requests") or 0) > 100)
            wait_until(lambda: abs((page.value("hits") or 0) - 0.75) < 0.001)
            wait_until(lambda: len(page.run("return history.requests.filter((value) => value > 0)")) > 2)
            keys = page.rows("hot-read_requests")
            assert [key for key, *_ in keys[:2]] == ["hot", "absent"]
            assert keys[0][3] == "75.0 %" or abs(float(keys[0][3].split()[0]) - 75) < 15, keys
            before = int(found.server.stats()["cmd_get"])
            first = page.readings()
            wait_until(lambda: page.readings() > first + 1)
            hits, misses = (int(value) for value in page.values("commands")["get"])
            after = int(found.server.stats()["cmd_get"])
            assert before <= hits + misses <= after
            d = page.run("return document.querySelector('#s-requests .line').getAttribute('d')")
            assert d.count("L") >= 2
            workers = page.values("workers")
            assert len(workers) == int(found.server.stats()["threads"])
        finally:
            stop.set()
            thread.join()


def test_keys_are_text_whatever_is_in_them(browser, wait_until):
    with endpoint("-o", "metrics_hot_keys=20", "-t", "1") as found:
        with found.server.connect() as connection:
            for key in HOSTILE:
                connection.sendall(b"get " + key + b"\r\n")
            # Binary keys come in base64: a line end and what is no UTF-8.
            connection.sendall(b"mg YQ0KYv8= b v\r\nmn\r\n")
            answer = b""
            while not answer.endswith(b"MN\r\n"):
                answer += connection.recv(1000)
        page = Page(browser, found)
        wait_until(lambda: len(page.rows("hot-read_requests")) == len(HOSTILE) + 1)
        keys = [row[0] for row in page.rows("hot-read_requests")]
        assert sorted(keys) == sorted([*(key.decode() for key in HOSTILE), "a%0D%0Ab%FF"])
        assert page.run("return [window.hacked, document.images.length, document.scripts.length]") == [None, 0, 1]
        assert page.run("return [...document.querySelectorAll('h1')].length") == 1
        _, text, headers = found.ask("/api/v1/figures.json")
        assert headers["Content-Type"] == "application/json" and headers["X-Content-Type-Options"] == "nosniff"
        assert len(json.loads(text)["hot_keys"]["kinds"]["read_requests"]["keys"]) == len(HOSTILE) + 1
        # The same keys as labels of metrics, which a client library can read.
        labels = [dict(key[1:])["key"] for key in found.metrics() if key[0] == "larder_hot_key_requests_per_second"]
        assert sorted(labels) == sorted(keys)


def test_keys_are_not_shown_unless_the_operator_lets_them(browser, wait_until):
    with endpoint() as found:
        with found.server.connect() as connection:
            connection.sendall(b"get secret\r\n")
            assert connection.recv(100) == b"END\r\n"
        page = Page(browser, found)
        wait_until(lambda: page.state() == "Live")
        assert "metrics_hot_keys" in page.text("#hot-note")
        assert not page.run("return document.getElementById('hot').checkVisibility()")
        for path in ("/", "/metrics", "/api/v1/figures.json"):
            assert "secret" not in found.ask(path)[1], path
        assert "hot_keys" not in json.loads(found.ask("/api/v1/figures.json")[1])


def test_it_says_when_the_server_does_not_answer(page, loaded, wait_until):
    assert page.text("#trouble") == ""
    loaded.server.pause()
    try:
        wait_until(lambda: page.state() == "No answer")
        assert page.text("#trouble").startswith("The server does not answer")
        assert page.run("return document.getElementById('trouble').getAttribute('role')") == "alert"
    finally:
        loaded.server.resume()
    wait_until(lambda: page.state() == "Live")
    assert page.text("#trouble") == ""


def test_it_asks_only_while_it_is_seen_and_not_paused(page, wait_until):
    rests = "return timer === null && !isAsking"
    page.run("Object.defineProperty(document, 'hidden', { value: true, configurable: true }); document.dispatchEvent(new Event('visibilitychange'))")
    wait_until(lambda: page.run(rests))
    seen = page.readings()
    page.run("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    wait_until(lambda: page.readings() > seen)
    button = page.browser.find_element(By.ID, "pause")
    button.send_keys(Keys.ENTER)
    wait_until(lambda: page.run(rests))
    assert (page.state(), button.text) == ("Paused", "Resume")
    seen = page.readings()
    button.send_keys(Keys.SPACE)
    wait_until(lambda: page.readings() > seen and page.state() == "Live")


def test_it_needs_nothing_from_elsewhere_and_lets_nothing_in(page, loaded):
    page.run("window.dispatchEvent(new Event('resize'))")
    origin = f"http://{loaded.address}/"
    assert all(name.startswith(origin) for name in page.run("return performance.getEntriesByType('resource').map((entry) => entry.name)"))
    policy = loaded.ask("/")[2]["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy and "*" not in policy
    # The policy is in force: a script and a handler that somebody brings in do not run, and nothing is loaded.
    page.run("""const script = document.createElement('script'); script.textContent = 'window.hacked = 1'; document.body.append(script);
        const link = document.createElement('a'); link.setAttribute('onclick', 'window.hacked = 2'); document.body.append(link); link.click();""")
    assert page.run("return window.hacked") is None
    severe = [entry for entry in page.browser.get_log("browser") if entry["level"] == "SEVERE" and "Content Security Policy" not in entry["message"]
              and "figures.json" not in entry["message"]]
    assert severe == []


def test_latencies_have_a_place(page):
    assert not page.run("return document.getElementById('latency').checkVisibility()") or page.rows("latency-rows")
    page.run("showLatency({ sampled_one_in: 64, get_count: 3, get_p50_us: 2.5, get_p90_us: 1500, get_max_us: 2500000, set_count: 0 })")
    assert page.rows("latency-rows") == [["get", "3", "2.5 µs", "1.5 ms", "–", "–", "2.50 s"]]
    page.run("showLatency(undefined)")
    assert not page.run("return document.getElementById('latency').checkVisibility()")


CONTRAST = """
const channel = (value) => { value /= 255; return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4; };
const parts = (color) => color.match(/[\\d.]+/g).map(Number);
const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const behind = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const color = parts(getComputedStyle(at).backgroundColor);
    if (color[3] !== 0) return color;
  }
  return [255, 255, 255];
};
const found = [];
for (const element of document.querySelectorAll('body *')) {
  const hasText = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
  if (!hasText || !element.checkVisibility() || element.closest('svg')) continue;
  const pair = [luminance(parts(getComputedStyle(element).color)), luminance(behind(element))].sort((a, b) => b - a);
  const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
  if (ratio < 4.5) found.push(element.tagName + ' ' + element.id + ' ' + element.className + ' ' + ratio.toFixed(2));
}
return found;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_told_from_what_is_behind_it(page, scheme):
    emulate(page.browser, prefers_color_scheme=scheme)
    page.run("document.querySelector('details').open = true")
    assert page.run("return matchMedia('(prefers-color-scheme: dark)').matches") == (scheme == "dark")
    assert page.run(CONTRAST) == []


def test_who_does_not_see_it_finds_the_way(page):
    assert page.run("return document.documentElement.lang") == "en"
    assert page.run("return ['header', 'main', 'footer', 'h1'].map((name) => document.querySelectorAll(name).length)") == [1, 1, 1, 1]
    # Every table has a name, every column and row a head.
    assert page.run("""return [...document.querySelectorAll('table')].filter((table) => !(table.caption || table.getAttribute('aria-labelledby')
        || table.parentElement.getAttribute('aria-labelledby'))).length""") == 0
    assert page.run("return [...document.querySelectorAll('th')].filter((head) => !['col', 'row'].includes(head.scope)).length") == 0
    assert page.run("return [...document.querySelectorAll('svg')].filter((svg) => svg.getAttribute('aria-hidden') !== 'true').length") == 0
    # Two places tell by themselves, and only when the state changes.
    assert page.run("return [...document.querySelectorAll('[aria-live], [role=status], [role=alert], output')].map((one) => one.id)") == ["state", "trouble"]
    names = set()
    for _ in range(12):
        page.browser.switch_to.active_element.send_keys(Keys.TAB)
        names.add(page.run("return document.activeElement.id || document.activeElement.className || document.activeElement.tagName"))
    assert {"skip", "pause", "scroll", "SUMMARY"} <= names


def test_it_fits_a_phone(page):
    resize(page.browser, 360, 740)
    try:
        assert page.run("return [document.documentElement.scrollWidth, innerWidth]") == [360, 360]
        small = "return [...document.querySelectorAll('button, summary')].filter((one) => one.getBoundingClientRect().height < 24).length"
        assert page.run(small) == 0
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_other_paths_of_it(loaded):
    for path in ("/index.html", "/api/v1/", "/api/v1/figures.json/", "/api/v2/figures.json"):
        assert loaded.ask(path)[0] == 404, path
    status, text, headers = loaded.ask("/", "HEAD")
    assert (status, text, headers["Content-Type"]) == (200, "", "text/html; charset=utf-8")
    with urllib.request.urlopen(f"http://{loaded.address}/api/v1/figures.json?x=1", timeout=20) as answer:
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.skipif("LARDER_PAGE_SHOTS" not in os.environ, reason="nobody wants pictures")
def test_pictures(page, wait_until):
    folder = Path(os.environ["LARDER_PAGE_SHOTS"])
    for name, scheme, width in (("light", "light", 1280), ("dark", "dark", 1280), ("phone", "light", 390), ("phone-dark", "dark", 390)):
        emulate(page.browser, prefers_color_scheme=scheme)
        resize(page.browser, width, 900)
        height = page.run("return document.documentElement.scrollHeight")
        resize(page.browser, width, height)
        (folder / f"{name}.png").write_bytes(page.browser.get_screenshot_as_png())
    page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
