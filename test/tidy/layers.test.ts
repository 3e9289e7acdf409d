import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, test } from 'node:test';
import { importsOf, loadedWith, resolveImport, root, type SourceFile, sources } from './source-tree.ts';

/** Lower is further down; an import goes to the same folder or further down. */
const FLOORS: readonly (readonly [string, number])[] = [
  ['src/platform', 0],
  // Plain tools about certificates and passwords, for whoever listens or dials.
  ['src/security', 0.5],
  ['src/raftengine', 1],
  ['src/store', 1],
  // Knows stores' copies and nothing of clusters.
  ['src/backup', 2],
  ['src/distribution', 2],
  ['src/kv', 3],
  ['src/cluster', 3.5],
  // Puts together what each adapter declares of its keys.
  ['src/adapter/keyspaces.ts', 4.5],
  ['src/adapter', 4],
  // The published client knows nothing of servers.
  ['src/proto.ts', 0],
  ['src/token-header.ts', 0],
  ['src/client', 1],
  // Settings are plain values that only the composition level reads.
  ['src/config', 5],
  ['src/node', 6],
  ['src/node.ts', 6.5],
  ['cmd', 7],
  ['jepsen', 8],
  ['bench', 8],
  ['examples', 8],
  // Makes packages of what is built; no part of it.
  ['deploy', 8],
];

/** Imports that the floors forbid and that are right all the same, with the reason. */
const ALLOWED = new Map<string, string>([]);

interface Place {
  readonly folder: string;
  readonly floor: number;
}

function placeOf(path: string): Place | undefined {
  const found = FLOORS.find(([prefix]) => path === prefix || path.startsWith(`${prefix}/`));
  if (!found) return undefined;
  // Each adapter and each folder beside the layers is a unit of its own.
  const [prefix, floor] = found;
  const depth = prefix === 'src/adapter' ? 3 : prefix.split('/').length;
  return { folder: path.split('/').slice(0, depth).join('/'), floor };
}

function forbiddenImports(file: SourceFile): string[] {
  const from = placeOf(file.path);
  if (!from) return [];
  const complaints: string[] = [];
  for (const specifier of importsOf(file)) {
    const target = resolveImport(file, specifier);
    if (target === undefined || ALLOWED.has(`${file.path} -> ${target}`)) continue;
    // A benchmark of one part stands the others in with the doubles of its tests.
    if (target.startsWith('test/') && !file.path.startsWith('bench/'))
      complaints.push(`${file.path} imports the test ${target}`);
    const to = placeOf(target);
    if (!to || to.folder === from.folder) continue;
    if (to.floor >= from.floor && !(from.floor === 8 && to.floor === 8)) {
      complaints.push(`${file.path} imports ${target}, which is not below it`);
    }
  }
  return complaints;
}

/** Strongly connected components with more than one member (Tarjan's algorithm), each in alphabetical order. */
function circlesOf(edges: ReadonlyMap<string, ReadonlySet<string>>): string[][] {
  const found: string[][] = [];
  const order = new Map<string, number>();
  const low = new Map<string, number>();
  const path: string[] = [];
  const visit = (node: string): void => {
    order.set(node, order.size);
    low.set(node, order.get(node)!);
    path.push(node);
    for (const next of edges.get(node) ?? []) {
      if (!order.has(next)) visit(next);
      if (path.includes(next)) low.set(node, Math.min(low.get(node)!, low.get(next)!));
    }
    if (low.get(node) !== order.get(node)) return;
    const circle = path.splice(path.indexOf(node));
    if (circle.length > 1) found.push(circle.sort());
  };
  for (const node of edges.keys()) if (!order.has(node)) visit(node);
  return found;
}

/** Who imports whom, types included; `of` names a file's place, and files that it gives none are left out. */
function importGraph(of: (path: string) => string | undefined): Map<string, Set<string>> {
  const edges = new Map<string, Set<string>>();
  for (const file of sources) {
    const from = of(file.path);
    if (from === undefined) continue;
    const targets = edges.get(from) ?? new Set<string>();
    edges.set(from, targets);
    for (const specifier of importsOf(file)) {
      const target = resolveImport(file, specifier);
      const to = target === undefined ? undefined : of(target);
      if (to !== undefined && to !== from) targets.add(to);
    }
  }
  return edges;
}

/** Rooms are the folders of these layers; a file beside rooms is one of its own. The face of a layer stands for nobody. */
const ROOMED = [
  'src/kv',
  'src/cluster',
  'src/store',
  'src/distribution',
  'src/raftengine',
  'src/backup',
  'src/adapter/redis',
  'src/adapter/dynamodb',
];

function roomOf(path: string): string | undefined {
  const layer = ROOMED.find((prefix) => path.startsWith(`${prefix}/`));
  if (layer === undefined || path === `${layer}/index.ts`) return undefined;
  const [first, ...rest] = path.slice(layer.length + 1).split('/');
  return rest.length === 0 ? path : `${layer}/${first}`;
}

describe('the layers', () => {
  test('have a floor for every file', () => {
    const outside = sources.filter((file) => !file.path.startsWith('test/') && placeOf(file.path) === undefined);
    assert.deepEqual(
      outside.map((file) => file.path),
      [],
    );
  });

  test('have no circle of files, types included', () => {
    const isCounted = (path: string): boolean => !path.startsWith('test/');
    assert.deepEqual(circlesOf(importGraph((path) => (isCounted(path) ? path : undefined))), []);
  });

  test('have no circle of rooms', () => {
    assert.deepEqual(circlesOf(importGraph(roomOf)), []);
  });

  test('imports go down only', () => {
    assert.deepEqual(sources.flatMap(forbiddenImports), []);
  });

  test('a folder below src is used from outside through its index', () => {
    const complaints: string[] = [];
    for (const file of sources) {
      if (!file.path.startsWith('src/') && !file.path.startsWith('cmd/') && !file.path.startsWith('jepsen/')) continue;
      for (const specifier of importsOf(file)) {
        const target = resolveImport(file, specifier);
        const to = target === undefined ? undefined : placeOf(target);
        if (!to?.folder.startsWith('src/') || to.folder === placeOf(file.path)?.folder) continue;
        // Takes declarations from the rooms that have them, because whoever asks for keys is not to load whole adapters.
        if (file.path === 'src/adapter/keyspaces.ts' && target?.endsWith('/index.ts')) continue;
        if (target !== to.folder && target !== `${to.folder}/index.ts`)
          complaints.push(`${file.path} reaches into ${target}`);
      }
    }
    assert.deepEqual(complaints, []);
  });

  test('an inner folder with an index is used through it too', () => {
    const complaints: string[] = [];
    for (const file of sources) {
      if (!file.path.startsWith('src/')) continue;
      for (const specifier of importsOf(file)) {
        const target = resolveImport(file, specifier);
        if (target === undefined || target.endsWith('/index.ts')) continue;
        const folder = target.slice(0, target.lastIndexOf('/'));
        const isInside = file.path.startsWith(`${folder}/`);
        const isFace = file.path.endsWith('/index.ts') && folder.startsWith(file.path.slice(0, -'/index.ts'.length));
        const isOwnFloor = folder.split('/').length <= 2;
        if (isInside || isFace || isOwnFloor || !existsSync(`${root}${folder}/index.ts`)) continue;
        complaints.push(`${file.path} reaches into ${target}`);
      }
    }
    assert.deepEqual(complaints, []);
  });

  test('settings and the tools of operators load no front end and no node', () => {
    const heavy =
      /^src\/(?:node\/|node\.ts|adapter\/redis\/(?:commands|session|server)\/|adapter\/dynamodb\/(?:operations|server)\/)/;
    for (const entry of ['src/config/index.ts', 'cmd/commands/server.ts', 'cmd/raftadmin/index.ts']) {
      const loaded = [...loadedWith(entry)];
      assert.ok(loaded.length > 100, `${entry} loads ${loaded.length} files`);
      const needless = loaded.filter((path) => heavy.test(path));
      assert.deepEqual(needless, [], entry);
    }
  });

  test('every import of a file names its extension', () => {
    const complaints = sources.flatMap((file) =>
      importsOf(file)
        .filter((specifier) => specifier.startsWith('.') && !/\.(ts|json)$/.test(specifier))
        .map((specifier) => `${file.path} imports ${specifier}`),
    );
    assert.deepEqual(complaints, []);
  });

  test('every built-in module is imported under its node: name', () => {
    const bare =
      /^(assert|buffer|child_process|crypto|events|fs|http|net|os|path|perf_hooks|process|stream|timers|tls|url|util|worker_threads|zlib)(\/|$)/;
    const complaints = sources.flatMap((file) =>
      importsOf(file)
        .filter((specifier) => bare.test(specifier))
        .map((specifier) => `${file.path} imports ${specifier}`),
    );
    assert.deepEqual(complaints, []);
  });
});

describe('what the Raft core may touch', () => {
  const core = sources.filter((file) => file.path.startsWith('src/raftengine/core/'));

  test('no module but its own and the seams', () => {
    const complaints = core.flatMap((file) =>
      importsOf(file)
        .filter((specifier) => {
          const target = resolveImport(file, specifier);
          return (
            target === undefined ||
            !/^src\/(raftengine\/core\/|platform\/index\.ts$|raftengine\/errors\.ts$)/.test(target)
          );
        })
        .map((specifier) => `${file.path} imports ${specifier}`),
    );
    assert.deepEqual(complaints, []);
  });

  test('no time, chance or waiting of its own', () => {
    const banned =
      /\b(?:Date|performance|process|console|Math\.random|setTimeout|setInterval|setImmediate|queueMicrotask|Promise|async|await)\b/g;
    const complaints = core.flatMap((file) =>
      [...file.code.matchAll(banned)].map((match) => `${file.path} uses ${match[0]}`),
    );
    assert.deepEqual(complaints, []);
  });
});

describe('what is applied on every replica', () => {
  test('is deterministic: no clock and no chance', () => {
    const banned = /\b(?:Clock|Random|Scheduler|nowMs\(|monotonicMs|Math\.random|Date)\b/g;
    const complaints = sources
      .filter((file) => file.path.startsWith('src/kv/apply/'))
      .flatMap((file) => [...file.code.matchAll(banned)].map((match) => `${file.path} uses ${match[0]}`));
    assert.deepEqual(complaints, []);
  });
});

describe('time and chance below the composition root', () => {
  test('come from the seams, so that a simulation decides them', () => {
    const banned =
      /\b(?:Date\.now|new Date|performance\.now|Math\.random|setTimeout|setInterval|randomBytes|randomUUID)\b/g;
    const real = new Set(['src/platform/clock.ts', 'src/platform/random.ts', 'src/platform/scheduler.ts']);
    const layers = /^src\/(platform|raftengine|store|distribution|kv|cluster)\//;
    const complaints = sources
      .filter((file) => layers.test(file.path) && !real.has(file.path))
      .flatMap((file) => [...file.code.matchAll(banned)].map((match) => `${file.path} uses ${match[0]}`));
    assert.deepEqual(complaints, []);
  });
});

describe('the layout of a timestamp', () => {
  test('is known to one module, and to the client, which knows nothing of servers', () => {
    const knowing = new Set(['src/platform/timestamp.ts', 'src/client/messages.ts']);
    const complaints = sources
      .filter((file) => /^(src|cmd)\//.test(file.path) && !knowing.has(file.path))
      .flatMap((file) => [...file.code.matchAll(/(?:<<|>>) ?16n/g)].map((match) => `${file.path} has ${match[0]}`));
    assert.deepEqual(complaints, []);
  });
});
