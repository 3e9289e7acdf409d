import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { OracleClient, type OracleTimestamp } from '../../../src/kv/oracle/client.ts';
import type { Grant } from '../../../src/kv/oracle/codec.ts';
import { OracleDisabledError } from '../../../src/kv/oracle/errors.ts';
import { OracleShadow } from '../../../src/kv/oracle/shadow.ts';
import { FIRST_AUTHORITY } from '../../../src/kv/time/authority.ts';
import { groupId, type HlcTimestamp, hlcTimestamp } from '../../../src/platform/index.ts';
import { BusyError } from '../../../src/raftengine/errors.ts';
import { ManualClock, ManualScheduler } from '../../support/manual-time.ts';

const ts = (value: number): HlcTimestamp => hlcTimestamp(BigInt(value));

interface Request {
  readonly group: number;
  readonly count: number;
  readonly after: HlcTimestamp;
  readonly done: (error: Error | undefined, grant: Grant | undefined) => void;
}

/** An oracle that answers when it is told to. */
class FakeChannel {
  readonly requests: Request[] = [];
  next = 100;
  /** Largest timestamp granted by any request so far. */
  granted = 0;

  get(message: { group: number; count: number; after: HlcTimestamp }, done: Request['done']): void {
    this.requests.push({ group: message.group, count: message.count, after: message.after, done });
  }

  answer(request = this.requests.shift()!): void {
    this.next = Math.max(this.next, Number(request.after)) + request.count;
    this.granted = this.next;
    request.done(undefined, { kind: 'granted', last: ts(this.next), epoch: 3 });
  }
}

function bed(limits: { maxInflight?: number; maxBatch?: number; maxWaiting?: number } = {}, localTs = () => ts(1)) {
  const scheduler = new ManualScheduler(new ManualClock());
  const channel = new FakeChannel();
  const client = new OracleClient({ channel, scheduler, localTs, limits });
  const answers: { ts: number; error: Error | undefined }[] = [];
  const ask = (after = 0): number => {
    const at = answers.length;
    answers.push({ ts: 0, error: undefined });
    client.request(ts(after), (error, granted: OracleTimestamp | undefined) => {
      answers[at] = { ts: Number(granted?.ts ?? 0n), error };
    });
    return at;
  };
  return { scheduler, channel, client, answers, ask };
}

describe('the client of the oracle', () => {
  test('sends one request for all who ask in one turn, and serves them in order', () => {
    const { ask, scheduler, channel, answers } = bed();
    for (let count = 0; count < 5; count++) ask();
    ask(500);
    scheduler.endTurn();
    assert.equal(channel.requests.length, 1);
    assert.equal(channel.requests[0]!.count, 6);
    assert.equal(channel.requests[0]!.after, 500n);
    channel.answer();
    assert.deepEqual(
      answers.map((answer) => answer.ts),
      [501, 502, 503, 504, 505, 506],
    );
  });

  test('never serves somebody from a request that had left before he asked', () => {
    const event = fc.oneof(
      { weight: 6, arbitrary: fc.record({ kind: fc.constant('ask' as const), after: fc.nat(2000) }) },
      { weight: 4, arbitrary: fc.record({ kind: fc.constant('endTurn' as const), after: fc.constant(0) }) },
      { weight: 4, arbitrary: fc.record({ kind: fc.constant('grant' as const), after: fc.nat(3) }) },
      { weight: 4, arbitrary: fc.record({ kind: fc.constant('deliver' as const), after: fc.nat(3) }) },
      // Somebody else, on another node, is served and acknowledged at once.
      { weight: 4, arbitrary: fc.record({ kind: fc.constant('elsewhere' as const), after: fc.constant(0) }) },
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 100 }), fc.integer({ min: 1, max: 4 }), (events, maxInflight) => {
        const { ask, scheduler, channel, answers } = bed({ maxInflight, maxBatch: 3 });
        /** Requests that the oracle has drawn for, whose answers are on their way. */
        const drawn: { request: Request; last: number }[] = [];
        /** What was the largest acknowledged timestamp when each caller asked. */
        const floors: number[] = [];
        let acknowledged = 0;
        const deliver = (at: number): void => {
          const [{ request, last } = { request: undefined, last: 0 }] = drawn.splice(at % Math.max(1, drawn.length), 1);
          request?.done(undefined, { kind: 'granted', last: ts(last), epoch: 0 });
          for (const { ts: answered } of answers) acknowledged = Math.max(acknowledged, answered);
        };
        const grant = (at: number): void => {
          const [request] = channel.requests.splice(at % Math.max(1, channel.requests.length), 1);
          if (request === undefined) return;
          channel.next = Math.max(channel.next, Number(request.after)) + request.count;
          drawn.push({ request, last: channel.next });
        };
        for (const { kind, after } of events) {
          if (kind === 'ask') {
            floors.push(Math.max(acknowledged, after));
            ask(after);
          } else if (kind === 'endTurn') scheduler.endTurn();
          else if (kind === 'grant') grant(after);
          else if (kind === 'deliver') deliver(after);
          else acknowledged = ++channel.next;
        }
        for (let round = 0; round < 200; round++) {
          scheduler.endTurn();
          grant(0);
          deliver(0);
        }
        const seen = new Set<number>();
        for (const [at, answer] of answers.entries()) {
          assert.ok(answer.ts > floors[at]!, `caller ${at} got ${answer.ts}, ${floors[at]} was acknowledged before`);
          assert.ok(!seen.has(answer.ts), 'no timestamp is given twice');
          seen.add(answer.ts);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('follows the authority from group to group, and gives up after a while', () => {
    const { ask, scheduler, channel, answers } = bed();
    ask();
    scheduler.endTurn();
    const moved = { mode: 'tso' as const, epoch: 4, oracle: groupId(7), isOpen: false };
    channel.requests.shift()!.done(undefined, { kind: 'refused', authority: moved });
    assert.equal(channel.requests[0]!.group, 7, 'at once, since it is news');
    channel.requests.shift()!.done(undefined, { kind: 'refused', authority: moved });
    assert.equal(channel.requests.length, 0, 'then after a while: it is being opened');
    scheduler.advance(50);
    channel.answer();
    assert.ok(answers[0]!.ts > 0);
    ask();
    scheduler.endTurn();
    for (let redirects = 0; answers[1]!.error === undefined && redirects < 200; redirects++) {
      channel.requests.shift()?.done(undefined, { kind: 'refused', authority: moved });
      scheduler.advance(50);
    }
    assert.equal((answers[1]!.error as { code?: string } | undefined)?.code, 'ORACLE_UNAVAILABLE');
    ask();
    scheduler.endTurn();
    channel.requests.shift()!.done(undefined, { kind: 'refused', authority: FIRST_AUTHORITY });
    scheduler.advance(50);
    assert.equal(channel.requests[0]!.group, 7, 'a group that knows less is not believed');
  });

  test('refuses when the cluster has no oracle, and notices when it has one again', () => {
    const { ask, scheduler, channel, answers } = bed();
    const local = { mode: 'local' as const, epoch: 5, oracle: groupId(0), isOpen: true };
    ask();
    scheduler.endTurn();
    channel.requests.shift()!.done(undefined, { kind: 'refused', authority: local });
    assert.ok(answers[0]!.error instanceof OracleDisabledError);
    ask();
    scheduler.endTurn();
    const open = { mode: 'bridge' as const, epoch: 9, oracle: groupId(2), isOpen: true };
    channel.requests.shift()!.done(undefined, { kind: 'refused', authority: open });
    assert.equal(channel.requests[0]!.group, 2);
    channel.answer();
    assert.ok(answers[1]!.ts > 0);
  });

  test('passes failures on to those who were in the request, and bounds who may wait', () => {
    const { ask, scheduler, channel, answers } = bed({ maxInflight: 1, maxWaiting: 2 });
    ask();
    scheduler.endTurn();
    ask();
    ask();
    ask();
    assert.ok(answers[3]!.error instanceof BusyError);
    channel.requests.shift()!.done(new Error('gone'), undefined);
    assert.equal(answers[0]!.error?.message, 'gone');
    scheduler.endTurn();
    channel.answer();
    assert.ok(answers[1]!.ts > 0 && answers[2]!.ts > 0);
  });

  test('counts what lies below its own time, and inverted pairs', () => {
    const { ask, scheduler, channel, client } = bed({}, () => ts(150));
    ask();
    scheduler.endTurn();
    channel.answer();
    assert.equal(client.stats().belowLocal, 1);
    channel.next = 400;
    ask();
    scheduler.endTurn();
    channel.answer();
    assert.equal(client.stats().belowLocal, 1);
    assert.equal(client.stats().inversions, 0);
    channel.next = 200;
    ask();
    scheduler.endTurn();
    channel.answer();
    assert.equal(client.stats().inversions, 1);
  });
});

describe('the shadow of an oracle', () => {
  test('measures a group that nobody uses yet, one question at a time', () => {
    const scheduler = new ManualScheduler(new ManualClock());
    const channel = new FakeChannel();
    let group: number | undefined;
    const shadow = new OracleShadow({
      channel,
      scheduler,
      localTs: () => hlcTimestamp(200n << 16n),
      group: () => (group === undefined ? undefined : groupId(group)),
      periodMs: 10,
    });
    shadow.start();
    scheduler.advance(50);
    assert.equal(channel.requests.length, 0);
    group = 4;
    scheduler.advance(50);
    assert.equal(channel.requests.length, 1);
    const grant = (ms: bigint): void =>
      channel.requests.shift()!.done(undefined, { kind: 'granted', last: hlcTimestamp(ms << 16n), epoch: 0 });
    grant(150n);
    scheduler.advance(10);
    grant(300n);
    scheduler.advance(10);
    grant(290n);
    scheduler.advance(10);
    channel.requests.shift()!.done(new Error('gone'), undefined);
    shadow.stop();
    assert.deepEqual(shadow.stats(), { samples: 3, failures: 1, belowLocal: 1, maxBehindMs: 50, inversions: 1 });
    scheduler.advance(50);
    assert.equal(channel.requests.length, 0);
  });
});
