/** A service of systemd as far as its unit file says it, where there is no systemd to run it. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { Machines } from './machines.ts';

/** Values by key, sections aside; keys that are given twice are not used by ours. */
export function readUnit(path: URL): ReadonlyMap<string, string> {
  const lines = readFileSync(path, 'utf8').split('\n');
  return new Map(
    lines.flatMap((line) => [...line.matchAll(/^(\w+)=(.*)$/g)].map(([, key, value]) => [key!, value!] as const)),
  );
}

/** The service of one machine. */
export class Service {
  /** What it wrote. */
  log = '';
  private readonly machines: Machines;
  private readonly machine: number;
  private readonly unit: ReadonlyMap<string, string>;
  private child: ChildProcess | undefined;

  constructor(machines: Machines, machine: number, unit: ReadonlyMap<string, string>) {
    this.machines = machines;
    this.machine = machine;
    this.unit = unit;
  }

  private value(key: string): string {
    const value = this.unit.get(key);
    assert.ok(value !== undefined, `the unit says nothing of ${key}`);
    return value;
  }

  /** `enable --now`, `start`, `stop`, `restart`, `reload`. */
  async control(verb: string): Promise<void> {
    if (verb === 'stop' || verb === 'restart') await this.stop();
    if (verb === 'reload') {
      const signal = /^\/bin\/kill -(\w+) \$MAINPID$/.exec(this.value('ExecReload'))![1];
      this.child!.kill(`SIG${signal}` as NodeJS.Signals);
    }
    if (verb === 'start' || verb === 'restart' || verb === 'enable --now') this.start();
  }

  private start(): void {
    const [user, folder] = [this.value('User'), `/var/lib/${this.value('StateDirectory')}`];
    // Without the words that only a shell needs: what is executed last is the process that signals go to.
    const script = [
      `install --directory --owner=${user} --group=${this.value('Group')} --mode=${this.value('StateDirectoryMode')} ${folder}`,
      `umask ${this.value('UMask')}`,
      `cd ${this.value('WorkingDirectory')}`,
      // Where nobody may raise it, what there is has to do.
      `ulimit -S -n ${this.value('LimitNOFILE')} 2>/dev/null || ulimit -S -n hard`,
      `exec setpriv --reuid ${user} --regid ${this.value('Group')} --clear-groups --no-new-privs --inh-caps -all --bounding-set -all ` +
        this.value('ExecStart').replace(/^\/usr\/bin\//, ''),
    ].join('; ');
    const [file, ...args] = this.machines.command(this.machine, script);
    const { PATH, NODE_COMPILE_CACHE } = this.machines.environment;
    this.child = spawn(file!, args, { env: { PATH, NODE_COMPILE_CACHE }, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.child.stdout!, this.child.stderr!]) stream.on('data', (chunk) => (this.log += chunk));
  }

  /** As the unit says: its signal, and a clean end within its time. */
  async stop(): Promise<void> {
    const { child } = this;
    if (child === undefined) return;
    this.child = undefined;
    const limit = setTimeout(() => child.kill('SIGKILL'), Number(this.value('TimeoutStopSec')) * 1000);
    child.kill(this.value('KillSignal') as NodeJS.Signals);
    const [code] = child.exitCode === null ? await once(child, 'exit') : [child.exitCode];
    clearTimeout(limit);
    assert.equal(code, 0, `the service of machine ${this.machine} did not stop cleanly:\n${this.log}`);
  }

  /** Whatever it does. */
  kill(): void {
    this.child?.kill('SIGKILL');
  }
}
