/** A command that waits, from its client's side, at groups that cannot keep it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CommandTable } from '../../../../src/adapter/redis/command/command-table.ts';
import { ALL_COMMANDS } from '../../../../src/adapter/redis/commands/index.ts';
import { NIL_ARRAY, type Reply } from '../../../../src/adapter/redis/protocol/index.ts';
import { alone } from '../../../../src/adapter/redis/request/cross-group.ts';
import { CommandRequest } from '../../../../src/adapter/redis/request/group-request.ts';
import { WaitingCall, type WaitingCallEnvironment } from '../../../../src/adapter/redis/waiting/waiting-call.ts';
import {
  decodeWaitMessage,
  encodeWaitAnswer,
  type WaitAnswer,
} from '../../../../src/adapter/redis/waiting/waiting-messages.ts';
import { RangeBusyError } from '../../../../src/kv/contract/errors.ts';
import { type GroupId, groupId, nodeId, SeededRandom } from '../../../../src/platform/index.ts';
import { VirtualTime } from '../../../support/virtual-time.ts';

const table = new CommandTable(ALL_COMMANDS);
const MOVED_MS = 1_000;
/** As many as pauses of 5 to 100 ms leave room for, and some. */
const MAX_BEGINS = 60;

for (const [what, groups] of [
  ['one group', 1],
  ['several groups', 2],
] as const) {
  test(`a command whose time is over goes on without haste until it was looked at, in ${what}`, async () => {
    const time = new VirtualTime();
    const startMs = time.monotonicMs();
    let begins = 0;
    const answerTo = (payload: Buffer): WaitAnswer => {
      const message = decodeWaitMessage(payload);
      if (message.kind === 'end') return { kind: 'ended' };
      begins++;
      assert.ok(begins < MAX_BEGINS, 'the groups are asked again and again');
      if (time.monotonicMs() - startMs < MOVED_MS)
        return { kind: 'returned', error: new RangeBusyError('the range is being handed over') };
      return message.kind === 'begin' && message.terms.mode === 'try'
        ? { kind: 'nothing' }
        : { kind: 'waiting', args: undefined };
    };
    const groupOf = (key: Buffer): GroupId => groupId(2 + (key.at(-1)! % groups));
    const kv = {
      nodeId: nodeId(1),
      groupOf,
      stretchAt: (key: Buffer) => ({ group: groupOf(key), end: Buffer.concat([key, Buffer.alloc(1)]) }),
      dataGroups: () => [groupId(2), groupId(3)],
      forward: (...[, , payload, , done]: Parameters<WaitingCallEnvironment['kv']['forward']>) => {
        if (decodeWaitMessage(payload).kind !== 'ask') done(undefined, encodeWaitAnswer(answerTo(payload)));
      },
    } as unknown as WaitingCallEnvironment['kv'];
    const settings = { random: new SeededRandom(1), maxStringBytes: 1024 };
    const environment: WaitingCallEnvironment = {
      kv,
      clock: time,
      scheduler: time,
      random: new SeededRandom(1),
      commandTimeoutMs: 5_000,
      nextWaiter: () => ({ node: nodeId(1), life: Buffer.alloc(8), serial: 1 }),
      requestOf: (args) => {
        const { spec } = table.resolve(args)!;
        return new CommandRequest({ resp: 2, settings, owner: alone(), token: 0, spec, args, db: 0 });
      },
      runAcross: () => Promise.reject(new Error('nobody runs across')),
    };
    const args = ['BLPOP', 'a', 'b', '0.01'].map((word) => Buffer.from(word));
    let reply: Reply | undefined;
    let failure: unknown;
    new WaitingCall(environment, args, 10, NIL_ARRAY).run().then(
      (value) => {
        reply = value;
      },
      (error: unknown) => {
        failure = error;
      },
    );
    await time.until('it is answered', () => reply !== undefined || failure !== undefined, 10_000);
    assert.equal(failure, undefined);
    assert.equal(reply, NIL_ARRAY);
    assert.ok(time.monotonicMs() - startMs >= MOVED_MS, 'it was answered before anybody had looked');
  });
}
