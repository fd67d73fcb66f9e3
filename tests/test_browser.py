"""The pages of HTML in a real browser: drawn without an error, sorted, readable on a phone and on a desk."""

import re
import shutil

import pytest

from resjax.lab.report import Report
from resjax.lab.report.page import FIGURES
from resjax.lab.site import gallery, published

playwright = pytest.importorskip("playwright.sync_api", reason="there is no playwright here, which drives a browser")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium here: apt-get install chromium")
INDEX = gallery.ROOT / "docs/index.html"
CONTRAST = 4.5  # of text, at least (WCAG 2.2, AA)
CONTRASTS = """() => {
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => {
    const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const parts = numbers(color).slice(0, 3).map((c) => linear(c / 255));
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const color = getComputedStyle(element).backgroundColor;
      if ((numbers(color)[3] ?? 1) > 0) return color;
    }
  };
  const written = "h1,h2,h3,p,td,th,code,a,.status,figcaption,label,li,svg text";
  return [...document.querySelectorAll(written)].map((element) => {
    const style = getComputedStyle(element);
    const [one, other] = [light(element.closest("svg") ? style.fill : style.color), light(behind(element))];
    return [(Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05), element.outerHTML.slice(0, 80)];
  });
}"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The published report, as a page."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(Report(published.tables("report")).to_html())
    return path


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def show(browser, report):
    """Opens a page by name in a window: the page, and what its console says."""
    opened = []

    def of(name, width=1400, scheme="light"):
        opened.append(browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme))
        said = []
        opened[-1].on("console", lambda message: said.append(message.text))
        opened[-1].on("pageerror", lambda error: said.append(str(error)))
        opened[-1].on("requestfailed", lambda request: said.append(request.url))
        opened[-1].goto({"report": report, "index": INDEX}[name].as_uri())
        return opened[-1], said

    yield of
    for page in opened:
        page.close()


@pytest.mark.parametrize("name", ("report", "index"))
def test_every_figure_is_drawn_has_words_and_nothing_fails(name, show):
    page, said = show(name)
    page.evaluate("() => document.querySelectorAll('img').forEach((image) => { image.loading = 'eager'; })")
    page.wait_for_function("() => [...document.images].every((image) => image.complete)")
    sizes = page.evaluate("() => [...document.images].map((i) => [i.naturalWidth, i.alt.length])")
    sizes += page.evaluate(
        "() => [...document.querySelectorAll('svg')].map((s) => [s.getBBox().width, s.ariaLabel.length])"
    )
    assert sizes and all(width > 0 and words > 0 for width, words in sizes) and said == []


@pytest.mark.parametrize("name", ("report", "index"))
@pytest.mark.parametrize("width", (380, 1400))
def test_a_page_is_as_wide_as_its_window(name, width, show):
    page, _ = show(name, width)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("name", ("report", "index"))
@pytest.mark.parametrize("scheme", ("light", "dark"))
def test_text_stands_out_from_what_is_behind_it(name, scheme, show):
    page, _ = show(name, scheme=scheme)
    weak = [found for found in page.evaluate(CONTRASTS) if found[0] < CONTRAST]
    assert weak == []


def column(page, name, at):
    """The numbers of a column of a table, of the rows that can be seen."""
    rows = f"[...document.querySelector('table[data-name={name}]').tBodies[0].rows]"
    return page.evaluate(f"() => {rows}.filter((r) => !r.hidden).map((r) => r.cells[{at}].dataset.value)")


def test_a_click_sorts_by_numbers_and_a_second_one_turns_them_round(show):
    page, _ = show("report")
    heads = page.locator("table[data-name=rates] th")
    at = heads.all_inner_texts().index("train_loss")
    found = column(page, "rates", at)
    numbers = sorted(float(value) for value in found if value)
    missing = ["" for value in found if not value]  # of networks that diverged: last, either way
    for turn in (numbers, numbers[::-1]):
        heads.nth(at).locator("button").click()
        assert column(page, "rates", at)[len(numbers) :] == missing
        assert [float(value) for value in column(page, "rates", at)[: len(numbers)]] == turn


def test_a_word_filters_and_what_is_left_is_saved(show, tmp_path):
    page, _ = show("report")
    own = page.locator("table[data-name=rates]").locator("xpath=ancestor::div[@class='wide']/preceding-sibling::div[1]")
    rates = published.tables("report")["rates"]
    chosen = rates["subject"].iloc[-1]
    own.locator("input").fill(chosen)
    with page.expect_download() as download:
        own.locator("a").click()
    download.value.save_as(tmp_path / "rates.csv")
    lines = (tmp_path / "rates.csv").read_text().splitlines()
    assert len(lines) == 1 + (rates["subject"] == chosen).sum()


def test_a_report_prints_to_two_pages(show):
    page, _ = show("report")
    assert len(re.findall(rb"/Type\s*/Page\b", page.pdf(prefer_css_page_size=True))) <= 2


def test_the_figures_of_the_page_are_those_that_are_drawn(report):
    assert report.read_text().count("<svg ") == len(FIGURES)
