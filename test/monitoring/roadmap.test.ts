/** The roadmap says where things are answered; this holds it to what is there. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

const root = new URL('../../', import.meta.url);
const page = readFileSync(new URL('docs/design/scaling-roadmap.md', root), 'utf8');
const rowsOf = (heading: string): string[][] => {
  const section = page.slice(page.indexOf(`## ${heading}`)).split('\n## ')[0]!;
  const rows = section.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| ---'));
  return rows.slice(1).map((line) => line.slice(2, -2).split(' | '));
};

test('every hazard has a line with an answer and a test, or says that it is not built', () => {
  const rows = rowsOf('Hazards');
  const named = rows.flatMap(([hazard]) => /^S\d+(?:, S\d+)*/.exec(hazard!)![0].split(', '));
  // The register has no S11.
  const expected = Array.from({ length: 33 }, (_, at) => `S${at + 1}`).filter((id) => id !== 'S11');
  assert.deepEqual([...named].sort(), [...expected].sort());
  for (const [hazard, answer, where, tested] of rows) {
    assert.ok(answer!.length > 20 && tested!.length > 1, hazard);
    assert.ok(where !== '-' || answer!.includes('Not built'), hazard);
  }
});

/** Files of the repository by name, for pages that leave the folder out after the first. */
function namesIn(folder: string): Set<string> {
  const entries = readdirSync(new URL(folder, root), { recursive: true, withFileTypes: true });
  return new Set(entries.filter((entry) => entry.isFile()).map((entry) => entry.name));
}

test('every file that the roadmap names is there', () => {
  const known = new Set([...namesIn('src'), ...namesIn('test'), ...namesIn('bench')]);
  const named = [...page.matchAll(/`([\w./-]+\.ts)`/g)].map((match) => match[1]!);
  assert.ok(named.length > 60);
  for (const path of named) {
    assert.ok(path.includes('/') ? existsSync(new URL(path, root)) : known.has(path), `${path} is not there`);
  }
});

test('the tests that the roadmap quotes are there', () => {
  const texts = readdirSync(new URL('test', root), { recursive: true })
    .filter((path) => path.toString().endsWith('.test.ts'))
    .map((path) => readFileSync(new URL(`test/${path}`, root), 'utf8'))
    .join('\n');
  const quoted = rowsOf('Hazards').flatMap(([, , , tested]) =>
    [...tested!.matchAll(/"([^"]+)"/g)].map((match) => match[1]!),
  );
  assert.ok(quoted.length > 15);
  for (const words of quoted) assert.ok(texts.includes(words), `no test says '${words}'`);
});

test('no milestone needs what comes after it', () => {
  const needs = new Map(
    rowsOf('Milestones').map(([id, , before]) => [id!, before === '-' ? [] : before!.split(', ')] as const),
  );
  const done = new Set<string>();
  while (done.size < needs.size) {
    const ready = [...needs].filter(([id, before]) => !done.has(id) && before.every((each) => done.has(each)));
    assert.ok(ready.length > 0, `these wait for each other: ${[...needs.keys()].filter((id) => !done.has(id))}`);
    for (const [id] of ready) done.add(id);
  }
  for (const [, before] of needs) for (const each of before) assert.ok(needs.has(each), each);
});
