"""The report in a real Chromium: its slider moves what it should, and its policy stops nothing of its own."""

import json
import re
import shutil
import subprocess
import urllib.request
from dataclasses import asdict

import numpy as np
import pytest

from steps.convert.variants import Variant
from steps.core.gate.clustered_errors import Rate
from steps.core.gate.limits import Fleet, Limits
from steps.core.gate.threshold import OperatingPoint
from steps.core.gate.verdict import Verdict
from steps.evaluate.report import FILE_NAME, write_report
from steps.evaluate.report.model import Origin, Page

pytestmark = pytest.mark.integration

FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1280,900"
)
RIGHT, END = "\ue014", "\ue010"


class Browser:
    """A Chromium session, by the WebDriver protocol."""

    def __init__(self, port, profile, *flags):
        self._root = f"http://127.0.0.1:{port}"
        options = {"args": [*FLAGS.split(), f"--user-data-dir={profile}", *flags]}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        session = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._root += f"/session/{session['sessionId']}"

    def _call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._root + path, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310 - ours, on this machine
            return json.load(answer)["value"]

    def open(self, url):
        self._call("POST", "/url", {"url": url})

    def run(self, script):
        return self._call("POST", "/execute/sync", {"script": script, "args": []})

    def text(self, name):
        return self.run(f"return document.getElementById('{name}').textContent")

    def type(self, name, keys):
        (found,) = self._call("POST", "/elements", {"using": "css selector", "value": f"#{name}"})
        self._call("POST", f"/element/{next(iter(found.values()))}/value", {"text": keys})

    def resize(self, width, height=900):
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": True}
        wanted = {"cmd": "Emulation.setDeviceMetricsOverride", "params": screen}
        self._call("POST", "/goog/cdp/execute", wanted)

    def messages(self):
        return self._call("POST", "/se/log", {"type": "browser"})

    def close(self):
        self._call("DELETE", "")


@pytest.fixture(scope="module")
def port():
    if not shutil.which("chromedriver"):
        pytest.skip("NOT TESTED: the report's slider needs chromedriver and Chromium (apt-get install chromium-driver)")
    with subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True) as driver:
        found = next(filter(None, (re.search(r"successfully on port (\d+)", line) for line in driver.stdout)))
        yield int(found[1])
        driver.terminate()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Ten negatives with the scores 0.05 to 0.95 and ten positives with 0.1 to 1, judged at 0.65."""
    folder = tmp_path_factory.mktemp("report")
    numbers = np.arange(10)
    scores, labels = np.concatenate([0.05 + numbers / 10, 0.1 + numbers / 10]), np.repeat([0, 1], 10)
    verdict = Verdict(
        Limits(max_fpr=0.6, min_tpr=0.2),
        OperatingPoint(0.65, 3, 10, 0.04, 0.9, 0, 10, 10.0, 0),
        Rate(3, 10, 0.3, 0.1, 0.6, 10, 10.0, 1.0),
        Rate(4, 10, 0.4, 0.2, 0.7, 10, 10.0, 1.0),
        0,
        (),
        fleet=Fleet(phones=10, screenshots_per_day=100, positive_share=0.5, seconds_per_review=36),
    )
    sizes = {"weight-int8": (1_080_000, 44.4), "float16": (1_770_000, 39.6)}
    variants = [
        asdict(Variant(name=name, deflated=size, latency_ms=latency, passed=True, may_ship=True))
        for name, (size, latency) in sizes.items()
    ]
    origin = Origin("20261129-092744-z1oj", "prod", "2026-11-29")
    write_report(folder, Page("A model", verdict, scores, labels, variants=variants, origin=origin))
    return (folder / FILE_NAME).as_uri()


@pytest.fixture
def browse(port, report, tmp_path):
    opened = []

    def start(fragment="", *flags):
        browser = Browser(port, tmp_path / "profile", *flags)
        opened.append(browser)
        browser.open(report + fragment)
        return browser

    yield start
    for browser in opened:
        browser.close()


def test_the_page_opens_at_the_models_threshold_without_a_complaint(browse):
    browser = browse()
    assert browser.messages() == []
    assert browser.text("at-threshold") == "0.6500"
    assert (browser.text("at-fpr"), browser.text("at-fpr-count")) == ("30 %", "3 of 10")
    assert (browser.text("at-tpr"), browser.text("at-tpr-count")) == ("40 %", "4 of 10")
    assert browser.text("at-alarms") == "30,000"
    assert browser.text("at-state").startswith("the model's own")
    assert browser.run("return document.getElementById('back').disabled")


def test_a_link_leads_to_a_threshold_and_says_that_it_is_not_tested(browse):
    browser = browse("#t=0.86")
    assert browser.text("at-threshold") == "0.8500"
    assert (browser.text("at-fpr"), browser.text("at-tpr")) == ("10 %", "20 %")
    assert browser.text("at-alarms") == "10,000"
    # 1,000 screenshots a day, half of them positive, 36 seconds each: (50 + 100) / 100 hours.
    assert browser.text("at-hours") == "1.5"
    assert browser.text("at-state").startswith("not tested")


def test_the_slider_moves_its_mark_on_every_plot(browse):
    browser = browse()
    places = "return [...document.querySelectorAll('.marker')].map((m) => m.getAttribute('cx') ?? m.getAttribute('x1'))"
    before = browser.run(places)
    browser.type("slider", RIGHT)
    after = browser.run(places)
    assert len(before) == 3
    assert browser.text("at-threshold") == "0.7000"
    # One stop up loses a positive and no negative: only what the score moves along is another place across.
    assert [a != b for a, b in zip(before, after, strict=True)] == [False, False, True]
    browser.type("slider", END)
    assert (browser.text("at-fpr"), browser.text("at-tpr")) == ("0 %", "0 %")
    browser.run("document.getElementById('back').click()")
    assert browser.run(places) == before


def test_the_mark_lies_on_the_drawn_operating_point(browse):
    browser = browse()
    off = browser.run(
        """return ['det', 'roc'].map((name) => {
          const plot = document.getElementById(`plot-${name}`);
          const mark = plot.querySelector('.marker').getBoundingClientRect();
          const x = mark.x + mark.width / 2, y = mark.y + mark.height / 2;
          const dots = [...plot.querySelectorAll('use')].map((dot) => dot.getBoundingClientRect());
          return Math.min(...dots.map((d) => Math.hypot(d.x + d.width / 2 - x, d.y + d.height / 2 - y)));
        })"""
    )
    assert max(off) < 2


def test_the_readers_fleet_changes_hours_everywhere(browse):
    browser = browse()
    assert browser.text("hours-0") == "3.5"
    browser.run(
        """for (const [name, value] of [['phones', 20], ['share', 0]]) {
          document.getElementById(name).value = value;
          document.getElementById(name).dispatchEvent(new Event('input'));
        }"""
    )
    # 2,000 negatives: 600 alarms, 200 to 1,200 by the bounds, of 36 seconds each.
    assert [browser.text(f"alarms-{column}") for column in range(3)] == ["600", "200", "1,200"]
    assert [browser.text(f"hours-{column}") for column in range(3)] == ["6.0", "2.0", "12"]
    assert (browser.text("at-hours"), browser.text("card-hours")) == ("6.0", "6.0")
    assert browser.text("found-0") == "0"
    assert "With 20 phones, 100 screenshots a day on each, 0 % of them positive" in browser.text("people")


def test_without_a_script_the_page_reads_and_offers_nothing_that_needs_one(browse):
    browser = browse("", "--blink-settings=scriptEnabled=false")
    assert browser.text("hours-0") == "3.5"
    hidden = "return [...document.querySelectorAll('[data-script]')].every((e) => e.getClientRects().length === 0)"
    assert browser.run(hidden)
    assert browser.run("return document.querySelectorAll('svg').length") == 3


def test_no_script_but_the_pages_own_can_run(browse):
    browser = browse()
    browser.run("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.broken = 1\">')")
    assert browser.run("return window.broken ?? null") is None
    assert any("Content Security Policy" in message["message"] for message in browser.messages())


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(browse, width):
    browser = browse()
    browser.resize(width)
    assert browser.run("return [innerWidth, document.documentElement.scrollWidth]") == [width, width]


@pytest.mark.parametrize("window", [(1280, 900), (390, 844)])
def test_the_slider_stays_in_sight_of_its_plots_and_covers_no_heading(browse, window):
    browser = browse()
    browser.resize(*window)
    covered, in_sight = browser.run(
        """const slide = document.querySelector('.slide');
        let [covered, seen] = [0, true];
        for (let y = 0; y < document.documentElement.scrollHeight; y += 20) {
          scrollTo(0, y);
          const [box, plot] = [slide, document.getElementById('plot-det')].map((e) => e.getBoundingClientRect());
          for (const heading of document.querySelectorAll('h2, h3')) {
            const h = heading.getBoundingClientRect();
            covered += h.bottom > box.top && h.top < box.bottom;
          }
          if (plot.top > 0 && plot.top + box.height + 20 < innerHeight && box.bottom > innerHeight + 1) seen = false;
        }
        return [covered, seen];"""
    )
    assert covered == 0
    assert in_sight
