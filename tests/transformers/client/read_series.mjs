// Reads cases on standard input with the page's reader: [{data: base64, column}] to [{values} or {error}].
import { readFileSync } from "node:fs";

const { SeriesError, chooseColumn, decode, readColumns, valuesOf, windowStarts } = await import(process.argv[2]);
const outcomes = JSON.parse(readFileSync(0, "utf8")).map(({ data, column, points, length }) => {
  try {
    if (points !== undefined) return { values: windowStarts(points, length) };
    return { values: valuesOf(chooseColumn(readColumns(decode(Buffer.from(data, "base64"))), column ?? null)) };
  } catch (error) {
    if (!(error instanceof SeriesError)) throw error;
    return { error: error.message };
  }
});
process.stdout.write(JSON.stringify(outcomes));
