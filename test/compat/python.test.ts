/** redis-py, as Debian has it. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { DEBIAN_PYTHON, skipWithout } from '../support/programs.ts';
import { startKvorum } from './targets.ts';

const TOUR = fileURLToPath(new URL('./clients.py', import.meta.url));

describe('redis-py', { skip: skipWithout('redis-py') }, () => {
  test('reads and writes all data types', async () => {
    const target = await startKvorum();
    try {
      const { stdout, stderr } = await promisify(execFile)(DEBIAN_PYTHON, [TOUR, target.host, String(target.port)]);
      assert.equal(stdout + stderr, '');
    } finally {
      await target.stop();
    }
  });
});
