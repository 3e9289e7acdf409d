import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Later } from '../../src/node/later.ts';
import { Startables } from '../../src/node/startables.ts';

/** Parts that write down what happens to them. */
function parts(): {
  readonly said: string[];
  part(name: string, ends?: Promise<void>): { start(): void; stop(): Promise<void> };
} {
  const said: string[] = [];
  return {
    said,
    part: (name, ends = Promise.resolve()) => ({
      start: () => void said.push(`start ${name}`),
      stop: async () => {
        said.push(`stop ${name}`);
        await ends;
      },
    }),
  };
}

describe('the parts of a plane', () => {
  test('start in order and stop in reverse', async () => {
    const { said, part } = parts();
    const running = new Startables();
    for (const name of ['engine', 'service']) running.add(part(name));
    running.start();
    await running.stop();
    assert.deepEqual(said, ['start engine', 'start service', 'stop service', 'stop engine']);
  });

  test('begin to stop before any of them has ended: an upper one may end only when a lower one refuses it', async () => {
    const { said, part } = parts();
    const running = new Startables();
    const lower = Promise.withResolvers<void>();
    running.add({ start: () => undefined, stop: () => lower.resolve() });
    running.add(part('upper', lower.promise));
    await running.stop();
    assert.deepEqual(said, ['stop upper']);
  });

  test('all end before a stop that failed is told', async () => {
    const running = new Startables();
    let hasEnded = false;
    running.add({
      start: () => undefined,
      stop: async () => {
        await Promise.resolve();
        hasEnded = true;
      },
    });
    running.add({ start: () => undefined, stop: () => Promise.reject(new Error('boom')) });
    await assert.rejects(running.stop(), /boom/);
    assert.equal(hasEnded, true);
  });
});

describe('a part that is made later', () => {
  test('cannot be asked for before, and is made once', () => {
    const later = new Later<string>('the host');
    assert.throws(() => later.get(), /the host is asked before it is made/);
    later.set('here');
    assert.equal(later.get(), 'here');
    assert.throws(() => later.set('again'), /the host is made once/);
  });
});
