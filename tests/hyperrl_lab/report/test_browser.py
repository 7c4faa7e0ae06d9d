"""The page in a browser: what is drawn and what is downloaded is the data."""

import copy
import csv
import json
import shutil
from itertools import pairwise

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

from hyperrl_lab.report.data import gather
from hyperrl_lab.report.page import render
from tests.hyperrl_lab.report.conftest import HOSTILE, METHODS, TASKS

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed"
)
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--window-size=1280,900"),
)
SECONDS = 60


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def browser(tmp_path_factory, downloads):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    preferences = {
        "download.default_directory": str(downloads),
        # Chromium asks before a page gives a second file.
        "profile.default_content_setting_values.automatic_downloads": 1,
    }
    options.add_experimental_option("prefs", preferences)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_page_load_timeout(SECONDS)
    yield driver
    driver.quit()


def show(browser, path, text):
    path.write_text(text)
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(path.as_uri())


@pytest.fixture(autouse=True)
def silence(browser):
    """After every test: no error was logged, and nothing but the page was asked for."""
    yield
    assert browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    # Pictures in the text, files made by the page itself, and Chromium's own first page.
    outside = {url for url in asked if not url.startswith(("data:", "blob:", "chrome:"))}
    assert outside <= {browser.current_url}


@pytest.fixture(scope="module")
def page(browser, tiny_page, tmp_path_factory):
    show(browser, tmp_path_factory.mktemp("page") / "report.html", tiny_page)
    return browser


def drawn(page, id_, *fields):
    """The traces of a plot: how many there are as lines or points, and what they show."""
    return page.execute_script(
        "return document.getElementById(arguments[0]).data.map("
        "trace => Object.fromEntries(arguments[1].map(field => [field, trace[field]])))",
        *(id_, fields),
    )


def lines(page, id_):
    """Lines in the picture itself."""
    return len(page.find_elements(By.CSS_SELECTOR, f"#{id_} .scatterlayer path.js-line"))


def choose(page, id_, text):
    Select(page.find_element(By.ID, id_)).select_by_visible_text(text)


def text_of(page, id_):
    return page.find_element(By.ID, id_).text


def download(page, downloads, button, name):
    """The file that a button gives, as rows by column."""
    path = downloads / name
    path.unlink(missing_ok=True)
    page.find_element(By.ID, button).click()
    WebDriverWait(page, SECONDS / 4, 0.05).until(lambda _: path.is_file())
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def number(text):
    return float(text) if text else None


def test_names_are_shown_as_they_are(page, tiny_data):
    assert text_of(page, "title") == tiny_data["title"]
    assert page.find_elements(By.TAG_NAME, "img") == []
    labels = [label.text for label in page.find_elements(By.CSS_SELECTOR, "#curves-methods label")]
    assert labels == list(METHODS)
    titles = [title.text for title in page.find_elements(By.CSS_SELECTOR, "#curves-plot .annotation-text")]
    assert titles == list(TASKS)
    rows = page.find_elements(By.CSS_SELECTOR, "#results-table tbody tr")
    assert [row.find_elements(By.TAG_NAME, "td")[1].text for row in rows] == [*METHODS, *METHODS]


def test_curves_are_drawn_as_the_data_says(page, tiny_data, downloads):
    traces = drawn(page, "curves-plot", "meta", "x", "y")
    groups = tiny_data["curves"]["groups"][0]
    means = [trace for trace in traces if trace["meta"] == "mean"]
    assert [trace["y"] for trace in means] == [group["mean"] for group in groups]
    # Two seeds have no interval: the band is their range.
    bands = [trace["y"] for trace in traces if trace["meta"] == "band"]
    assert bands == [edge for group in groups for edge in (group["lowest"], group["highest"])]
    assert lines(page, "curves-plot") == len(traces)
    assert all(len(trace["x"]) == len(trace["y"]) == 500 for trace in traces)
    rows = download(page, downloads, "curves-csv", "curves.csv")
    expected = [
        (group["task"], group["method"], step, mean, low)
        for group, curve in zip(tiny_data["groups"], groups, strict=True)
        for step, mean, low in zip(
            tiny_data["curves"]["steps"][tiny_data["tasks"].index(group["task"])],
            *(curve["mean"], curve["lowest"]),
            strict=True,
        )
    ]
    found = [(r["task"], r["method"], int(r["env steps"]), number(r["mean"]), number(r["low"])) for r in rows]
    assert found == expected


def test_selectors_change_the_curves(page, tiny_data, downloads):
    choose(page, "curves-task", TASKS[1])
    choose(page, "curves-metric", "episode length")
    choose(page, "curves-band", "none")
    page.find_elements(By.CSS_SELECTOR, "#curves-methods input")[1].click()
    curves = tiny_data["curves"]["groups"][1]
    assert [t["y"] for t in drawn(page, "curves-plot", "y")] == [curves[3]["mean"], curves[5]["mean"]]
    page.find_element(By.ID, "curves-seeds").click()
    traces = drawn(page, "curves-plot", "meta", "y")
    seeds = [
        (run, curve)
        for run, curve in zip(tiny_data["runs"], tiny_data["curves"]["runs"][1], strict=True)
        if run["task"] == TASKS[1] and run["method"] != HOSTILE
    ]
    assert [t["y"] for t in traces if t["meta"] == "seed"] == [curve for _, curve in seeds]
    assert len(traces) == lines(page, "curves-plot") == 6
    rows = download(page, downloads, "curves-seeds-csv", "seeds.csv")
    assert [number(row["episode length"]) for row in rows] == [value for _, curve in seeds for value in curve]
    assert [row["folder"] for row in rows[::500]] == [run["folder"] for run, _ in seeds]
    for box in page.find_elements(By.CSS_SELECTOR, "#curves-methods input:checked"):
        box.click()
    assert "choose a method" in text_of(page, "curves-plot")


def test_the_comparison_goes_both_ways(page, tiny_data, downloads):
    choose(page, "comparison-score", "best 100 episodes")
    score = [score["name"] for score in tiny_data["scores"]].index("best 100 episodes")
    expected = [
        row
        for row in tiny_data["comparisons"]
        if (row["score"], row["a"], row["b"]) == (score, *METHODS[::2])
    ]
    assert len(expected) == 3
    for a, b in (METHODS[::2], METHODS[:1:-1] + METHODS[:1]):
        choose(page, "comparison-a", a)
        choose(page, "comparison-b", b)
        mirrored = a != METHODS[0]
        (trace,) = drawn(page, "comparison-plot", "x")
        wanted = [1 - row["probability"] if mirrored else row["probability"] for row in expected]
        assert trace["x"] == pytest.approx(wanted[::-1])
        rows = download(page, downloads, "comparison-csv", "comparison.csv")
        assert [row["task"] for row in rows] == ["all tasks together", *TASKS]
        assert [float(row["P(A > B)"]) for row in rows] == pytest.approx(wanted)
        sign = -1 if mirrored else 1
        assert [float(row["difference of the means"]) for row in rows[1:]] == pytest.approx(
            [sign * row["difference"] for row in expected[1:]]
        )
    choose(page, "comparison-b", a)
    assert "two different methods" in text_of(page, "comparison-plot")


def test_the_results_follow_the_score(page, tiny_data, downloads):
    for number_, score in enumerate(tiny_data["scores"]):
        choose(page, "results-score", score["name"])
        rows = download(page, downloads, "results-csv", "results.csv")
        scores = [group["scores"][number_] for group in tiny_data["groups"]]
        assert [number(row["mean"]) for row in rows] == [found["mean"] for found in scores]
        assert [number(row["low"]) for row in rows] == [found["low"] for found in scores]
        points = [trace["x"] for trace in drawn(page, "results-plot", "x")]
        # Methods stand from the top down, so from the last to the first of each task.
        order = [*scores[2::-1], *scores[:2:-1]]
        assert points == [x for found in order for x in (found["values"], [found["mean"]])]


def test_runs_are_listed(page, tiny_data, downloads):
    rows = download(page, downloads, "runs-csv", "runs.csv")
    assert [row["folder"] for row in rows] == [run["folder"] for run in tiny_data["runs"]]
    assert [number(row["last 100 episodes"]) for row in rows] == [r["scores"][0] for r in tiny_data["runs"]]
    assert [row["settings"] for row in rows] == [run["settings"] for run in tiny_data["runs"]]
    assert len(page.find_elements(By.CSS_SELECTOR, "#runs-table tbody tr")) == len(rows)


def test_schedules_and_shares(page, tiny_data, downloads):
    choose(page, "schedules-task", TASKS[1])
    choose(page, "schedules-method", HOSTILE)
    shown = [
        schedule
        for schedule in tiny_data["schedules"]
        if (tiny_data["runs"][schedule["run"]]["task"], tiny_data["runs"][schedule["run"]]["method"])
        == (TASKS[1], HOSTILE)
    ]
    parameters = [parameter["name"] for parameter in shown[0]["parameters"]]
    traces = drawn(page, "schedules-plot", "meta", "x", "y")
    assert len([trace for trace in traces if trace["meta"] == "mean"]) == 2 * len(parameters)
    assert len([trace for trace in traces if trace["meta"] == "own"]) == len(parameters)
    choose(page, "schedules-seed", "1")
    for unit, kind in (("values", "values"), ("multiples, where the task's own value changes", "multiples")):
        choose(page, "schedules-unit", unit)
        wanted = [parameter[kind] or parameter["values"] for parameter in shown[1]["parameters"]]
        means = [t["y"] for t in drawn(page, "schedules-plot", "meta", "y") if t["meta"] == "mean"]
        assert means == [[*part["mean"], part["mean"][-1]] for part in wanted]
        rows = download(page, downloads, "schedules-csv", "schedules.csv")
        for column, key in (("10 %", "low"), ("mean", "mean"), ("90 %", "high"), ("the task's own", "own")):
            assert [number(row[column]) for row in rows] == [value for part in wanted for value in part[key]]
    shares = [row for parameter in shown[1]["parameters"] for row in parameter["shares"]]
    traces = drawn(page, "choices-plot", "y")
    assert [trace["y"] for trace in traces] == [[*row, row[-1]] for row in shares]
    rows = download(page, downloads, "choices-csv", "choices.csv")
    assert [number(row["share of the updates"]) for row in rows] == [share for row in shares for share in row]
    edges = shown[1]["edges"]
    windows = [(int(row["from env step"]), int(row["to env step"])) for row in rows[: len(edges) - 1]]
    assert windows == list(pairwise(edges))


def test_the_map(page, tiny_data, downloads):
    choose(page, "map-run", tiny_data["runs"][tiny_data["maps"][1]["run"]]["folder"])
    map_ = tiny_data["maps"][1]
    parameter = map_["parameters"][0]
    choose(page, "map-colour", "time")
    (trace,) = drawn(page, "map-plot", "x", "marker")
    assert (trace["x"], trace["marker"]["color"]) == (map_["x"], map_["time"])
    choose(page, "map-colour", parameter["name"])
    (trace,) = drawn(page, "map-plot", "marker")
    levels = sorted(set(parameter["values"]))
    assert [levels[colour] for colour in trace["marker"]["color"]] == parameter["values"]
    assert len(page.find_elements(By.CSS_SELECTOR, "#map-plot path.point")) == map_["total"]
    rows = download(page, downloads, "map-csv", "map.csv")
    assert [float(row["value"]) for row in rows] == map_["value"]
    assert [int(row["joint action"]) for row in rows] == map_["action"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_the_page_down_only(page, scheme):
    size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    colours = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", colours)
    ground = page.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground[4:-1].split(","))) < 200) == (scheme == "dark")
    assert page.execute_script("return document.documentElement.scrollWidth") <= 390
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_a_folder_in_which_everything_is_damaged_opens(browser, tmp_path):
    (tmp_path / "runs" / "a").mkdir(parents=True)
    (tmp_path / "runs" / "a" / "config.json").write_text("{")
    show(browser, tmp_path / "damaged.html", render(gather(tmp_path / "runs")))
    assert "config.json is not JSON" in text_of(browser, "notes")
    assert "No run to show" in text_of(browser, "results-plot")
    assert "No curve to show" in text_of(browser, "curves-plot")


def test_a_thousand_runs_of_500_points_load(browser, tiny_data, tmp_path):
    data = many(tiny_data, 1_000)
    assert len(data["curves"]["runs"][0]) == len(data["runs"]) == 1_000
    show(browser, tmp_path / "many.html", render(data))
    assert len(drawn(browser, "curves-plot", "x")) == 3 * len(data["groups"])
    assert len(browser.find_elements(By.CSS_SELECTOR, "#runs-table tbody tr")) == 1_000
    browser.execute_script("document.getElementById('curves-seeds').click()")
    traces = drawn(browser, "curves-plot", "meta", "x")
    seeds = [trace for trace in traces if trace["meta"] == "seed"]
    assert len(seeds) == 1_000
    assert all(len(trace["x"]) == 500 for trace in seeds)


def many(data, n):
    """The data with its runs repeated to so many."""
    data = copy.deepcopy(data)
    runs = len(data["runs"])
    data["runs"] = [{**data["runs"][i % runs], "seed": i // runs} for i in range(n)]
    curves = data["curves"]
    curves["runs"] = [[metric[i % runs] for i in range(n)] for metric in curves["runs"]]
    data["schedules"] = [{**data["schedules"][i % runs], "run": i} for i in range(n)]
    return data
