"""Parts of the page test: cards for sinks, files and zones, and the SQL console, used as a person does: text typed, keys
pressed, the answer read from the page and compared with the server's."""
import json


def texts(browser, selector):
    """Rows of a table body as lists of texts."""
    return browser.eval(f"[...document.querySelectorAll({json.dumps(selector + ' tr')})].map((r) => "
                        "[...r.children].map((c) => c.textContent))")


def is_drawn(canvas):
    return (f"(() => {{ const c = document.getElementById('{canvas}'); return c.width > 0 && c.getContext('2d')"
            ".getImageData(0, 0, c.width, c.height).data.some((v) => v !== 0); })()")


def type_statement(browser, text):
    """Into the box, over what stands there, and Ctrl + Enter."""
    browser.eval("(() => { const t = document.getElementById('console-text'); t.focus(); t.select(); })()")
    browser.type(text)
    assert browser.eval("document.getElementById('console-text').value") == text
    browser.key("Enter", "Enter", modifiers=2)


def answer(browser, text):
    type_statement(browser, text)
    browser.wait("document.getElementById('console').dataset.state === 'done'")
    return browser.eval("document.getElementById('console-status').textContent")


def sinks_and_zones(tarn, browser):
    """A running sink with its rows and files, the files by name, the zones with their tables."""
    browser.wait("document.querySelector('#sink-rows .state') !== null && "
                 "document.querySelector('#sink-rows .state').textContent === 'running'")
    browser.wait("document.querySelectorAll('#file-rows tr').length > 0")
    want = tarn.sql("SELECT name, target FROM system.sinks")
    assert [row[:2] for row in texts(browser, "#sink-rows")] == want, (texts(browser, "#sink-rows"), want)
    kept = [row[0] for row in tarn.sql("SELECT path FROM system.files")]
    shown = [row[2] for row in texts(browser, "#file-rows")]
    assert all(any(path.endswith(name) for path in kept) for name in shown), (shown, kept)
    zones = texts(browser, "#zone-rows")
    assert [row[:3] for row in zones] == [["bronze", "plays", "JSON"]] and "played" in zones[0][4], zones
    # its button asks for the table
    browser.eval("document.querySelector('#zone-rows button').focus()")
    browser.key("Enter", "Enter", "\r")
    browser.wait("document.getElementById('console').dataset.state === 'done' && "
                 "document.querySelectorAll('#console-rows tr').length > 0")
    assert browser.eval("document.getElementById('console-text').value") == "SELECT * FROM bronze.plays LIMIT 20"


def statements(tarn, browser):
    text = "SELECT songName, count FROM songs_chart ORDER BY count DESC, songName"
    said = answer(browser, text)
    want = [[name, str(count)] for name, count in tarn.sql(text)]
    assert texts(browser, "#console-rows") == want, (texts(browser, "#console-rows"), want)
    assert said.startswith(f"{len(want)} rows in "), said
    assert texts(browser, "#console-head") == [["songName", "count"]]
    browser.wait(is_drawn("console-chart"))
    label = browser.eval("document.getElementById('console-chart').getAttribute('aria-label')")
    assert f"count by songName: {want[0][0]} {want[0][1]}" in label, label
    for kind in ("pie", "line"):
        browser.eval(f"(() => {{ const s = document.getElementById('console-kind'); s.value = '{kind}'; "
                     "s.dispatchEvent(new Event('change')); })()")
        browser.wait(is_drawn("console-chart"))
    browser.eval("(() => { const s = document.getElementById('console-kind'); s.value = 'automatic'; "
                 "s.dispatchEvent(new Event('change')); })()")
    # live rows and files of a zone together
    answer(browser, "SELECT (SELECT count(*) FROM bronze.plays) AS files, sum(count) AS live FROM songs_chart")
    assert int(texts(browser, "#console-rows")[0][1]) == sum(int(row[1]) for row in want)


def exact_text(browser):
    """Numbers and text as the server wrote them."""
    answer(browser, "SELECT 9223372036854775807 AS n, 1e0 AS d, '<b>x</b>, \"y\"' AS t, CAST(NULL AS VARCHAR) AS e, "
                    "ARRAY['a,]', 'b'] AS l")
    row = texts(browser, "#console-rows")[0]
    assert row == ["9223372036854775807", "1.0", '<b>x</b>, "y"', "NULL", '["a,]","b"]'], row


def errors(browser):
    said = answer(browser, "SELECT nosuch FROM songs_chart")
    assert "COLUMN_NOT_FOUND" in said and "(line 1:8)" in said, said
    selected = browser.eval("(() => { const t = document.getElementById('console-text'); "
                            "return t.value.slice(t.selectionStart, t.selectionEnd); })()")
    assert selected == "nosuch", selected
    assert browser.eval("document.getElementById('console-answer').hidden")


def long_answer(browser):
    """Only the first rows of a long answer are taken."""
    said = answer(browser, "SELECT a.id FROM songs a CROSS JOIN songs b CROSS JOIN songs c")
    assert said.startswith("the first 500 rows"), said
    assert browser.eval("document.querySelectorAll('#console-rows tr').length") == 500


def push_and_stop(browser, play):
    """A push query shows rows as they come, until Esc."""
    type_statement(browser, "SELECT id, play FROM played_songs WHERE id = 77 EMIT CHANGES")
    browser.wait("document.getElementById('console').dataset.state === 'running'")
    for number in (1, 2):
        play(77)
        browser.wait(f"document.querySelectorAll('#console-rows tr').length === {number}")
    assert browser.eval("document.getElementById('console').dataset.state") == "running"
    browser.key("Escape", "Escape")
    browser.wait("document.getElementById('console').dataset.state === 'done'")
    assert browser.eval("document.getElementById('console-status').textContent").startswith("stopped: ")
