/**
 * Machines of a walk-through: network namespaces on one switch, with the addresses that the page names, each with an `/etc` and a `/var/lib` of its
 * own and a terminal that stays open. Nothing of it is seen outside. Needs root and iproute2.
 */
import assert from 'node:assert/strict';
import { type ChildProcessWithoutNullStreams, execFileSync, spawn, spawnSync } from 'node:child_process';
import { appendFileSync, chmodSync, cpSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from '../support/until.ts';

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
/** Where machines find the program: the place of the repository may be closed to the user of the service. */
const PROGRAM = '/mnt/kvorum';
const nodePath = relative(REPOSITORY, process.execPath);
const NODE = nodePath.startsWith('..') ? process.execPath : join(PROGRAM, nodePath);
/** Of `/etc`, what the programs of a machine need; without it they do not start, or know no users. */
const NEEDED_OF_ETC = ['passwd', 'group', 'nsswitch.conf', 'ld.so.cache', 'ssl', 'alternatives'];
/** Nobody's on the machine that this runs on. */
const SERVICE_USER = 10_001;
const HERE = 254;
/** A machine that has much else to do starts programs slowly. */
const STEP_TIMEOUT_MS = 200_000;

/** The machine from which the others are looked after, or the number of one of them. */
export type Place = 'here' | number;

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

/** The value of a test's `skip`: false where namespaces can be made, else why not. */
export function skipWithoutNamespaces(): string | false {
  const name = `kwt${process.pid.toString(16)}`;
  const tries = [
    ['ip', 'netns', 'add', name],
    ['ip', 'netns', 'exec', name, 'unshare', '--mount', 'mount', '--bind', '/tmp', '/mnt'],
  ];
  try {
    for (const [file, ...args] of tries) {
      const { status, stderr, error } = spawnSync(file!, args, { encoding: 'utf8' });
      if (status === 0) continue;
      const said = (error?.message ?? stderr).trim();
      return `network namespaces cannot be made here (${said}); they need root and iproute2`;
    }
    return false;
  } finally {
    spawnSync('ip', ['netns', 'del', name]);
  }
}

/** What a command printed, and how it ended. */
export interface Told {
  readonly code: number;
  readonly output: string;
}

/** A shell that is told one command after the other, as in one terminal. */
class Terminal {
  private readonly shell: ChildProcessWithoutNullStreams;
  private output = '';
  private commands = 0;

  constructor(command: readonly string[], folder: string, environment: Readonly<Record<string, string>>) {
    const [file, ...args] = command;
    this.shell = spawn(file!, args, { cwd: folder, env: environment });
    for (const stream of [this.shell.stdout, this.shell.stderr]) stream.on('data', (chunk) => (this.output += chunk));
  }

  async type(command: string): Promise<Told> {
    const mark = `ended ${++this.commands}:`;
    const from = this.output.length;
    this.shell.stdin.write(`${command}\necho "${mark} $?"\n`);
    const ended = new RegExp(`^${mark} (\\d+)\\n`, 'm');
    await until(
      `the end of ${command}`,
      () => ended.test(this.output.slice(from)) || this.shell.exitCode !== null,
      STEP_TIMEOUT_MS,
    );
    const said = this.output.slice(from);
    const match = ended.exec(said);
    assert.ok(match !== null, `the shell ended while it ran ${command}:\n${said}`);
    return { code: Number(match[1]), output: said.slice(0, match.index) };
  }

  close(): void {
    this.shell.kill('SIGKILL');
  }
}

/** See the top of the file. */
export class Machines {
  readonly numbers: readonly number[];
  private readonly folder: string;
  private readonly prefix = `kw${process.pid.toString(16)}`;
  private readonly terminals = new Map<Place, Terminal>();
  private readonly cleanUp = (): void => this.remove();

  /** @param folder an empty one, for all that is written */
  constructor(folder: string, numbers: readonly number[]) {
    this.folder = folder;
    this.numbers = numbers;
    // The user of the service finds its way.
    chmodSync(folder, 0o755);
    process.once('exit', this.cleanUp);
    this.connect();
    for (const number of numbers) this.furnish(number);
    this.place();
  }

  private space(place: Place | 'switch'): string {
    return `${this.prefix}${place}`;
  }

  /** One switch that everybody has a cable to. */
  private connect(): void {
    const center = this.space('switch');
    ip('netns', 'add', center);
    ip('-n', center, 'link', 'add', 'switch', 'type', 'bridge');
    ip('-n', center, 'link', 'set', 'switch', 'up');
    for (const place of ['here', ...this.numbers] as const) {
      const [space, port] = [this.space(place), `port${place}`];
      ip('netns', 'add', space);
      ip('-n', center, 'link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', space);
      ip('-n', center, 'link', 'set', port, 'master', 'switch', 'up');
      ip('-n', space, 'addr', 'add', `10.0.0.${place === 'here' ? HERE : place}/24`, 'dev', 'eth0');
      ip('-n', space, 'link', 'set', 'eth0', 'up');
      ip('-n', space, 'link', 'set', 'lo', 'up');
    }
  }

  private furnish(number: number): void {
    const etc = join(this.folder, `${number}/etc`);
    mkdirSync(join(etc, 'kvorum'), { recursive: true });
    mkdirSync(join(this.folder, `${number}/var-lib`));
    for (const name of NEEDED_OF_ETC) {
      if (existsSync(`/etc/${name}`))
        cpSync(`/etc/${name}`, join(etc, name), { recursive: true, verbatimSymlinks: true });
    }
    // As the Debian package does.
    appendFileSync(
      join(etc, 'passwd'),
      `kvorum:x:${SERVICE_USER}:${SERVICE_USER}::/var/lib/kvorum:/usr/sbin/nologin\n`,
    );
    appendFileSync(join(etc, 'group'), `kvorum:x:${SERVICE_USER}:\n`);
  }

  /** Programs of everybody, and the terminal here. */
  private place(): void {
    const bin = join(this.folder, 'bin');
    for (const name of ['bin', 'here', 'compiled']) mkdirSync(join(this.folder, name));
    chmodSync(join(this.folder, 'compiled'), 0o777);
    const program = (name: string, text: string): void =>
      writeFileSync(join(bin, name), `#!/bin/bash\n${text}\n`, { mode: 0o755 });
    for (const name of ['kvorum', 'raftadmin']) program(name, `exec ${NODE} ${PROGRAM}/cmd/${name}.ts "$@"`);
    // scp -q <file>... root@10.0.0.<number>:<path>
    program(
      'scp',
      `for to; do :; done; host=$(echo $to | cut -d: -f1 | cut -d. -f4); cp "\${@:2:$#-2}" "$MACHINES/$host\${to#*:}"`,
    );
  }

  /** What runs a shell with `script` at a place. */
  command(place: Place, script: string): string[] {
    const own = (name: string): string => join(this.folder, `${place}/${name}`);
    const mounts = [
      'mount -t tmpfs none /mnt',
      `mkdir ${PROGRAM}`,
      `mount --bind "${REPOSITORY}" ${PROGRAM}`,
      ...(place === 'here' ? [] : [`mount --bind "${own('etc')}" /etc`, `mount --bind "${own('var-lib')}" /var/lib`]),
    ];
    return [
      ...['ip', 'netns', 'exec', this.space(place), 'unshare', '--mount', 'bash', '-c'],
      `set -e; ${mounts.join('; ')}; ${script}`,
    ];
  }

  /** What programs at any place see of the environment. */
  get environment(): Record<string, string> {
    return {
      PATH: `${join(this.folder, 'bin')}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
      HOME: join(this.folder, 'here'),
      MACHINES: this.folder,
      // Many programs are started, most of them for a moment: what they have compiled is kept.
      NODE_COMPILE_CACHE: join(this.folder, 'compiled'),
      // redis-cli writes as it does on a terminal.
      FAKETTY: '1',
    };
  }

  /** Runs a command as in one terminal at a place. */
  type(place: Place, command: string): Promise<Told> {
    let terminal = this.terminals.get(place);
    if (terminal === undefined) {
      terminal = new Terminal(this.command(place, 'exec bash'), join(this.folder, 'here'), this.environment);
      this.terminals.set(place, terminal);
    }
    return terminal.type(command);
  }

  /** Closes terminals and takes everything away. */
  stop(): void {
    for (const terminal of this.terminals.values()) terminal.close();
    process.removeListener('exit', this.cleanUp);
    this.remove();
  }

  private remove(): void {
    const spaces = readdirSync('/run/netns').filter((name) => name.startsWith(this.prefix));
    for (const space of spaces) spawnSync('ip', ['netns', 'del', space]);
  }
}
