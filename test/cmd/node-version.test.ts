import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { importsOf, sources } from '../tidy/source-tree.ts';

const OLD_NODE = `data:text/javascript,${encodeURIComponent(
  "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.1.0' } });",
)}`;

for (const name of ['kvorum', 'raftadmin']) {
  describe(`${name} on a Node.js that is too old`, () => {
    test('says so in one sentence', () => {
      const program = fileURLToPath(new URL(`../../cmd/${name}.ts`, import.meta.url));
      const { status, stderr } = spawnSync(process.execPath, ['--import', OLD_NODE, program, '--version'], {
        encoding: 'utf8',
      });
      assert.equal(status, 1);
      assert.match(stderr, new RegExp(`^${name} needs Node\\.js 24 or newer, and this is 20\\.1\\.0\\. .*\n$`));
    });

    test('loads nothing before that which an old one could not link', () => {
      const before = [`cmd/${name}.ts`, 'cmd/cli/node-version.ts'].map((path) => {
        const file = sources.find((one) => one.path === path)!;
        return { path, imports: importsOf({ ...file, text: file.text.replaceAll(/await import\([^)]*\)/g, '') }) };
      });
      assert.deepEqual(before, [
        { path: `cmd/${name}.ts`, imports: ['./cli/node-version.ts'] },
        { path: 'cmd/cli/node-version.ts', imports: [] },
      ]);
    });
  });
}
