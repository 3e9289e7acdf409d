/** A client whose commands take long leaves the event loop to others between them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CommandSpec, defineCommands } from '../../../../src/adapter/redis/command/command.ts';
import { ALL_COMMANDS } from '../../../../src/adapter/redis/commands/index.ts';
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
