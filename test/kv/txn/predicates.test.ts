/**
 * Interactive transactions that read ranges, on whole simulated nodes with skewed clocks and keys in three groups: whatever they
 * read must be what a serial execution in the order of their commit timestamps would have shown, rows that are not there included.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { KvTransaction, TransactionIsolation } from '../../../src/kv/contract/transactions.ts';
import type { ScanRow } from '../../../src/kv/contract/view.ts';
import { groupId, type HlcTimestamp, KvorumError, NEVER, SeededRandom } from '../../../src/platform/index.ts';
import { Role } from '../../../src/raftengine/core/types.ts';
import { OutcomeUnknownError } from '../../../src/raftengine/errors.ts';
import { startSkewedCluster } from '../../sim/cluster/skewed-cluster.ts';

const TIMEOUT_MS = 5_000;
const SETTLE_MS = 50_000;
/** Slots of three groups. */
const SLOTS = [100, 7_000, 14_000];
const NAMES = 4;

const keyAt = (slot: number, name: number): Buffer => Buffer.from([0x72, 0, slot >>> 8, slot & 0xff, 0x70, name]);
const KEYS: readonly Buffer[] = SLOTS.flatMap((slot) => Array.from({ length: NAMES }, (_, name) => keyAt(slot, name)));
/** Places where ranges begin and end: each key, and behind the last. */
const PLACES: readonly Buffer[] = [...KEYS, Buffer.from([0x72, 0, 0xff, 0xff])];
const hex = (key: Buffer): string => key.toString('hex');

type Cluster = Awaited<ReturnType<typeof startSkewedCluster>>;

/** What a transaction did and saw, in order. */
type Step =
  | { readonly kind: 'get'; readonly key: string; readonly value: string | undefined }
  | { readonly kind: 'scan'; readonly start: string; readonly end: string; readonly rows: readonly string[] }
  | { readonly kind: 'put'; readonly key: string; readonly value: string }
  | { readonly kind: 'delete'; readonly key: string };

interface Committed {
  readonly commitTs: HlcTimestamp;
  readonly steps: readonly Step[];
}

const shown = (key: string, value: string): string => `${key}=${value}`;

/** Every row of a range, page by page. */
async function rowsOf(t: KvTransaction, start: Buffer, end: Buffer, reverse: boolean): Promise<string[]> {
  const rows: ScanRow[] = [];
  let [from, to] = [start, end];
  for (;;) {
    const page = await t.scan({ start: from, end: to, limit: 3, reverse });
    rows.push(...page.rows);
    if (page.next === undefined) break;
    if (reverse) to = page.next;
    else from = page.next;
  }
  const inOrder = reverse ? rows.reverse() : rows;
  return inOrder.map(({ key, value }) => shown(hex(key), value.toString()));
}

class Clients {
  readonly committed: Committed[] = [];
  lost = 0;
  /** Asked to commit, and nobody heard what became of it. */
  private readonly open = new Map<KvTransaction, readonly Step[]>();
  private readonly cluster: Cluster;
  private readonly random: SeededRandom;
  private serial = 0;
  isOver = false;
  running = 0;

  constructor(cluster: Cluster, seed: number) {
    this.cluster = cluster;
    this.random = new SeededRandom(seed);
  }

  /** Each machine counts from its own start. */
  private soon(at: number, withinMs = TIMEOUT_MS): number {
    return this.cluster.nodes[at % this.cluster.nodes.length]!.machine.clock.monotonicMs() + withinMs;
  }

  /** Steps as a body draws them: looks at ranges and keys, and writes by what it saw. */
  private async body(t: KvTransaction): Promise<Step[]> {
    const { random } = this;
    const steps: Step[] = [];
    const count = 2 + random.int(3);
    for (let at = 0; at < count; at++) {
      const key = KEYS[random.int(KEYS.length)]!;
      const from = random.int(PLACES.length - 1);
      const to = from + 1 + random.int(Math.min(6, PLACES.length - 1 - from));
      switch (random.int(4)) {
        case 0: {
          const value = (await t.get(key))?.value.toString();
          steps.push({ kind: 'get', key: hex(key), value });
          break;
        }
        case 1:
        case 2: {
          const [start, end] = [PLACES[from]!, PLACES[to]!];
          const rows = await rowsOf(t, start, end, random.int(3) === 0);
          steps.push({ kind: 'scan', start: hex(start), end: hex(end), rows });
          break;
        }
        default:
          await t.delete(key);
          steps.push({ kind: 'delete', key: hex(key) });
      }
    }
    const key = KEYS[random.int(KEYS.length)]!;
    const value = `v${this.serial++}`;
    await t.put(key, Buffer.from(value), NEVER);
    steps.push({ kind: 'put', key: hex(key), value });
    return steps;
  }

  private async commit(at: number, t: KvTransaction, steps: readonly Step[]): Promise<void> {
    this.open.set(t, steps);
    try {
      this.committed.push({ commitTs: await t.commit(this.soon(at)), steps });
      this.open.delete(t);
    } catch (error) {
      if (!(error instanceof OutcomeUnknownError)) this.open.delete(t);
      throw error;
    }
  }

  /** Asks any node for the status of those whose coordinator has stopped. */
  async settle(): Promise<void> {
    const { transactions } = this.cluster.nodes[0]!.process!.node;
    const settling = [...this.open].map(async ([t, steps]) => {
      const written = steps.flatMap((step) => (step.kind === 'put' || step.kind === 'delete' ? [step.key] : []));
      const primary = Buffer.from(written.sort()[0]!, 'hex');
      // Locks of a coordinator that is gone stay until they have run out.
      const status = await transactions.statusOf(t.id, primary, t.startTs, this.soon(0, SETTLE_MS));
      if (status.kind === 'committed') this.committed.push({ commitTs: status.commitTs, steps });
    });
    await Promise.all(settling);
  }

  start(at: number): void {
    this.running++;
    this.run(at).finally(() => {
      this.running--;
    });
  }

  private async run(at: number): Promise<void> {
    const { simulation, nodes } = this.cluster;
    while (!this.isOver) {
      const process = nodes[at % nodes.length]!.process;
      try {
        if (process === undefined) throw new OutcomeUnknownError('down');
        const t = await process.node.transactions.begin({ isolation: 'serializable', deadlineMs: this.soon(at) });
        await this.commit(at, t, await this.body(t));
      } catch (error) {
        assert.ok(error instanceof KvorumError, String(error));
        this.lost++;
      }
      await simulation.delay(5 + this.random.int(30), 'think');
    }
  }
}

/** Replays what was committed in the order of the timestamps. @returns what a serial execution would not have shown */
function differences(committed: readonly Committed[]): string[] {
  const state = new Map<string, string>();
  const problems: string[] = [];
  for (const { commitTs, steps } of [...committed].sort((a, b) => (a.commitTs < b.commitTs ? -1 : 1))) {
    for (const step of steps) {
      if (step.kind === 'put') state.set(step.key, step.value);
      else if (step.kind === 'delete') state.delete(step.key);
      else if (step.kind === 'get') {
        if (state.get(step.key) !== step.value) problems.push(`${commitTs}: get ${step.key} showed ${step.value}`);
      } else {
        const rows = [...state]
          .filter(([key]) => key >= step.start && key < step.end)
          .map(([key, value]) => shown(key, value))
          .sort();
        if (rows.join() !== step.rows.join()) problems.push(`${commitTs}: scan showed ${step.rows} for ${rows}`);
      }
    }
  }
  return problems;
}

describe('transactions that read ranges', () => {
  for (const seed of [1, 3]) {
    test(`see what a serial execution would show, over skewed clocks and a lost leader (seed ${seed})`, async () => {
      const cluster = await startSkewedCluster(seed, { dataGroups: 3 });
      const { simulation, nodes, until } = cluster;
      const clients = new Clients(cluster, seed);
      for (let at = 0; at < 6; at++) clients.start(at);
      await simulation.runFor(2_000);
      const leader = nodes.find((node) => node.raft(groupId(2 + (seed % 3)))?.status().role === Role.Leader)!;
      if (seed > 1) {
        leader.crash(true);
        await simulation.runFor(2_500);
        leader.start();
        await simulation.runFor(1_500);
      }
      clients.isOver = true;
      // Those whose process was ended hear nothing any more.
      await until('clients have ended', () => clients.running <= (seed > 1 ? 2 : 0));
      await simulation.runToEnd(clients.settle(), 60_000);
      const { committed, lost } = clients;
      assert.deepEqual(differences(committed), []);
      const scans = committed.filter(({ steps }) => steps.some(({ kind }) => kind === 'scan'));
      assert.ok(
        scans.length > 20 && lost > 0,
        `${committed.length} committed, ${scans.length} with ranges, ${lost} lost`,
      );
    });
  }

  test('are committed at the first attempt when nobody else writes, however far the clock of a group leads the others', async () => {
    const { simulation, nodes } = await startSkewedCluster(7, { dataGroups: 3 });
    const leaderOf = (group: number) => nodes.find((node) => node.raft(groupId(group))?.status().role === Role.Leader)!;
    const ahead = [2, 3, 4].map(leaderOf).find((node) => node !== leaderOf(1))!;
    ahead.setClockOffset(18_000);
    const all = { start: PLACES[0]!, end: PLACES.at(-1)!, limit: 100 };
    for (const { machine, process } of nodes) {
      const { transactions } = process!.node;
      const soon = (): number => machine.clock.monotonicMs() + TIMEOUT_MS;
      for (const key of KEYS) {
        // By the clock of the key's own group.
        const run = transactions.run({ keys: [], deadlineMs: soon() }, (view) =>
          view.put(key, Buffer.from('x'), NEVER),
        );
        await simulation.runToEnd(run);
        const t = await simulation.runToEnd(transactions.begin({ isolation: 'serializable', deadlineMs: soon() }));
        const rows = simulation.runToEnd(rowsOf(t, all.start, all.end, false));
        assert.ok(
          (await rows).some((row) => row === shown(hex(key), 'x')),
          'it sees what was acknowledged',
        );
        t.put(key, Buffer.from('y'), NEVER);
        await simulation.runToEnd(t.commit(soon()));
      }
    }
  });

  /** Two transactions read what the other one writes. @returns how many of them were committed */
  const race = async (isolation: TransactionIsolation, isRange: boolean): Promise<number> => {
    const { simulation, nodes } = await startSkewedCluster(7, { dataGroups: 3 });
    const all = { start: PLACES[0]!, end: PLACES.at(-1)!, limit: 100 };
    const both = [KEYS[0]!, KEYS[NAMES]!].map(async (key, at) => {
      const { machine, process } = nodes[at]!;
      const soon = (): number => machine.clock.monotonicMs() + TIMEOUT_MS;
      const t = await process!.node.transactions.begin({ isolation, deadlineMs: soon() });
      const isFree = isRange
        ? (await rowsOf(t, all.start, all.end, false)).length === 0
        : (await Promise.all([KEYS[0]!, KEYS[NAMES]!].map((one) => t.get(one)))).every((one) => one === undefined);
      assert.ok(isFree);
      // Both have read before either writes.
      await simulation.delay(500, 'think');
      await t.put(key, Buffer.from('taken'), NEVER);
      return t.commit(soon());
    });
    const outcomes = await simulation.runToEnd(Promise.allSettled(both), 60_000);
    return outcomes.filter(({ status }) => status === 'fulfilled').length;
  };

  for (const isRange of [false, true]) {
    const what = isRange ? 'ranges' : 'keys';
    test(`do not commit when two of them read ${what} that the other writes, unless they asked for snapshot isolation only`, async () => {
      assert.ok((await race('serializable', isRange)) <= 1);
      assert.equal(await race('snapshot', isRange), 2);
    });
  }
});
