/** A command in line at a leader that answers what the test says, or nothing. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CommandTable } from '../../../../src/adapter/redis/command/command-table.ts';
import { ALL_COMMANDS } from '../../../../src/adapter/redis/commands/index.ts';
import { alone } from '../../../../src/adapter/redis/request/cross-group.ts';
import { CommandRequest } from '../../../../src/adapter/redis/request/group-request.ts';
import type { WaitingEnvironment } from '../../../../src/adapter/redis/waiting/waiting-environment.ts';
import {
  decodeWaitMessage,
  encodeWaitAnswer,
  type WaitAnswer,
} from '../../../../src/adapter/redis/waiting/waiting-messages.ts';
import { END_MS, WaitingPlace, type WaitOutcome } from '../../../../src/adapter/redis/waiting/waiting-place.ts';
import { LeaderUnavailableError } from '../../../../src/kv/contract/errors.ts';
import { groupId, nodeId, SeededRandom } from '../../../../src/platform/index.ts';
import { NotLeaderError, OutcomeUnknownError } from '../../../../src/raftengine/errors.ts';
import { VirtualTime } from '../../../support/virtual-time.ts';

const table = new CommandTable(ALL_COMMANDS);
const ARGS = ['BLPOP', 'a', '0'].map((word) => Buffer.from(word));

interface Question {
  readonly kind: 'begin' | 'ask' | 'end';
  answer(answer: WaitAnswer): void;
  fail(error: Error): void;
}

class Bed {
  readonly time = new VirtualTime();
  readonly place: WaitingPlace;
  outcome: WaitOutcome | undefined;
  /** Questions that the leader has not answered, oldest first. */
  readonly open: Question[] = [];
  /** All that it was asked. */
  readonly asked: string[] = [];

  constructor() {
    const kv = {
      nodeId: nodeId(1),
      forward: (...[, , payload, , done]: Parameters<WaitingEnvironment['kv']['forward']>) => {
        const { kind } = decodeWaitMessage(payload);
        this.asked.push(kind);
        this.open.push({
          kind,
          answer: (answer) => done(undefined, encodeWaitAnswer(answer)),
          fail: (error) => done(error, undefined),
        });
      },
    } as WaitingEnvironment['kv'];
    const environment: WaitingEnvironment = {
      kv,
      clock: this.time,
      scheduler: this.time,
      random: new SeededRandom(1),
      commandTimeoutMs: 5_000,
      nextWaiter: () => ({ node: nodeId(1), life: Buffer.alloc(8), serial: 1 }),
    };
    this.place = new WaitingPlace(environment, groupId(2));
    this.place.outcome.then((outcome) => {
      this.outcome = outcome;
    });
    const settings = { random: new SeededRandom(1), maxStringBytes: 1024 };
    const { spec } = table.resolve(ARGS)!;
    const request = new CommandRequest({ resp: 2, settings, owner: alone(), token: 0, spec, args: ARGS, db: 0 });
    this.place.begin(request, { mode: 'wait', hasWaited: false, waitedMs: 0, only: undefined });
  }

  take(kind: Question['kind']): Question {
    const at = this.open.findIndex((one) => one.kind === kind);
    assert.notEqual(at, -1, `nobody has said ${kind}`);
    return this.open.splice(at, 1)[0]!;
  }

  async pass(ms: number): Promise<void> {
    await this.time.pass(ms);
    await this.time.step(0);
  }
}

const WAITING: WaitAnswer = { kind: 'waiting', args: undefined };
const REPLY: WaitAnswer = { kind: 'reply', bytes: Buffer.from(':1\r\n') };

describe('a command in line at a leader', () => {
  test('has ended when the leader says so, and not before', async () => {
    const bed = new Bed();
    bed.take('begin').answer(WAITING);
    bed.place.end(false);
    await bed.pass(END_MS / 2);
    assert.equal(bed.outcome, undefined);
    bed.take('end').answer({ kind: 'ended' });
    await bed.pass(1);
    assert.deepEqual(bed.outcome, { kind: 'ended' });
  });

  test('has the reply that was on its way when it was to end', async () => {
    const bed = new Bed();
    bed.take('begin').answer(WAITING);
    bed.place.end(false);
    bed.take('end').answer(REPLY);
    await bed.pass(1);
    assert.equal(bed.outcome?.kind, 'reply');
  });

  test('is not ended before the leader has looked, unless its client has gone', async () => {
    const patient = new Bed();
    patient.place.end(false);
    await patient.pass(100);
    assert.deepEqual(patient.asked, ['begin']);
    patient.take('begin').answer(WAITING);
    assert.deepEqual(patient.asked, ['begin', 'end', 'ask']);
    const gone = new Bed();
    gone.place.end(true);
    assert.deepEqual(gone.asked, ['begin', 'end']);
  });

  test('has an outcome that nobody knows when the leader does not say that it has ended, who is told until he hears it', async () => {
    const bed = new Bed();
    bed.take('begin').answer(WAITING);
    bed.place.end(false);
    await bed.pass(END_MS);
    assert.deepEqual(bed.outcome, { kind: 'unknown' });
    bed.take('end').fail(new OutcomeUnknownError('no answer'));
    await bed.pass(100);
    bed.take('end').answer({ kind: 'ended' });
    await bed.pass(10_000);
    assert.deepEqual(
      bed.open.map(({ kind }) => kind),
      ['ask'],
    );
  });

  test('is asked for again when the connection broke, and nobody knows when another leader has not heard of it', async () => {
    const bed = new Bed();
    bed.take('begin').answer(WAITING);
    bed.take('ask').fail(new OutcomeUnknownError('the connection broke'));
    await bed.pass(100);
    bed.take('ask').answer(WAITING);
    assert.equal(bed.outcome, undefined);
    bed.take('ask').fail(new OutcomeUnknownError('the connection broke'));
    await bed.pass(100);
    bed.take('ask').answer({ kind: 'notKnown' });
    await bed.pass(1);
    assert.deepEqual(bed.outcome, { kind: 'unknown' });
  });

  test('comes back when the group cannot keep it or has no leader, and may go elsewhere', async () => {
    const moved = new Bed();
    moved.take('begin').answer(WAITING);
    moved.take('ask').answer({ kind: 'returned', error: new NotLeaderError(undefined) });
    await moved.pass(1);
    assert.equal(moved.outcome?.kind, 'returned');
    const leaderless = new Bed();
    leaderless.take('begin').fail(new LeaderUnavailableError('no leader'));
    await leaderless.pass(1);
    assert.equal(leaderless.outcome?.kind, 'returned');
  });

  test('is asked for when nobody knows whether it has come', async () => {
    const bed = new Bed();
    bed.take('begin').fail(new OutcomeUnknownError('the connection broke'));
    await bed.pass(100);
    bed.take('ask').answer(REPLY);
    await bed.pass(1);
    assert.equal(bed.outcome?.kind, 'reply');
  });

  test('keeps the arguments with which it goes on', () => {
    const bed = new Bed();
    bed.take('begin').answer({ kind: 'waiting', args: ARGS });
    assert.deepEqual(bed.place.args, ARGS);
    bed.take('ask').answer(WAITING);
    assert.deepEqual(bed.place.args, ARGS);
  });
});
