import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { until } from '../support/until.ts';
import { childOf } from './first-process.ts';

const program = fileURLToPath(new URL('../../cmd/kvorum.ts', import.meta.url));
const UNSHARE = ['--pid', '--fork', '--kill-child'];

function skipWithoutProcessNamespaces(): string | false {
  const { status } = spawnSync('unshare', [...UNSHARE, 'true']);
  return status === 0 ? false : 'process namespaces cannot be made here; they need root';
}

/** Whether a signal is on its way to a process. */
const isPending = (pid: number): boolean => /^ShdPnd:\t0*[1-9a-f]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));

describe('a node that is the first process of a container', { skip: skipWithoutProcessNamespaces() }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'kvorum-first-'));
  let child: ChildProcess;
  after(() => {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });

  test('ends at SIGTERM while it starts, when the kernel would not end it', async () => {
    const pipe = join(folder, 'passwords');
    execFileSync('mkfifo', [pipe]);
    const ports = ['redis', 'grpc', 'metrics'].map((port) => `--${port}-port=0`);
    const server = [program, 'server', '--data-folder', join(folder, 'data'), '--redis-password-file', pipe, ...ports];
    child = spawn('unshare', [...UNSHARE, process.execPath, ...server], { stdio: 'ignore' });
    let code: number | null | undefined;
    child.once('exit', (exitCode) => {
      code = exitCode;
    });
    // Settles when the node reads at the other end, and there it waits: nothing is ever written.
    const held = await open(pipe, 'w');
    const node = childOf(child.pid!);
    process.kill(node, 'SIGTERM');
    await until('the signal has come', () => !isPending(node));
    // A thread that reads from a pipe is waited for, whatever ends the process.
    await held.close();
    await until('the end of the node', () => code !== undefined);
    assert.equal(code, 143);
  });
});
