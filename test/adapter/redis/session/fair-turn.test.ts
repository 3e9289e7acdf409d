/** A client whose commands take long leaves the event loop to others between them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CommandSpec, defineCommands } from '../../../../src/adapter/redis/command/command.ts';
import { ALL_COMMANDS } from '../../../../src/adapter/redis/commands/index.ts';
import { FairTurn } from '../../../../src/adapter/redis/session/fair-turn.ts';
import { SystemClock, SystemScheduler } from '../../../../src/platform/index.ts';
import { request, testServers } from '../harness.ts';

/** More processor time than a client may take in one turn, in milliseconds. */
const BUSY_MS = 12;
const CALLS = 6;

const servers = testServers();

test('commands that arrive together and take long are run in several turns, in their order', async () => {
  const clock = new SystemClock();
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
      run: (_session, args) => {
        turns.push(turn);
        const untilMs = clock.processorMs() + BUSY_MS;
        while (clock.processorMs() < untilMs);
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

interface Bed {
  readonly turn: FairTurn;
  /** Callbacks of the next turn. */
  readonly ends: (() => void)[];
  /** How often what is left was to be taken. */
  left(): number;
  /** Takes commands that have come in one piece, each of which takes so long. */
  piece(commands: number, tookMs?: number, spentMs?: number): void;
}

function bed(): Bed {
  const ends: (() => void)[] = [];
  let left = 0;
  let [nowMs, processorMs] = [0, 0];
  const scheduler = new SystemScheduler();
  scheduler.nextTurn = (callback) => void ends.push(callback);
  const clock = { monotonicMs: () => nowMs, nowMs: () => nowMs, processorMs: () => processorMs };
  const turn = new FairTurn({ scheduler, clock }, () => left++);
  const piece = (commands: number, tookMs = 0.05, spentMs = tookMs): void => {
    turn.begin();
    for (let at = 0; at < commands && !turn.isOver; at++) {
      nowMs += tookMs;
      processorMs += spentMs;
      turn.took(nowMs);
    }
  };
  return { turn, ends, left: () => left, piece };
}

test('what is read in many pieces in one turn is one turn, and the next turn begins anew', () => {
  const { turn, ends, left, piece } = bed();
  // Four milliseconds each, beyond twenty together.
  for (let nth = 0; nth < 6; nth++) piece(80);
  assert.equal(turn.isOver, true);
  assert.equal(ends.length, 1);
  ends.shift()!();
  assert.deepEqual([turn.isOver, left()], [false, 1]);
  for (let nth = 0; nth < 4; nth++) piece(80);
  assert.equal(turn.isOver, false);
  ends.shift()!();
  for (let nth = 0; nth < 4; nth++) piece(80);
  assert.equal(turn.isOver, false);
  // A few in a turn cost nobody a callback.
  ends.shift()!();
  for (let nth = 0; nth < 1_000; nth++) piece(1);
  assert.deepEqual([turn.isOver, left(), ends.length], [false, 1, 0]);
});

test('time in which the machine had others to serve ends no turn', () => {
  const { turn, ends, piece } = bed();
  for (let nth = 0; nth < 20; nth++) piece(3, 15, 0.05);
  assert.equal(turn.isOver, false);
  piece(3, 15, 15);
  piece(3, 15, 15);
  assert.equal(turn.isOver, true);
  assert.equal(ends.length, 1);
});
