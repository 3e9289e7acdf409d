/** redis-cli's ways of looking at a server, on each of three real nodes. */
import assert from 'node:assert/strict';
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { ProcessNodes } from '../support/process-nodes.ts';
import { skipWithout } from '../support/programs.ts';
import { until } from '../support/until.ts';

const SKIP = { skip: skipWithout('redis-cli') };
const KEYS = 300;

describe('redis-cli on each node', SKIP, () => {
  let nodes: ProcessNodes;
  before(async () => {
    nodes = await ProcessNodes.start();
    const client = nodes.client(1);
    await client.rpush('list', ...Array.from({ length: 50 }, (_, nth) => `element ${nth}`));
    await client.hset('hash', { field: 'value', other: 'v'.repeat(5_000) });
    await client.xadd('stream', '*', 'field', 'value');
  });
  after(() => nodes?.stop());

  /** One under way. */
  function begin(
    nodeId: number,
    ...args: string[]
  ): { readonly child: ChildProcessWithoutNullStreams; shown(): string } {
    const child = spawn('redis-cli', ['-p', String(nodes.redisPort(nodeId)), ...args]);
    let shown = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        shown += text;
      });
    return { child, shown: () => shown };
  }

  /** What it prints until it ends. */
  async function run(nodeId: number, args: readonly string[], input = ''): Promise<string> {
    const { child, shown } = begin(nodeId, ...args);
    child.stdin.end(input);
    const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
    assert.equal(code, 0, shown());
    return shown();
  }

  /** What it prints until that is what is waited for. */
  async function runUntil(
    nodeId: number,
    args: readonly string[],
    isEnough: (shown: string) => boolean,
  ): Promise<string> {
    const { child, shown } = begin(nodeId, ...args);
    try {
      await until(`redis-cli ${args.join(' ')}`, () => isEnough(shown())).catch((error) => {
        throw new Error(`${(error as Error).message}: it printed ${shown()}`);
      });
      return shown();
    } finally {
      child.kill();
    }
  }

  const onEach = async (work: (nodeId: number) => Promise<void>): Promise<void> => {
    await Promise.all(nodes.nodeIds.map(work));
  };

  test('--pipe sends what it reads, and counts replies', () =>
    onEach(async (nodeId) => {
      const lines = Array.from({ length: KEYS }, (_, nth) => `SET piped:${nodeId}:${nth} ${nth}\r\n`);
      const shown = await run(nodeId, ['--pipe'], lines.join(''));
      assert.match(shown, new RegExp(`errors: 0, replies: ${KEYS}`));
    }));

  test('--scan lists all keys, or those of a pattern', () =>
    onEach(async (nodeId) => {
      const keys = (await run(nodeId, ['--scan'])).trimEnd().split('\n');
      assert.equal(new Set(keys).size, keys.length);
      assert.equal(keys.length, 3 * KEYS + 3);
      const own = (await run(nodeId, ['--scan', '--pattern', `piped:${nodeId}:*`])).trimEnd().split('\n');
      assert.equal(own.length, KEYS);
    }));

  test('--bigkeys finds the largest of each type', () =>
    onEach(async (nodeId) => {
      const shown = await run(nodeId, ['--bigkeys']);
      assert.match(shown, new RegExp(`Sampled ${3 * KEYS + 3} keys in the keyspace`));
      assert.match(shown, /Biggest +list found '"list"' has 50 items/);
      assert.match(shown, /Biggest +hash found '"hash"' has 2 fields/);
      assert.match(shown, /Biggest +stream found '"stream"' has 1 entries/);
      assert.match(shown, new RegExp(`${3 * KEYS} strings with`));
    }));

  test('--memkeys finds what takes most memory', () =>
    onEach(async (nodeId) => {
      const shown = await run(nodeId, ['--memkeys']);
      assert.match(shown, new RegExp(`Sampled ${3 * KEYS + 3} keys in the keyspace`));
      assert.match(shown, /Biggest +hash found '"hash"' has [5-9]\d{3} bytes/);
    }));

  test('--hotkeys is refused as by a server that counts nothing, and finds what is asked for often', async () => {
    await onEach(async (nodeId) => {
      const { child, shown } = begin(nodeId, '--hotkeys');
      await new Promise((resolve) => child.on('close', resolve));
      assert.match(shown(), /An LFU maxmemory policy is not selected/);
    });
    const policy = (name: string) =>
      onEach(async (id) => void (await nodes.client(id).config('SET', 'maxmemory-policy', name)));
    await policy('allkeys-lfu');
    try {
      const client = nodes.client(1);
      for (let nth = 0; nth < 100; nth++) await client.get('piped:1:0');
      await onEach(async (nodeId) =>
        assert.match(await run(nodeId, ['--hotkeys']), /hot key found with counter: \d+\s+keyname: "piped:1:0"/),
      );
    } finally {
      await policy('noeviction');
    }
  });

  test('--latency measures', () =>
    onEach(async (nodeId) => {
      const [min, max, average, samples] = (await run(nodeId, ['--latency', '--raw', '-i', '0.2']))
        .trim()
        .split(' ')
        .map(Number);
      assert.ok(min! <= average! && average! <= max! && samples! > 0);
    }));

  test('--stat goes on', () =>
    onEach(async (nodeId) => {
      const shown = await runUntil(nodeId, ['--stat', '-i', '0.01'], (text) => text.split('\n').length > 5);
      assert.match(shown, /^903 +\S+ +\d+ +\d+ +\d+ \(\+\d+\)/m);
    }));

  test('MONITOR shows what clients ask this node', () =>
    onEach(async (nodeId) => {
      const client = nodes.client(nodeId);
      let asked = 0;
      const shown = await runUntil(nodeId, ['MONITOR'], (text) => {
        void client.get(`watched:${nodeId}:${asked++}`);
        return text.includes('watched:');
      });
      assert.match(shown, new RegExp(`^OK\\n[^]*\\[0 127\\.0\\.0\\.1:\\d+\\] "get" "watched:${nodeId}:`));
    }));

  test('PSUBSCRIBE hears what is published on any node', () =>
    onEach(async (nodeId) => {
      const clients = nodes.nodeIds.map((other) => nodes.client(other));
      await runUntil(nodeId, ['PSUBSCRIBE', `news:${nodeId}:*`], (text) => {
        for (const [at, client] of clients.entries()) void client.publish(`news:${nodeId}:${at}`, `from ${at}`);
        return clients.every((_, at) => text.includes(`news:${nodeId}:*\nnews:${nodeId}:${at}\nfrom ${at}`));
      });
    }));
});
