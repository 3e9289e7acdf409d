import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';

const PROGRAM = join(import.meta.dirname, '../../cmd/kvorum.ts');

describe('compiled code', () => {
  const folder = mkdtempSync(join(tmpdir(), 'kvorum-compiled-'));
  after(() => rmSync(folder, { recursive: true, force: true }));

  /** @param variables beside those of this process, without the ones that decide where the cache is */
  const version = (variables: Record<string, string>): string => {
    const { NODE_COMPILE_CACHE: _, XDG_CACHE_HOME: __, ...environment } = process.env;
    return execFileSync(process.execPath, [PROGRAM, '--version'], {
      env: { ...environment, ...variables },
      encoding: 'utf8',
    }).trim();
  };

  test('is kept in the cache folder of the user', () => {
    assert.match(version({ HOME: folder }), /^\d+\.\d+\.\d+$/);
    assert.notEqual(readdirSync(join(folder, '.cache/kvorum')).length, 0);
  });

  test('is not kept where there is no home, and none is made', () => {
    const home = join(folder, 'nobody');
    assert.match(version({ HOME: home }), /^\d+\.\d+\.\d+$/);
    assert.equal(existsSync(home), false);
  });
});
