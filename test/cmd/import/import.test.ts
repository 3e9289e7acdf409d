import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { CommandFailure } from '../../../cmd/cli/failure.ts';
import {
  DEFAULT_WRITER_LIMITS,
  type FileImport,
  type ImportReport,
  importFile,
  importReplica,
  type ReplicaImport,
  type WriterOptions,
} from '../../../cmd/import/index.ts';
import { callAll, RespConnection } from '../../compat/resp-connection.ts';
import { startKvorum, type Target } from '../../compat/targets.ts';
import { until } from '../../support/until.ts';
import { Cable } from '../support/cable.ts';
import { LARGE_FORMS, startFilled } from './dataset.ts';

const KVORUM = fileURLToPath(new URL('../../../cmd/kvorum.ts', import.meta.url));
const quiet = { isScreen: false, write: () => {} };

async function ask(target: Target, ...commands: string[][]): Promise<(string | undefined)[]> {
  return (await callAll(target, commands)).map(({ text, kind, raw }) => (kind === '-' ? raw : text));
}

const writerTo = (port: number): WriterOptions => ({
  ...DEFAULT_WRITER_LIMITS,
  targets: [{ host: '127.0.0.1', port }],
  security: {},
  connections: 2,
  giveUpMs: 20_000,
});

describe('an import', () => {
  let folder: string;
  let filled: Awaited<ReturnType<typeof startFilled>>;
  let tested: Target;
  let cable: Cable;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kvorum-import-'));
    // Redis waits for more replicas for some seconds, if it is not told otherwise.
    filled = await startFilled(folder, 'without parts', '--repl-diskless-sync-delay', '0');
    await filled.save();
  });
  after(async () => {
    await filled.server.stop();
    await rm(folder, { recursive: true, force: true });
  });
  beforeEach(async () => {
    tested = await startKvorum();
    cable = await Cable.open(tested);
  });
  afterEach(async () => {
    cable.close();
    await tested.stop();
  });

  const runFile = (more: Partial<FileImport> = {}): Promise<ImportReport> =>
    importFile({
      file: filled.file,
      state: join(folder, 'state'),
      writer: writerTo(cable.port),
      existing: 'refuse',
      verify: 'after',
      output: quiet,
      interrupted: new AbortController().signal,
      ...more,
    });

  describe('of a file', () => {
    test('brings every key, and a comparison finds nothing; then it finds what is changed', async () => {
      const { tally, differences } = await runFile();
      assert.deepEqual(tally.examples, []);
      assert.deepEqual([tally.written, tally.libraries, tally.refused], [filled.keys, 1, 0]);
      assert.deepEqual([differences?.compared, differences?.examples], [filled.keys, []]);
      assert.equal((await ask(tested, ['FCALL', 'one', '0']))[0], '1');
      await ask(
        tested,
        ['SET', '{a}text', 'changed'],
        ['DEL', '{a}list'],
        ['PERSIST', '{a}expires'],
        ['ZADD', '{a}zset', '7', 'a'],
        ['SET', 'new', '1'],
        ['XACK', '{a}stream', 'group', '3-1'],
      );
      const again = await runFile({ verify: 'only' });
      assert.deepEqual(again.differences?.entries(), [
        ['expiry', 1],
        ['extra', 1],
        ['missing', 1],
        ['value', 3],
      ]);
      assert.equal(again.tally.written, 0);
    });

    test('refuses a cluster that has keys, unless it is told what to do with them', async () => {
      await ask(tested, ['SET', '{a}text', 'mine'], ['SET', 'other', 'mine']);
      await assert.rejects(runFile(), (error: Error) => {
        assert.match(error.message, /the cluster holds 2 keys in database 0; --replace/);
        return error instanceof CommandFailure;
      });
      const kept = await runFile({ existing: 'keep', verify: 'no' });
      assert.deepEqual([kept.tally.kept, kept.tally.written], [1, filled.keys - 1]);
      assert.deepEqual(await ask(tested, ['GET', '{a}text'], ['GET', 'other']), ['mine', 'mine']);
      const replaced = await runFile({ existing: 'replace', verify: 'no' });
      assert.equal(replaced.tally.written, filled.keys);
      assert.deepEqual(await ask(tested, ['GET', '{a}text'], ['GET', 'other']), ['a text', 'mine']);
    });

    test('goes on over connections that break in the middle', async () => {
      cable.breakAfterBytes = 60;
      const { tally } = await runFile({ verify: 'no' });
      assert.ok(cable.broken > 0);
      cable.breakAfterBytes = undefined;
      assert.equal(tally.written, filled.keys);
      assert.equal((await runFile({ verify: 'only' })).differences?.total, 0);
    });

    test('that was ended goes on where it was, and refuses to do so with another file', async () => {
      const state = join(folder, 'state');
      const { size, mtimeMs } = await stat(filled.file);
      const modifiedMs = Math.trunc(mtimeMs);
      const half = Math.floor(size / 2);
      await writeFile(state, JSON.stringify({ version: 1, size, modifiedMs, position: half }));
      const { tally } = await runFile({ verify: 'no' });
      assert.ok(tally.before > 5 && tally.written > 5);
      assert.equal(tally.before + tally.written, filled.keys);
      await writeFile(state, JSON.stringify({ version: 1, size: size + 1, modifiedMs, position: half }));
      await assert.rejects(runFile(), /is not of an import of this file/);
      await rm(state);
    });

    test('says what is wrong with a file, and that there is none', async () => {
      const damaged = join(folder, 'damaged.rdb');
      const bytes = Buffer.from(await readFile(filled.file));
      bytes[bytes.length - 20]! ^= 1;
      await writeFile(damaged, bytes);
      await assert.rejects(runFile({ file: damaged, state: join(folder, 'state2') }), CommandFailure);
      await rm(join(folder, 'state2'), { force: true });
      await assert.rejects(runFile({ file: join(folder, 'none.rdb') }), /cannot read .*none\.rdb/);
    });
  });

  describe('of a file with large values', () => {
    let own: string;
    let large: Awaited<ReturnType<typeof startFilled>>;
    before(async () => {
      own = await mkdtemp(join(tmpdir(), 'kvorum-import-'));
      large = await startFilled(own, 'with parts', ...LARGE_FORMS);
      await large.save();
    });
    after(async () => {
      await large.server.stop();
      await rm(own, { recursive: true, force: true });
    });

    test('brings every key, over connections that break in the middle', async () => {
      cable.breakAfterBytes = 120;
      const { tally } = await runFile({ file: large.file, verify: 'no' });
      assert.ok(cable.broken > 0);
      cable.breakAfterBytes = undefined;
      assert.deepEqual([tally.written, tally.inParts, tally.examples], [large.keys, 6, []]);
      const { differences } = await runFile({ file: large.file, verify: 'only' });
      assert.deepEqual([differences?.compared, differences?.examples], [large.keys, []]);
    });

    test('goes on after it was killed, with nothing left of what it was doing', async () => {
      const state = join(own, 'killed');
      const killed = spawn(
        process.execPath,
        [KVORUM, 'import', large.file, '--to', `127.0.0.1:${cable.port}`, '--state', state],
        { stdio: 'ignore' },
      );
      const ended = once(killed, 'exit');
      await until('it has begun with a large value', async () => {
        const [, , keys] = await ask(
          tested,
          ['SELECT', '3'],
          ['PING'],
          ['EVAL', "return #redis.call('KEYS', '*kvorum-import*')", '0'],
        );
        return Number(keys) > 0 || killed.exitCode !== null;
      });
      cable.hold(true);
      killed.kill('SIGKILL');
      await ended;
      cable.cut();
      cable.hold(false);
      const { differences, tally } = await runFile({ file: large.file, state, existing: 'replace' });
      assert.deepEqual([differences?.examples, differences?.total], [[], 0]);
      assert.equal(tally.before + tally.written, large.keys);
    });
  });

  describe('from a running Redis', () => {
    const follow = (more: Partial<ReplicaImport>): Promise<ImportReport> =>
      importReplica({
        source: { host: filled.server.host, port: filled.server.port },
        sourceSecurity: {},
        writer: writerTo(cable.port),
        isReplacing: false,
        untilCaughtUp: true,
        isLast: false,
        verify: true,
        output: quiet,
        interrupted: new AbortController().signal,
        ...more,
      });

    test('copies everything, and compares', async () => {
      const { tally, differences } = await follow({ isLast: true });
      assert.deepEqual(await ask(tested, ['SELECT', '15'], ['DBSIZE']), ['OK', '0'], 'nothing is left to go on with');
      assert.deepEqual([tally.written, tally.libraries, tally.examples], [filled.keys, 1, []]);
      assert.deepEqual([differences?.compared, differences?.examples], [filled.keys, []]);
    });

    test('carries each command out once, whatever breaks', { timeout: 120_000 }, async () => {
      const source = await Cable.open(filled.server);
      const abort = new AbortController();
      const ended = follow({
        source: { host: '127.0.0.1', port: source.port },
        untilCaughtUp: false,
        verify: false,
        interrupted: abort.signal,
      });
      const written = await RespConnection.open(filled.server.host, filled.server.port);
      const counted = async (): Promise<string | undefined> => (await ask(tested, ['GET', 'count']))[0];
      const waitFor = async (value: string): Promise<void> => {
        while ((await counted()) !== value) await new Promise((resolve) => setTimeout(resolve, 50));
      };
      let count = 0;
      const write = async (): Promise<void> => {
        await written.call([
          ['INCR', 'count'],
          ['MULTI'],
          ['RPUSH', 'queue', String(count)],
          ['SELECT', '5'],
          ['INCR', 'count'],
          ['SELECT', '0'],
          ['EXEC'],
          ['EVAL', "redis.call('APPEND', KEYS[1], 'x'); redis.call('PUBLISH', 'c', 'm')", '1', 'text'],
        ]);
        count += 1;
      };
      await write();
      await waitFor('1');
      for (let round = 0; round < 6; round++) {
        for (let left = 20; left > 0; left--) await write();
        if (round % 2 === 0) source.cut();
        else cable.cut();
        for (let left = 20; left > 0; left--) await write();
      }
      await waitFor(String(count));
      abort.abort();
      await ended;
      const [, , pushed, , other] = await ask(
        tested,
        ['PING'],
        ['STRLEN', 'text'],
        ['LLEN', 'queue'],
        ['SELECT', '5'],
        ['GET', 'count'],
      );
      assert.deepEqual([pushed, other], [String(count), String(count)]);
      written.close();
      source.close();
      const { tally, differences } = await follow({});
      assert.equal(tally.written, 0, 'it goes on where it was');
      assert.deepEqual(differences?.examples, []);
      await ask(filled.server, ['DEL', 'count', 'queue', 'text'], ['SELECT', '5'], ['DEL', 'count']);
    });

    test('refuses a cluster that has keys, and empties it when it is told to', async () => {
      await ask(tested, ['SET', 'other', 'mine']);
      await assert.rejects(follow({}), /the cluster holds 1 keys/);
      const { differences } = await follow({ isReplacing: true });
      assert.deepEqual(differences?.examples, []);
      assert.equal((await ask(tested, ['EXISTS', 'other']))[0], '0');
    });
  });
});
