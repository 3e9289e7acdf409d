import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';

const TEST_PROCESS = new URL('../support/test-process.ts', import.meta.url).href;

describe('a process of npm test', () => {
  const folder = mkdtempSync(join(tmpdir(), 'kvorum-test-process-'));
  after(() => rmSync(folder, { recursive: true, force: true }));

  /** Runs one test in such a process. @param body of its function */
  const run = (body: string): { readonly code: number | null; readonly said: string } => {
    const url = pathToFileURL(join(folder, 'one.mjs')).href;
    const text = `import { executionAsyncId } from 'node:async_hooks';
import { describe, test } from 'node:test';
describe('suite', () => test('the one', async () => { ${body} }));`;
    writeFileSync(join(folder, 'one.mjs'), text);
    const main = `import { runFiles } from ${JSON.stringify(TEST_PROCESS)}; runFiles({ file: ${JSON.stringify(url)} });`;
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', main], {
      env,
      encoding: 'utf8',
    });
    return { code: status, said: stdout + stderr };
  };

  test('follows no promise of a test', () => {
    const { code, said } = run('await null; if (executionAsyncId() !== 0) throw new Error("followed");');
    assert.equal(code, 0, said);
    assert.match(said, /suite[\s\S]*the one/);
  });

  for (const [what, statement] of [
    ['an error', 'setImmediate(() => { throw new Error("late"); });'],
    ['a rejection', 'void Promise.reject(new Error("late"));'],
  ] as const) {
    test(`fails by ${what} that nobody has caught, and names the test that ran`, () => {
      const { code, said } = run(`${statement} await new Promise((resolve) => setTimeout(resolve, 20));`);
      assert.equal(code, 1, said);
      assert.match(said, /while this test ran: file > suite > the one/);
    });
  }
});
