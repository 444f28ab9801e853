/* The live page: one event stream (/live) carries everything shown; nothing is polled. All text goes into the page by
 * textContent, so a title with markup is shown as text. Charts are Chart.js, given new data in place. */
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const HISTORY = 240; // samples of half a second
  const PIE_PARTS = 8, BARS = 12, LATEST = 6, FILES = 8;
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const params = new URLSearchParams(location.search);
  let table = params.get("table") || "", stream = params.get("stream") || "";
  let source = null, colours = new Map(), seen = new Set(), isFirst = true, zonesShown = "";

  /* ---- numbers ---- */
  const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
  const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
  const count = (n) => (n >= 1e6 ? short.format(n) : whole.format(n));
  const rate = (n) => (n > 0 && n < 10 ? n.toFixed(1) : count(n));
  const millis = (ms) => (ms == null ? "–" : ms < 10 ? ms.toFixed(1) : whole.format(ms));
  const bytes = (n) => {
    const units = ["B", "KB", "MB", "GB", "TB"];
    let i = 0;
    while (n >= 1024 && i < units.length - 1) { n /= 1024; i++; }
    return (n < 10 && i > 0 ? n.toFixed(1) : whole.format(n)) + " " + units[i];
  };
  const span = (ms) => {
    const s = Math.floor(ms / 1000);
    if (s < 60) return s + " s";
    if (s < 3600) return Math.floor(s / 60) + " min " + (s % 60) + " s";
    return Math.floor(s / 3600) + " h " + Math.floor((s % 3600) / 60) + " min";
  };
  const clock = (ms) => new Date(ms).toLocaleTimeString([], { hour12: false });
  const number = (node, text, unit) => {
    node.replaceChildren(text);
    if (unit) {
      const small = document.createElement("small");
      small.textContent = " " + unit;
      node.append(small);
    }
  };

  /* ---- theme ---- */
  const themes = ["automatic", "light", "dark"];
  const stored = () => { try { return localStorage.getItem("tarn-theme") || "automatic"; } catch { return "automatic"; } };
  function applyTheme(name) {
    if (name === "automatic") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    const label = "Colour theme: " + name;
    $("theme").setAttribute("aria-label", label);
    $("theme").title = label;
    $("theme").textContent = name === "automatic" ? "◐" : name === "light" ? "☀" : "☾";
    paint();
  }
  $("theme").addEventListener("click", () => {
    const next = themes[(themes.indexOf(stored()) + 1) % themes.length];
    try { localStorage.setItem("tarn-theme", next); } catch { /* private window: for this page only */ }
    applyTheme(next);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => paint());
  const isDark = () => getComputedStyle(document.documentElement).colorScheme.trim() === "dark";
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  /* Ten hues that stay apart for colour-blind readers and on both grounds. */
  const LIGHT = ["#1f6f78", "#d9822b", "#5b5fa8", "#b8476b", "#6f9a37", "#3b8fc4", "#8a6142", "#c7a42b", "#7d4f93", "#4c6b5c"];
  const DARK = ["#5fbcc0", "#f0a45c", "#9c9fe6", "#ea86a3", "#a6cf6c", "#73bdea", "#c99c7b", "#ead06a", "#c194d8", "#8fb3a2"];
  function colourOf(label) {
    if (!colours.has(label)) colours.set(label, colours.size);
    const palette = isDark() ? DARK : LIGHT;
    return palette[colours.get(label) % palette.length];
  }

  /* ---- charts ---- */
  const charts = {};
  function sparkline(id) {
    return new Chart($(id), {
      type: "line",
      data: { labels: [], datasets: [{ data: [], borderWidth: 1.75, pointRadius: 0, tension: 0.3, fill: true }] },
      options: {
        animation: false, responsive: true, maintainAspectRatio: false, events: [],
        plugins: { legend: { display: false }, tooltip: { enabled: false } },
        scales: { x: { display: false }, y: { display: false, beginAtZero: true } },
      },
    });
  }
  function makeCharts() {
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    Chart.defaults.font.size = 12.5;
    charts.rate = sparkline("rate-spark");
    charts.commit = sparkline("commit-spark");
    const tooltip = { callbacks: { label: (c) => " " + c.label + ": " + whole.format(c.parsed.x ?? c.parsed) } };
    charts.pie = new Chart($("pie"), {
      type: "pie",
      data: { labels: [], datasets: [{ data: [], borderWidth: 2 }] },
      options: {
        responsive: true, maintainAspectRatio: false, animation: still.matches ? false : { duration: 350 },
        plugins: { legend: { display: false }, tooltip },
      },
    });
    charts.bars = new Chart($("bars"), {
      type: "bar",
      data: { labels: [], datasets: [{ data: [], borderRadius: 5, maxBarThickness: 24 }] },
      options: {
        indexAxis: "y", responsive: true, maintainAspectRatio: false, animation: still.matches ? false : { duration: 350 },
        plugins: { legend: { display: false }, tooltip },
        scales: {
          x: { beginAtZero: true, border: { display: false }, ticks: { maxTicksLimit: 6, precision: 0, callback: (v) => short.format(v) } },
          y: { grid: { display: false }, ticks: { autoSkip: false, callback(v) { const t = String(this.getLabelForValue(v)), max = innerWidth < 640 ? 16 : 26; return t.length > max ? t.slice(0, max - 1) + "…" : t; } } },
        },
      },
    });
  }
  let last = null;
  function paint() {
    if (!charts.pie) return;
    Chart.defaults.color = css("--quiet");
    for (const name of ["rate", "commit"]) {
      const set = charts[name].data.datasets[0];
      set.borderColor = css("--accent");
      set.backgroundColor = css("--accent-soft");
      charts[name].update("none");
    }
    const bars = charts.bars.options.scales;
    bars.x.grid = { color: css("--line"), drawBorder: false };
    bars.y.grid = { display: false, drawBorder: false };
    bars.x.ticks.color = css("--quiet");
    bars.y.ticks.color = css("--ink");
    charts.pie.data.datasets[0].borderColor = css("--card");
    if (last) showTable(last.table, true);
    document.dispatchEvent(new Event("tarn-paint"));
  }
  function push(chart, value) {
    const set = chart.data.datasets[0];
    set.data.push(value ?? null);
    chart.data.labels.push("");
    if (set.data.length > HISTORY) { set.data.shift(); chart.data.labels.shift(); }
    chart.update("none");
  }

  /* ---- parts of the page ---- */
  function options(select, names, chosen) {
    const have = [...select.options].map((o) => o.value);
    if (have.length !== names.length || have.some((n, i) => n !== names[i])) {
      select.replaceChildren(...names.map((n) => new Option(n, n)));
      select.parentElement.hidden = names.length === 0;
    }
    if (names.includes(chosen) && document.activeElement !== select) select.value = chosen;
  }
  function cell(row, text, className) {
    const td = document.createElement("td");
    td.textContent = text;
    if (className) td.className = className;
    row.append(td);
    return td;
  }
  function showTiles(m) {
    number($("rate"), rate(m.events_per_s));
    number($("commit"), millis(m.commit_ms), m.commit_ms == null ? "" : "ms");
    push(charts.rate, m.events_per_s);
    push(charts.commit, m.commit_ms);
    number($("total"), count(m.events_total));
    $("total-more").textContent = rate(m.processed_per_s) + "/s · commit " + whole.format(m.commit);
    number($("state"), bytes(m.state_bytes));
    $("state-more").textContent = count(m.state_keys) + " keys · process " + bytes(m.memory_bytes);
    number($("dead"), count(m.dead_total));
    $("dead-more").textContent = m.dead_total ? "see below for reasons" : "every record was usable";
    $("version").textContent = m.version;
    $("uptime").textContent = "up " + span(m.uptime_ms);
    $("notice").hidden = m.ready;
    if (!m.ready) $("notice").textContent = "Not ready: " + m.missing;
  }
  function showTable(t, isRepaint) {
    const has = Boolean(t && t.rows && t.rows.length);
    $("chart-empty").hidden = has;
    $("plots").hidden = $("chart-details").hidden = !has;
    $("chart-title").textContent = t ? t.name : "Chart";
    $("chart-more").textContent = !t ? "\u00a0" : t.error ? t.error
      : whole.format(t.total) + " in " + whole.format(t.groups) + (t.groups === 1 ? " group" : " groups") + " · " + t.value + " by " + t.label;
    if (t && !has) $("chart-empty").textContent = t.error ? "" : "The table is empty. Its rows appear here as they are counted.";
    if (!has) return;
    const rows = t.rows;
    const part = rows.slice(0, PIE_PARTS);
    const rest = t.total - part.reduce((sum, r) => sum + r[1], 0);
    const pie = charts.pie.data;
    pie.labels = part.map((r) => r[0]);
    pie.datasets[0].data = part.map((r) => r[1]);
    pie.datasets[0].backgroundColor = part.map((r) => colourOf(r[0]));
    if (rest > 0) {
      pie.labels.push("others");
      pie.datasets[0].data.push(rest);
      pie.datasets[0].backgroundColor.push(css("--line"));
    }
    const top = rows.slice(0, BARS), bars = charts.bars.data;
    bars.labels = top.map((r) => r[0]);
    bars.datasets[0].data = top.map((r) => r[1]);
    bars.datasets[0].backgroundColor = top.map((r) => colourOf(r[0]));
    charts.pie.update(isRepaint || still.matches ? "none" : undefined);
    charts.bars.update(isRepaint || still.matches ? "none" : undefined);
    const text = t.name + ": " + rows.slice(0, 5).map((r) => r[0] + " " + whole.format(r[1])).join(", ");
    $("pie").setAttribute("aria-label", "Pie chart. " + text);
    $("bars").setAttribute("aria-label", "Bar chart. " + text);
    $("col-label").textContent = t.label;
    $("col-value").textContent = t.value;
    $("chart-rows").replaceChildren(...rows.map((r) => {
      const tr = document.createElement("tr");
      cell(tr, r[0]);
      cell(tr, whole.format(r[1]), "num");
      return tr;
    }));
  }
  function showLatest(l, t) {
    const rows = l ? l.rows.slice(0, LATEST) : [];
    const names = new Map(t && t.rows ? t.rows.map((r) => [r[2], r[0]]) : []);
    $("latest-empty").hidden = rows.length > 0;
    $("latest-more").textContent = l ? l.columns.join(" · ") : "\u00a0";
    const now = new Set();
    $("latest").replaceChildren(...rows.map((r) => {
      const id = r.partition + ":" + r.offset, li = document.createElement("li");
      now.add(id);
      if (!isFirst && !seen.has(id)) li.className = "new";
      const what = document.createElement("span");
      what.className = "what";
      const title = names.get(r.key);
      const head = document.createElement("b");
      head.textContent = title || r.cells[0] || "null";
      what.append(head);
      const more = document.createElement("div");
      more.className = "quiet";
      more.textContent = (title ? r.cells : r.cells.slice(1)).join(" · ");
      what.append(more);
      const time = document.createElement("time");
      time.dateTime = new Date(r.time).toISOString();
      time.textContent = clock(r.time);
      li.append(what, time);
      return li;
    }));
    seen = now;
  }
  function showQueries(queries) {
    $("queries").hidden = queries.length === 0;
    $("queries-empty").hidden = queries.length > 0;
    $("query-rows").replaceChildren(...queries.map((q) => {
      const tr = document.createElement("tr");
      cell(tr, q.id);
      cell(tr, q.sink || "");
      const pill = document.createElement("span");
      pill.className = "pill state state-" + q.state;
      pill.textContent = q.state;
      cell(tr, "").append(pill);
      if (q.error) tr.lastChild.append(" " + q.error);
      cell(tr, count(q.rows_in), "num");
      cell(tr, count(q.rows_out), "num");
      cell(tr, q.lag ? whole.format(q.lag) + (q.lag_ms ? " (" + span(q.lag_ms) + ")" : "") : "0", "num");
      cell(tr, count(q.unmatched), "num");
      cell(tr, count(q.late), "num");
      cell(tr, count(q.bad), "num");
      return tr;
    }));
  }
  function showSinks(sinks) {
    $("sinks-card").hidden = sinks.length === 0;
    $("sink-rows").replaceChildren(...sinks.map((s) => {
      const tr = document.createElement("tr");
      cell(tr, s.name);
      cell(tr, s.table);
      const pill = document.createElement("span");
      pill.className = "pill state state-" + (s.state === "retrying" ? "failed" : s.state);
      pill.textContent = s.state;
      cell(tr, "").append(pill);
      if (s.error) tr.lastChild.append(" " + s.error);
      cell(tr, s.lag ? whole.format(s.lag) + (s.lag_ms ? " (" + span(s.lag_ms) + ")" : "") : "0", "num");
      cell(tr, count(s.rows), "num");
      cell(tr, count(s.files), "num");
      cell(tr, bytes(s.bytes), "num");
      cell(tr, count(s.bad), "num");
      return tr;
    }));
  }
  function showFiles(sinks) {
    const files = sinks.flatMap((s) => s.recent.map((f) => ({ ...f, table: s.table })));
    files.sort((a, b) => b.time - a.time);
    $("files-card").hidden = files.length === 0;
    $("file-rows").replaceChildren(...files.slice(0, FILES).map((f) => {
      const tr = document.createElement("tr");
      cell(tr, clock(f.time));
      cell(tr, f.table);
      cell(tr, f.path, "wide");
      cell(tr, count(f.rows), "num");
      cell(tr, bytes(f.bytes), "num");
      return tr;
    }));
  }
  /* Zones change seldom and hold a button: made anew only when they differ, so that focus stays. */
  function showZones(zones, total) {
    const text = JSON.stringify([zones, total]);
    if (text === zonesShown) return;
    zonesShown = text;
    $("zones-card").hidden = zones.length === 0;
    $("zones-more").textContent = whole.format(total) + (total === 1 ? " table" : " tables")
      + (total > zones.length ? ", the first " + zones.length + " are shown" : "");
    $("zone-rows").replaceChildren(...zones.map((z) => {
      const tr = document.createElement("tr");
      cell(tr, z.schema);
      cell(tr, z.name);
      cell(tr, z.format);
      cell(tr, z.columns, "num");
      cell(tr, z.sinks.length ? "sink " + z.sinks.join(", ") : z.external ? "others (external)" : "statements");
      cell(tr, z.location, "wide");
      const button = document.createElement("button");
      button.type = "button";
      button.className = "small";
      button.textContent = "Query";
      button.setAttribute("aria-label", "Query " + z.schema + "." + z.name);
      button.addEventListener("click", () => window.tarn.query(z.schema, z.name));
      cell(tr, "", "num").append(button);
      return tr;
    }));
  }
  function showDead(letters) {
    $("dead-table").hidden = letters.length === 0;
    $("dead-empty").hidden = letters.length > 0;
    $("dead-rows").replaceChildren(...letters.map((d) => {
      const tr = document.createElement("tr");
      cell(tr, d.time);
      cell(tr, d.topic);
      cell(tr, d.partition, "num");
      cell(tr, d.offset, "num");
      cell(tr, d.reason, "wide");
      const code = document.createElement("code");
      code.textContent = d.value;
      cell(tr, "", "wide").append(code);
      return tr;
    }));
  }
  function show(snapshot) {
    last = snapshot;
    const m = snapshot.now;
    options($("table"), m.tables, snapshot.table ? snapshot.table.name : table);
    options($("stream"), m.streams, snapshot.latest ? snapshot.latest.stream : stream);
    showTiles(m);
    showTable(snapshot.table, false);
    showLatest(snapshot.latest, snapshot.table);
    showQueries(m.queries);
    showSinks(m.sinks);
    showFiles(m.sinks);
    showZones(m.zones, m.zone_tables);
    if (m.tables.length) window.tarn.suggest(m.tables[0]);
    showDead(m.dead_letters);
    isFirst = false;
    document.documentElement.dataset.frames = String(Number(document.documentElement.dataset.frames || 0) + 1);
  }

  /* ---- the feed ---- */
  function link(text, className) {
    if ($("link").textContent !== text) $("link").textContent = text;
    $("link").className = "pill " + className;
  }
  function connect() {
    if (source) source.close();
    const query = new URLSearchParams();
    if (table) query.set("table", table);
    if (stream) query.set("stream", stream);
    source = new EventSource("/live?" + query);
    source.onopen = () => link("live", "live");
    source.onerror = () => {
      link(source.readyState === EventSource.CLOSED ? "disconnected" : "reconnecting", "lost");
      if (source.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
    };
    source.onmessage = (event) => show(JSON.parse(event.data));
  }
  $("table").addEventListener("change", () => { table = $("table").value; colours = new Map(); connect(); });
  $("stream").addEventListener("change", () => { stream = $("stream").value; isFirst = true; connect(); });

  window.tarn = { $, cell, whole, short, css, colourOf, still };
  addEventListener("DOMContentLoaded", () => { // behind console.js
    makeCharts();
    applyTheme(stored());
    connect();
  });
})();
