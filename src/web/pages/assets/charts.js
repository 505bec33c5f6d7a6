// Makes drawn charts interactive: values under the pointer, a closer look by dragging. The drawing stays for readers
// of the screen, and for whoever has no script.
"use strict";
(() => {
  if (!window.uPlot) return;
  const root = document.documentElement;
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const answers = new Map();
  const rowsOf = (source) => {
    if (!answers.has(source)) {
      answers.set(source, fetch(source).then((answer) => {
        if (!answer.ok) throw new Error(`${answer.status}`);
        return answer.json();
      }).then((body) => body.rows));
    }
    return answers.get(source);
  };
  const words = (seconds) => {
    if (seconds == null) return "–";
    const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
    const at = units.findIndex(([size]) => seconds >= size);
    if (at < 0) return "0 s";
    const [size, unit] = units[at];
    const rest = units[at + 1] ? Math.floor(seconds % size / units[at + 1][0]) : 0;
    return `${Math.floor(seconds / size)} ${unit}` + (rest ? ` ${rest} ${units[at + 1][1]}` : "");
  };
  const forms = {
    percent: (value) => value == null ? "–" : `${Math.round(value)} %`,
    seconds: words,
    count: (value) => value == null ? "–" : `${Math.round(value * 10) / 10}`,
  };
  const steps = [1, 5, 15, 30, 60, 300, 900, 1800, 3600, 7200, 14400, 28800, 43200, 86400, 172800, 432000, 864000];
  const axes = (form) => {
    const look = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    return [look, { ...look, size: 64, ...(form === "seconds" && { incrs: steps }), values: (_, ticks) => ticks.map((tick) => tick == null ? "" : forms[form](tick)) }];
  };
  // The caption is as wide as what is inside the frame.
  const room = (figure) => Math.max(figure.querySelector("figcaption").clientWidth, 200);
  const base = (figure) => ({
    width: room(figure), height: 190, padding: [8, 12, 0, 0], axes: axes(figure.dataset.form),
    tzDate: (at) => uPlot.tzDate(new Date(at * 1e3), "Etc/UTC"),
  });
  const lines = (figure, rows) => {
    const y = figure.dataset.y;
    const value = forms[figure.dataset.form];
    const range = figure.dataset.form === "percent" ? [0, 100] : (_, low, high) => [0, high > 0 ? high * 1.1 : 1];
    const end = (name) => rows.map((row) => row[figure.dataset.n] > 0 && row[figure.dataset.n] < 20 ? row[name] : null);
    const hint = (label) => ({ label, stroke: colour("--soft"), dash: [3, 4], points: { show: true, size: 4 }, value: (_, v) => value(v) });
    const options = { ...base(figure), scales: { y: { range } }, series: [
      { label: "Week from", value: (_, at) => at == null ? "–" : new Date(at * 1e3).toISOString().slice(0, 10) },
      { label: figure.dataset.label, stroke: colour("--busy"), width: 2, points: { show: true, size: 6 }, value: (_, v) => value(v) },
      { label: "n", show: true, scale: "n", stroke: "transparent", points: { show: false }, value: (_, v) => v ?? "–" },
    ] };
    const data = [rows.map((row) => row.from_s), rows.map((row) => row[y]), rows.map((row) => row[figure.dataset.n])];
    if (figure.dataset.form === "percent") {
      options.series.push(hint("at least"), hint("at most"));
      data.push(end(y.replace("percent", "low")), end(y.replace("percent", "high")));
    }
    return [options, data];
  };
  const points = (figure, rows) => {
    const one = (label, name) => ({
      label, stroke: colour(name), fill: colour(name), paths: () => null, points: { show: true, size: 6 },
      value: (_, v) => words(v),
    });
    const pick = (good) => rows.map((row) => (row.state === "healthy") === good ? Math.max(row.ran_s, 1) : null);
    const options = { ...base(figure), scales: { y: { distr: 3 } }, series: [
      { label: "Ended", value: (_, at) => at == null ? "–" : new Date(at * 1e3).toISOString().slice(0, 16).replace("T", " ") },
      one("Good", "--good"), one("Bad", "--bad"),
    ] };
    return [options, [rows.map((row) => row.at_s), pick(true), pick(false)]];
  };
  const draw = async (figure) => {
    const rows = await rowsOf(figure.dataset.source);
    if (rows.length < 2) return;
    const [options, data] = (figure.dataset.chart === "points" ? points : lines)(figure, rows);
    const old = figure.querySelector(".uplot");
    const plot = new uPlot(options, data);
    plot.root.setAttribute("aria-hidden", "true");
    if (old) old.replaceWith(plot.root); else figure.append(plot.root);
    figure.querySelector("svg").classList.add("sr");
    plot.over.addEventListener("click", () => {
      const run = rows[plot.cursor.idx]?.run;
      if (run) location.href = `/r/${encodeURIComponent(run)}`;
    });
    let width = figure.clientWidth;
    new ResizeObserver(() => {
      if (figure.clientWidth === width || !plot.root.isConnected) return;
      width = figure.clientWidth;
      plot.setSize({ width: room(figure), height: options.height });
    }).observe(figure);
  };
  const drawAll = () => {
    for (const figure of document.querySelectorAll("[data-chart]")) draw(figure).catch(() => {});
  };
  new MutationObserver(drawAll).observe(root, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  drawAll();
})();
