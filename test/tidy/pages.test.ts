import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DEFAULT_PROXY_LIMITS } from '../../src/kv/forward/forward-types.ts';
import { allPaths, readText, type SourceFile, sources } from './source-tree.ts';

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

/** Headings of numbered lists whose steps name files and what these export. */
const WALKS = ['## The walk of a `SET`', '## Where a range is moved', '## Where bytes are laid out'];

/** The steps of the numbered lists behind a heading, each on one line. */
function stepsBehind(page: string, heading: string): string[] {
  const from = page.indexOf(`\n${heading}\n`);
  assert.ok(from >= 0, `no "${heading}"`);
  const section = page.slice(from + 1).split(/\n## /)[0]!;
  return section
    .split('\n\n')
    .filter((part) => /^\d+\. /.test(part))
    .flatMap((part) => part.trim().replaceAll(/\n\s+/g, ' ').split('\n'));
}

/** True when a file exports `name`, or the class of `Class.method` with that method. */
function declares({ code }: SourceFile, name: string): boolean {
  const [first, method] = name.split('.') as [string, string?];
  const exported = new RegExp(
    `^export (?:abstract |async )?(?:class|function\\*?|const|interface|type) ${first}\\b`,
    'm',
  );
  return (
    exported.test(code) &&
    (method === undefined || new RegExp(`^  [\\w* ]*\\b${method}(?:<[^>]*>)?\\(`, 'm').test(code))
  );
}

describe('the pages about the sources', () => {
  test('kv.md has every room of the data plane, and none that is gone', () => {
    const named = quoted(tableBehind('docs/design/data-plane/kv.md', '## Parts')).filter((name) =>
      /^[\w-]+(\.ts|\/)$/.test(name),
    );
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

  test('architecture.md walks through files that have what it names', () => {
    const page = readText('docs/design/architecture.md');
    const steps = WALKS.flatMap((heading) => stepsBehind(page, heading));
    assert.ok(steps.length > 30, 'the walks have steps');
    const wrong = steps.flatMap((step) => {
      let file: SourceFile | undefined;
      let named = 0;
      const problems: string[] = [];
      for (const word of quoted(step)) {
        if (word.startsWith('src/')) {
          file = sources.find(({ path }) => path === word);
          if (file === undefined) problems.push(`no file ${word}`);
        } else if (file !== undefined) {
          named++;
          if (!declares(file, word)) problems.push(`${file.path} has no ${word}`);
        }
      }
      if (named === 0) problems.push('it names no export');
      return problems.map((problem) => `${step.slice(0, 60)}: ${problem}`);
    });
    assert.deepEqual(wrong, []);
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

  test('glossary.md is sorted and explains only words that the sources use', () => {
    const words = [...readText('docs/glossary.md').matchAll(/^\| ([^|]+) \|/gm)].map(([, word]) => word!).slice(2);
    const caseless = (left: string, right: string): number =>
      left.toLowerCase().replaceAll('_', '') < right.toLowerCase().replaceAll('_', '') ? -1 : 1;
    assert.deepEqual(words, [...words].sort(caseless));
    const text = sources
      .filter(({ path }) => path.startsWith('src/'))
      .map((file) => file.text)
      .join('\n');
    const unused = words
      .flatMap((entry) => entry.split(', '))
      .filter((word) => !new RegExp(`\\b${word}|${word.replaceAll(' ', '')}`, 'i').test(text));
    assert.deepEqual(unused, []);
  });

  test('say the limits of the leader proxy as they are', () => {
    const { maxForwards, maxForwardBytes, maxUnsentReplyBytes } = DEFAULT_PROXY_LIMITS;
    const requests = maxForwards.toLocaleString('en');
    const bytes = `${maxForwardBytes / 2 ** 30} GiB`;
    const replies = `${maxUnsentReplyBytes / 2 ** 20} MiB`;
    const [kv, proxy] = ['docs/design/data-plane/kv.md', 'docs/design/data-plane/proxy.md'].map(readText) as [
      string,
      string,
    ];
    assert.ok(kv.includes(`Limits: ${requests} requests and ${bytes} a node, ${replies} of replies`));
    assert.ok(proxy.includes(`${requests} requests and ${bytes} at a time, more are \`BUSY\`; replies of ${replies}`));
  });
});
