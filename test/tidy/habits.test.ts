import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { errorPage } from './error-page.ts';
import { roomsPage } from './rooms-page.ts';
import { allPaths, importsOf, lineAt, readText, sources } from './source-tree.ts';

/** A file that passes this is asking for a name for its second idea. */
const MAX_FILE_LINES = 600;
/** Generated prose apart, a line that is longer does not fit beside its review. */
const MAX_LINE_LENGTH = 160;

const shipped = sources.filter((file) => /^(src|cmd)\//.test(file.path));
const documented = sources.filter((file) => /^(src|cmd|jepsen|bench)\//.test(file.path));

/** All places where `pattern` occurs in the code of files, as `path:line`. */
function places(files: typeof sources, pattern: RegExp, part: 'code' | 'text' = 'code'): string[] {
  return files.flatMap((file) =>
    [...file[part].matchAll(pattern)].map((match) => `${file.path}:${lineAt(file, match.index)} ${match[0].trim()}`),
  );
}

describe('every source file', () => {
  test(`has at most ${MAX_FILE_LINES} lines`, () => {
    const long = documented.filter((file) => file.lines.length > MAX_FILE_LINES + 1);
    assert.deepEqual(
      long.map((file) => `${file.path}: ${file.lines.length - 1}`),
      [],
    );
  });

  test(`has lines of at most ${MAX_LINE_LENGTH} characters`, () => {
    const long = shipped.flatMap((file) =>
      file.lines.flatMap((line, index) => (line.length > MAX_LINE_LENGTH ? [`${file.path}:${index + 1}`] : [])),
    );
    assert.deepEqual(long, []);
  });

  test('does without any, and without switching the compiler or the linter off for no reason', () => {
    assert.deepEqual(places(sources, /(?:[:<,|]\s*any\b(?!['\w])|\bas any\b)/g), []);
    assert.deepEqual(places(sources, /^\s*\/\/\s*@ts-(?:ignore|nocheck|expect-error)[^\S\n]*$/gm, 'text'), []);
    assert.deepEqual(places(sources, /\/\/\s*@ts-(?:ignore|nocheck)\b/g, 'text'), []);
    // `biome-ignore lint/rule: reason`
    assert.deepEqual(places(sources, /\/[/*]\s*biome-ignore(?![^\n]*:\s*\S{3})[^\n]*/g, 'text'), []);
  });

  test('speaks one dialect of tests: strict assertions, and `test` within `describe`', () => {
    const imported = places(sources, /^import [^;]*from 'node:(?:assert|assert\/strict|test)';$/gm, 'text');
    const isMeant = (place: string): boolean =>
      place.endsWith("import assert from 'node:assert/strict';") ||
      (place.endsWith("from 'node:test';") && !/[{\s](?:it|suite)\b/.test(place.slice(place.indexOf('import'))));
    assert.deepEqual(
      imported.filter((place) => !isMeant(place)),
      [],
    );
  });

  test('of test/support has a line in its index', () => {
    const index = readText('test/support/README.md');
    const files = sources.flatMap(({ path }) => /^test\/support\/(.*)$/.exec(path)?.[1] ?? []);
    assert.deepEqual(
      files.filter((file) => !index.includes(`](${file}) |`)),
      [],
    );
  });

  test('leaves nothing for later', () => {
    // Spelled apart so that this file does not find itself.
    const marks = new RegExp(
      `\\b(?:${['TO', 'FIX', 'HA'].map((start, at) => start + ['DO', 'ME', 'CK'][at]).join('|')})\\b`,
      'g',
    );
    assert.deepEqual(places(sources, marks, 'text'), []);
    assert.deepEqual(
      places(sources, /\bnot (?:yet )?implemented\b/gi, 'text').filter((place) => !place.startsWith('test/tidy/')),
      [],
    );
  });

  test('writes to the terminal only from the command lines', () => {
    const quiet = sources.filter((file) => file.path.startsWith('src/'));
    assert.deepEqual(places(quiet, /\bconsole\.\w+/g), []);
  });
});

describe('every test', () => {
  test('runs: none is alone, left out or waiting to be written', () => {
    const tests = sources.filter((file) => file.path.startsWith('test/'));
    assert.deepEqual(places(tests, /\b(?:test|it|describe|suite)\.(?:only|todo|skip)\b/g), []);
    assert.deepEqual(places(tests, /\{\s*(?:only|todo):\s*true/g), []);
  });

  test('file is found by the glob of npm test', () => {
    const lost = sources.filter(
      (file) =>
        /\bfrom 'node:test'/.test(file.text) && !/^test\/.*\.test\.ts$/.test(file.path) && isRunnable(file.text),
    );
    assert.deepEqual(
      lost.map((file) => file.path),
      [],
    );
  });
});

/** A file that declares tests at its top level; a shared suite declares them inside an exported function. */
const isRunnable = (text: string): boolean => /^(?:test|describe)\(/m.test(text);

/** `sim-links.ts` is named for `SimLinks`. */
const isNamesake = (path: string, name: string): boolean =>
  path
    .split('/')
    .at(-1)!
    .replace(/\.ts$|-/g, '') === name.toLowerCase();

describe('every exported declaration', () => {
  test('of a class or a function carries a docstring', () => {
    const declaration = /^export (?:default )?(?:abstract )?(?:async )?(?:class|function\*?) (\w+)/gm;
    const bare: string[] = [];
    for (const file of documented) {
      for (const match of file.text.matchAll(declaration)) {
        const before = file.text.slice(0, match.index).trimEnd();
        const isOverload = new RegExp(`export (?:async )?function ${match[1]}\\b[^{]*;$`).test(before);
        // The comment that opens a file speaks for its one class, or for the class that the file is named for.
        const opensFile =
          match[0].includes('class') &&
          /^(?:#![^\n]*\n)?\/\*\*/.test(file.text) &&
          (file.text.match(/^export [\w ]*class /gm)?.length === 1 || isNamesake(file.path, match[1]!));
        if (!before.endsWith('*/') && !isOverload && !opensFile)
          bare.push(`${file.path}:${lineAt(file, match.index)} ${match[1]}`);
      }
    }
    assert.deepEqual(bare, []);
  });
});

describe('the repository', () => {
  test('speaks of no machine that it was made on', () => {
    // Absolute ones: folders of the project may have such names too.
    const machine = new RegExp(`(?<![\\w.])${'/wo'}${'rk/'}|${'/ro'}${'ot/'}|/home/[a-z]|/Users/[a-z]`, 'i');
    const text = allPaths.filter((path) => /\.(ts|md|json|ya?ml|sh|txt)$|^\.ci\//.test(path));
    assert.deepEqual(
      text.filter((path) => machine.test(readText(path))),
      [],
    );
  });

  test('takes packages from the public registry only', () => {
    const resolved = [...readText('package-lock.json').matchAll(/"resolved": "([^"]+)"/g)].map((match) => match[1]!);
    assert.deepEqual(
      resolved.filter((url) => !url.startsWith('https://registry.npmjs.org/')),
      [],
    );
  });

  test('has no file that nothing refers to', () => {
    const imported = new Set(
      sources.flatMap((file) => {
        const found = [...file.text.matchAll(/['"](\.{1,2}\/[^'"]+\.ts)['"]/g)];
        return found.map((match) => new URL(match[1]!, new URL(file.path, 'file:///')).pathname.slice(1));
      }),
    );
    const scripts =
      readText('package.json') +
      allPaths
        .filter((path) => path.endsWith('.md'))
        .map(readText)
        .join('\n');
    const dead = sources.filter(
      (file) =>
        !imported.has(file.path) &&
        !file.path.endsWith('.test.ts') &&
        !file.path.endsWith('/index.ts') &&
        !file.path.endsWith('.d.ts') &&
        !scripts.includes(file.path),
    );
    assert.deepEqual(
      dead.map((file) => file.path),
      [],
    );
  });
});

/** Where the relative links of a page lead, pictures among them. */
function linksOf(page: string): { readonly target: string; readonly heading: string }[] {
  const found = readText(page).matchAll(/(?:\]\(|\b(?:src|href)=")(?!https?:|mailto:)([^)#\s"]*)(?:#([^)\s"]*))?[)"]/g);
  return [...found].map(([, path, heading]) => ({
    target: path === '' ? page : new URL(path!, new URL(page, 'file:///')).pathname.slice(1).replace(/\/$/, ''),
    heading: heading ?? '',
  }));
}

/** The anchors of a page's headings, as GitHub makes them. */
function headingsOf(page: string): ReadonlySet<string> {
  const text = readText(page).replaceAll(/^```[\s\S]*?^```/gm, '');
  const anchors = [...text.matchAll(/^#{1,6} (.*)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
  return new Set(anchors);
}

describe('the documentation', () => {
  const pages = allPaths.filter((path) => path.endsWith('.md'));
  const scripts = (JSON.parse(readText('package.json')) as { scripts: Record<string, string> }).scripts;

  test('lists every error code as the sources have it', () => {
    assert.equal(readText('docs/errors.md'), errorPage(), 'run npm run docs:errors');
  });

  test('lists every room and file as the sources have them', () => {
    assert.equal(readText('docs/design/rooms.md'), roomsPage(), 'run npm run docs:rooms');
  });

  test('names only npm scripts that exist', () => {
    const builtIn = new Set(['ci', 'install', 'test', 'start', 'pack', 'publish']);
    const unknown = pages.flatMap((page) =>
      [...readText(page).matchAll(/\bnpm (?:run )?(?!run\b)([a-z][\w:-]*)/g)]
        .filter(
          (match) =>
            !(match[1]! in scripts) &&
            !(match[0] === `npm ${match[1]}` && (builtIn.has(match[1]!) || !/^npm run/.test(match[0]))),
        )
        .map((match) => `${page}: ${match[0]}`),
    );
    assert.deepEqual(unknown, []);
  });

  test('has a row for every dependency, and every dependency is used', () => {
    const manifest = JSON.parse(readText('package.json')) as Record<
      'dependencies' | 'devDependencies',
      Record<string, string>
    >;
    const page = readText('docs/dependencies.md');
    const all = [...Object.keys(manifest.dependencies), ...Object.keys(manifest.devDependencies)];
    assert.deepEqual(
      all.filter((name) => !page.includes(`\`${name}\``)),
      [],
    );
    // A package may be used for a file of it alone: then it is resolved, not imported.
    const resolvedBy = (file: (typeof shipped)[number]): string[] =>
      [...file.text.matchAll(/\.resolve\('([^'./][^']*)'\)/g)].map((match) => match[1]!);
    const imported = new Set(
      [...shipped.flatMap(importsOf), ...shipped.flatMap(resolvedBy)].map((specifier) =>
        specifier
          .split('/')
          .slice(0, specifier.startsWith('@') ? 2 : 1)
          .join('/'),
      ),
    );
    assert.deepEqual(
      Object.keys(manifest.dependencies).filter((name) => !imported.has(name)),
      [],
    );
    assert.deepEqual(
      [...imported].filter((name) => !/^(node:|\.)/.test(name) && !(name in manifest.dependencies)),
      [],
    );
  });

  test('links to files and headings that exist', () => {
    const broken = pages.flatMap((page) =>
      linksOf(page).flatMap(({ target, heading }) => {
        const isThere = allPaths.includes(target) || allPaths.some((path) => path.startsWith(`${target}/`));
        if (!isThere) return [`${page} -> ${target}`];
        return heading === '' || headingsOf(target).has(heading) ? [] : [`${page} -> ${target}#${heading}`];
      }),
    );
    assert.deepEqual(broken, []);
  });

  test('has every page in its table of contents', () => {
    const listed = new Set(linksOf('docs/README.md').map(({ target }) => target));
    const unlisted = pages.filter((page) => page.startsWith('docs/') && page !== 'docs/README.md' && !listed.has(page));
    assert.deepEqual(unlisted, []);
  });

  test('npm scripts run files that exist', () => {
    const missing = Object.entries(scripts).flatMap(([name, script]) =>
      [...script.matchAll(/(?<=[\s=])(?:\.\/)?([\w./-]+\.ts)(?=\s|$)/g)]
        .filter((match) => !allPaths.includes(match[1]!))
        .map((match) => `${name}: ${match[1]}`),
    );
    assert.deepEqual(missing, []);
  });
});
