/**
 * The servers that compatibility tests talk to: the real redis-server as reference, and a kvorum server. A test asks for an
 * address only, so `KVORUM_COMPAT_TARGET=host:port` points the same tests at a running node or cluster instead; its data
 * is flushed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { type BodyLimits, DEFAULT_BODY_LIMITS } from '../../src/adapter/redis/bodies/index.ts';
import type { RedisConfig } from '../../src/adapter/redis/command/index.ts';
import { startRedisServer } from '../../src/adapter/redis/server/server.ts';
import { SystemClock, SystemRandom, SystemScheduler } from '../../src/platform/index.ts';
import { BufferedRunner } from '../adapter/redis/request/several-groups.ts';
import { FakeKv } from '../support/fake-kv.ts';
import { RespConnection } from './resp-connection.ts';

/** No collection is ever packed, and a few elements make trees of several levels. */
export const LARGE_FROM_THE_FIRST: BodyLimits = {
  ...DEFAULT_BODY_LIMITS,
  packedBytes: 0,
  packedElements: 0,
  pageBytes: 64,
  inlineBytes: 24,
  prefixBytes: 6,
  rosterNames: 8,
  childrenWithoutCounts: 4,
  plainStringBytes: 0,
  chunkBytes: 4,
  maxChunks: 8,
};

/** A server under test. */
export interface Target {
  readonly host: string;
  readonly port: number;
  stop(): Promise<void>;
}

export interface ComparedTargets {
  readonly reference: Target;
  readonly tested: Target;
}

const REFERENCE_START_MS = 10_000;

/** Starts a redis-server without persistence on a free port. @param options of its command line */
export async function startReference(...options: string[]): Promise<Target> {
  const port = await freePort();
  const folder = await mkdtemp(join(tmpdir(), 'kvorum-redis-'));
  // DEBUG RELOAD writes a file.
  const usual = ['--dir', folder, '--save', '', '--appendonly', 'no', '--loglevel', 'warning'];
  const args = ['--port', String(port), '--bind', '127.0.0.1', ...usual, ...options];
  // SORT compares by the locale, kvorum by bytes.
  const child = spawn('redis-server', args, { stdio: 'ignore', env: { ...process.env, LC_ALL: 'C' } });
  const endWithUs = () => child.kill('SIGKILL');
  process.once('exit', endWithUs);
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  await answersPing(port, child);
  return {
    host: '127.0.0.1',
    port,
    stop: async () => {
      process.off('exit', endWithUs);
      child.kill('SIGTERM');
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The server that `KVORUM_COMPAT_TARGET` names, or else one over keys in memory that evaluates every command twice. */
export async function startKvorum(bodyLimits?: BodyLimits, config: Partial<RedisConfig> = {}): Promise<Target> {
  const running = process.env.KVORUM_COMPAT_TARGET;
  if (running !== undefined) {
    const [host = '', port = ''] = running.split(':');
    return { host, port: Number(port), stop: async () => {} };
  }
  const kv = new FakeKv();
  kv.evaluateTwice = true;
  const server = await startRedisServer({
    kv,
    host: '127.0.0.1',
    port: 0,
    clock: new SystemClock(),
    scheduler: new SystemScheduler(),
    random: new SystemRandom(),
    sharesUsers: true,
    config,
    transactions: new BufferedRunner(kv.state),
    ...(bodyLimits === undefined ? {} : { bodyLimits }),
  });
  return { host: '127.0.0.1', port: server.port, stop: () => server.stop() };
}

/** Both servers for the tests of one `describe`, from before the first to after the last. */
export function comparedTargets(bodyLimits?: BodyLimits): ComparedTargets {
  const targets = {} as { reference: Target; tested: Target };
  before(async () => {
    [targets.reference, targets.tested] = await Promise.all([startReference(), startKvorum(bodyLimits)]);
  });
  after(async () => {
    await Promise.all([targets.reference?.stop(), targets.tested?.stop()]);
  });
  return targets;
}

/** A connection to each of them. */
export const connected = ({
  reference,
  tested,
}: ComparedTargets): Promise<[reference: RespConnection, tested: RespConnection]> =>
  Promise.all([RespConnection.open(reference.host, reference.port), RespConnection.open(tested.host, tested.port)]);

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      probe.close(() => resolve(port));
    });
  });
}

async function answersPing(port: number, child: ChildProcess): Promise<void> {
  const deadlineMs = Date.now() + REFERENCE_START_MS;
  for (;;) {
    if (child.exitCode !== null) throw new Error(`redis-server ended with code ${child.exitCode}`);
    try {
      const connection = await RespConnection.open('127.0.0.1', port);
      const [reply] = await connection.call([['PING']]);
      connection.close();
      if (reply?.raw === '+PONG\r\n') return;
    } catch {
      // It does not listen yet.
    }
    if (Date.now() > deadlineMs) throw new Error('redis-server did not answer in time');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
