/** A client whose commands take long leaves the event loop to others between them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CommandSpec, defineCommands } from '../../../../src/adapter/redis/command/command.ts';
import { ALL_COMMANDS } from '../../../../src/adapter/redis/commands/index.ts';
import { FairTurn } from '../../../../src/adapter/redis/session/fair-turn.ts';
import { SystemScheduler } from '../../../../src/platform/index.ts';
import { request, testServers } from '../harness.ts';

/** More than a client may take in one turn, in milliseconds. */
const BUSY_MS = 12;
const CALLS = 6;

const servers = testServers();

test('commands that arrive together and take long are run in several turns, in their order', async () => {
  let turn = 0;
  const turns: number[] = [];
  const busy: CommandSpec = {
    name: 'busy',
    arity: 2,
    flags: [],
    group: 'connection',
    since: '1.0.0',
    summary: 'Takes a while.',
    handler: {
      kind: 'connection',
      run: (session, args) => {
        turns.push(turn);
        const untilMs = session.server.clock.monotonicMs() + BUSY_MS;
        while (session.server.clock.monotonicMs() < untilMs);
        return Number(args[1]);
      },
    },
  };
  const server = await servers.start({ commands: [...ALL_COMMANDS, ...defineCommands([busy])] });
  const client = await server.connect();
  let isOver = false;
  const count = (): void => {
    turn++;
    if (!isOver) setImmediate(count);
  };
  count();
  client.send(Buffer.concat(Array.from({ length: CALLS }, (_, at) => request('BUSY', String(at)))));
  const replies = await client.readMany(CALLS);
  isOver = true;
  assert.deepEqual(
    replies,
    Array.from({ length: CALLS }, (_, at) => at),
  );
  assert.ok(new Set(turns).size > 1, `the commands ran in the turns ${turns}`);
});

test('what is read in many pieces in one turn is one turn, and the next turn begins anew', () => {
  const ends: (() => void)[] = [];
  let left = 0;
  const scheduler = new SystemScheduler();
  scheduler.nextTurn = (callback) => void ends.push(callback);
  const turn = new FairTurn({ scheduler }, () => left++);
  let nowMs = 0;
  const piece = (commands: number): void => {
    turn.begin();
    for (let at = 0; at < commands && !turn.isOver; at++) {
      nowMs += 0.05;
      turn.took(nowMs);
    }
  };
  // Four milliseconds each, beyond ten together.
  for (let nth = 0; nth < 3; nth++) piece(80);
  assert.equal(turn.isOver, true);
  assert.equal(ends.length, 1);
  ends.shift()!();
  assert.deepEqual([turn.isOver, left], [false, 1]);
  for (let nth = 0; nth < 2; nth++) piece(80);
  assert.equal(turn.isOver, false);
  ends.shift()!();
  for (let nth = 0; nth < 2; nth++) piece(80);
  assert.equal(turn.isOver, false);
  // A few in a turn cost nobody a callback.
  ends.shift()!();
  for (let nth = 0; nth < 1_000; nth++) piece(1);
  assert.deepEqual([turn.isOver, left, ends.length], [false, 1, 0]);
});
