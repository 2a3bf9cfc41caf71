// How the engine copes: latency of the last turns, audio dropped, time behind live; each a line without axes.

import { html, svg } from "./dom.js";
import { milliseconds } from "./format.js";
import { unchanged } from "./marks.js";
import { words } from "./strings.js";

const TURNS = 60;
const [WIDTH, HEIGHT] = [100, 24];

export function renderFigures(container, turns, stats) {
  const latency = turns.slice(-TURNS).map(({ timings_ms }) => timings_ms.after_speech).filter(Number.isFinite);
  const dropped = stats.map(({ dropped_chunks }) => dropped_chunks);
  const lag = stats.map(({ lag_s }) => lag_s * 1000);
  if (unchanged(container, [latency.length, latency.at(-1), stats.length, stats.at(-1)])) return;
  const { figures } = words;
  const charts = [[figures.latency, latency, milliseconds], [figures.lag, lag, milliseconds], [figures.dropped, dropped, String]];
  const drawn = charts.filter(([, values]) => values.length).map((chart) => figure(...chart));
  container.replaceChildren(...(drawn.length ? drawn : [html("p", {}, figures.noFigures)]));
}

function figure(name, values, format) {
  const most = Math.max(...values);
  const label = words.figures.chart(name, format(values.at(-1)), format(most));
  return html("div", {}, html("p", {}, name), html("b", {}, format(values.at(-1))), sparkline(values, most, label));
}

function sparkline(values, most, label) {
  const x = (index) => (values.length > 1 ? (index / (values.length - 1)) * WIDTH : WIDTH);
  const y = (value) => HEIGHT - 2 - (most > 0 ? value / most : 0) * (HEIGHT - 4);
  const points = values.map((value, index) => `${index ? "L" : "M"}${x(index).toFixed(1)} ${y(value).toFixed(1)}`);
  if (values.length === 1) points.unshift(`M0 ${y(values[0]).toFixed(1)}L0 ${y(values[0]).toFixed(1)}`);
  return svg("svg", { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    svg("path", { d: points.join("") }));
}
