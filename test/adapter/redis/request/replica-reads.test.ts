/**
 * What a READONLY connection may be told by replicas after what it was told by leaders: every command that looks at keys or
 * changes them, over whole nodes on simulated machines. Another client changes the keys meanwhile, one command at a time, so every
 * key has one history.
 */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { KEYSPACES } from '../../../../src/adapter/redis/keys/keyspace.ts';
import { SeededRandom } from '../../../../src/platform/index.ts';
import type { SimRedis } from '../../../sim/cluster/sim-redis.ts';
import { SimulatedNodes } from '../../../support/simulated-nodes.ts';

const GROUPS = 3;
const COMMANDS = 400;
/** Old answers are welcome: only what contradicts is looked for. */
const STALENESS_MS = '60000';

type Command = readonly string[];

/** One thing that a connection does, and the keys that its replies are about. */
interface Deed {
  readonly name: string;
  readonly commands: readonly Command[];
  readonly about: readonly string[];
  /** It goes to the server as MULTI, the commands, EXEC. */
  readonly isTransaction?: boolean;
}

/** Everything that a leader can have a part in, by the shape in which a connection runs it. */
function deeds(keys: readonly string[], next: () => string): Deed[] {
  const [a, b, c] = keys as [string, string, string];
  const one = (name: string, commands: readonly Command[], about: readonly string[]): Deed => ({
    name,
    commands,
    about,
  });
  return [
    one('a write', [['set', a, next()]], [a]),
    one('a write that reads', [['getset', a, next()]], [a]),
    one('a command of several groups that writes', [['mset', a, next(), b, next()]], [a, b]),
    one('a command of several groups that reads', [['mget', a, b, c]], keys),
    one('DEL over groups', [['del', a, b]], [a, b]),
    one('EXISTS over groups', [['exists', a, b]], [a, b]),
    one('COPY over groups', [['copy', a, b, 'replace']], [a, b]),
    one('RENAME over groups', [['rename', a, b]], [a, b]),
    one('MOVE', [['move', a, '1']], [a]),
    {
      name: 'EXEC of one group',
      commands: [
        ['set', a, next()],
        ['get', a],
      ],
      about: [a],
      isTransaction: true,
    },
    {
      name: 'EXEC over groups',
      commands: [
        ['set', a, next()],
        ['set', b, next()],
      ],
      about: [a, b],
      isTransaction: true,
    },
    {
      name: 'EXEC over groups that reads',
      commands: [
        ['get', a],
        ['get', b],
      ],
      about: [a, b],
      isTransaction: true,
    },
    {
      name: 'EXEC with other commands',
      commands: [['del', a], ['ping'], ['del', b]],
      about: [a, b],
      isTransaction: true,
    },
    one('KEYS', [['keys', '*']], keys),
    one('SCAN', [['scan', '0', 'count', '100']], keys),
    one('DBSIZE', [['dbsize']], keys),
    one('RANDOMKEY', [['randomkey']], keys),
    one('FLUSHDB', [['flushdb']], keys),
    one('FLUSHALL', [['flushall']], keys),
    one('INFO keyspace', [['info', 'keyspace']], keys),
    one('CLUSTER COUNTKEYSINSLOT', [['cluster', 'countkeysinslot', String(slotOf(a))]], [a]),
    one('CLUSTER GETKEYSINSLOT', [['cluster', 'getkeysinslot', String(slotOf(a)), '10']], [a]),
  ];
}

const storageKey = (key: string): Buffer => KEYSPACES[0]!.storageKey(Buffer.from(key));
const slotOf = (key: string): number => storageKey(key).readUInt16BE(2);

class Bench {
  readonly cluster = new SimulatedNodes(3, GROUPS, 7);
  readonly random = new SeededRandom(11);
  keys: string[] = [];
  /** What each key was, oldest first; undefined where there was none. */
  readonly history = new Map<string, (string | undefined)[]>();
  /** The writer, and the connection that is judged. */
  private writer!: SimRedis;
  private reader!: SimRedis;
  private readerAt = 0;
  /** The oldest state of each key that the reader may still be shown. */
  private readonly known = new Map<string, number>();
  private values = 0;

  readonly next = (): string => `v${++this.values}`;

  async start(): Promise<void> {
    const { cluster } = this;
    cluster.start();
    await cluster.ready();
    const { kv } = cluster.running(1);
    const byGroup = new Map<number, string>();
    for (let at = 0; byGroup.size < GROUPS; at++) byGroup.set(kv.groupOf(storageKey(`k${at}`)), `k${at}`);
    this.keys = [...byGroup.values()];
    for (const key of this.keys) {
      this.history.set(key, [undefined]);
      this.known.set(key, 0);
    }
    this.readerAt = cluster.nodes.find(
      ({ id }) => !this.leads(id, this.keys[0]!) && !this.leads(id, this.keys[1]!),
    )!.id;
    this.writer = await cluster.run(cluster.node(1).connect());
    this.reader = await cluster.run(cluster.node(this.readerAt).connect());
    await this.ask(this.reader, ['client', 'kvorum-staleness', STALENESS_MS]);
    await this.ask(this.reader, ['readonly']);
  }

  private leads(id: number, key: string): boolean {
    const { kv } = this.cluster.running(id);
    return kv.servesLocally(kv.groupOf(storageKey(key)));
  }

  ask(client: SimRedis, command: Command): Promise<unknown> {
    return this.cluster.run(client.command(command));
  }

  /** A command of the connection that no leader has a part in. */
  async own(command: Command): Promise<void> {
    await this.ask(this.reader, command);
  }

  served(): number {
    return this.cluster.running(this.readerAt).reads.stats().served;
  }

  /** What the keys are, by their leaders. */
  private async note(): Promise<void> {
    for (const key of this.keys) {
      const states = this.history.get(key)!;
      const value = ((await this.ask(this.writer, ['get', key])) as string | null) ?? undefined;
      if (states.at(-1) !== value) states.push(value);
    }
  }

  /** Another client changes a key. */
  async change(key: string): Promise<void> {
    await this.ask(this.writer, this.random.next() < 0.7 ? ['set', key, this.next()] : ['del', key]);
    await this.note();
  }

  /** The connection does something, and has seen what the keys are by then. */
  async act({ commands, about, isTransaction }: Deed): Promise<void> {
    const { cluster, reader } = this;
    const seen = about.map((key) => [key, this.history.get(key)!.length - 1] as const);
    try {
      if (isTransaction === true) await cluster.run(reader.transaction(commands));
      else for (const command of commands) await this.ask(reader, command);
    } catch (error) {
      // RENAME of a key that is not there says so, which is an answer too.
      assert.match((error as Error).message, /no such key/);
    }
    for (const [key, at] of seen) this.known.set(key, at);
    const before = new Map(this.keys.map((key) => [key, this.history.get(key)!.length]));
    await this.note();
    // What it did itself it has seen.
    for (const key of about)
      if (this.history.get(key)!.length > before.get(key)!) this.known.set(key, before.get(key)!);
  }

  /** Reads a key on the connection. @throws AssertionError when it was told better before */
  async look(key: string, after: string): Promise<void> {
    const value = ((await this.ask(this.reader, ['get', key])) as string | null) ?? undefined;
    const states = this.history.get(key)!;
    const at = states.indexOf(value, this.known.get(key)!);
    assert.ok(at >= 0, `after ${after}, ${key} was ${value}, which is older than what the connection was told`);
    this.known.set(key, at);
  }

  async rest(ms: number): Promise<void> {
    await this.cluster.simulation.runFor(ms);
  }
}

describe('a READONLY connection', () => {
  const bench = new Bench();
  before(() => bench.start());

  test('is not told by replicas what contradicts an answer before, whatever command that was', async () => {
    for (let at = 0; at < deeds(bench.keys, bench.next).length; at++) {
      const { about } = deeds(bench.keys, bench.next)[at]!;
      // One key at a time: a second one, of another group, would send the connection to the leaders.
      for (const key of about.slice(0, 2)) {
        await bench.change(key);
        await bench.rest(3000);
        const before = bench.served();
        await bench.look(key, 'a while');
        assert.ok(bench.served() > before, 'a replica answers');
        for (const other of about) await bench.change(other);
        const deed = deeds(bench.keys, bench.next)[at]!;
        await bench.act(deed);
        await bench.look(key, deed.name);
      }
    }
  });

  test('is not, in any order of commands', async () => {
    const before = bench.served();
    let last = 'nothing';
    for (let nth = 0; nth < COMMANDS; nth++) {
      const { keys, random } = bench;
      const dice = random.next();
      const turned = random.int(keys.length);
      const order = [...keys.slice(turned), ...keys.slice(0, turned)];
      if (dice < 0.3) await bench.change(order[0]!);
      else if (dice < 0.37) {
        const all = deeds(order, bench.next);
        const deed = all[random.int(all.length)]!;
        last = deed.name;
        await bench.act(deed);
      } else if (dice < 0.8) await bench.look(order[0]!, last);
      else await bench.rest(random.int(3000));
    }
    assert.ok(bench.served() > before + COMMANDS / 40, `replicas answered ${bench.served() - before}`);
  });

  test('keeps its replicas when it asks about itself only', async () => {
    const [key] = bench.keys as [string];
    await bench.change(key);
    await bench.rest(3000);
    await bench.look(key, 'a while');
    const before = bench.served();
    for (const command of [['ping'], ['readonly'], ['client', 'id'], ['client', 'kvorum-staleness', STALENESS_MS]]) {
      await bench.own(command);
      await bench.look(key, command.join(' '));
    }
    assert.equal(bench.served(), before + 4);
  });
});
