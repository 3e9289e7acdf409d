/** The Prometheus text format, as a scraper reads it. */
import assert from 'node:assert/strict';

/** One metric of a scrape. */
export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly series: {
    readonly name: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly value: number;
  }[];
}

const SERIES = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"(?:,|$)/gy;

/** Reads what /metrics answers, by name. @throws AssertionError when a line is not of the format */
export function parseExposition(text: string): Map<string, Family> {
  const families = new Map<string, Family>();
  const helps = new Map<string, string>();
  let family: Family | undefined;
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const [, help, helpText] = /^# HELP (\S+) (.*)$/.exec(line) ?? [];
    if (help !== undefined) {
      helps.set(help, helpText!);
      continue;
    }
    const [, typed, type] = /^# TYPE (\S+) (counter|gauge|histogram|summary)$/.exec(line) ?? [];
    if (typed !== undefined) {
      assert.ok(!families.has(typed), `${typed} comes twice`);
      family = { name: typed, help: helps.get(typed) ?? '', type: type!, series: [] };
      families.set(typed, family);
      continue;
    }
    const match = SERIES.exec(line);
    assert.ok(match !== null, `'${line}' is no series`);
    const [, name, labelText = '', value] = match;
    assert.ok(family !== undefined && name!.startsWith(family.name), `${name} stands under ${family?.name}`);
    const labels: Record<string, string> = {};
    LABEL.lastIndex = 0;
    let read = 0;
    for (let label = LABEL.exec(labelText); label !== null; label = LABEL.exec(labelText)) {
      labels[label[1]!] = label[2]!;
      read = LABEL.lastIndex;
    }
    assert.equal(read, labelText.length, `labels of '${line}'`);
    const number = value === '+Inf' ? Number.POSITIVE_INFINITY : Number(value);
    assert.ok(!Number.isNaN(number) || value === 'NaN' || value === 'Nan', `'${line}' has a value`);
    family.series.push({ name: name!, labels, value: number });
  }
  return families;
}
