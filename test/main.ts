/**
 * `npm test`: every test file. Arguments name paths, of which only files below are run.
 *
 * Files that start nodes as programs, or measure or change what a process has but once, run in a process each. The others share one with their
 * neighbours: most of what such a file takes is to load the sources that the next one needs too. `test/support/test-process.ts` is what happens in a
 * process.
 */
import { createHash } from 'node:crypto';
import { globSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath, pathToFileURL } from 'node:url';
import skippedReporter from './support/skipped-reporter.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const CACHE = join(ROOT, 'node_modules/.cache');
const TEST_PROCESS = new URL('support/test-process.ts', import.meta.url).href;

/** Files of these folders share processes. */
const SHARING = [
  'test/adapter',
  'test/backup',
  'test/bench',
  'test/cluster',
  'test/compat',
  'test/config',
  'test/distribution',
  'test/jepsen',
  'test/kv',
  'test/node',
  'test/platform',
  'test/raftengine',
  'test/security',
  'test/store',
  'test/tidy',
];
/** But for these, whose servers and clients keep limits in real time. */
const ON_SOCKETS = [
  'test/adapter/grpc',
  'test/adapter/redis/server',
  'test/backup/objects',
  'test/raftengine/transport',
];
/** Begun first, in this order: what takes longest is not to begin last. */
const LONGEST = ['test/process', 'test/cmd', 'test/upgrade', 'test/sim', 'test/deploy'];
/** In a process that is shared; the time limit of a file holds for all of them together. */
const FILES_TOGETHER = 8;
/** Files, or processes with several, side by side. A file with processes waits for most of its time, for two cores or more. */
const SIDE_BY_SIDE = 3;
/** A test, and a process with all tests in it. Only one that hangs takes so long. */
const TIMEOUT_MS = 300_000;

const isBelow = (path: string, folders: readonly string[]): boolean =>
  folders.some((folder) => path === folder || path.startsWith(`${folder}/`));

/** Writes a module that runs files in one process. @returns its path, the same for the same files, so that runs beside each other do not meet */
function together(paths: readonly string[]): string {
  const files = Object.fromEntries(paths.map((path) => [path, pathToFileURL(join(ROOT, path)).href]));
  const text = `import { runFiles } from ${JSON.stringify(TEST_PROCESS)};\n\nrunFiles(${JSON.stringify(files, undefined, 2)});\n`;
  const name = paths[0]!.replace(/^test\//, '').replaceAll('/', '.');
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 16);
  const file = join(CACHE, 'together', `${name}.${hash}.mjs`);
  writeFileSync(`${file}.${process.pid}`, text);
  renameSync(`${file}.${process.pid}`, file);
  return file;
}

/** The files of a run, in their order. @param folders and files that are asked for; none: all */
function plan(folders: readonly string[]): string[] {
  const all = globSync('test/**/*.test.ts', { cwd: ROOT }).sort();
  const paths = all.filter((path) => folders.length === 0 || isBelow(path, folders));
  const isSharing = (path: string): boolean => isBelow(path, SHARING) && !isBelow(path, ON_SOCKETS);
  const rank = (path: string): number => {
    const at = LONGEST.findIndex((folder) => isBelow(path, [folder]));
    return at < 0 ? LONGEST.length : at;
  };
  const alone = paths.filter((path) => !isSharing(path)).sort((one, other) => rank(one) - rank(other));
  const sharing = paths.filter(isSharing);
  mkdirSync(join(CACHE, 'together'), { recursive: true });
  const shared: string[] = [];
  for (let at = 0; at < sharing.length; at += FILES_TOGETHER) {
    shared.push(together(sharing.slice(at, at + FILES_TOGETHER)));
  }
  // What only computes lies between what waits, up to the short files at the end.
  const every = Math.max(1, Math.floor((alone.length * 0.8) / Math.max(1, shared.length)));
  const order: string[] = [];
  for (const [at, path] of alone.entries()) {
    order.push(together([path]));
    if (at % every === 0) order.push(...shared.splice(0, 1));
  }
  return [...order, ...shared];
}

const folders = process.argv.slice(2).map((path) => relative(ROOT, resolve(path)));
const files = plan(folders);
if (files.length === 0) throw new Error(`no test lies below ${folders.join(', ')}`);
// Of the processes that run tests, and of those that they start.
process.env.NODE_COMPILE_CACHE ??= join(CACHE, 'compiled');
const results = run({ files, concurrency: SIDE_BY_SIDE, timeout: TIMEOUT_MS });
results.on('test:fail', () => {
  process.exitCode = 1;
});
results.compose(new spec()).pipe(process.stdout);
results.compose(skippedReporter).pipe(process.stdout);
