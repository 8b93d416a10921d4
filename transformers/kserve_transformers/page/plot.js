// A series with its reconstruction, and below it each window's error against the threshold, as SVG.

const HEIGHTS = { series: 190, error: 90 };
const MARGIN = { left: 46, right: 10, top: 10, between: 26, bottom: 22 };

function svg(tag, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}

function range(...lists) {
  let [low, high] = [Infinity, -Infinity];
  for (const list of lists) for (const value of list) [low, high] = [Math.min(low, value), Math.max(high, value)];
  return high > low ? [low, high] : [low - 1, high + 1];
}

const rounded = (value) => Number(value.toPrecision(3)).toString();

// `windows` are {start, mae, threshold, anomaly}, each `length` points long.
export function plot(width, series, rebuilt, windows, length, description) {
  const errorTop = MARGIN.top + HEIGHTS.series + MARGIN.between;
  const height = errorTop + HEIGHTS.error + MARGIN.bottom;
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, class: "plot", role: "img", "aria-label": description });
  const x = (at) => MARGIN.left + (at / (series.length - 1)) * (width - MARGIN.left - MARGIN.right);
  const scale = ([low, high], top, tall) => (value) => top + tall - ((value - low) / (high - low)) * tall;
  const valueRange = range(series, rebuilt);
  const errorRange = [0, 1.1 * Math.max(...windows.map(({ mae, threshold }) => Math.max(mae, threshold)))];
  const y = scale(valueRange, MARGIN.top, HEIGHTS.series);
  const e = scale(errorRange, errorTop, HEIGHTS.error);
  const path = (values, level) => `M${Array.from(values, (value, at) => `${x(at).toFixed(1)} ${level(value).toFixed(1)}`).join("L")}`;

  for (const { start, anomaly } of windows) {
    const [left, right] = [x(start), x(Math.min(start + length, series.length - 1))];
    if (anomaly) root.append(svg("rect", { class: "unusual", x: left, y: MARGIN.top, width: right - left, height: height - MARGIN.top - MARGIN.bottom }));
  }
  for (const [level, [low, high]] of [[y, valueRange], [e, errorRange]]) {
    for (const value of [low, high]) {
      root.append(svg("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: level(value), y2: level(value) }));
      root.append(svg("text", { x: MARGIN.left - 6, y: level(value) + 4, "text-anchor": "end" }, rounded(value)));
    }
  }
  const { threshold } = windows[0];
  const middle = ({ start }) => start + (length - 1) / 2;
  const errors = windows.map((one) => `${x(middle(one)).toFixed(1)} ${e(one.mae).toFixed(1)}`).join("L");
  root.append(
    svg("path", { class: "rebuilt", d: path(rebuilt, y) }),
    svg("path", { class: "series", d: path(series, y) }),
    svg("line", { class: "threshold", x1: MARGIN.left, x2: width - MARGIN.right, y1: e(threshold), y2: e(threshold) }),
    svg("path", { class: "error", d: `M${errors}` }),
    ...windows.map((one) => svg("circle", { class: one.anomaly ? "dot over" : "dot", cx: x(middle(one)), cy: e(one.mae), r: windows.length > 60 ? 1.5 : 3 })),
    svg("text", { x: MARGIN.left, y: errorTop - 8 }, `error by window; threshold ${rounded(threshold)}`),
    svg("text", { x: MARGIN.left, y: height - 5 }, "0"),
    svg("text", { x: width - MARGIN.right, y: height - 5, "text-anchor": "end" }, String(series.length - 1)),
  );
  return root;
}
