import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { nodeEnvironment, nodeFlags } from '../../cmd/cli/allocator.ts';
import { allowedGarbage, Rest } from '../../cmd/cli/heap-limits.ts';

const MIB = 1024 ** 2;

test('garbage may take a sixteenth of the limit, and near the limit only what is left', () => {
  const limit = 2048 * MIB;
  assert.equal(allowedGarbage(limit, 200 * MIB), 128 * MIB);
  assert.equal(allowedGarbage(limit, 1792 * MIB), 128 * MIB);
  assert.equal(allowedGarbage(limit, 1984 * MIB), 64 * MIB);
  assert.equal(allowedGarbage(limit, 4000 * MIB), 32 * MIB, 'collecting without end would not help');
  assert.equal(allowedGarbage(16 * limit, 0), 256 * MIB, 'a larger heap takes longer to mark');
  assert.equal(allowedGarbage(384 * MIB, 0), 32 * MIB);
});

test('a process rests when its event loop has waited for most of the time, twice, however little of a busy machine it got', () => {
  const loop = { active: 0, idle: 0, utilization: 0 };
  const rest = new Rest({ ...loop });
  const isLasting = (active: number, idle: number): boolean => {
    loop.active += active;
    loop.idle += idle;
    return rest.isLasting({ ...loop });
  };
  assert.equal(isLasting(400, 1600), false, 'once says little');
  assert.equal(isLasting(400, 1600), true);
  assert.equal(isLasting(600, 1400), false, 'it is at work');
  assert.equal(isLasting(0, 2000), false);
  assert.equal(isLasting(0, 2000), true);
});

test('what somebody tells the allocator counts for more than what nodes tell it', () => {
  const environment = nodeEnvironment({ MALLOC_ARENA_MAX: '7', OTHER: 'x' });
  assert.equal(environment.MALLOC_ARENA_MAX, '7');
  assert.equal(environment.OTHER, 'x');
  assert.ok(environment.MALLOC_MMAP_THRESHOLD_ !== undefined && environment.MALLOC_TRIM_THRESHOLD_ !== undefined);
});

test('what somebody tells V8 about young objects counts for more than what nodes tell it', async () => {
  for (const said of ['--max-semi-space-size=64', '--inspect --max_semi_space_size=1', '--min-semi-space-size=8']) {
    assert.deepEqual(nodeFlags([said]), []);
  }
  // V8 knows the flag, and Node.js takes it.
  const child = spawn(process.execPath, [...nodeFlags(['--inspect']), '--eval', '0'], { stdio: 'inherit' });
  assert.deepEqual([await once(child, 'exit'), nodeFlags([]).length], [[0, null], 1]);
});

for (const [living, objects] of [
  ['of some hundred MiB', 3_000_000],
  ['of twice as much', 6_000_000],
] as const) {
  test(`a process that rests gives back a heap ${living}`, async () => {
    const script = fileURLToPath(new URL('./resting-heap.ts', import.meta.url));
    const child = spawn(process.execPath, [script, String(objects)], { stdio: ['ignore', 'inherit', 'inherit'] });
    const [code] = await once(child, 'exit');
    assert.equal(code, 0);
  });
}
