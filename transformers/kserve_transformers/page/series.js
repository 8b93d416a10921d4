// Series of numbers: read from text, cut into windows, put together again.

import { Failure } from "./wire.js";

export const MOST_POINTS = 20_000;

// The columns of a text: [{name, read}], `read()` gives the numbers. One number a line, one line of numbers, or CSV with or without a header.
export function readColumns(text) {
  const lines = text.split(/\r\n?|\n/).map((line) => line.trim()).filter(Boolean);
  if (!lines.length) throw new Failure("There are no numbers yet: paste some, or choose a file.");
  const separator = [";", "\t", ","].find((mark) => lines[0].includes(mark)) ?? /\s+/;
  const rows = lines.map((line) => line.split(separator).map((cell) => cell.trim().replace(/^"(.*)"$/, "$1")));
  const header = rows[0].every((cell) => Number.isNaN(toNumber(cell, separator)));
  const names = header ? rows.shift() : rows[0].map((_, index) => `column ${index + 1}`);
  if (!header && rows[0].length > rows.length) {
    return [{ name: "values", read: () => checked(rows.flat().filter(Boolean), separator) }];
  }
  const columns = names.map((name, index) => [name, rows.map((row) => row[index] ?? "")]);
  const numeric = columns.filter(([, cells]) => !Number.isNaN(toNumber(cells[0] ?? "", separator)));
  if (!numeric.length) throw new Failure("No column holds numbers.");
  return numeric.map(([name, cells]) => ({ name, read: () => checked(cells, separator, header ? 2 : 1) }));
}

function checked(cells, separator, firstLine = 0) {
  const values = cells.map((cell, index) => {
    const number = toNumber(cell, separator);
    const place = firstLine ? `line ${index + firstLine}` : `number ${index + 1}`;
    if (!Number.isFinite(number)) throw new Failure(`Not a number: “${cell.slice(0, 20)}” (${place}).`);
    return number;
  });
  if (values.length > MOST_POINTS) throw new Failure(`The series has ${values.length} numbers; this page takes ${MOST_POINTS}.`);
  return values;
}

// A decimal comma is one where cells are parted by something else.
function toNumber(cell, separator) {
  if (cell === "") return NaN;
  return Number(separator === "," ? cell : cell.replace(",", "."));
}

// Where the windows of a series start: each overlaps the one before it by half, the last ends with the series.
export function windowStarts(points, length) {
  if (points < length) throw new Failure(`The series has ${points} numbers; the model looks at ${length} at a time.`);
  const starts = [];
  for (let start = 0; start + length < points; start += length >> 1) starts.push(start);
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
