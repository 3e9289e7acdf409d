import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { pagesOfFigures } from '../../bench/performance-page.ts';
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

/** Programs of this folder behind `npm run`, with all that they consist of. */
const programs = Object.entries(scripts).flatMap(([name, line]) => {
  const path = /^(?:bench|soak)(:|$)/.test(name) ? /^node (?:--\S+ )*(bench\/\S+\.ts)$/.exec(line)?.[1] : undefined;
  return path === undefined ? [] : [{ name, file: byPath.get(path)!, reach: [...reachOf(path).values()] }];
});
/** Two benchmarks one after the other. */
const FIGURES = 'bench:figures';
const measuring = programs.filter(({ name }) => name.startsWith('bench') && name !== FIGURES);
const startsPeer = (reach: readonly SourceFile[]): boolean =>
  reach.some(({ code }) => /\bnew (?:RedisPeer|EtcdPeer)\(/.test(code));
const withPeers = measuring.filter(({ reach }) => startsPeer(reach));
/** What they do is one long course with no rounds in it, or a row after another; what others use of the machine says whether it was quiet. */
const WITHOUT_ROUNDS = ['bench:abuse', 'bench:large-data', 'bench:moves', 'bench:snapshots'];

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
    assert.ok(withPeers.length >= 9, withPeers.map(({ name }) => name).join());
  });

  test('shows ratios of all rounds', () => {
    assert.deepEqual(missing(withPeers, ['ratioText', 'rangeOf']), []);
  });
});

describe('every benchmark', () => {
  test('has the options of all, says which systems are beside it, and reads no arguments by itself', () => {
    assert.ok(programs.length >= 20, programs.map(({ name }) => name).join());
    const wrong = programs.flatMap(({ name, file }) => {
      const declared = /\bbenchmark\(\{\s*script: '([^']+)',[^}]*\bpeers:\s/.exec(file.text)?.[1];
      const readsArguments = /\bparseArgs\b|\bprocess\.argv\b/.test(file.code);
      return declared !== name || readsArguments ? [`${name}: ${declared ?? 'not declared'}`] : [];
    });
    assert.deepEqual(wrong, []);
  });

  test('watches what others use of the machine, shows processor time by role and thread, and ends in one way', () => {
    const unwatched = measuring.filter(({ reach }) => !reach.some(({ code }) => /\bothers\.during\(/.test(code)));
    assert.deepEqual(
      unwatched.map(({ name }) => name),
      [],
    );
    assert.deepEqual(missing(measuring, ['formatCpu|THREAD_KINDS', 'conclude']), []);
  });

  test('has rounds, unless it is known why not', () => {
    const without = measuring.filter(({ file }) => !/\bbenchmark\(\{[^}]*\brounds: \d/.test(file.text));
    assert.deepEqual(without.map(({ name }) => name).sort(), WITHOUT_ROUNDS);
  });

  test('judges by the spread of its rounds when it has bars', () => {
    const judging = measuring.filter(
      ({ name, reach }) =>
        !WITHOUT_ROUNDS.includes(name) &&
        reach.some(({ code, path }) => path !== 'bench/ledger.ts' && /\bpassed:/.test(code)),
    );
    assert.ok(judging.length >= 5, judging.map(({ name }) => name).join());
    assert.deepEqual(missing(judging, ['areQuiet']), []);
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

  test('fill README.md and the page of performance with the figures that are kept beside it', () => {
    for (const { path, text, made } of pagesOfFigures())
      assert.equal(text, made, `${path}: run npm run docs:performance`);
  });

  test('have measured every rate that README.md tells', () => {
    const rates = (text: string): string[] =>
      [...text.matchAll(/\b(\d[\d,.]*\d)(?:\/s\b| (?:\w+ )?a second)/g)].map((match) => match[1]!);
    const known = new Set(rates(readText('docs/performance.md')));
    const readme = pagesOfFigures().find(({ path }) => path === 'README.md')!;
    assert.deepEqual(
      rates(readme.prose).filter((rate) => !known.has(rate)),
      [],
    );
  });
});
