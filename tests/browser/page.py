#!/usr/bin/env python3
"""The live page in a real Chromium: a play posted over HTTP appears in the open page, charts and lists agree with SQL,
titles with markup stay text, sinks, files and zones are listed, the SQL console answers, nothing is loaded from
elsewhere, both themes, phone width, keyboard, reconnection.

Usage: page.py [--pictures FOLDER] [--readme FILE]. Pictures of each view go to FOLDER (default build/browser);
--readme also writes the picture that the README shows. Exit 77 (skipped) without a browser.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import console  # noqa: E402
from devtools import Browser, find_browser  # noqa: E402
from tarn_server import BINARY, ROOT, Server  # noqa: E402

SONGS = ["The Good The Bad And The Ugly", "Believe", "Still Loving You", "Bohemian Rhapsody", "Sometimes",
         "Into The Unknown", "Fox On The Run", "Perfect"]
AUTHORS = ["Ennio Morricone", "Cher", "Scorpions", "Queen", "James", "Frozen II", "Sweet", "Ed Sheeran"]
USERS = ["Alex", "Edson", "Burr", "Sebi", "Kamesh"]
MARKUP = "<script>document.title='owned'</script><img src=x onerror=document.title='owned'>"
MORE = """
CREATE TABLE clicks_by_button AS SELECT mousebutton, COUNT(*) AS count FROM clicks GROUP BY mousebutton;
CREATE SINK played FROM played_songs INTO bronze.plays WITH (layout='raw', rotate.records='20', rotate.idle='500ms');
"""


def post(tarn, path, items, want):
    body = "\n".join(json.dumps(item) for item in items).encode()
    status, answer = tarn.request("POST", path, body, {"Content-Type": "application/x-ndjson"})
    assert status == want, f"{path}: {status} {answer[:200]!r}"


def play(tarn, songs, start=0):
    post(tarn, "/streams/played_songs",
         [{"id": song, "play": f"2020-07-25T19:52:{(start + i) % 60:02d}.038904Z;{USERS[(start + i) % 5]}"}
          for i, song in enumerate(songs)], 200)


def rows_shown(browser):
    """Label → value of the chart's table."""
    pairs = browser.eval("[...document.querySelectorAll('#chart-rows tr')].map((r) => "
                         "[...r.children].map((c) => c.textContent))")
    return {label: int(value.replace(",", "")) for label, value in pairs}


def number_of(song, name="Believe"):
    return (f"[...document.querySelectorAll('#chart-rows tr')].some((r) => r.children[0].textContent === '{name}' && "
            f"r.children[1].textContent === '{song}')")


def opens_and_lives(tarn, browser):
    browser.open(f"http://{tarn.address}/")
    browser.wait("document.getElementById('link').textContent === 'live'")
    browser.wait("document.querySelectorAll('#chart-rows tr').length === 8")
    assert rows_shown(browser) == dict(tarn.sql('SELECT songName, count FROM songs_chart')), rows_shown(browser)
    assert browser.eval("document.querySelectorAll('#latest li').length") > 0
    assert browser.eval("[...document.querySelectorAll('#query-rows tr')].length") == 3
    for canvas in ("pie", "bars", "rate-spark"):
        browser.wait(console.is_drawn(canvas))


def a_play_appears(tarn, browser):
    """Posted while the page is open: chart, list and totals follow without a reload."""
    before = rows_shown(browser)["Believe"]
    browser.eval("window.notReloaded = true")
    play(tarn, [2], start=33)
    browser.wait(number_of(before + 1))
    browser.wait("document.querySelector('#latest li').textContent.includes('Believe')")
    browser.wait("document.querySelector('#latest li').textContent.includes('19:52:33.038904Z')")
    assert browser.eval("window.notReloaded") is True
    assert "Believe" in browser.eval("document.getElementById('bars').getAttribute('aria-label')")


def markup_stays_text(tarn, browser):
    post(tarn, "/songs", [{"id": 9, "name": MARKUP, "author": "<b>Mallory</b>"}], 201)
    play(tarn, [9, 9, 9])
    browser.wait(f"[...document.querySelectorAll('#chart-rows td')].some((c) => c.textContent === {json.dumps(MARKUP)})")
    browser.wait("document.querySelector('#latest li b').textContent.startsWith('<script>')")
    assert browser.eval("document.title") == "tarn"
    assert browser.eval("document.querySelectorAll('#chart-rows script, #latest img').length") == 0


def dead_letters_appear(tarn, browser):
    status, _ = tarn.request("POST", "/streams/clicks", b"not <b>JSON</b>",
                             {"Content-Type": "application/octet-stream"})
    assert status == 200
    browser.wait("document.querySelectorAll('#dead-rows tr').length === 1")
    text = browser.eval("document.querySelector('#dead-rows tr').textContent")
    assert "clickevent.ingest" in text and "not <b>JSON</b>" in text, text
    browser.wait("document.getElementById('dead').textContent === '1'")


def another_table(tarn, browser):
    post(tarn, "/function/clickevent-ingest", [{"type": "clickevent", "mousebutton": "left", "isnew": True}] * 3, 200)
    browser.wait("document.getElementById('table').options.length === 2")
    browser.eval("(() => { const s = document.getElementById('table'); s.value = 'clicks_by_button'; "
                 "s.dispatchEvent(new Event('change')); })()")
    browser.wait(number_of(3, "left"))
    browser.eval("(() => { const s = document.getElementById('table'); s.value = 'songs_chart'; "
                 "s.dispatchEvent(new Event('change')); })()")
    browser.wait("document.getElementById('chart-title').textContent === 'songs_chart'")


def keyboard(browser):
    """Everything can be reached and used without a mouse; focus can be seen."""
    for _ in range(60):  # on to the page's first
        browser.key("Tab", "Tab")
        if browser.eval("document.activeElement.className") == "skip":
            break
    seen = ["skip"]
    for _ in range(14):
        browser.key("Tab", "Tab")
        seen.append(browser.eval("document.activeElement.id || document.activeElement.className || "
                                 "document.activeElement.tagName"))
    assert seen[0] == "skip" and seen[1] == "theme", seen
    for want in ("table", "SUMMARY", "stream", "console-text", "console-run"):
        assert want in seen, seen
    browser.eval("document.getElementById('theme').focus()")
    grounds = []
    for _ in range(3):
        browser.key("Enter", "Enter", "\r")
        grounds.append(browser.eval("document.getElementById('theme').getAttribute('aria-label') + ' ' + "
                                    "getComputedStyle(document.body).backgroundColor"))
    assert [g.split()[2] for g in grounds] == ["light", "dark", "automatic"], grounds
    assert grounds[0].split(" ", 3)[3] != grounds[1].split(" ", 3)[3], grounds


def contrast(browser):
    """WCAG AA for the text colours of both themes, on card and ground."""
    def luminance(colour):
        parts = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
        r, g, b = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    pairs = [("--ink", "--card"), ("--quiet", "--card"), ("--quiet", "--ground"), ("--accent", "--ground"),
             ("--good", "--good-soft"), ("--warn", "--warn-soft"), ("--bad", "--bad-soft"),
             ("--bad", "--card"), ("--card", "--accent"), ("--accent", "--card"), ("--ink", "--ground")]
    for theme in ("light", "dark"):
        browser.media(prefers_color_scheme=theme)
        style = browser.eval("(() => { const s = getComputedStyle(document.documentElement); return Object.fromEntries("
                             + json.dumps(sorted({n for p in pairs for n in p}))
                             + ".map((n) => [n, s.getPropertyValue(n).trim()])); })()")
        for front, back in pairs:
            a, b = sorted((luminance(style[front]), luminance(style[back])), reverse=True)
            ratio = (a + 0.05) / (b + 0.05)
            assert ratio >= 4.5, f"{theme}: {front} on {back} has contrast {ratio:.2f}"


def readme_picture(tarn, browser, path):
    """With the simulated player at work."""
    player = subprocess.Popen([BINARY, "produce", "--url", f"http://{tarn.address}", "--rate", "40", "--skew", "0.6",
                               "--seconds", "60", "--quiet"], stdout=subprocess.DEVNULL)
    browser.media(prefers_color_scheme="light", prefers_reduced_motion="reduce")
    browser.size(1280, 1330)
    frames = browser.eval("Number(document.documentElement.dataset.frames)")
    browser.wait(f"Number(document.documentElement.dataset.frames) >= {frames + 60}")
    console.answer(browser, "SELECT date_trunc('second', _ts) AS second, count(*) AS plays\nFROM bronze.plays\n"
                            "GROUP BY 1 ORDER BY 1")
    browser.eval("document.activeElement.blur(); scrollTo(0, 0)")
    browser.screenshot(path, is_whole=False)
    player.terminate()
    player.wait()


def views(browser, folder):
    """Pictures, and no sideways scrolling at any width."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, theme, width, height, is_mobile in [("light", "light", 1280, 860, False),
                                                  ("dark", "dark", 1280, 860, False),
                                                  ("phone", "light", 390, 844, True), ("tablet", "dark", 820, 1180, False)]:
        browser.media(prefers_color_scheme=theme, prefers_reduced_motion="reduce")
        browser.size(width, height, is_mobile)
        frames = browser.eval("Number(document.documentElement.dataset.frames)")
        browser.wait(f"Number(document.documentElement.dataset.frames) >= {frames + 3}")
        wide = browser.eval("document.documentElement.scrollWidth") - width  # innerWidth grows with what is too wide
        assert wide <= 0, f"{name}: {wide} pixels too wide"
        browser.screenshot(folder / f"{name}.png")


def reconnects(tarn, browser):
    """The server is killed and comes back at the same address: so does the page."""
    tarn.kill()
    browser.wait("document.getElementById('link').className.includes('lost')")
    tarn.listen = tarn.address
    assert tarn.start()
    browser.wait("document.getElementById('link').textContent === 'live'")
    count = dict(tarn.sql('SELECT songName, count FROM songs_chart'))["Perfect"]
    play(tarn, [8])
    browser.wait(number_of(count + 1, "Perfect"))


def policy(tarn, browser):
    """Own origin only, by request and by policy; nothing went wrong on the way."""
    elsewhere = [url for url in browser.requests() if not url.startswith(f"http://{tarn.address}/")]
    assert not [u for u in elsewhere if not u.startswith("about:")], elsewhere
    problems = [p for p in browser.problems() if "net::ERR" not in p]
    wrong = [p for p in problems if "status of 400" in p]  # of the statement that was to fail
    assert len(wrong) == 1, problems
    problems.remove(wrong[0])
    assert not problems, problems
    status, page = tarn.request("GET", "/")
    assert status == 200 and b"http:" not in page and b"https:" not in page and b"style=" not in page


def what_is_shown(browser, folder):
    """Of a failure: what the page says, what went wrong in it, and a picture."""
    try:
        print("problems:", browser.problems())
        print("page:", browser.eval("document.body.innerText")[:3000])
        folder.mkdir(parents=True, exist_ok=True)
        browser.screenshot(folder / "failed.png")
    except (OSError, RuntimeError, TimeoutError) as error:
        print("the page cannot be asked:", error)


def everything(tarn, browser, args):
    post(tarn, "/songs", [{"id": i + 1, "name": n, "author": AUTHORS[i]} for i, n in enumerate(SONGS)], 201)
    tarn.sql("SELECT count(*) FROM songs_chart")  # fresh: the join has the songs; a play without its song is dropped
    play(tarn, [1 + (i * i + i // 3) % 8 for i in range(120)] + list(range(1, 9)))
    browser.size(1280, 860)
    opens_and_lives(tarn, browser)
    a_play_appears(tarn, browser)
    console.sinks_and_zones(tarn, browser)
    console.statements(tarn, browser)
    views(browser, args.pictures)
    if args.readme:
        readme_picture(tarn, browser, args.readme)
    browser.size(1280, 860)
    console.exact_text(browser)
    console.errors(browser)
    console.long_answer(browser)
    console.push_and_stop(browser, lambda song: play(tarn, [song]))
    markup_stays_text(tarn, browser)
    dead_letters_appear(tarn, browser)
    another_table(tarn, browser)
    keyboard(browser)
    contrast(browser)
    reconnects(tarn, browser)
    policy(tarn, browser)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=pathlib.Path, default=ROOT / "build" / "browser")
    parser.add_argument("--readme", type=pathlib.Path)
    args = parser.parse_args()
    path = find_browser()
    if not path:
        print("no Chromium is installed: bin/setup test installs it")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        pipeline = pathlib.Path(folder) / "chart.sql"
        demo = ROOT / "dashboards" / "demo" / "music_chart.sql"
        pipeline.write_text(demo.read_text() + MORE)
        settings = {"lake.dir": f"{folder}/lake"}
        with Server(pipeline, pathlib.Path(folder) / "state", settings) as tarn, Browser(path) as browser:
            try:
                everything(tarn, browser, args)
            except BaseException:
                what_is_shown(browser, args.pictures)
                raise
            print("browser: 16 parts passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
