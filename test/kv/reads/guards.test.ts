/** What a replica asks of a leader, and what a snapshot does about groups that it did not ask, guard by guard. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ClosedNotice, ReadAtReply, ReadAtRequest } from '../../../src/kv/contract/reads.ts';
import { type ForwardHandler, type KvService, wholeAnswer } from '../../../src/kv/contract/service.ts';
import { GroupRouter } from '../../../src/kv/forward/group-router.ts';
import type { GroupExecutor } from '../../../src/kv/leader/executor.ts';
import {
  decodeReadAnswer,
  decodeReadQuestion,
  encodeReadAnswer,
  encodeReadQuestion,
  type ReadQuestion,
} from '../../../src/kv/reads/leader-endpoint.ts';
import { type IndexedGroup, ReadIndexClient, serveReadIndex } from '../../../src/kv/reads/read-index.ts';
import { type SnapshotOptions, SnapshotReader } from '../../../src/kv/reads/snapshot.ts';
import {
  ElapsedClock,
  type GroupId,
  groupId,
  type HlcTimestamp,
  hlcTimestamp,
  SeededRandom,
} from '../../../src/platform/index.ts';
import { BusyError } from '../../../src/raftengine/errors.ts';
import { bytes, GROUP } from '../../support/lone-group.ts';
import { ManualClock, ManualScheduler } from '../../support/manual-time.ts';
import { ts } from '../span-machine.ts';

/** A replica's questions and a leader's answers, on one bench. */
function asking() {
  const clock = new ManualClock();
  const scheduler = new ManualScheduler(clock);
  const notices: { readonly notice: ClosedNotice; readonly heardMs: number }[] = [];
  const answers: ((error?: Error) => void)[] = [];
  let handler: ForwardHandler | undefined;
  let drawn = 100;
  const read: HlcTimestamp[] = [];
  const group = {
    mayClose: true,
    executor: {
      clock: { observeForeign: () => undefined, maxLeadMs: 0 },
      draw: (_count: number, done: (error: Error | undefined, last: HlcTimestamp) => void) =>
        done(undefined, ts(drawn++)),
      txns: {
        read: async ({ readTs }: { readTs: HlcTimestamp }) => {
          read.push(readTs);
          return [];
        },
      },
    } as unknown as GroupExecutor,
    closer: { mayClose: () => group.mayClose },
    term: () => 3,
    appliedIndex: () => 17,
  };
  const onForward = (_service: string, given: ForwardHandler): void => {
    handler = given;
  };
  serveReadIndex({ onForward }, () => group as IndexedGroup);
  const client = new ReadIndexClient({
    kv: {
      forward: (_group, _service, payload, _deadlineMs, done) => {
        const answered: Parameters<ForwardHandler>[1] = (error, reply) => done(error, reply && wholeAnswer(reply));
        answers.push((error) => (error === undefined ? handler!(payload, answered) : done(error, undefined)));
      },
    },
    claims: { accept: (notice, heardMs) => notices.push({ notice, heardMs }) },
    elapsed: new ElapsedClock(clock),
    scheduler,
  });
  const settle = async (): Promise<void> => {
    scheduler.endTurn();
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  };
  return { clock, client, group, notices, answers, read, settle };
}

describe('a replica that asks how far it has to have come', () => {
  test('is told a timestamp that nothing is committed below, and what it has to have applied', async () => {
    const { clock, client, notices, answers, read, settle } = asking();
    clock.advance(50);
    const asked = client.ask(GROUP, ts(0), 1000);
    await settle();
    clock.advance(7);
    answers.shift()!();
    await asked;
    assert.deepEqual(read, [ts(100)], 'the leader looks at its own state at that timestamp first');
    const [{ notice, heardMs }] = notices as [(typeof notices)[0]];
    assert.deepEqual(notice, { group: GROUP, term: 3, closedTs: ts(100), appliedIndex: 17, ageMs: 0 });
    assert.equal(heardMs, clock.monotonicMs() - 7, 'what was acknowledged before the question left is in it');
  });

  test('asks once for all who were there, and again for those who came when the question had left', async () => {
    const { client, answers, settle } = asking();
    const first = [client.ask(GROUP, ts(0), 1000), client.ask(GROUP, ts(0), 1000)];
    await settle();
    assert.equal(answers.length, 1);
    const late = [client.ask(GROUP, ts(0), 1000), client.ask(GROUP, ts(0), 1000)];
    await settle();
    assert.equal(answers.length, 1, 'one question of a group is under way');
    answers.shift()!();
    await Promise.all(first);
    await settle();
    assert.equal(answers.length, 1, 'what left before they asked does not serve them');
    answers.shift()!();
    await Promise.all(late);
    assert.equal(client.rounds, 2);
  });

  test('is told nothing while an entry whose outcome nobody knows may still come below', async () => {
    const { client, group, notices, answers, settle } = asking();
    group.mayClose = false;
    const asked = client.ask(GROUP, ts(0), 1000);
    await settle();
    answers.shift()!();
    await assert.rejects(asked, BusyError);
    assert.deepEqual(notices, []);
  });
});

const OTHER: GroupId = groupId(GROUP + 1);
const BORDER = bytes('m');

/** Two groups of which the directory may know only one. */
function reading() {
  const clock = new ManualClock();
  const scheduler = new ManualScheduler(clock);
  const drawn = new Map<GroupId, number>([
    [GROUP, 200],
    [OTHER, 300],
  ]);
  const asked: GroupId[] = [];
  const silent = new Set<GroupId>();
  let known: readonly GroupId[] = [GROUP];
  const coveredMs = new Map<GroupId, number>();
  const kv = {
    groupOf: (key: Buffer) => (Buffer.compare(key, BORDER) < 0 ? GROUP : OTHER),
    stretchAt: (key: Buffer) =>
      Buffer.compare(key, BORDER) < 0 ? { group: GROUP, end: BORDER } : { group: OTHER, end: undefined },
    dataGroups: () => known,
  } as unknown as KvService;
  const snapshots = new SnapshotReader({
    reader: {
      readAt: async (request: ReadAtRequest): Promise<ReadAtReply> => {
        const { group } = request;
        const at = (request.consistency as { ts: HlcTimestamp }).ts;
        const covered = coveredMs.get(group);
        const keys = 'keys' in request ? request.keys : [];
        return {
          values: keys.map(() => ({ value: bytes(String(at)), commitTs: at, expireTs: ts(0) })),
          page: undefined,
          servedTs: at,
          stalenessMs: covered === undefined ? undefined : clock.monotonicMs() - covered,
          token: '',
          isReplica: true,
        };
      },
    },
    askLeader: async ({ group }) => {
      asked.push(group);
      if (silent.has(group)) throw new BusyError('silent');
      return { servedTs: ts(drawn.get(group)!), ageMs: 0, values: [], page: undefined };
    },
    claims: { of: () => undefined },
    router: new GroupRouter({ kv, clock, scheduler, random: new SeededRandom(1) }),
    kv,
    oracleTs: async (after) => hlcTimestamp(after + 1n),
    clock,
    elapsed: new ElapsedClock(clock),
    cluster: () => 7n,
  });
  const begin = (options: Partial<SnapshotOptions> = {}) =>
    snapshots.begin({ consistency: { kind: 'linearizable' }, deadlineMs: 10_000, ...options });
  return {
    clock,
    drawn,
    asked,
    silent,
    coveredMs,
    begin,
    learn: () => {
      known = [GROUP, OTHER];
    },
  };
}

describe('a snapshot', () => {
  test('is above what every group and the oracle have given out', async () => {
    const { begin, learn, asked } = reading();
    learn();
    assert.equal((await begin()).ts, ts(300) + 1n);
    assert.deepEqual(asked.sort(), [GROUP, OTHER]);
  });

  test('begins again when it meets a group that was not asked, as long as nothing was handed out', async () => {
    const { begin, asked } = reading();
    const snapshot = await begin();
    assert.equal(snapshot.ts, ts(200) + 1n);
    await snapshot.get([bytes('z')], 10_000);
    assert.equal(snapshot.ts, ts(300) + 1n, 'it is above what that group had acknowledged');
    assert.deepEqual(asked, [GROUP, OTHER, GROUP]);
  });

  test('gives up when it meets one after an answer, or when its timestamp was told', async () => {
    const { begin } = reading();
    const snapshot = await begin();
    await snapshot.get([bytes('a')], 10_000);
    await assert.rejects(snapshot.get([bytes('z')], 10_000), { code: 'SNAPSHOT_UNCOVERED', disposition: 'restart' });
    await assert.rejects((await begin({ isFixed: true })).get([bytes('z')], 10_000), { code: 'SNAPSHOT_UNCOVERED' });
  });

  test('goes on with a group that was not asked when the answer says that it is young enough', async () => {
    const { begin, coveredMs, clock } = reading();
    const snapshot = await begin();
    coveredMs.set(OTHER, clock.monotonicMs());
    clock.advance(5);
    await snapshot.get([bytes('a')], 10_000);
    await snapshot.get([bytes('z')], 10_000);
    assert.equal(snapshot.stalenessMs, 5);
  });

  test('does not wait for a silent group that it does not need, and asks it again only after a while', async () => {
    const { begin, learn, silent, asked, clock } = reading();
    learn();
    silent.add(OTHER);
    const snapshot = await begin();
    await snapshot.get([bytes('a')], 10_000);
    await begin();
    assert.equal(asked.filter((group) => group === OTHER).length, 1);
    clock.advance(3_000);
    silent.clear();
    assert.equal((await begin()).ts, ts(300) + 1n);
  });

  test('fails when nobody answers at all', async () => {
    const { begin, silent } = reading();
    silent.add(GROUP);
    await assert.rejects(begin(), BusyError);
  });
});

describe('questions at a timestamp', () => {
  test('are read as they were written, and so are their answers', () => {
    const range = { start: bytes('a'), end: bytes('b'), limit: 7, keysOnly: true, reverse: false };
    const questions: ReadQuestion[] = [
      { group: GROUP, moment: { kind: 'now', ts: ts(0) }, body: { kind: 'nothing' } },
      { group: GROUP, moment: { kind: 'at', ts: ts(9) }, body: { kind: 'keys', keys: [bytes(''), bytes('k')] } },
      { group: GROUP, moment: { kind: 'session', ts: ts(8) }, body: { kind: 'range', range } },
      { group: GROUP, moment: { kind: 'at', ts: ts(8) }, body: { kind: 'range', range: { ...range, maxBytes: 9 } } },
    ];
    for (const question of questions) assert.deepEqual(decodeReadQuestion(encodeReadQuestion(question)), question);
    const values = [undefined, { value: bytes('v'), commitTs: ts(3), expireTs: ts(0) }];
    for (const ageMs of [undefined, 0, 12]) {
      const answer = { servedTs: ts(4), ageMs, values, page: undefined };
      assert.deepEqual(decodeReadAnswer(encodeReadAnswer(answer), false), answer);
    }
    const page = { rows: [], next: bytes('n'), readTs: ts(4) };
    const answer = { servedTs: ts(4), ageMs: 1, values: [], page };
    assert.deepEqual(decodeReadAnswer(encodeReadAnswer(answer), true), answer);
    assert.throws(() => decodeReadQuestion(bytes('nonsense')));
  });
});
