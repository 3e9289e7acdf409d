import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { ALL_COMMANDS } from '../../../../src/adapter/redis/commands/index.ts';
import { loggedErrors, RawClient, request, startTestServer, type TestServer } from '../harness.ts';

let server: TestServer;
before(async () => {
  server = await startTestServer({
    config: { maxBulkBytes: 1024 * 1024, maxArguments: 10_000, maxCommandBytes: 4 * 1024 * 1024 },
  });
});
after(async () => {
  await server.stop();
});

/** Names of all commands and subcommands. CLIENT PAUSE would do what it is asked to. */
const NAMES = ALL_COMMANDS.flatMap(({ name, subcommands }) => [
  [name],
  ...(subcommands ?? []).filter((sub) => sub.name !== 'pause').map((sub) => [name, sub.name]),
]);

const bytes = fc.uint8Array({ maxLength: 60 }).map((array) => Buffer.from(array));
const argument = fc.oneof(
  bytes,
  fc.constantFrom(
    '0',
    '-1',
    '1',
    '3',
    '9223372036854775807',
    '-9223372036854775808',
    'EX',
    'NX',
    'GET',
    'k',
    '*',
    '',
    'nan',
  ),
  fc.integer().map(String),
);
/** A known command with arguments that may make sense. */
const command = fc
  .tuple(fc.constantFrom(...NAMES), fc.array(argument, { maxLength: 6 }))
  .map(([name, args]) => request(...name, ...args));
/** Pieces of protocol that break where they are put together. */
const fragment = fc.constantFrom(
  ...[
    '*',
    '$',
    ':',
    '\r\n',
    '\n',
    '*3\r\n',
    '$5\r\n',
    '*-1\r\n',
    '$-1\r\n',
    '*1000000\r\n',
    '$1048576\r\n',
    '"',
    "'\\x",
    'PING\r\n',
  ].map((text) => Buffer.from(text)),
);

async function serverAnswers(): Promise<void> {
  const client = await RawClient.connect(server.server.port);
  assert.equal(await client.call('PING'), '+PONG');
  client.close();
}

/** Sends pieces one by one, then leaves with or without a word. */
async function abuse(pieces: readonly Buffer[], politely: boolean): Promise<void> {
  const client = await RawClient.connect(server.server.port);
  for (const piece of pieces) {
    if (client.closed) break;
    client.send(piece);
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (politely) {
    client.socket.end();
    await client.readToEnd();
  }
  client.close();
}

describe('the Redis port', () => {
  test('survives arbitrary bytes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(bytes, fragment), { maxLength: 30 }),
        fc.boolean(),
        async (pieces, politely) => {
          await abuse(pieces, politely);
          await serverAnswers();
        },
      ),
      { numRuns: 150 },
    );
    assert.deepEqual(loggedErrors, []);
  });

  test('survives commands with arbitrary arguments, and answers each of them', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(command, { minLength: 1, maxLength: 10 }), async (commands) => {
        await abuse(commands, true);
        await serverAnswers();
      }),
      { numRuns: 300 },
    );
    assert.deepEqual(loggedErrors, []);
  });

  test('survives streams that mix commands with rubbish', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(command, fragment, bytes), { maxLength: 20 }),
        fc.boolean(),
        async (pieces, politely) => {
          await abuse([Buffer.concat(pieces)], politely);
          await serverAnswers();
        },
      ),
      { numRuns: 200 },
    );
    assert.deepEqual(loggedErrors, []);
  });
});
