import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DEFAULT_PROXY_LIMITS } from '../../src/kv/forward/forward-types.ts';
import { allPaths, readText } from './source-tree.ts';

/** What runs write, and nobody keeps. */
const WRITTEN = /^bench\/results\//;

/** The rows of the first table behind a heading. */
function tableBehind(page: string, heading: string): string {
  const text = readText(page);
  const from = text.indexOf(`\n${heading}\n`);
  assert.ok(from >= 0, `${page} has no "${heading}"`);
  const rows = text.slice(from).match(/\n\|[^\n]*(?:\n\|[^\n]*)*/);
  assert.ok(rows !== null, `${page} has no table behind "${heading}"`);
  return rows[0];
}

const quoted = (text: string): string[] => [...text.matchAll(/`([^`\s]+)`/g)].map((match) => match[1]!);
const unique = (names: readonly string[]): string[] => [...new Set(names)].sort();

/** What lies directly in a folder: files, and folders with a slash. */
function entriesOf(folder: string): string[] {
  const below = allPaths.filter((path) => path.startsWith(folder)).map((path) => path.slice(folder.length));
  return unique(below.map((path) => (path.includes('/') ? `${path.split('/')[0]}/` : path)));
}

describe('the pages about the sources', () => {
  test('kv.md has every room of the data plane, and none that is gone', () => {
    const named = quoted(tableBehind('docs/design/kv.md', '## Parts')).filter((name) => /^[\w-]+(\.ts|\/)$/.test(name));
    assert.deepEqual(
      unique(named),
      entriesOf('src/kv/').filter((name) => name !== 'index.ts'),
    );
  });

  test('architecture.md has every folder of the repository and of the sources', () => {
    const rows = tableBehind('docs/design/architecture.md', '## Folders');
    const isNamed = (path: string): boolean => rows.includes(`\`${path}\``) || rows.includes(`\`${path}/`);
    const ofRoot = entriesOf('').filter((name) => name.endsWith('/') && !/^(src|docs|\.)/.test(name));
    const ofSources = entriesOf('src/').map((name) => `src/${name}`);
    const missing = [...ofRoot, ...ofSources].map((name) => name.replace(/\/$/, '')).filter((path) => !isNamed(path));
    assert.deepEqual(missing, []);
  });

  test('name only files and folders that exist', () => {
    const known = new Set(
      allPaths.flatMap((path) => path.split('/').map((_, at, parts) => parts.slice(0, at + 1).join('/'))),
    );
    const gone = allPaths
      .filter((path) => path.endsWith('.md') && path !== 'CHANGELOG.md')
      .flatMap((page) =>
        quoted(readText(page))
          .filter((name) => /^(src|test|cmd|jepsen|bench|proto|examples|monitoring|docs)\/[\w./-]+$/.test(name))
          .filter((name) => !WRITTEN.test(name))
          .map((name) => name.replace(/[/.]+$/, ''))
          .filter((name) => !['', '.ts', '.test.ts'].some((end) => known.has(`${name}${end}`)))
          .map((name) => `${page}: ${name}`),
      );
    assert.deepEqual(gone, []);
  });

  test('say the limits of the leader proxy as they are', () => {
    const { maxForwards, maxForwardBytes, maxUnsentReplyBytes } = DEFAULT_PROXY_LIMITS;
    const requests = maxForwards.toLocaleString('en');
    const bytes = `${maxForwardBytes / 2 ** 30} GiB`;
    const replies = `${maxUnsentReplyBytes / 2 ** 20} MiB`;
    const [kv, proxy] = ['docs/design/kv.md', 'docs/design/proxy.md'].map(readText) as [string, string];
    assert.ok(kv.includes(`Limits: ${requests} requests and ${bytes} a node, ${replies} of replies`));
    assert.ok(proxy.includes(`${requests} requests and ${bytes} at a time, more are \`BUSY\`; replies of ${replies}`));
  });
});
