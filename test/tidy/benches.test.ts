import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { withFigures } from '../../bench/performance-page.ts';
import { importsOf, readText, resolveImport, type SourceFile, sources } from './source-tree.ts';

const benches = sources.filter((file) => /^bench\//.test(file.path));
const byPath = new Map(sources.map((file) => [file.path, file]));
const scripts = JSON.parse(readText('package.json')).scripts as Record<string, string>;

/** A file and all of the benchmarks' files that it imports, directly or not. */
function reachOf(path: string, seen = new Map<string, SourceFile>()): ReadonlyMap<string, SourceFile> {
  const file = byPath.get(path);
  if (file === undefined || seen.has(path)) return seen;
  seen.set(path, file);
  for (const specifier of importsOf(file)) {
    const imported = resolveImport(file, specifier);
    if (imported?.startsWith('bench/') === true) reachOf(imported, seen);
  }
  return seen;
}

/** Programs behind `npm run bench` and `npm run bench:...`, with all that they consist of. */
const programs = Object.entries(scripts).flatMap(([name, line]) => {
  const path = /^bench(:|$)/.test(name) ? /^node (?:--\S+ )*(bench\/\S+\.ts)$/.exec(line)?.[1] : undefined;
  return path === undefined ? [] : [{ name, reach: [...reachOf(path).values()] }];
});
const startsPeer = (reach: readonly SourceFile[]): boolean =>
  reach.some(({ code }) => /\bnew (?:RedisPeer|EtcdPeer)\(/.test(code));
const withPeers = programs.filter(({ reach }) => startsPeer(reach));

/** Which of these helpers a benchmark does not import anywhere. */
const missing = (among: typeof programs, helpers: readonly string[]): string[] =>
  among.flatMap(({ name, reach }) =>
    helpers.flatMap((helper) => {
      const imported = new RegExp(`^import [^;]*\\b(?:${helper})\\b[^;]* from `, 'm');
      return reach.some(({ text }) => imported.test(text)) ? [] : [`${name}: ${helper}`];
    }),
  );

describe('a benchmark with other systems beside us', () => {
  test('is known as one', () => {
    assert.ok(withPeers.length >= 5, withPeers.map(({ name }) => name).join());
  });

  test('says what to do on a machine that is not quiet, and shows processor time by role and thread', () => {
    assert.deepEqual(missing(withPeers, ['QUIET_ADVICE', 'formatCpu']), []);
  });

  test('shows ratios with all rounds, and what became of its bars, by the same helpers', () => {
    // Pictures judge nothing.
    const judging = withPeers.filter(({ name }) => name !== 'bench:curves');
    assert.deepEqual(missing(judging, ['rangeOf|ratioText', 'verdictOf', 'areQuiet']), []);
  });
});

describe('benchmarks', () => {
  test('have one median', () => {
    const own = benches.filter(
      ({ code, path }) => path !== 'bench/spread.ts' && /\b(?:function|const) median\b/.test(code),
    );
    assert.deepEqual(
      own.map(({ path }) => path),
      [],
    );
  });

  test('fill the page of performance with the figures that are kept beside it', () => {
    const page = readText('docs/performance.md');
    assert.equal(page, withFigures(page), 'run npm run docs:performance');
  });

  test('have measured every rate that README.md tells', () => {
    const rates = (text: string): string[] =>
      [...text.matchAll(/\b(\d[\d,.]*\d)(?:\/s\b| (?:\w+ )?a second)/g)].map((match) => match[1]!);
    const known = new Set(rates(readText('docs/performance.md')));
    assert.deepEqual(
      rates(readText('README.md')).filter((rate) => !known.has(rate)),
      [],
    );
  });
});
