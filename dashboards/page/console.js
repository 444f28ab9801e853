/* The SQL console: one statement to POST /sql, its answer as table and chart while it arrives. A result is read row by
 * row and left at ROWS_MAX, so a large one costs neither side. Numbers are shown as the server wrote them: a BIGINT may
 * hold more digits than a JavaScript number. Helpers come from app.js (window.tarn). */
"use strict";
(() => {
  const { $, cell, whole, short, css, colourOf, still } = window.tarn;
  const ROWS_MAX = 500, CHART_MAX = 50, PIE_MAX = 12;
  const NUMERIC = /^(tinyint|smallint|integer|bigint|real|double|decimal)/, TIME = /^(date|time)/;
  const WORDS = /^(select|from|where|group|order|by|table|join|on|as|and|or|not|in|is|null|case|when|then|else|end|with|values|union|having|limit|default|create|insert|into|like|between|exists|distinct)$/i;
  let running = null, chart = null, answer = null;

  /* ---- the answer's text ---- */
  /* Cells of one row "[…]": text of strings, null, or the JSON as it stands. No result: the row is not whole. */
  function cells(line) {
    const found = [];
    let depth = 0, from = 1, isText = false;
    for (let i = 1; i < line.length; i++) {
      const c = line[i];
      if (isText) {
        if (c === "\\") i++;
        else if (c === '"') isText = false;
      } else if (c === '"') isText = true;
      else if (c === "[" || c === "{") depth++;
      else if ((c === "," || c === "]") && depth === 0) {
        const raw = line.slice(from, i);
        if (raw) found.push(raw === "null" ? null : raw[0] === '"' ? JSON.parse(raw) : raw);
        from = i + 1;
        if (c === "]") return found;
      } else if (c === "]" || c === "}") depth--;
    }
    return null;
  }
  /* The document has its columns in the first line and one row in each that follows; a line ends when the next begins. */
  function take(line) {
    if (!answer.columns) {
      if (line) answer.columns = JSON.parse(line.endsWith("]}") ? line : line + "]}").columns;
    } else if (line[0] === "[") {
      if (answer.rows.length === ROWS_MAX) answer.isCut = true;
      else answer.rows.push(cells(line));
    }
  }
  async function read(response, show) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      const lines = (rest + (value || "")).split("\n");
      rest = lines.pop();
      lines.forEach(take);
      if (done || (answer.columns && rest[0] === "[" && cells(rest))) {
        take(rest);
        rest = "";
      }
      show();
      if (answer.isCut) reader.cancel();
      if (done || answer.isCut) return;
    }
  }

  /* ---- table and chart ---- */
  function showTable() {
    const { columns, rows } = answer, head = document.createElement("tr");
    for (const column of columns) {
      const th = document.createElement("th");
      th.scope = "col";
      th.textContent = column.name;
      th.title = column.type;
      if (NUMERIC.test(column.type)) th.className = "num";
      head.append(th);
    }
    $("console-head").replaceChildren(head);
    const body = $("console-rows");
    for (let i = body.childElementCount; i < rows.length; i++) {
      const tr = document.createElement("tr");
      rows[i].forEach((value, c) => {
        const isNumber = NUMERIC.test(columns[c].type);
        cell(tr, value === null ? "NULL" : value, (isNumber ? "num" : "") + (value === null ? " quiet" : ""));
      });
      body.append(tr);
    }
    $("console-answer").hidden = columns.length === 0;
  }
  /* First number over the first other column. */
  function chartOf(columns) {
    const value = columns.findIndex((c) => NUMERIC.test(c.type) && !/^(id|_?(offset|partition))$/i.test(c.name));
    const label = columns.findIndex((c, i) => i !== value && !NUMERIC.test(c.type));
    const other = label >= 0 ? label : columns.findIndex((c, i) => i !== value);
    return value < 0 || other < 0 ? null : { value, label: other, isTime: TIME.test(columns[other].type) };
  }
  function showChart() {
    const axes = answer && answer.columns && answer.rows.length > 1 ? chartOf(answer.columns) : null;
    const wish = $("console-kind").value;
    $("console-choose").hidden = !axes;
    $("console-plot").hidden = !axes || wish === "none";
    if (chart) { chart.destroy(); chart = null; }
    if ($("console-plot").hidden) return;
    const kind = wish !== "automatic" ? wish : axes.isTime ? "line" : "bars";
    const rows = answer.rows.slice(0, kind === "line" ? ROWS_MAX : kind === "pie" ? PIE_MAX : CHART_MAX);
    if (kind === "line" && axes.isTime) rows.sort((a, b) => (a[axes.label] < b[axes.label] ? -1 : a[axes.label] > b[axes.label] ? 1 : 0));
    const labels = rows.map((r) => r[axes.label] ?? "NULL"), data = rows.map((r) => (r[axes.value] === null ? null : Number(r[axes.value])));
    const isLine = kind === "line", isPie = kind === "pie";
    const colours = isLine ? css("--accent-soft") : labels.map(colourOf);
    const ticks = { color: css("--quiet") }, grid = { color: css("--line") };
    const isOneDay = labels.every((l) => l.slice(0, 11) === labels[0].slice(0, 11) && l.length > 11);
    const cut = function (v) {
      let t = String(this.getLabelForValue(v));
      if (axes.isTime) t = t.replace(/(:00)?\.000(000)?( UTC)?$/, "").slice(isOneDay ? 11 : 0);
      return t.length > 19 ? t.slice(0, 18) + "…" : t;
    };
    chart = new Chart($("console-chart"), {
      type: isPie ? "pie" : isLine ? "line" : "bar",
      data: { labels, datasets: [{ data, label: answer.columns[axes.value].name, backgroundColor: colours, fill: isLine,
        borderColor: isLine ? css("--accent") : css("--card"), borderWidth: isLine || isPie ? 2 : 0, borderRadius: isLine || isPie ? 0 : 4, pointRadius: 2, maxBarThickness: 32 }] },
      options: {
        animation: false, responsive: true, maintainAspectRatio: false,
        plugins: { legend: { display: isPie, position: "right", labels: { color: css("--ink") } } },
        scales: isPie ? {} : { x: { ticks: { ...ticks, callback: cut, maxRotation: axes.isTime ? 0 : 60, maxTicksLimit: axes.isTime ? 8 : CHART_MAX }, grid: { display: false } },
          y: { beginAtZero: !isLine, ticks: { ...ticks, callback: (v) => short.format(v) }, grid } },
      },
    });
    $("console-chart").setAttribute("aria-label", "Chart of " + answer.columns[axes.value].name + " by " + answer.columns[axes.label].name + ": "
      + labels.slice(0, 5).map((l, i) => l + " " + data[i]).join(", "));
  }

  /* ---- running ---- */
  function say(text, isError) {
    $("console-status").textContent = text;
    $("console-status").className = isError ? "console-error" : "quiet";
  }
  function sayError(error) {
    const at = error.line ? " (line " + error.line + ":" + error.column + ")" : "";
    say((error.name ? error.name + ": " : "") + error.message + at + (error.hint ? " · " + error.hint : ""), true);
    if (!error.line) return;
    const text = $("console-text"), lines = text.value.split("\n");
    const from = lines.slice(0, error.line - 1).reduce((sum, l) => sum + l.length + 1, 0) + error.column - 1;
    const word = /^\w+|^./.exec(text.value.slice(from));
    if (document.activeElement === text) text.setSelectionRange(from, from + (word ? word[0].length : 0));
  }
  function setRunning(control) {
    running = control;
    $("console-run").textContent = control ? "Stop" : "Run";
    $("console").dataset.state = control ? "running" : "done";
  }
  async function run() {
    const text = $("console-text").value.trim(), control = new AbortController(), began = performance.now();
    if (!text) return say("Type a statement first.", true);
    answer = { columns: null, rows: [], isCut: false };
    $("console-head").replaceChildren();
    $("console-rows").replaceChildren();
    $("console-answer").hidden = true;
    showChart();
    setRunning(control);
    say("running …");
    const done = (how) => say(how + whole.format(answer.rows.length) + (answer.rows.length === 1 ? " row" : " rows") + " in "
      + whole.format(performance.now() - began) + " ms");
    try {
      const response = await fetch("/sql", { method: "POST", body: text, signal: control.signal,
        headers: { "Content-Type": "text/plain; charset=utf-8", "Accept": "application/json" } });
      if (!response.ok) {
        const body = await response.text();
        let error = { message: body || "HTTP " + response.status };
        try { error = JSON.parse(body).error; } catch { /* no document: its text is shown */ }
        sayError(error);
      } else {
        await read(response, () => { if (answer.columns) { showTable(); done("running: "); } });
        if (answer.columns) showTable();
        done(answer.isCut ? "the first " : "");
      }
    } catch (error) {
      if (control.signal.aborted) done("stopped: ");
      else sayError({ message: "the answer ended early: " + error.message });
    }
    setRunning(null);
    showChart();
  }
  const toggle = () => (running ? running.abort() : run());
  $("console-form").addEventListener("submit", (event) => { event.preventDefault(); toggle(); });
  $("console-text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); if (!running) run(); }
    else if (event.key === "Escape" && running) running.abort();
  });
  $("console-kind").addEventListener("change", showChart);
  document.addEventListener("tarn-paint", showChart);

  /* ---- what other parts of the page ask ---- */
  const quoted = (name) => (/^[a-z_]\w*$/i.test(name) && !WORDS.test(name) ? name : '"' + name.replaceAll('"', '""') + '"');
  window.tarn.query = (...names) => {
    $("console-text").value = "SELECT * FROM " + names.map(quoted).join(".") + " LIMIT 20";
    $("console-text").focus();
    $("console").scrollIntoView({ block: "nearest", behavior: still.matches ? "auto" : "smooth" });
    if (!running) run();
  };
  window.tarn.suggest = (name) => {
    if (!$("console-text").value && document.activeElement !== $("console-text"))
      $("console-text").value = "SELECT * FROM " + quoted(name) + " LIMIT 20";
  };
})();
