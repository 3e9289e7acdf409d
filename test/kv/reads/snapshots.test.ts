/**
 * Reads of several groups as of one moment, on whole nodes whose wall clocks are ten seconds apart, while money is carried
 * between groups, ranges move and are cut, and leaders are lost.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { KEYSPACES } from '../../../src/adapter/redis/keys/keyspace.ts';
import type { Consistency } from '../../../src/kv/contract/reads.ts';
import type { LiveValue } from '../../../src/kv/contract/view.ts';
import type { ReadSnapshot } from '../../../src/kv/reads/snapshot.ts';
import { encodeToken } from '../../../src/kv/reads/token.ts';
import { type GroupId, type HlcTimestamp, KvorumError } from '../../../src/platform/index.ts';
import type { ClusterNode } from '../../sim/cluster/cluster-node.ts';
import { startSkewedCluster } from '../../sim/cluster/skewed-cluster.ts';

const ACCOUNTS = 24;
const FIRST_BALANCE = 100;
const FOREVER = 0n as HlcTimestamp;
const SPACE = KEYSPACES[0]!;
const RANGE = SPACE.wholeDb();
const KEYS = Array.from({ length: ACCOUNTS }, (_, at) => SPACE.storageKey(Buffer.from(`account-${at}`)));

/** What is in an account: its balance, and how often it was written. */
const encode = (balance: number, writes: number): Buffer => Buffer.from(`${balance} ${writes}`);
const decode = ({ value }: { readonly value: Buffer }): readonly [balance: number, writes: number] => {
  const [balance, writes] = value.toString().split(' ').map(Number);
  return [balance!, writes!];
};

interface Acknowledged {
  readonly atMs: number;
  readonly writes: number;
}

/** A bank over all groups that carries money about until it is closed. */
async function openBank(seed: number, { carriers }: { readonly carriers: number }) {
  const cluster = await startSkewedCluster(seed, { retentionMs: 60_000 });
  const { simulation, nodes, random } = cluster;
  const acknowledged = KEYS.map((): Acknowledged[] => []);
  let isOver = false;
  let transfers = 0;
  const someNode = (): ClusterNode | undefined => {
    const up = nodes.filter(({ process }) => process !== undefined);
    return up[random.int(up.length)];
  };
  const deadlineOf = (node: ClusterNode, ms: number): number => node.machine.clock.monotonicMs() + ms;
  const run = <T>(work: Promise<T>): Promise<T> => simulation.runToEnd(work, 120_000);
  const first = nodes[0]!;
  const keys = KEYS;
  await run(
    first.process!.node.transactions.run({ keys, deadlineMs: deadlineOf(first, 60_000) }, (view) => {
      for (const key of KEYS) view.put(key, encode(FIRST_BALANCE, 1), FOREVER);
    }),
  );
  for (const list of acknowledged) list.push({ atMs: simulation.nowMs(), writes: 1 });

  /** Carries an amount between two accounts. @returns the timestamp; undefined when nothing is known to have happened */
  const transfer = async (node: ClusterNode, from: number, to: number): Promise<HlcTimestamp | undefined> => {
    const pair = [KEYS[from]!, KEYS[to]!];
    let written: readonly [number, number] | undefined;
    const work = node.process!.node.transactions.run({ keys: pair, deadlineMs: deadlineOf(node, 5_000) }, (view) => {
      const [have, wrote] = decode(view.get(pair[0]!)!);
      const [has, wroteToo] = decode(view.get(pair[1]!)!);
      view.put(pair[0]!, encode(have - 1, wrote + 1), FOREVER);
      view.put(pair[1]!, encode(has + 1, wroteToo + 1), FOREVER);
      written = [wrote + 1, wroteToo + 1];
    });
    try {
      const { commitTs } = await work;
      transfers++;
      acknowledged[from]!.push({ atMs: simulation.nowMs(), writes: written![0] });
      acknowledged[to]!.push({ atMs: simulation.nowMs(), writes: written![1] });
      return commitTs;
    } catch (error) {
      assert.ok(error instanceof KvorumError, String(error));
      return undefined;
    }
  };
  const carry = async (): Promise<void> => {
    const node = someNode();
    const from = random.int(ACCOUNTS);
    const to = (from + 1 + random.int(ACCOUNTS - 1)) % ACCOUNTS;
    if (node !== undefined) await transfer(node, from, to);
    if (!isOver) simulation.schedule(5 + random.next() * 40, 'carry', () => void carry());
  };
  for (let at = 0; at < carriers; at++) void carry();

  /** Judges what was read of all accounts. @param coveredMs simulated time; what was acknowledged before is in it */
  const judge = (found: readonly (LiveValue | undefined)[], coveredMs: number, what: string): void => {
    let total = 0;
    for (const [at, live] of found.entries()) {
      assert.ok(live !== undefined, `${what}: account ${at} is missing`);
      const [balance, writes] = decode(live);
      total += balance;
      const newest = acknowledged[at]!.findLast(({ atMs }) => atMs < coveredMs)?.writes ?? 0;
      assert.ok(writes >= newest, `${what}: account ${at} was written ${newest} times, and ${writes} writes are shown`);
    }
    assert.equal(total, ACCOUNTS * FIRST_BALANCE, `${what}: the total`);
  };

  /** Every account by a scan of the whole space, in the order of `KEYS`. */
  const scanAll = async (
    snapshot: Pick<ReadSnapshot, 'scan'>,
    deadlineMs: number,
    isReverse: boolean,
  ): Promise<(LiveValue | undefined)[]> => {
    const found = new Map<string, LiveValue>();
    let { start, end } = RANGE;
    for (;;) {
      const page = await snapshot.scan({ start, end, limit: 5, reverse: isReverse }, deadlineMs);
      for (const row of page.rows) {
        assert.ok(!found.has(row.key.toString('hex')), 'a key is met once');
        found.set(row.key.toString('hex'), row);
      }
      if (page.next === undefined) break;
      if (isReverse) end = page.next;
      else start = page.next;
    }
    return KEYS.map((key) => found.get(key.toString('hex')));
  };
  const close = async (): Promise<void> => {
    isOver = true;
    await simulation.runFor(2_000);
    assert.ok(transfers > 20, `only ${transfers} transfers`);
  };
  return { ...cluster, run, someNode, deadlineOf, transfer, judge, scanAll, close, isOpen: () => !isOver };
}

type Bank = Awaited<ReturnType<typeof openBank>>;

/** Reads all accounts once, in one of all ways. @returns what it was served by, undefined when nobody could */
async function readOnce(bank: Bank, node: ClusterNode, session: { token: string }): Promise<string | undefined> {
  const { simulation, random, judge, scanAll, deadlineOf } = bank;
  const { reads } = node.process!.node;
  const way = random.int(4);
  const bound = 3_000 + random.int(3_000);
  const consistency: Consistency =
    way === 0
      ? { kind: 'linearizable' }
      : way === 1
        ? { kind: 'bounded', maxStalenessMs: bound }
        : { kind: 'session', token: session.token };
  const deadlineMs = deadlineOf(node, 4_000);
  const beganMs = simulation.nowMs();
  let snapshot: ReadSnapshot;
  let found: readonly (LiveValue | undefined)[];
  const isScan = random.next() < 0.5;
  try {
    snapshot = await reads.snapshot({ consistency, deadlineMs });
    found = isScan ? await scanAll(snapshot, deadlineMs, random.next() < 0.3) : await snapshot.get(KEYS, deadlineMs);
  } catch (error) {
    assert.ok(error instanceof KvorumError, String(error));
    assert.ok(error.disposition !== 'unknown' || error.code === 'OUTCOME_UNKNOWN', error.code);
    return undefined;
  }
  const what = `${consistency.kind} ${isScan ? 'scan' : 'get'} at ${snapshot.ts} on node ${node.id}`;
  const { stalenessMs } = snapshot;
  if (stalenessMs !== undefined) judge(found, simulation.nowMs() - stalenessMs - 1, `${what}, ${stalenessMs} ms old`);
  judge(found, way === 0 ? beganMs : way === 1 ? beganMs - bound - 1 : Number.NEGATIVE_INFINITY, what);
  if (way > 1) session.token = snapshot.token;
  // What was read at a timestamp is what everybody reads there.
  const other = bank.someNode();
  if (other !== undefined && random.next() < 0.3) {
    try {
      const again = await other.process!.node.reads.snapshot({
        consistency: { kind: 'exact', ts: snapshot.ts },
        deadlineMs: deadlineOf(other, 4_000),
      });
      const second = await again.get(KEYS, deadlineOf(other, 4_000));
      assert.deepEqual(second.map(String), found.map(String));
      for (const [at, live] of second.entries()) assert.deepEqual(live!.value, found[at]!.value, what);
    } catch (error) {
      if (!(error instanceof KvorumError)) throw error;
    }
  }
  return consistency.kind;
}

describe('a snapshot of several groups', () => {
  for (const seed of [11]) {
    test(`is whole, as fresh as it says, and the same for everybody, while ranges move and leaders are lost (seed ${seed})`, async () => {
      const bank = await openBank(seed, { carriers: 4 });
      const { simulation, nodes, random, until } = bank;
      const counts = new Map<string, number>();
      let failed = 0;
      const look = async (node: ClusterNode, session: { token: string }): Promise<void> => {
        if (node.process !== undefined) {
          const kind = await readOnce(bank, node, session);
          if (kind === undefined) failed++;
          else counts.set(kind, (counts.get(kind) ?? 0) + 1);
        }
        if (bank.isOpen()) simulation.schedule(20 + random.next() * 80, 'look', () => void look(node, session));
      };
      for (const node of nodes) for (let at = 0; at < 2; at++) void look(node, { token: '' });

      let moves = 0;
      const move = async (): Promise<void> => {
        const node = bank.someNode();
        if (node !== undefined) {
          const { admin, kv } = node.process!.node;
          const key = KEYS[random.int(ACCOUNTS)]!;
          const others = kv.dataGroups().filter((group) => group !== kv.groupOf(key));
          const dst: GroupId = others[random.int(others.length)]!;
          try {
            if (random.next() < 0.5) {
              await admin.split(SPACE.slotRange(key.readUInt16BE(2), 16_384).start, undefined, 10_000);
            }
            await admin.move({ key }, dst, undefined, 10_000);
            moves++;
          } catch (error) {
            if (!(error instanceof KvorumError)) throw error;
          }
        }
        if (bank.isOpen()) simulation.schedule(300 + random.next() * 500, 'move', () => void move());
      };
      void move();

      await simulation.runFor(3_500);
      const victim = nodes[random.int(nodes.length)]!;
      victim.crash(false);
      await simulation.runFor(1_000);
      victim.start();
      await until('it is back', () => victim.process !== undefined);
      await simulation.runFor(2_000);
      await bank.close();
      const facts = JSON.stringify({ ...Object.fromEntries(counts), failed, moves });
      for (const kind of ['linearizable', 'bounded', 'session']) assert.ok((counts.get(kind) ?? 0) > 10, facts);
      assert.ok(moves > 1, facts);
      assert.ok(failed < [...counts.values()].reduce((sum, count) => sum + count, 0), facts);
    });
  }

  test('shows what was acknowledged just before, also where a lagging group has it as a lock only', async () => {
    const bank = await openBank(13, { carriers: 0 });
    const { nodes, run, random, deadlineOf, simulation, transfer, scanAll } = bank;
    const leaderOf = (key: Buffer): ClusterNode =>
      nodes.find(({ process }) => process!.node.kv.servesLocally(process!.node.kv.groupOf(key)))!;
    // Transfers are run by the node whose clock is ahead, and read where another leads the group of the larger key: the
    // smaller one is committed when the transfer is acknowledged, the larger one a moment later.
    const [ahead] = nodes;
    const groupOf = (key: Buffer) => ahead!.process!.node.kv.groupOf(key);
    const accounts = KEYS.map((_, at) => at);
    const pairs = accounts.flatMap((from) =>
      accounts
        .filter((to) => Buffer.compare(KEYS[from]!, KEYS[to]!) < 0 && groupOf(KEYS[from]!) !== groupOf(KEYS[to]!))
        .filter((to) => leaderOf(KEYS[to]!) !== ahead)
        .map((to) => [from, to] as const),
    );
    let lagging = 0;
    for (let round = 0; round < 60; round++) {
      // The clock of a group that nobody writes stands still at what it was told, and the oracle's goes on.
      await simulation.runFor(300);
      const [from, to] = pairs[random.int(pairs.length)]!;
      const commitTs = await run(transfer(ahead!, from, to));
      if (commitTs === undefined) continue;
      const key = KEYS[to]!;
      const way = round % 6;
      if (leaderOf(key).process!.node.kv.nowTs() < commitTs) lagging++;
      const reader = way === 1 ? nodes.find((node) => node !== leaderOf(key))! : leaderOf(key);
      const { reads, kv } = reader.process!.node;
      const deadlineMs = deadlineOf(reader, 5_000);
      const group = kv.groupOf(key);
      let seen: HlcTimestamp | undefined;
      if (way < 2) {
        const consistency = { kind: 'linearizable', anyReplica: way === 1 } as const;
        seen = (await run(reads.readAt({ group, keys: [key], consistency, deadlineMs }))).values[0]!.commitTs;
      } else if (way === 2) {
        const page = await run(kv.scan(group, { start: key, end: Buffer.concat([key, Buffer.alloc(1)]), limit: 1 }));
        seen = page.rows[0]!.commitTs;
      } else if (way === 5) {
        // The other group, which knows the commit, is not asked.
        const snapshot = await run(
          reads.snapshot({ consistency: { kind: 'linearizable' }, groups: [group], deadlineMs }),
        );
        seen = (await run(snapshot.get([key], deadlineMs)))[0]!.commitTs;
      } else {
        const token = encodeToken(reads.cluster(), commitTs);
        const consistency = way === 3 ? ({ kind: 'linearizable' } as const) : ({ kind: 'session', token } as const);
        const snapshot = await run(reads.snapshot({ consistency, deadlineMs }));
        const all = await run(scanAll(snapshot, deadlineMs, false));
        seen = all[KEYS.indexOf(key)]!.commitTs;
      }
      assert.ok(seen >= commitTs, `read in way ${way}: ${seen} after ${commitTs} was acknowledged`);
    }
    assert.ok(lagging > 30, `${lagging} times a group was behind`);
  });
});
