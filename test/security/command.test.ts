import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { RespConnection } from '../compat/resp-connection.ts';
import { until } from '../support/until.ts';

const PROGRAM = fileURLToPath(new URL('../../cmd/kvorum.ts', import.meta.url));
const PASSWORD = 'correct-horse';

function run(args: readonly string[], env: Record<string, string> = {}): Promise<{ code: number; text: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [PROGRAM, ...args], { env: { ...process.env, ...env } }, (error, out, err) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, text: `${out}${err}` });
    });
  });
}

test('kvorum config says that there is a password, and not which', async () => {
  for (const args of [['config'], ['config', '--json']]) {
    const { code, text } = await run(args, { KVORUM_REDIS_PASSWORD: PASSWORD });
    assert.equal(code, 0);
    assert.match(text, /\(hidden\)/);
    assert.ok(!text.includes(PASSWORD));
  }
});

test('kvorum server does not start where strangers could use it, and says what to do', async () => {
  const { code, text } = await run(['server', '--redis-host', '0.0.0.0', '--data-folder', '/nowhere/at/all']);
  assert.equal(code, 2);
  assert.match(text, /redis\.host .*redis\.passwordFile.*--insecure/);
});

test('kvorum server reads its passwords again at SIGHUP and goes on', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'kvorum-hup-'));
  const file = join(folder, 'passwords');
  writeFileSync(file, 'old\n');
  const free = ['--redis-port', '0', '--grpc-port', '0', '--metrics-port', '0', '--store-memory', '32mb'];
  const args = [PROGRAM, 'server', '--data-folder', join(folder, 'data'), '--redis-password-file', file, ...free];
  const child: ChildProcess = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout!, child.stderr!]) stream.on('data', (bytes: Buffer) => (said += bytes.toString()));
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  try {
    await until('it runs', () => /redis 127\.0\.0\.1:\d+/.test(said), 20_000);
    const port = Number(/redis 127\.0\.0\.1:(\d+)/.exec(said)![1]);
    const login = async (password: string): Promise<string> => {
      const connection = await RespConnection.open('127.0.0.1', port);
      const [reply] = await connection.call([['AUTH', password]]);
      connection.close();
      return reply!.raw;
    };
    assert.equal(await login('old'), '+OK\r\n');
    writeFileSync(file, 'new\n');
    child.kill('SIGHUP');
    await until('the new password counts', async () => (await login('new')) === '+OK\r\n', 4_000);
    assert.match(await login('old'), /^-WRONGPASS/);
    assert.ok(!/\b(old|new)\b/.test(said), said);
  } finally {
    child.kill('SIGTERM');
    assert.equal(await ended, 0);
    rmSync(folder, { recursive: true, force: true });
  }
});
