/**
 * Whole systems in folders: overlays over this machine's own, in which anything may be installed, and which are gone with the process that made
 * them. Needs root, and a kernel that lets it mount overlays.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../support/until.ts';
import { childOf } from './first-process.ts';

/** How something is run in a system. */
export interface RunOptions {
  /** `uid:gid`; root without it. */
  readonly user?: string;
  readonly folder?: string;
  /** Nothing else is in the environment. */
  readonly environment?: Readonly<Record<string, string>>;
}

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** A machine that has much else to do starts programs slowly. */
const PATIENCE_MS = 180_000;
const OUTPUT_BYTES = 64 * 1024 ** 2;

/** What runs `words` within `root`, behind whatever comes before. */
function within(
  root: string,
  words: readonly string[],
  { user, folder = '/', environment = {} }: RunOptions,
): string[] {
  const variables = Object.entries({ PATH, HOME: '/', ...environment }).map(([name, value]) => `${name}=${value}`);
  const as = user === undefined ? [] : [`--userspec=${user}`];
  return ['chroot', ...as, root, '/usr/bin/env', '-i', '-C', folder, ...variables, ...words];
}

/** A system that runs a first process of its own, on a network of its own. */
export class RunningSystem {
  /** What it wrote. */
  output = '';
  code: number | null | undefined;
  private readonly child: ChildProcess;
  private readonly root: string;
  private readonly enter: readonly string[];

  constructor(enter: readonly string[], root: string, words: readonly string[], options: RunOptions) {
    this.enter = enter;
    this.root = root;
    // The first process is the one that is executed last: it becomes what is asked for.
    const start = [
      'unshare',
      '--net',
      '--pid',
      '--fork',
      '--kill-child',
      'sh',
      '-c',
      'ip link set lo up; exec "$@"',
      'sh',
    ];
    const [file, ...args] = [...enter, ...start, ...within(root, words, options)];
    this.child = spawn(file!, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.child.stdout!, this.child.stderr!]) stream.on('data', (chunk) => (this.output += chunk));
    this.child.once('close', (code) => {
      this.code = code;
    });
  }

  /** The number of its first process out here. */
  get firstProcess(): number {
    return childOf(this.child.pid!);
  }

  async writes(pattern: RegExp): Promise<void> {
    await until(
      `${pattern} in what it writes`,
      () => {
        assert.equal(this.code, undefined, this.output);
        return pattern.test(this.output);
      },
      PATIENCE_MS,
    );
  }

  /** Runs something beside the first process. @returns its exit code */
  run(words: readonly string[], options: RunOptions): number | null {
    const beside = ['nsenter', '--net', '--target', String(this.firstProcess)];
    const [file, ...args] = [...beside, ...this.enter, ...within(this.root, words, options)];
    return spawnSync(file!, args).status;
  }

  /** Signals the first process, and waits for its end. @returns the exit code */
  async end(signal: NodeJS.Signals): Promise<number | null> {
    process.kill(this.firstProcess, signal);
    await until(`the end after ${signal}`, () => this.code !== undefined, PATIENCE_MS);
    return this.code!;
  }
}

/** See the top of the file. */
export class Roots {
  private readonly folder = mkdtempSync(join(tmpdir(), 'kvorum-roots-'));
  private readonly holder: ChildProcess;

  constructor() {
    this.holder = spawn('unshare', ['--mount', '--propagation', 'private', 'sleep', 'infinity'], { stdio: 'ignore' });
  }

  /** What runs a command where the overlays are. */
  private get enter(): string[] {
    return ['nsenter', `--mount=/proc/${this.holder.pid}/ns/mnt`, '--'];
  }

  /** Runs a script where the overlays are, and outside of them. @throws AssertionError when it fails */
  private script(text: string): void {
    const [file, ...args] = [...this.enter, 'sh', '-ec', text];
    const { status, stderr } = spawnSync(file!, args, { encoding: 'utf8' });
    assert.equal(status, 0, `${text}: ${stderr}`);
  }

  /** Waits until there is a place for overlays. */
  async open(): Promise<void> {
    const own = (): string => spawnSync('readlink', ['/proc/self/ns/mnt'], { encoding: 'utf8' }).stdout;
    const held = (): string => spawnSync('readlink', [`/proc/${this.holder.pid}/ns/mnt`], { encoding: 'utf8' }).stdout;
    await until('a place for overlays', () => held() !== '' && held() !== own());
    this.script(`mount -t tmpfs -o size=8g none ${this.folder}`);
  }

  /** A system like this machine's own, with `node` in the place of its Node. @returns its folder */
  add(name: string, node: string): string {
    const place = join(this.folder, name);
    const root = join(place, 'root');
    this.script(
      `mkdir -p ${place}/upper ${place}/work ${root}; ` +
        `mount -t overlay overlay -o lowerdir=/,upperdir=${place}/upper,workdir=${place}/work ${root}; ` +
        `mount -t proc proc ${root}/proc; mount --rbind /dev ${root}/dev; mount -t tmpfs none ${root}/tmp; mount -t tmpfs none ${root}/run; ` +
        `rm -f ${root}/usr/local/bin/node; cp ${node} ${root}/usr/local/bin/node`,
    );
    return root;
  }

  /** Copies from out here, or from another system. */
  copy(from: string, to: string): void {
    this.script(
      `mkdir -p "$(dirname "${to}")"; if [ -d "${from}" ]; then mkdir -p "${to}"; cp -a "${from}/." "${to}"; else cp -a "${from}" "${to}"; fi`,
    );
  }

  /** Nothing in it can be changed from now on, but for `writable`. */
  close(root: string, writable: readonly string[]): void {
    const kept = writable.map((path) => `mount --bind ${root}${path} ${root}${path}`).join('; ');
    this.script(`${kept}; mount -o remount,bind,ro ${root}`);
  }

  /** Runs something in a system. @returns what it wrote @throws AssertionError when it fails */
  run(root: string, words: readonly string[], options: RunOptions = {}): string {
    const [file, ...args] = [...this.enter, ...within(root, words, options)];
    const { status, stdout, stderr } = spawnSync(file!, args, { encoding: 'utf8', maxBuffer: OUTPUT_BYTES });
    assert.equal(status, 0, `${words.join(' ')}:\n${stdout}${stderr}`);
    return stdout + stderr;
  }

  /** Starts something as the first process of a system. */
  start(root: string, words: readonly string[], options: RunOptions): RunningSystem {
    return new RunningSystem(this.enter, root, words, options);
  }

  /** Takes everything away. */
  remove(): void {
    this.holder.kill('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}
