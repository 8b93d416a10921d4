// Series of numbers: read from text, cut into windows, put together again. client/series.py and client/delimited.py are the same algorithm.

const MISSING = new Set(["", "-", "--", "?", "nan", "na", "n/a", "#n/a", "<na>", "null", "none", "nil", "nat"]);
const INDEX_NAMES = new Set(
  ("unnamed index idx id nr no row line date datetime day month year hour minute second seconds time timestamp epoch t " +
    "zeit zeitstempel zeitpunkt datum uhrzeit tag monat jahr stunde sekunde").split(" "),
);
const OTHER = { ".": ",", ",": "." };
const PLAIN = {
  ".": /^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$/,
  ",": /^[+-]?[0-9]*(?:,?[0-9]+)(?:[eE][+-]?[0-9]+)?$/,
};
const GROUPED = {
  ".": /^[+-]?[1-9][0-9]{0,2}([, \u00a0\u202f\u2009'’])[0-9]{3}(?:\1[0-9]{3})*(?:\.[0-9]+)?$/,
  ",": /^[+-]?[1-9][0-9]{0,2}([. \u00a0\u202f\u2009'’])[0-9]{3}(?:\1[0-9]{3})*(?:,[0-9]+)?$/,
};
const FEW_ROWS = 8; // below, one number that differs from the others is no sign of a header

// The text is no series, or can be read in more than one way; the message names line and column.
export class SeriesError extends Error {}

// The decimal mark is unclear: this way to read the text is not ruled out.
class UnclearError extends SeriesError {}

// The text of a file: UTF-8, UTF-16 with a byte order mark, or Windows-1252.
export function decode(bytes) {
  const [first, second] = bytes;
  const wide = first === 0xff && second === 0xfe ? "utf-16le" : first === 0xfe && second === 0xff ? "utf-16be" : null;
  let text;
  try {
    text = new TextDecoder(wide ?? "utf-8", { fatal: true }).decode(bytes);
  } catch {
    text = wide || (first === 0xef && second === 0xbb && bytes[2] === 0xbf) ? "\0" : new TextDecoder("windows-1252").decode(bytes);
  }
  if (text.includes("\0")) throw new SeriesError("it is not text: send UTF-8, or UTF-16 with a byte order mark");
  return text;
}

// The columns of a text: [{name, label, cells, decimal}]; a JSON list is one.
export function readColumns(text) {
  const trimmed = text.trim();
  if (/^[[{][^]*[\]}]$/.test(trimmed)) return [{ name: null, label: "", numbers: fromJson(trimmed) }];
  return columnsOf(text);
}

// The only column that holds values, or the one that is wanted, by name or counted from 1.
export function chooseColumn(columns, wanted = null) {
  const names = columns.map(({ name }, at) => name || `column ${at + 1}`).join(", ");
  if (wanted !== null) {
    let found = columns.filter(({ name }) => name === wanted);
    if (!found.length && /^[0-9]+$/.test(wanted) && columns[wanted - 1]) found = [columns[wanted - 1]];
    if (found.length !== 1) throw new SeriesError(`${found.length || "no"} columns are called '${wanted}': there are ${names}`);
    return found[0];
  }
  if (columns.length === 1) return columns[0];
  const found = columns.filter((column, at) => holdsNumbers(column) && !isIndex(column, at === 0));
  if (found.length !== 1) {
    const what = found.length ? "more than one column holds numbers" : "no column holds numbers, beside times and counts";
    throw new SeriesError(`${what}: say which of ${names}`);
  }
  return found[0];
}

export function holdsNumbers({ cells, decimal }) {
  return !cells || isNumeric(cells.map(([, cell]) => cell), decimal);
}

// The numbers of a column.
export function valuesOf(column) {
  if (column.numbers) return column.numbers;
  const { name, label, cells } = column;
  const [line, first] = name === null ? cells[0] : [cells[0][0] - 1, name];
  if (isUnclear(column, first)) {
    throw new SeriesError(`line ${line}: ${quoted(first)} may be the column's name or its first number: remove it, or put a line of names above it`);
  }
  return cells.map(([line, cell], at) => {
    const place = `line ${line}, ${label || `number ${at + 1}`}`;
    if (isMissing(cell)) throw new SeriesError(`${place}: the value is missing (${cell || "empty"}): fill it, or send a part without gaps`);
    const value = toNumber(cell, column.decimal);
    if (value === null) throw new SeriesError(`${place}: ${quoted(cell)} is not a number`);
    if (!Number.isFinite(value)) throw new SeriesError(`${place}: ${quoted(cell)} is too large for a number`);
    return value;
  });
}

// Where windows start: one behind the other; the last one ends with the series, and may overlap.
export function windowStarts(points, length) {
  if (points < length) throw new SeriesError(`the series has ${points} numbers; the model's windows take ${length}`);
  const starts = [];
  for (let start = 0; start + length < points; start += length) starts.push(start);
  return [...starts, points - length];
}

// One reconstruction of the series from those of its windows: the mean where two overlap.
export function join(points, starts, rebuilt) {
  const [sums, counts] = [new Float64Array(points), new Uint8Array(points)];
  starts.forEach((start, index) =>
    rebuilt[index].forEach((value, offset) => {
      sums[start + offset] += value;
      counts[start + offset] += 1;
    }),
  );
  return sums.map((sum, at) => sum / counts[at]);
}

function fromJson(text) {
  let numbers;
  try {
    numbers = JSON.parse(text);
  } catch {
    numbers = null;
  }
  if (!Array.isArray(numbers)) throw new SeriesError("the JSON is malformed: send one list of numbers");
  numbers.forEach((number, at) => {
    if (typeof number !== "number") throw new SeriesError(`number ${at + 1} of the JSON list is not a number: send one list of numbers`);
    if (!Number.isFinite(number)) throw new SeriesError(`number ${at + 1} of the JSON list is not finite`);
  });
  return numbers;
}

// Whether a column counts or times the rows: by its name, or as the first column with a constant step.
function isIndex(column, first) {
  if (column.name === "" || (column.name !== null && isIndexName(column.name))) return true;
  return first && isRamp(column);
}

function isRamp({ cells, decimal }) {
  const numbers = cells.map(([, cell]) => toNumber(cell, decimal));
  if (numbers.length < 3 || numbers.includes(null)) return false;
  const step = numbers[1] - numbers[0];
  return step > 0 && numbers.slice(1).every((number, at) => Math.abs(number - numbers[at] - step) <= step / 1000);
}

// Whether a first line may be a name as well as a number, such as a year or pandas' 0.
function isUnclear({ name, label, cells, decimal }, first) {
  const whole = /^[0-9]+$/.test(first);
  if (name !== null) return !whole && toNumber(first, decimal) !== null;
  const rest = cells.slice(1).map(([, cell]) => cell);
  const numbers = rest.map((cell) => toNumber(cell, decimal)).filter((number) => number !== null);
  if (!whole || !numbers.length || !label) return false;
  const alike = rest.filter((cell) => /^[+-]?[0-9]+$/.test(cell)).length;
  const [low, high] = numbers.reduce(([low, high], number) => [Math.min(low, number), Math.max(high, number)], [Infinity, -Infinity]);
  const far = Math.max(low - first, first - high) > high - low;
  const isYear = (number) => number >= 1900 && number <= 2100;
  if (isYear(first) || label === `column ${Number(first) + 1}`) {
    return far || 10 * alike <= rest.length || (isYear(first) && !isYear(numbers[0]));
  }
  return !alike && rest.length >= FEW_ROWS;
}

// The columns in the one way in which a text can be read.
function columnsOf(text) {
  let lines = text.split(/\r\n|\r|\n/).map((line, at) => [at + 1, line]);
  lines = lines.filter(([, line]) => line.trim() && !line.trimStart().startsWith("#"));
  const declared = lines.length ? /^"?sep=(.)"?$/i.exec(lines[0][1].trim()) : null;
  if (declared) lines.shift();
  if (!lines.length) throw new SeriesError("the series is empty: there are no numbers");
  // behind a value, and not in the header, whose names may contain it
  lines = lines.map(([number, line], at) => [number, !at || line.includes('"') ? line : line.replace(/ #(?!N\/A).*/, "")]);
  if (declared) return table(lines, declared[1])[1];
  for (const mark of "\t;|") {
    if (parts(lines, mark)) {
      const columns = table(lines, mark)[1];
      if (columns.some(holdsNumbers)) return columns;
    }
  }
  return weaklyParted(lines);
}

// Commas and white space are within numbers, too: every reading is tried, and two that are as good are refused.
function weaklyParted(lines) {
  const [readings, errors] = [[], []];
  for (const mark of [",", " ", ""]) {
    if ((mark && !parts(lines, mark)) || isTorn(lines, mark)) continue;
    try {
      const [short, columns] = table(lines, mark);
      const numeric = columns.filter(holdsNumbers).length;
      if (numeric) readings.push({ short, texts: numeric < columns.length, mark, columns });
    } catch (error) {
      if (!(error instanceof SeriesError) || error instanceof UnclearError) throw error;
      errors.push(error);
    }
  }
  if (!readings.length) throw errors[0] ?? new SeriesError("no column holds numbers");
  let best = readings.every(({ short }) => short) ? readings : readings.filter(({ short }) => !short);
  if (!best.every(({ texts }) => texts)) best = best.filter(({ texts }) => !texts);
  const last = best.at(-1);
  const bare = last.mark === "" && last.columns[0].name === null;
  if (best.length > 1 || (bare && lines.length > 1 && lines.slice(0, -1).every(([, line]) => split(line, ",").length > 1))) {
    const [number, line] = lines[Math.min(1, lines.length - 1)];
    throw new SeriesError(
      `line ${number}: ${quoted(line)} can be read as one number and as two cells: separate cells by semicolons, or put a line of names above them`,
    );
  }
  return best[0].columns;
}

// White space beside commas belongs to them, and a first line with commas that are in no number has more names.
function isTorn(lines, mark) {
  if (mark === " " && lines.some(([, line]) => /,\s|\s,/.test(line.trim()))) return true;
  const cells = mark === "," ? [] : split(lines[0][1], mark);
  return cells.some((cell) => toNumber(cell, ".") === null && toNumber(cell, ",") === null && split(cell, ",").length > 1);
}

function parts(lines, mark) {
  const body = lines.length > 1 ? lines.slice(1) : lines;
  return 2 * body.filter(([, line]) => split(line, mark).length > 1).length > body.length;
}

// The cells of a line; white space parts them where the mark is a blank, nothing where it is empty.
function split(line, mark) {
  if (mark === " ") return [...line.matchAll(/"([^"]*)"(?!\S)|\S+/g)].map((match) => (match[1] ?? match[0]).trim());
  const escaped = mark.replace(/[\\|\]^.*+?()[{}$/-]/, "\\$&");
  const cell = new RegExp(mark ? ` *"((?:[^"]|"")*)" *(?=${escaped}|$)|[^${escaped}]*` : `\\s*"([^"]*)"\\s*$|[^]*`, "y");
  const cells = [];
  for (let at = 0; at <= line.length; at = cell.lastIndex + 1) {
    cell.lastIndex = at;
    const match = cell.exec(line);
    cell.lastIndex = at + match[0].length;
    cells.push((match[1]?.replaceAll('""', '"') ?? match[0]).trim());
  }
  return cells;
}

// The columns, and whether the header lacks the name of the first one, as in R's tables.
function table(lines, mark) {
  let rows = lines.map(([number, line]) => [number, split(line, mark)]);
  const bodyOf = () => (rows.length > 1 ? rows.slice(1) : rows);
  let [[headLine, head], body] = [rows[0], bodyOf()];
  let width = body[0][1].length;
  if (width > 1 && body.every(([, cells]) => cells.at(-1) === "") && (head.length < width || head.at(-1) === "")) {
    width -= 1;
    rows = rows.map(([number, cells]) => [number, cells.slice(0, width)]);
    [head, body] = [rows[0][1], bodyOf()];
  }
  if (rows.length === 1) return [false, [{ name: null, label: "", cells: head.map((cell) => [headLine, cell]), decimal: decimalMark(rows, mark) }]];
  for (const [number, cells] of body) {
    if (cells.length !== width) throw new SeriesError(`line ${number} has ${cells.length} cells, line ${body[0][0]} has ${width}`);
  }
  const unequal = new SeriesError(`line ${headLine} has ${head.length} cells, line ${body[0][0]} has ${width}`);
  const short = head.length === width - 1 && width > 1;
  if (head.length !== width && !short) throw unequal;
  const decimal = decimalMark(rows, mark);
  const names = short ? ["", ...head] : head; // R's tables do not name the rows
  const named = short || names.some((name, at) => isName(at, name, body.map(([, cells]) => cells[at]), decimal));
  const columns = names.map((name, at) => ({
    name: named ? name : null,
    label: `column ${named ? name : at + 1}`,
    cells: (named ? body : rows).map(([number, cells]) => [number, cells[at]]),
    decimal,
  }));
  const counted = !holdsNumbers(columns[0]) || isRamp(columns[0]);
  if (short && !(counted && (mark !== "," || provesPoint(body)))) throw unequal; // decimal commas make more cells, too
  return [short, columns];
}

// Whether a column's first cell cannot be of the kind of the others.
function isName(at, first, rest, decimal) {
  if (first === "") return at === 0 && !rest.includes(""); // as pandas names an index
  if (isMissing(first) || toNumber(first, decimal) !== null) return false;
  // "Day 1" above "Day 2", or a time with its T, is a cell like the others
  const alike = /[0-9]/.test(first) && words(first).join() === words(rest[0]).join();
  return (isIndexName(first) && !alike) || isNumeric(rest, decimal);
}

// The mark that some cell proves: 1,5 a comma, 1,234.5 a point; 1,234 proves neither.
function decimalMark(rows, mark) {
  const cells = rows.flatMap(([number, row]) => row.map((cell) => [number, cell]));
  const proof = (own) => cells.find(([, cell]) => toNumber(cell, own) !== null && toNumber(cell, OTHER[own]) === null);
  const [point, comma] = [proof("."), proof(",")];
  if (point && comma) {
    throw new SeriesError(`line ${comma[0]}: ${quoted(comma[1])} has a decimal comma, line ${point[0]}: ${quoted(point[1])} a decimal point`);
  }
  if (point || comma) return point ? "." : ",";
  const unclear = cells.filter(([, cell]) => cell.includes(",") && toNumber(cell, ",") !== null);
  if (unclear.length && (mark !== ";" || cells.some(([, cell]) => cell.includes(".") && toNumber(cell, ".") !== null))) {
    const [[number, cell]] = unclear;
    throw new UnclearError(`line ${number}: ${quoted(cell)} has a decimal comma or a comma between thousands: write it without`);
  }
  return unclear.length ? "," : ".";
}

function provesPoint(rows) {
  return rows.some(([, row]) => row.some((cell) => toNumber(cell, ".") !== null && toNumber(cell, ",") === null));
}

function toNumber(cell, decimal) {
  let plain = cell.replaceAll("\u2212", "-");
  if (!PLAIN[decimal].test(plain)) {
    const grouped = GROUPED[decimal].exec(plain);
    if (!grouped) return null;
    plain = plain.replaceAll(grouped[1], "");
  }
  return Number(plain.replace(decimal, "."));
}

// Whether most of what is there are numbers.
function isNumeric(cells, decimal) {
  const present = cells.filter((cell) => !isMissing(cell));
  return 2 * present.filter((cell) => toNumber(cell, decimal) !== null).length > present.length;
}

function isIndexName(name) {
  return INDEX_NAMES.has(words(name)[0]);
}

const words = (text) => text.toLowerCase().match(/[a-z]+/g) ?? [];

const isMissing = (cell) => MISSING.has(cell.toLowerCase());
const quoted = (text) => `'${text.trim().slice(0, 20)}'`;
